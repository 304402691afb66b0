// CONNMARK: marks travel between packet and connection. Source: Linux, xt_connmark.c.
import { ENTRY_NONE, tracking } from "../tracking";
import { Entry, entryAt } from "../flow-table";
import { touch } from "../journal";
import { CONNMARK_RESTORE, CONNMARK_SAVE, CT_INVALID, CT_UNTRACKED } from "../layout";
import { walk } from "../walk";

/** Sets, saves or restores the connection's mark; without a connection nothing happens. */
export function applyConnmark(payload: usize): void {
  if ((walk.ctState & (CT_INVALID | CT_UNTRACKED)) != 0) return;
  const how: u32 = load<u8>(payload);
  const first = load<u32>(payload, 4);
  const second = load<u32>(payload, 8);
  if (how == CONNMARK_RESTORE) {
    walk.mark = (walk.mark & ~second) ^ (walk.connectionMark & first);
    return;
  }
  const added = how == CONNMARK_SAVE ? walk.mark & second : first;
  const cleared = how == CONNMARK_SAVE ? first : second;
  walk.connectionMark = (walk.connectionMark & ~cleared) ^ added;
  if (tracking.entry == ENTRY_NONE) return;
  const entry = entryAt(tracking.entry);
  const at = changetype<usize>(entry);
  touch(at + offsetof<Entry>("mark"), 4, at + offsetof<Entry>("markDoubted"));
  entry.mark = walk.connectionMark;
}
