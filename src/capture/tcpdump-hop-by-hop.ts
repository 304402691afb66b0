/**
 * IPv6 hop-by-hop options, as `-v` prints them: what Linux makes of them, as far as the words tell. How long padding
 * is, and what it holds, they do not: that it holds nothing follows where there is no room for more.
 * Source: tcpdump's print-ip6opts.c for the words; Linux, ip6_parse_tlv(), as in `assembly/hop-by-hop.ts`.
 */
import type { ShownOptions } from "./tcpdump-options.ts";

/**
 * Judges the options.
 *
 * @param options what stands in each pair of parentheses behind `HBH`
 * @param room    bytes that the header has at most; undefined: nothing tells
 */
export function judgeHopByHop(options: readonly string[], room: number | undefined): ShownOptions {
  let offset = 2;
  let padding = 0;
  let count = 0;
  // Paddings of more than two bytes move what is behind them.
  let padded = false;
  let misplaced = false;
  for (const words of options) {
    const option = readOption(words);
    if (option === undefined) return "unknown";
    const { type, size } = option;
    if (type <= PADN) {
      padding += size;
      if (padding > PADDING_MAX) return "bad";
      padded ||= type === PADN;
    } else {
      padding = 0;
      count += 1;
      if (count > OPTIONS_MAX || !isKnown(type) || option.bad) return "bad";
      if (offset % 4 !== (ALIGNMENT.get(type) ?? offset % 4)) misplaced = true;
    }
    if (misplaced && !padded) return "bad";
    offset += size;
  }
  const full = room !== undefined && room < offset + 8;
  if (offset % 8 !== 0 || (padded && !full)) return "unknown";
  return misplaced ? "bad" : "sound";
}

const PAD1 = 0;
const PADN = 1;
const ROUTER_ALERT = 0x05;
/** CALIPSO, a security label. */
const LABEL = 0x07;
const IOAM = 0x31;
const JUMBO = 0xc2;
const HOME_ADDRESS = 0xc9;

// > Padding has one purpose, to align to eight bytes.
const PADDING_MAX = 7;
/** > net.ipv6.max_hbh_opts_number. */
const OPTIONS_MAX = 8;
/** Where in four bytes they have to begin. */
const ALIGNMENT: ReadonlyMap<number, number> = new Map([
  [IOAM, 0],
  [JUMBO, 2],
]);

interface Option {
  readonly type: number;
  /** The least where it is not told. */
  readonly size: number;
  readonly bad: boolean;
}

const UNKNOWN_OPTION = /^(?:unknown opt-type|opt_type) 0x([0-9a-f]{2}):? len=(\d{1,3})$/;
const BAD: Option = { type: HOME_ADDRESS, size: 0, bad: true };

function readOption(words: string): Option | undefined {
  if (words === "pad1") return { type: PAD1, size: 1, bad: false };
  if (words === "padn") return { type: PADN, size: 2, bad: false };
  // > A length that it may not have, or that goes beyond the header.
  if (/^(?:rtalert|jumbo|homeaddr): invalid len \d+$|: trunc$/.test(words)) return BAD;
  if (/^rtalert: 0x[0-9a-f]{4}$/.test(words)) return { type: ROUTER_ALERT, size: 4, bad: false };
  if (words.startsWith("homeaddr: ")) return BAD;
  if (/^jumbo: \d+ - payload len != 0$/.test(words)) return BAD;
  const jumbo = /^jumbo: (\d{1,10})$/.exec(words)?.[1];
  // Whether so much is there is printed in front of the header.
  if (jumbo !== undefined) return { type: JUMBO, size: 6, bad: Number(jumbo) <= 65_535 };
  const [, type, length] = UNKNOWN_OPTION.exec(words) ?? [];
  if (type === undefined) return undefined;
  return { type: parseInt(type, 16), size: 2 + Number(length), bad: false };
}

// > Of an unknown option: the two highest bits say what is to be done with the packet; 0: it goes on.
function isKnown(type: number): boolean {
  return type === JUMBO || (type !== LABEL && type < 0x40);
}
