/** `-m set --match-set`: fields of the packet are a member of an ipset. */
import {
  MATCH_SET,
  MATCH_SET_RETURN_NOMATCH,
  MATCH_SET_SKIP_COUNTERS,
  MATCH_SET_SKIP_SUBCOUNTERS,
  SIDE_DST,
  SIDE_SRC,
} from "../../assembly/layout.ts";
import type { Family } from "../net/address.ts";
import { bang } from "./extension.ts";
import { RuleError } from "./extension.ts";
import type { Invertible, MatchExtension, OptionUse } from "./extension.ts";
import { needUse, parseNumber, refuseInvert, useOf, wordOf } from "./words.ts";

/** What sets of one meaning are called, by family. */
export type SetNames = { readonly [F in Family]: string };

/** The name of a set; or the names of two, by which a rule is the same in both families. `setNameOf` tells what to compare. */
export type SetName = string | SetNames;

/** The name in one family. */
export function setNameOf(name: SetName, family: Family): string {
  return typeof name === "string" ? name : name[family];
}

export interface SetMatch extends Invertible {
  readonly kind: "set";
  readonly set: SetName;
  /** One for each dimension of the set. */
  readonly flags: readonly ("src" | "dst")[];
  /** Entries marked `nomatch` are what is looked for. */
  readonly returnNomatch?: boolean;
  /** Of the entry's counters; sets without counters match whatever is said here. */
  readonly packets?: CounterCondition;
  readonly bytes?: CounterCondition;
  /** The entry's counters stay as they are. */
  readonly skipCounters?: boolean;
  /** The same for the members of a list. */
  readonly skipSubcounters?: boolean;
}

/** A condition on a counter, after the packet was counted. */
export interface CounterCondition {
  readonly compare: "eq" | "ne" | "lt" | "gt";
  readonly value: number;
}

/** IPSET_COUNTER_*: 0 is none. */
const COMPARE = ["", "eq", "ne", "lt", "gt"];

/** > IPSET_DIM_MAX: more flags than a set has dimensions are ignored. */
export const MOST_SET_FLAGS = 6;

/** `src,dst`: one packet field for each dimension of the set. */
export function parseSetFlags(text: string, use: OptionUse): ("src" | "dst")[] {
  const flags = text.split(",").map((flag) => {
    if (flag !== "src" && flag !== "dst") {
      throw new RuleError(`${use.name} ${text}: expected src or dst`, use);
    }
    return flag;
  });
  if (flags.length > MOST_SET_FLAGS)
    throw new RuleError(`at most ${MOST_SET_FLAGS} directions`, use);
  return flags;
}

/** `-m set [!] --match-set NAME src|dst[,src|dst]`. */
export const setMatch: MatchExtension<SetMatch> = {
  kind: "set",
  id: MATCH_SET,
  modules: [
    {
      name: "set",
      options: {
        "--match-set": 2,
        "--set": 2,
        "--return-nomatch": 0,
        "--update-counters": 0,
        "--update-subcounters": 0,
        "--packets-eq": 1,
        "--packets-lt": 1,
        "--packets-gt": 1,
        "--bytes-eq": 1,
        "--bytes-lt": 1,
        "--bytes-gt": 1,
      },
      parse(options) {
        const use = needUse(options, "--match-set", "--set");
        const [set = "", flags = ""] = use.words;
        const returnNomatch = useOf(options, "--return-nomatch");
        refuseInvert(returnNomatch);
        return {
          kind: "set",
          set,
          flags: parseSetFlags(flags, use),
          ...(returnNomatch === undefined ? {} : { returnNomatch: true }),
          ...parseCounters(options),
          invert: use.invert,
        };
      },
    },
  ],
  render(match, family) {
    return [
      `-m set ${bang(match)}--match-set ${setNameOf(match.set, family)} ${match.flags.join(",")}`,
      ...(match.returnNomatch === true ? ["--return-nomatch"] : []),
      ...(match.skipCounters === true ? ["! --update-counters"] : []),
      ...(match.skipSubcounters === true ? ["! --update-subcounters"] : []),
      ...renderCounter("packets", match.packets),
      ...renderCounter("bytes", match.bytes),
    ].join(" ");
  },
  pack(match, writer) {
    writer.u32(writer.setId(match.set));
    writer.u8(match.flags.length);
    for (let at = 0; at < MOST_SET_FLAGS; at++) {
      writer.u8(match.flags[at] === "dst" ? SIDE_DST : SIDE_SRC);
    }
    writer.u8(
      (match.returnNomatch === true ? MATCH_SET_RETURN_NOMATCH : 0) |
        (match.skipCounters === true ? MATCH_SET_SKIP_COUNTERS : 0) |
        (match.skipSubcounters === true ? MATCH_SET_SKIP_SUBCOUNTERS : 0),
    );
    writer.u8(COMPARE.indexOf(match.packets?.compare ?? ""));
    writer.u8(COMPARE.indexOf(match.bytes?.compare ?? ""));
    writer.u16(0);
    // Nobody looks at numbers that nothing is compared with.
    if (match.packets === undefined && match.bytes === undefined) return;
    for (const condition of [match.packets, match.bytes]) {
      const value = condition?.value ?? 0;
      writer.u32(value % 2 ** 32);
      writer.u32(Math.floor(value / 2 ** 32));
    }
  },
};

function parseCounters(
  options: readonly OptionUse[],
): Pick<SetMatch, "packets" | "bytes" | "skipCounters" | "skipSubcounters"> {
  const counters = useOf(options, "--update-counters");
  const subcounters = useOf(options, "--update-subcounters");
  const packets = parseCounter("packets", options);
  const bytes = parseCounter("bytes", options);
  return {
    ...(packets === undefined ? {} : { packets }),
    ...(bytes === undefined ? {} : { bytes }),
    ...(counters?.invert === true ? { skipCounters: true } : {}),
    ...(subcounters?.invert === true ? { skipSubcounters: true } : {}),
  };
}

function parseCounter(
  what: "packets" | "bytes",
  options: readonly OptionUse[],
): CounterCondition | undefined {
  const use = useOf(options, `--${what}-eq`, `--${what}-lt`, `--${what}-gt`);
  if (use === undefined) return undefined;
  const compare = use.name.endsWith("-lt") ? "lt" : use.name.endsWith("-gt") ? "gt" : "eq";
  if (use.invert && compare !== "eq") throw new RuleError(`${use.name} cannot be negated`, use);
  const value = parseNumber(wordOf(use), use, Number.MAX_SAFE_INTEGER);
  return { compare: use.invert ? "ne" : compare, value };
}

function renderCounter(what: string, condition: CounterCondition | undefined): string[] {
  if (condition === undefined) return [];
  const { compare, value } = condition;
  return [compare === "ne" ? `! --${what}-eq ${value}` : `--${what}-${compare} ${value}`];
}
