/**
 * The options of an IPv4 header, as `-v` prints them: what Linux makes of them, as far as the words tell. What
 * tells it are the lengths and pointers that are odd, which tcpdump names, and the addresses and times otherwise.
 * Source: tcpdump's print-ip.c for the words; Linux, ip_options_compile(), as in `assembly/ip-options.ts`.
 */
import { matchAt } from "./tcpdump-words.ts";

/**
 * `sound`: nothing is wrong with them; `bad`: Linux discards the packet; `route`: they lead it along a route, which
 * the node may refuse; `unknown`: the words do not tell, or somebody would have to know what a label means.
 */
export type ShownOptions = "sound" | "bad" | "route" | "unknown";

/** Judges what stands in the parentheses of `options (...)`. */
export function judgeOptions(text: string): ShownOptions {
  const reading: Reading = { text, at: 0, seen: new Set(), open: false };
  while (true) {
    const name = take(NAME, reading)?.[0];
    if (name === undefined) return fateOf(reading);
    if (name === "EOL") break;
    const soundness = name === "NOP" ? "sound" : judgeOption(name, reading);
    if (soundness === "bad") return "bad";
    if (soundness === "unknown") reading.open = true;
    if (reading.at >= text.length) break;
    if (take(/,/y, reading) === undefined) return fateOf(reading);
  }
  reading.open ||= reading.at < text.length || reading.seen.has(LABEL);
  return reading.seen.has(ROUTE) ? "route" : reading.open ? "unknown" : "sound";
}

interface Reading {
  readonly text: string;
  at: number;
  /** Kinds of which there is one at most. */
  readonly seen: Set<string>;
  /** Something is not told. */
  open: boolean;
}

type Soundness = "sound" | "bad" | "unknown";

const NAME = /EOL|NOP|RA|RR|SSRR|LSRR|timestamp|security|traceroute|unknown \d{1,3}/y;
const ROUTE = "route";
/** CIPSO, a security label. */
const LABEL = "unknown 134";

// Words that are none of tcpdump's.
function fateOf({ seen }: Reading): ShownOptions {
  return seen.has(ROUTE) ? "route" : "unknown";
}

function judgeOption(name: string, reading: Reading): Soundness {
  const kind = name === "LSRR" || name === "SSRR" ? ROUTE : name;
  const alone = kind === ROUTE || kind === "RR" || kind === "timestamp" || kind === LABEL;
  if (alone && reading.seen.has(kind)) return "bad";
  reading.seen.add(kind);
  if (kind === ROUTE || kind === "RR") return judgeRoute(kind, reading);
  if (kind === "timestamp") return judgeTimes(reading);
  // > if (option_len < 2), and if (option_len > length); of a router alert, below 4.
  if (take(BAD_LENGTH, reading) !== undefined) return "bad";
  if (kind === "RA") take(/ value \d{1,5}/y, reading);
  return "sound";
}

const BAD_LENGTH = / ?\[bad length (\d{1,3})\]/y;
const BAD_POINTER = / ?\[bad ptr (\d{1,3})\]/y;
/** A comma of its own stands behind what was visited; one in front of a letter begins another option. */
const ADDRESS = / [\w.:-]+(,(?![A-Za-z]))?/y;

function judgeRoute(kind: string, reading: Reading): Soundness {
  const length = numberOf(take(BAD_LENGTH, reading));
  const pointer = numberOf(take(BAD_POINTER, reading));
  let count = 0;
  let visited = 0;
  for (let next = take(ADDRESS, reading); next !== undefined; next = take(ADDRESS, reading)) {
    count += 1;
    if (next[1] !== undefined) visited += 1;
  }
  // > A length that is short or goes beyond the header is the last thing that is printed.
  if (length !== undefined && (length < 3 || (count === 0 && pointer === undefined))) return "bad";
  // Older versions print nothing of a pointer of 0, and take it for one behind all addresses.
  if (pointer === undefined && visited === count) return "unknown";
  const told = pointer ?? 4 * (visited + 1);
  return isRouteSound(kind, length ?? 3 + 4 * count, told) ? "sound" : "bad";
}

// > Who records the route has to have room; who follows it looks at the pointer when it is due.
function isRouteSound(kind: string, length: number, pointer: number): boolean {
  return pointer >= 4 && (kind === ROUTE || pointer > length || pointer + 3 <= length);
}

const TIMES_OPEN = / TS\{/y;
const TIMES_KIND = /TSONLY|TS\+ADDR|PRESPEC|\[bad ts type \d{1,2}\]/y;
const TIME = /( \^)? \d{1,10}@[\w.:-]*/y;
const TIMES_END = /( \^ )?(?: \[(\d{1,2}) hops not recorded\]\} |\})/y;

function judgeTimes(reading: Reading): Soundness {
  if (take(TIMES_OPEN, reading) === undefined)
    return take(BAD_LENGTH, reading) === undefined ? "unknown" : "bad";
  const oddLength = numberOf(take(BAD_LENGTH, reading));
  const oddPointer = numberOf(take(BAD_POINTER, reading));
  const kind = take(TIMES_KIND, reading)?.[0];
  const size = kind === "TSONLY" ? 4 : 8;
  let count = 0;
  let next: number | undefined;
  for (let time = take(TIME, reading); time !== undefined; time = take(TIME, reading)) {
    if (time[1] !== undefined) next = count;
    count += 1;
  }
  const end = take(TIMES_END, reading);
  if (kind === undefined || end === undefined) return "unknown";
  if (end[1] !== undefined) next = count;
  const full = end[2] === "15" && kind !== "PRESPEC";
  if (oddPointer !== undefined && oddPointer < 5) return "bad";
  // Of a kind that nobody knows no time is printed: how long it is is not told.
  if (kind.startsWith("[")) {
    const told = oddLength === undefined && oddPointer === undefined;
    return told && !full ? "sound" : "unknown";
  }
  const length = oddLength ?? 4 + size * count;
  // Behind what is printed, where nothing points to any of it.
  const pointer = oddPointer ?? (next === undefined ? length + 1 : 5 + size * next);
  // > Who cannot write is counted, up to 15.
  if (pointer > length) return full ? "bad" : "sound";
  return pointer + size - 1 <= length ? "sound" : "bad";
}

function take(expression: RegExp, reading: Reading): RegExpExecArray | undefined {
  const found = matchAt(expression, reading.text, reading.at);
  if (found !== undefined) reading.at += found[0].length;
  return found;
}

function numberOf(found: RegExpExecArray | undefined): number | undefined {
  return found === undefined ? undefined : Number(found[1]);
}
