/** `-m ttl` and `-m hl`: the time to live, or the hop limit, as it is at the hook. */
import { MATCH_TTL, TTL_EQ, TTL_GT, TTL_LT } from "../../assembly/layout.ts";
import { RuleError } from "./extension.ts";
import type { Invertible, MatchExtension, Module, OptionUse } from "./extension.ts";
import { parseNumber, wordOf } from "./words.ts";

export interface TtlMatch extends Invertible {
  readonly kind: "ttl";
  /** Only `eq` can be negated. */
  readonly compare: "eq" | "lt" | "gt";
  readonly value: number;
}

const COMPARE = { eq: TTL_EQ, lt: TTL_LT, gt: TTL_GT } as const;

/** `-m ttl [!] --ttl-eq N | --ttl-lt N | --ttl-gt N`, and the same as `hl`. */
export const ttlMatch: MatchExtension<TtlMatch> = {
  kind: "ttl",
  id: MATCH_TTL,
  modules: [makeModule("ttl"), makeModule("hl")],
  render(match, family) {
    const name = family === 4 ? "ttl" : "hl";
    return `-m ${name} ${match.invert ? "! " : ""}--${name}-${match.compare} ${match.value}`;
  },
  /** Comparison u8 (TTL_*), value u8, 0 u16. */
  pack(match, writer) {
    writer.u8(COMPARE[match.compare]);
    writer.u8(match.value);
    writer.u16(0);
  },
};

function makeModule(name: "ttl" | "hl"): Module<TtlMatch> {
  const options = Object.fromEntries(
    ["eq", "lt", "gt"].map((compare) => [`--${name}-${compare}`, 1]),
  );
  return {
    name,
    options: { ...options, [`--${name}`]: 1 },
    parse(uses) {
      const [use, second] = uses;
      if (use === undefined) throw new RuleError(`expected --${name}-eq, -lt or -gt`, undefined);
      if (second !== undefined) throw new RuleError("one of its options only", second);
      return { kind: "ttl", ...readCompare(use), value: parseNumber(wordOf(use), use, 255) };
    },
  };
}

function readCompare(use: OptionUse): { compare: TtlMatch["compare"]; invert: boolean } {
  const compare = use.name.endsWith("-lt") ? "lt" : use.name.endsWith("-gt") ? "gt" : "eq";
  if (compare !== "eq" && use.invert) throw new RuleError(`${use.name} cannot be negated`, use);
  return { compare, invert: use.invert };
}
