/** `-m statistic`: true with a probability, or every so many times. */
import { MATCH_NTH, MATCH_RANDOM } from "../../assembly/layout.ts";
import { packRange } from "./bucket.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension, Module, OptionUse } from "./extension.ts";
import { needUse, parseNumber, refuseInvert, useOf, wordOf } from "./words.ts";

/** `--mode random`: no function of the packet. */
export interface RandomMatch extends Invertible {
  readonly kind: "random";
  /** 0 to 1. */
  readonly probability: number;
}

/** `--mode nth`: counts how often it was asked. */
export interface NthMatch extends Invertible {
  readonly kind: "nth";
  /** At least 1. */
  readonly every: number;
  /** Which one of `every` it is, from 0. */
  readonly packet: number;
}

/** The kernel keeps the probability in units of 1/2^31 (xt_statistic), and iptables prints those. */
const UNIT = 0x80000000;

/** Both modes are one module. */
export const statisticModule: Module<RandomMatch | NthMatch> = {
  name: "statistic",
  options: { "--mode": 1, "--probability": 1, "--every": 1, "--packet": 1 },
  parse(options) {
    const mode = needUse(options, "--mode");
    refuseInvert(mode);
    if (wordOf(mode) === "random") return parseRandom(options);
    if (wordOf(mode) === "nth") return parseNth(options);
    throw new RuleError("--mode: expected random or nth", mode);
  },
};

/** `-m statistic --mode random [!] --probability P`. */
export const randomMatch: MatchExtension<RandomMatch> = {
  kind: "random",
  id: MATCH_RANDOM,
  modules: [],
  render(match) {
    const probability = Math.round(match.probability * UNIT) / UNIT;
    return `-m statistic --mode random ${bang(match)}--probability ${probability.toFixed(11)}`;
  },
  /** Chance u32, in units of 1/2^31. */
  pack(match, writer) {
    writer.u32(Math.round(match.probability * UNIT));
  },
};

/** `-m statistic --mode nth [!] --every N --packet P`. */
export const nthMatch: MatchExtension<NthMatch> = {
  kind: "nth",
  id: MATCH_NTH,
  modules: [],
  render: (match) =>
    `-m statistic --mode nth ${bang(match)}--every ${match.every} --packet ${match.packet}`,
  /** Every u32, how often it was asked (state, a Range of assembly/range.ts): it matches at multiples. */
  pack(match, writer) {
    writer.u32(match.every);
    packRange(BigInt(match.every - 1 - match.packet), writer);
  },
};

function parseRandom(options: readonly OptionUse[]): RandomMatch {
  const use = needUse(options, "--probability");
  const probability = Number(wordOf(use));
  if (!(probability >= 0 && probability <= 1)) {
    throw new RuleError("--probability: expected a number from 0 to 1", use);
  }
  return { kind: "random", probability, invert: use.invert };
}

function parseNth(options: readonly OptionUse[]): NthMatch {
  const every = needUse(options, "--every");
  const packet = useOf(options, "--packet");
  refuseInvert(packet);
  const count = parseNumber(wordOf(every), every, 0xffffffff, 1);
  // > iptables wants --packet with a negated --every.
  if (packet === undefined && every.invert) throw new RuleError("expected --packet", every);
  const start = packet === undefined ? 0 : parseNumber(wordOf(packet), packet, count - 1);
  return { kind: "nth", every: count, packet: start, invert: every.invert };
}
