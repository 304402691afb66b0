// `-m connbytes`: a rule with it makes the kernel count what connections carry. Told here of a
// connection's first packet, and of ranges that hold for every other. Source: Linux, xt_connbytes.c.
import { ENTRY_UNCOUNTED } from "../entry";
import { entryAt } from "../entry-list";
import { ask } from "../fork";
import {
  CONNBYTES_PACKETS,
  CONNBYTES_REPLY,
  CT_INVALID,
  CT_UNTRACKED,
  KNOWN_IP_LENGTH,
  MATCH_HEADER_SIZE,
  REASON_NO_HEADER,
  REASON_NOT_MODELLED,
} from "../layout";
import { tracking } from "../tracking";
import { walk } from "../walk";

const FIRST: usize = MATCH_HEADER_SIZE;
const LAST: usize = FIRST + 8;
const MODE: usize = LAST + 8;
const DIRECTION: usize = MODE + 1;

let counting: bool = false;

/** From now on new connections have counters: some rule asks for them. */
export function countConnections(): void {
  counting = true;
}

/** New connections have counters. */
export function countsConnections(): bool {
  return counting;
}

/** > No connection: false, negated or not. */
export function matchConnbytes(match: usize, rule: i32, invert: bool): bool {
  if ((walk.ctState & (CT_INVALID | CT_UNTRACKED)) != 0) return false;
  const first = load<u64>(match, FIRST);
  const last = load<u64>(match, LAST);
  // > What began before anything counted has no counters, and does not match.
  const counted = tracking.fresh || (entryAt(tracking.entry).flags & ENTRY_UNCOUNTED) == 0;
  if (counted && first == 0 && last == u64.MAX_VALUE) return !invert;
  if (!tracking.fresh) return ask(<u64>match, REASON_NOT_MODELLED, rule);
  let carried: u64 = 0;
  if (load<u8>(match, DIRECTION) != CONNBYTES_REPLY) {
    if (load<u8>(match, MODE) == CONNBYTES_PACKETS) carried = 1;
    else if ((walk.known & KNOWN_IP_LENGTH) == 0) return ask(<u64>match, REASON_NO_HEADER, rule);
    else carried = walk.packet.ipLength;
  }
  return (first <= carried && carried <= last) != invert;
}
