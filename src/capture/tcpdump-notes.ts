/** What tcpdump says of a header that is impossible, in front of what it prints of it. */
import { skipBlanks } from "./tcpdump-line.ts";
import type { TextPacket } from "./tcpdump-packet.ts";
import { matchAt } from "./tcpdump-words.ts";

/**
 * What older versions say of a header that is longer than its frame, or impossible; not of a length of 0, by which
 * Linux hands on what is longer than a header can say.
 */
const TRUNCATED = /truncated-ip6? - \d+ bytes missing!\s*/y;
const BAD_HEADER = /(?:bad-hlen \d+|bad-len [1-9]\d*|, wrong link-layer encapsulation).*$/y;

/** Steps over `[total length 40 > length 20] (invalid) ` and the like: Linux drops such packets. */
export function skipNotes(text: string, from: number, packet: TextPacket): number {
  let at = from;
  const old = matchAt(TRUNCATED, text, at) ?? matchAt(BAD_HEADER, text, at);
  if (old !== undefined) {
    packet.malformed = true;
    at += old[0].length;
  }
  while (text[at] === "[" && text[at + 1] !== "|") {
    const end = text.indexOf("]", at);
    if (end < 0) return text.length;
    at = skipBlanks(text, end + 1);
    if (text.startsWith("(invalid)", at)) {
      packet.malformed = true;
      at = skipBlanks(text, at + "(invalid)".length);
    }
  }
  return at;
}
