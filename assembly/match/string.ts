// `-m string`: whether bytes of the packet hold a text. Source: Linux, xt_string.c and skb_find_text().
import {
  askForBytes,
  capturedLength,
  currentBytes,
  currentLength,
  hasBytes,
} from "../current-bytes";
import { ask } from "../fork";
import {
  MATCH_HEADER_SIZE,
  PACKET_REASSEMBLED,
  REASON_NO_PAYLOAD,
  STRING_BOYER_MOORE,
  STRING_IGNORE_CASE,
} from "../layout";
import { walk } from "../walk";

const FROM: usize = MATCH_HEADER_SIZE;
const TO: usize = FROM + 2;
const LENGTH: usize = TO + 2;
const FLAGS: usize = LENGTH + 1;
const PATTERN: usize = FLAGS + 1;

/** The text begins at `from` or behind, and ends at `to` or before. */
export function matchString(match: usize, rule: i32): bool {
  if (!hasBytes()) return askForBytes(match, rule);
  const from: u32 = load<u16>(match, FROM);
  const size: u32 = load<u8>(match, LENGTH);
  const end = min<u32>(load<u16>(match, TO), currentLength());
  const captured = min(end, capturedLength());
  const flags: u32 = load<u8>(match, FLAGS);
  const ignoreCase = (flags & STRING_IGNORE_CASE) != 0;
  if (isIn(currentBytes(), from, captured, match + PATTERN, size, ignoreCase)) {
    // > Boyer-Moore does not see what lies across the pieces that a packet has in memory.
    const pieces =
      (walk.packet.flags & PACKET_REASSEMBLED) != 0 && (flags & STRING_BOYER_MOORE) != 0;
    return !pieces || ask(<u64>match, REASON_NO_PAYLOAD, rule);
  }
  const fits = from + size <= end;
  return fits && captured < end ? askForBytes(match, rule) : false;
}

// With its case ignored a text is packed in capitals.
function isIn(
  bytes: usize,
  from: u32,
  end: u32,
  pattern: usize,
  size: u32,
  ignoreCase: bool,
): bool {
  const first = load<u8>(pattern);
  for (let at = from; at + size <= end; at++) {
    let byte = load<u8>(bytes + at);
    if ((ignoreCase ? capital(byte) : byte) != first) continue;
    let index: u32 = 1;
    while (index < size) {
      byte = load<u8>(bytes + at + index);
      if ((ignoreCase ? capital(byte) : byte) != load<u8>(pattern + index)) break;
      index++;
    }
    if (index == size) return true;
  }
  return false;
}

// > toupper() knows Latin-1. Source: Linux, lib/ctype.c.
function capital(byte: u8): u8 {
  const small = (byte >= 0x61 && byte <= 0x7a) || (byte >= 0xdf && byte <= 0xf6) || byte >= 0xf8;
  return small ? byte - 0x20 : byte;
}
