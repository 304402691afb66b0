// `-m quota`. Source: Linux, xt_quota.c.
import { ask } from "../fork";
import { touch } from "../journal";
import { KNOWN_IP_LENGTH, MATCH_HEADER_SIZE, REASON_NO_HEADER, REASON_STATE } from "../layout";
import { drawReason, walk } from "../walk";

const LEFT: usize = MATCH_HEADER_SIZE;
const DOUBT: usize = LEFT + 8;

/** Bytes are left for the whole packet. */
export function matchQuota(match: usize, rule: i32): bool {
  if (load<u8>(match, DOUBT) != 0) return ask(0, drawReason(REASON_STATE), rule);
  touch(match + LEFT, DOUBT - LEFT + 1, match + DOUBT);
  const left = load<u64>(match, LEFT);
  if (left == 0) return false;
  if ((walk.known & KNOWN_IP_LENGTH) == 0) {
    store<u8>(match, 1, DOUBT);
    return ask(0, REASON_NO_HEADER, rule);
  }
  const length: u64 = walk.packet.ipLength;
  // > A packet that is too long uses up the rest: no smaller one gets through behind it.
  store<u64>(match, left >= length ? left - length : 0, LEFT);
  return left >= length;
}
