/**
 * IPv6 extension headers, each of which tcpdump prints a word before the next, with `-v` also the options in it.
 */
import { skipBlanks } from "./tcpdump-line.ts";
import { skipNotes } from "./tcpdump-notes.ts";
import type { TextPacket } from "./tcpdump-packet.ts";
import { closingParenthesis, matchAt } from "./tcpdump-words.ts";

/** The headers that tcpdump prints a word of. */
export const EXTENSIONS: ReadonlySet<number> = new Set([0, 43, 44, 51, 60]);

/** The headers in front of what the packet carries. */
export interface Chain {
  readonly count: number;
  /** Theirs, up to the fragment header: the least that they may have. */
  readonly bytes: number;
  /** They may have more. */
  readonly short: boolean;
  /** Undefined: there are no hop-by-hop options. */
  readonly hopByHop: OptionWords | undefined;
  /** Bytes behind the fragment header; undefined: there is none. */
  readonly fragment: number | undefined;
  /** Where the text goes on. */
  readonly end: number;
}

/** What is printed of the options in a header. */
export interface OptionWords {
  /** What stands in each pair of parentheses; without `-v` mostly nothing. */
  readonly options: readonly string[];
  /** They go beyond the header, all of which was captured: else its name would not be there. */
  readonly broken: boolean;
}

const NONE = { count: 0, bytes: 0, short: false, hopByHop: undefined, fragment: undefined };
/** The least that a header has. */
export const EXTENSION_SIZE = 8;
const AUTHENTICATION = 12;

/** Steps over the extension headers, which only IPv6 has. */
export function scanChain(text: string, from: number, packet: TextPacket): Chain {
  if (packet.family === 4) return { ...NONE, end: from };
  let hopByHop: OptionWords | undefined;
  let fragment: number | undefined;
  let count = 0;
  let bytes = 0;
  let short = false;
  let at = from;
  for (let next = scanHeader(text, at, packet); next !== undefined;) {
    count += 1;
    if (next.name === "HBH") hopByHop ??= next;
    if (fragment === undefined) {
      bytes += sizeOf(next);
      short ||= next.bytes === undefined;
    }
    fragment = next.bytes ?? fragment;
    at = next.end;
    next = scanHeader(text, at, packet);
  }
  return { count, bytes, short, hopByHop, fragment, end: at };
}

/** Of an authentication header the check value is printed. */
function sizeOf({ name, options }: Header): number {
  if (name !== "AH") return EXTENSION_SIZE;
  const digits = /\bicv=0x([0-9a-f]{0,1024})/.exec(options[0] ?? "")?.[1]?.length ?? 0;
  return AUTHENTICATION + (digits >> 1);
}

interface Header extends OptionWords {
  readonly name: string;
  /** Of a fragment. */
  readonly bytes?: number;
  readonly end: number;
}

const FRAGMENT = /frag (?=\((?:0x[0-9a-f]{1,8}:)?(\d{1,5})\|(\d{1,5})\))/y;
const BROKEN = / {0,2}\[(?:\|hbhopt|trunc)\]/y;
const EXTENSION = /(?:HBH|DSTOPT|RT\d|AH)(?=[ (])/y;

/** Scans one extension header; undefined when there is none. */
function scanHeader(text: string, at: number, packet: TextPacket): Header | undefined {
  const fragment = matchAt(FRAGMENT, text, at);
  if (fragment !== undefined) {
    packet.fragmentHeader = true;
    packet.fragmentOffset = Number(fragment[1]);
    // tcpdump does not print the M flag, so at offset 0 it may be a whole packet (RFC 6946).
    if (packet.fragmentOffset > 0) packet.laterFragment = true;
    const close = closingParenthesis(text, at + fragment[0].length);
    const end = close === undefined ? text.length : skipBlanks(text, close + 1);
    return { name: "frag", options: [], broken: false, bytes: Number(fragment[2]), end };
  }
  const name = matchAt(EXTENSION, text, at)?.[0];
  if (name === undefined) return undefined;
  const options: string[] = [];
  let end = at + name.length;
  while (true) {
    const next = skipBlanks(text, end);
    if (text[next] !== "(" || (name === "AH" && end > at + 2)) break;
    const close = closingParenthesis(text, next);
    if (close === undefined) return { name, options, broken: false, end: text.length };
    options.push(text.slice(next + 1, close));
    end = close + 1;
  }
  if (text[end] === ":") end += 1;
  const broken = matchAt(BROKEN, text, end) !== undefined;
  return { name, options, broken, end: skipNotes(text, skipBlanks(text, end), packet) };
}
