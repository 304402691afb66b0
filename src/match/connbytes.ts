/** `-m connbytes`: how much a connection has carried. */
import {
  CONNBYTES_AVERAGE,
  CONNBYTES_BYTES,
  CONNBYTES_PACKETS,
  CONNBYTES_BOTH,
  CONNBYTES_ORIGINAL,
  CONNBYTES_REPLY,
  MATCH_CONNBYTES,
} from "../../assembly/layout.ts";
import { packU64 } from "./bucket.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension, OptionUse } from "./extension.ts";
import { needUse, parseLongNumber, refuseInvert, wordOf } from "./words.ts";

export interface ConnbytesMatch extends Invertible {
  readonly kind: "connbytes";
  /** Inclusive. */
  readonly first: bigint;
  /** Undefined: without end. */
  readonly last: bigint | undefined;
  readonly mode: keyof typeof MODES;
  readonly direction: keyof typeof DIRECTIONS;
}

const MODES = {
  packets: CONNBYTES_PACKETS,
  bytes: CONNBYTES_BYTES,
  avgpkt: CONNBYTES_AVERAGE,
} as const;
const DIRECTIONS = {
  original: CONNBYTES_ORIGINAL,
  reply: CONNBYTES_REPLY,
  both: CONNBYTES_BOTH,
} as const;
const MOST = 0xffff_ffff_ffff_ffffn;

/** `-m connbytes [!] --connbytes A[:B] --connbytes-mode MODE --connbytes-dir DIRECTION`. */
export const connbytesMatch: MatchExtension<ConnbytesMatch> = {
  kind: "connbytes",
  id: MATCH_CONNBYTES,
  modules: [
    {
      name: "connbytes",
      options: { "--connbytes": 1, "--connbytes-mode": 1, "--connbytes-dir": 1 },
      parse(options) {
        const range = needUse(options, "--connbytes");
        const modeUse = needUse(options, "--connbytes-mode");
        const directionUse = needUse(options, "--connbytes-dir");
        refuseInvert(modeUse, directionUse);
        return {
          kind: "connbytes",
          ...parseRange(range),
          mode: oneOf(["packets", "bytes", "avgpkt"], modeUse),
          direction: oneOf(["original", "reply", "both"], directionUse),
          invert: range.invert,
        };
      },
    },
  ],
  render(match) {
    const { first, last, mode, direction } = match;
    const range = last === undefined ? `${first}` : `${first}:${last}`;
    return `-m connbytes ${bang(match)}--connbytes ${range} --connbytes-mode ${mode} --connbytes-dir ${direction}`;
  },
  /** First u64, last u64, CONNBYTES_* of the mode u8, CONNBYTES_* of the direction u8. */
  pack({ first, last, mode, direction }, writer) {
    packU64(first, writer);
    packU64(last ?? MOST, writer);
    writer.u8(MODES[mode]);
    writer.u8(DIRECTIONS[direction]);
  },
};

/** `A`, `A:`, `:B` or `A:B`. */
function parseRange(use: OptionUse): { readonly first: bigint; readonly last: bigint | undefined } {
  const text = wordOf(use);
  const [low = "", high = "", ...rest] = text.split(":");
  const first = low === "" ? 0n : parseLongNumber(low);
  const last = high === "" ? undefined : parseLongNumber(high);
  const read = rest.length === 0 && (high === "" || last !== undefined);
  if (!read || text === "" || first === undefined || first > MOST || (last ?? 0n) > MOST) {
    throw new RuleError(`${use.name} ${text}: expected a range of numbers`, use);
  }
  if (last !== undefined && last < first) {
    throw new RuleError(`${use.name} ${text}: the end is below the start`, use);
  }
  return { first, last };
}

function oneOf<T extends string>(names: readonly T[], use: OptionUse): T {
  const found = names.find((name) => name === wordOf(use));
  if (found === undefined) throw new RuleError(`${use.name}: expected ${names.join(", ")}`, use);
  return found;
}
