// `-m mark`: the packet's mark under a mask. Source: Linux, xt_mark.c.
import { ask } from "../fork";
import { MATCH_HEADER_SIZE, REASON_NOT_MODELLED } from "../layout";
import { walk } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;

/** (mark & mask) == value; asks where a bit of it is not known. */
export function matchMark(match: usize, rule: i32): bool {
  const value = load<u32>(match, PAYLOAD);
  const mask = load<u32>(match, PAYLOAD + 4);
  return isMark(match, rule, (walk.mark & mask) ^ value, walk.markUnknown & mask);
}

/** Whether no bit differs, where these do and those are not known. */
export function isMark(match: usize, rule: i32, differing: u32, unknown: u32): bool {
  if ((differing & ~unknown) != 0) return false;
  return unknown == 0 || ask(<u64>match, REASON_NOT_MODELLED, rule);
}
