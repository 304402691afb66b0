/**
 * The head of a record: packet number, time, interface and direction, and the link layer up to where
 * IP begins. Everything before the addresses is read here and nowhere else.
 */
import { isCertain, scanLink, type LinkKind } from "./tcpdump-link.ts";
import { indentOf, skipBlanks } from "./tcpdump-line.ts";
import type { TextPacket } from "./tcpdump-packet.ts";
import { matchAt } from "./tcpdump-words.ts";

/** A time as printed: a day's time, or a date or epoch with it. */
export interface PrintedTime {
  /** Days since 1970 of `-tttt`; undefined when only a time of day is there. */
  readonly days: number | undefined;
  /** Seconds of the day, or since 1970 for `-tt`. */
  readonly seconds: number;
  /** A delta of packets that are out of order. */
  readonly negative: boolean;
  readonly nanoseconds: number;
  readonly epoch: boolean;
  /** Blanks before the time, behind the packet number: `-ttt` and `-ttttt` print one. */
  readonly blanks: number;
}

/** Which way the capturing host saw the packet go, as `-i any` prints it. */
export type Direction = "In" | "Out" | "B" | "M" | "P";

/** What the first line of a record says before the network layer. */
export interface Head {
  readonly time: PrintedTime | undefined;
  readonly interfaceName: string | undefined;
  readonly direction: Direction | undefined;
  readonly link: LinkKind;
  /** A packet number (`-#`) is in front. */
  readonly numbered: boolean;
  /** How far the record is indented; the blanks that `-#` fills the number up with do not count. */
  readonly indent: number;
  /** Where the network layer starts in the text. */
  readonly rest: number;
}

/**
 * Parses the head of a record; undefined when the line starts none. With a time in front anything is a
 * record (`link` may be "unreadable"); without one only what tcpdump alone writes is.
 */
export function parseHead(text: string, packet: TextPacket): Head | undefined {
  const start = skipBlanks(text, 0);
  const first = text.charCodeAt(start);
  // Quick way out for the many lines that start none.
  if (Number.isNaN(first)) return undefined;
  const plain = headAt(text, start, start, packet);
  if (plain !== undefined) return { ...plain, indent: indentOf(text) };
  const behindNumber = skipNumber(text, start);
  if (behindNumber !== undefined) {
    const at = skipBlanks(text, behindNumber);
    const numbered = headAt(text, at, behindNumber + 2, packet);
    if (numbered !== undefined) {
      // > "%5u  "
      const indent = Math.max(0, indentOf(text) + behindNumber - start - 5);
      return { ...numbered, numbered: true, indent };
    }
  }
  return prefixedHead(text, start, packet);
}

const bare = { interfaceName: undefined, direction: undefined, numbered: false, indent: 0 };

/** `from` is where the blanks before the time are counted from. */
function headAt(text: string, at: number, from: number, packet: TextPacket): Head | undefined {
  const time = at + (matchAt(LENGTHS, text, at)?.[0].length ?? 0);
  const stamp = scanTime(text, time, from === at ? at : at - from);
  const behind = skipBlanks(text, stamp?.end ?? at);
  const direct = scanLink(text, behind, packet);
  if (direct !== undefined && (stamp !== undefined || isCertain(text, direct, behind)))
    return { ...bare, time: stamp?.time, ...direct };
  const columns = scanColumns(text, behind);
  if (columns !== undefined) {
    const link = scanLink(text, columns.end, packet, columns.direction);
    if (link !== undefined && (stamp !== undefined || isCertain(text, link, columns.end)))
      return {
        ...bare,
        time: stamp?.time,
        interfaceName: columns.name,
        direction: columns.direction,
        ...link,
      };
  }
  if (stamp === undefined) return undefined;
  // Other programs print small numbers of seconds, too.
  if (stamp.time.epoch && stamp.time.seconds < 1e8) return undefined;
  return { ...bare, time: stamp.time, link: "unreadable", rest: behind };
}

/** `-#`: a number and two blanks. */
function skipNumber(text: string, at: number): number | undefined {
  let end = at;
  while (isDigit(text, end)) end += 1;
  if (end === at || end - at > 12 || text[end] !== " ") return undefined;
  return end;
}

/** Finds a head behind a log's own prefix: the time must be there, and IP or a frame right behind. */
function prefixedHead(text: string, start: number, packet: TextPacket): Head | undefined {
  const limit = Math.min(text.length, start + 120);
  for (let at = text.indexOf(":", start); at >= 0 && at < limit; at = text.indexOf(":", at + 1)) {
    if (text[at + 3] !== ":" || text[at + 6] !== "." || at < 2) continue;
    let begin = at - 2;
    if (begin === start) continue;
    if (/^\d{4}-\d\d-\d\d $/.test(text.slice(begin - 11, begin))) begin -= 11;
    const before = text[begin - 1];
    if (before !== " " && before !== "\t" && before !== "]" && before !== "|") continue;
    const head = headAt(text, begin, begin, packet);
    if (head?.time !== undefined && head.link !== "unreadable") return head;
  }
  return undefined;
}

interface Stamp {
  readonly time: PrintedTime;
  readonly end: number;
}

/** `--lengths` of newer versions. */
const LENGTHS = /caplen \d{1,6} len \d{1,6} /y;
const DATE = /(\d{4})-(\d\d)-(\d\d) /y;
const CLOCK = /-?(\d{1,2}):(\d\d):(\d\d)\.(\d{6}|\d{9}) /y;
const ODD_CLOCK = /(\d{1,2}):(\d\d):(\d\d)\.(\d{7,10}) \(invalid [nu]s\) /y;
const EPOCH = /(\d{1,11})\.(\d{6}|\d{9}) /y;

function scanTime(text: string, at: number, blanks: number): Stamp | undefined {
  if (!isDigit(text, at) && text[at] !== "-") return undefined;
  const epoch = matchAt(EPOCH, text, at);
  if (epoch !== undefined) {
    const seconds = Number(epoch[1]);
    const nanoseconds = nanosecondsOf(epoch[2] ?? "");
    const time = { days: undefined, seconds, nanoseconds, negative: false, epoch: true, blanks };
    return { time, end: at + epoch[0].length };
  }
  const date = matchAt(DATE, text, at);
  const begin = at + (date?.[0].length ?? 0);
  const clock = matchAt(CLOCK, text, begin) ?? matchAt(ODD_CLOCK, text, begin);
  if (clock === undefined) return undefined;
  const days =
    date === undefined
      ? undefined
      : Date.UTC(Number(date[1]), Number(date[2]) - 1, Number(date[3])) / 86_400_000;
  const seconds = Number(clock[1]) * 3600 + Number(clock[2]) * 60 + Number(clock[3]);
  const nanoseconds = nanosecondsOf(clock[4] ?? "");
  return {
    time: { days, seconds, nanoseconds, negative: text[at] === "-", epoch: false, blanks },
    end: begin + clock[0].length,
  };
}

function nanosecondsOf(fraction: string): number {
  return fraction.length === 6 ? Number(fraction) * 1000 : Number(fraction);
}

const COLUMNS = /(?:(\S{1,64}) +)?(In|Out|B|M|P|\?) +/y;

/** `-i any`: interface and direction, or the direction alone (the older cooked header with `-e`). */
function scanColumns(
  text: string,
  at: number,
): { name: string | undefined; direction: Direction | undefined; end: number } | undefined {
  const columns = matchAt(COLUMNS, text, at);
  if (columns === undefined) return undefined;
  const [all, name, word] = columns;
  return {
    // tcpdump prints `?` for an index that the reading host does not have.
    name: name === "?" ? undefined : name,
    direction: isDirection(word) ? word : undefined,
    end: at + all.length,
  };
}

function isDirection(word: string | undefined): word is Direction {
  return word === "In" || word === "Out" || word === "B" || word === "M" || word === "P";
}

function isDigit(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code >= 48 && code <= 57;
}
