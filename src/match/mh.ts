/** `-m mh`: the type of a mobility header of IPv6. */
import { MATCH_MH } from "../../assembly/layout.ts";
import { PROTOCOL_MOBILITY } from "../net/protocol.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension, OptionUse } from "./extension.ts";
import { formatPortRange } from "./multiport.ts";
import { needIpv6, needProtocol, parseNumber, parseRange, useOf, wordOf } from "./words.ts";

/** Inclusive. */
export interface MhMatch extends Invertible {
  readonly kind: "mh";
  readonly first: number;
  readonly last: number;
}

/** At the place of their number, each with its short name. */
const TYPES: readonly (readonly [name: string, short: string])[] = [
  ["binding-refresh-request", "brr"],
  ["home-test-init", "hoti"],
  ["careof-test-init", "coti"],
  ["home-test", "hot"],
  ["careof-test", "cot"],
  ["binding-update", "bu"],
  ["binding-acknowledgement", "ba"],
  ["binding-error", "be"],
];

/** `-m mh [!] --mh-type A[:B]`. */
export const mhMatch: MatchExtension<MhMatch> = {
  kind: "mh",
  id: MATCH_MH,
  modules: [
    {
      name: "mh",
      options: { "--mh-type": 1 },
      parse(options, context) {
        needIpv6(context);
        needProtocol(context, "mobility-header", PROTOCOL_MOBILITY);
        const use = useOf(options, "--mh-type");
        if (use === undefined) return { kind: "mh", first: 0, last: 255, invert: false };
        const range = parseRange(wordOf(use), use, { max: 255 }, (text) => parseType(text, use));
        return { kind: "mh", ...range, invert: use.invert };
      },
    },
  ],
  render(match) {
    if (match.first === 0 && match.last === 255) return "-m mh";
    return `-m mh ${bang(match)}--mh-type ${formatPortRange(match)}`;
  },
  /** First u8, last u8. */
  pack({ first, last }, writer) {
    writer.u8(first);
    writer.u8(last);
  },
};

function parseType(text: string, use: OptionUse): number {
  const named = TYPES.findIndex((names) => names.includes(text.toLowerCase()));
  return named >= 0 ? named : parseNumber(text, use, 255);
}
