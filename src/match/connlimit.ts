/** `-m connlimit`: how many connections an address or subnet has. */
import { MATCH_CONNLIMIT, SIDE_DST, SIDE_SRC } from "../../assembly/layout.ts";
import { addressBits } from "../net/address.ts";
import type { Family } from "../net/address.ts";
import { RuleError } from "./extension.ts";
import type { Invertible, MatchExtension, OptionUse } from "./extension.ts";
import {
  maskBits,
  parseLongNumber,
  parseMask,
  parseNumber,
  refuseInvert,
  useOf,
  wordOf,
} from "./words.ts";

/** More than `limit`; negated: not more. */
export interface ConnlimitMatch extends Invertible {
  readonly kind: "connlimit";
  readonly limit: number;
  readonly maskBits: number;
  readonly side: "src" | "dst";
}

/** `-m connlimit --connlimit-above|--connlimit-upto N --connlimit-mask BITS --connlimit-saddr|-daddr`. */
export const connlimitMatch: MatchExtension<ConnlimitMatch> = {
  kind: "connlimit",
  id: MATCH_CONNLIMIT,
  modules: [
    {
      name: "connlimit",
      options: {
        "--connlimit-above": 1,
        "--connlimit-upto": 1,
        "--connlimit-mask": 1,
        "--connlimit-saddr": 0,
        "--connlimit-daddr": 0,
      },
      parse(options, { family }) {
        const limit = useOf(options, "--connlimit-above", "--connlimit-upto");
        const mask = useOf(options, "--connlimit-mask");
        const side = useOf(options, "--connlimit-saddr", "--connlimit-daddr");
        refuseInvert(mask, side);
        if (limit === undefined) {
          throw new RuleError("expected --connlimit-above or --connlimit-upto", undefined);
        }
        return {
          kind: "connlimit",
          limit: parseNumber(wordOf(limit), limit),
          maskBits: mask === undefined ? addressBits(family) : parseBits(mask, family),
          side: side?.name === "--connlimit-daddr" ? "dst" : "src",
          invert: (limit.name === "--connlimit-upto") !== limit.invert,
        };
      },
    },
  ],
  render({ limit, maskBits: bits, side, invert }) {
    const option = invert ? "upto" : "above";
    return `-m connlimit --connlimit-${option} ${limit} --connlimit-mask ${bits} --connlimit-${side === "src" ? "saddr" : "daddr"}`;
  },
  /** Limit u32; state: address of lists u32 (0 before the first), four words; bits u8, side u8 (SIDE_*). */
  pack({ limit, maskBits: bits, side }, writer) {
    writer.u32(limit);
    for (let word = 0; word < 4; word++) writer.u32(0);
    writer.u8(bits);
    writer.u8(side === "src" ? SIDE_SRC : SIDE_DST);
  },
};

/** > More bits than an address has are all of them. */
function parseBits(use: OptionUse, family: Family): number {
  const text = wordOf(use);
  if (parseLongNumber(text) !== undefined) {
    return Math.min(parseNumber(text, use), addressBits(family));
  }
  const bits = maskBits(parseMask(text, use, family), family);
  if (bits === undefined) throw new RuleError(`${use.name} ${text}: expected a prefix`, use);
  return bits;
}
