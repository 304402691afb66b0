/** `-m statistic --mode random`: true with a probability; no function of the packet. */
import { MATCH_RANDOM } from "../../assembly/layout.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";

export interface RandomMatch extends Invertible {
  readonly kind: "random";
  /** 0 to 1. */
  readonly probability: number;
}

/** The kernel keeps the probability in units of 1/2^31 (xt_statistic), and iptables prints those. */
const UNIT = 0x80000000;

/** `-m statistic --mode random [!] --probability P`. */
export const randomMatch: MatchExtension<RandomMatch> = {
  kind: "random",
  id: MATCH_RANDOM,
  modules: [],
  render(match) {
    const probability = Math.round(match.probability * UNIT) / UNIT;
    return `-m statistic --mode random ${bang(match)}--probability ${probability.toFixed(11)}`;
  },
  pack: () => undefined,
};
