// `-m quota`. Source: Linux, xt_quota.c.
import { ask } from "../fork";
import { touchRange } from "../journal";
import { KNOWN_IP_LENGTH, MATCH_HEADER_SIZE, REASON_NO_HEADER, REASON_STATE } from "../layout";
import { Range } from "../range";
import { drawReason, walk } from "../walk";

const LEFT: usize = MATCH_HEADER_SIZE;

/** Bytes are left for the whole packet. */
export function matchQuota(match: usize, rule: i32): bool {
  const left = changetype<Range>(match + LEFT);
  if (left.most == 0) return false;
  touchRange(left);
  const known = (walk.known & KNOWN_IP_LENGTH) != 0;
  const length: i64 = known ? walk.packet.ipLength : 0;
  const fits = known && left.least >= length;
  const reason = known ? drawReason(REASON_STATE) : REASON_NO_HEADER;
  if (!fits && (left.most < length || !ask(0, reason, rule))) {
    // > A packet that is too long uses up the rest: no smaller one gets through behind it.
    left.most = 0;
    left.least = 0;
    return false;
  }
  left.most -= length;
  left.least = known ? max<i64>(0, left.least - length) : 0;
  return true;
}

/** A packet may have used it up. */
export function blurQuota(match: usize): void {
  changetype<Range>(match + LEFT).least = 0;
}
