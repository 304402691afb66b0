// CONNMARK: marks travel between packet and connection. Source: Linux, xt_connmark.c.
import { CONNMARK_RESTORE, CONNMARK_SAVE, CT_INVALID, CT_UNTRACKED } from "../layout";
import { ENTRY_NONE, tracking } from "../tracking";
import { walk } from "../walk";
import { changeMark } from "../worlds";

/** Sets, saves or restores the connection's mark; without a connection nothing happens. */
export function applyConnmark(payload: usize): void {
  if ((walk.ctState & (CT_INVALID | CT_UNTRACKED)) != 0) return;
  const how: u32 = load<u8>(payload);
  const bits: i32 = load<i8>(payload, 1);
  const first = load<u32>(payload, 4);
  const second = load<u32>(payload, 8);
  if (how == CONNMARK_RESTORE) {
    walk.mark = (walk.mark & ~second) ^ shift(walk.connectionMark & first, bits);
    walk.markUnknown =
      (walk.markUnknown & ~second) | shift(walk.connectionMarkUnknown & first, bits);
    return;
  }
  walk.volatile = true;
  if (how == CONNMARK_SAVE) {
    walk.connectionMark = (walk.connectionMark & ~first) ^ shift(walk.mark & second, bits);
    walk.connectionMarkUnknown =
      (walk.connectionMarkUnknown & ~first) | shift(walk.markUnknown & second, bits);
  } else {
    // > Here the shift is of the whole mark.
    walk.connectionMark = shift((walk.connectionMark & ~second) ^ first, bits);
    walk.connectionMarkUnknown = shift(walk.connectionMarkUnknown & ~second, bits);
  }
  if (tracking.entry == ENTRY_NONE) return;
  changeMark(tracking.entry, walk.connectionMark, walk.connectionMarkUnknown != 0);
}

function shift(mark: u32, bits: i32): u32 {
  return bits < 0 ? mark >>> -bits : mark << bits;
}
