// Conditions on single fields of the IP header: length, TTL, DSCP and TOS, fragment.
import { ask } from "../fork";
import {
  KNOWN_FRAGMENT,
  KNOWN_IP_LENGTH,
  KNOWN_TOS,
  KNOWN_TTL,
  MATCH_HEADER_SIZE,
  PACKET_LATER_FRAGMENT,
  REASON_NO_HEADER,
  REASON_NOT_MODELLED,
  TTL_EQ,
  TTL_LT,
} from "../layout";
import { walk } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;

/** `-m length`: of the whole packet. */
export function matchLength(match: usize, rule: i32): bool {
  if ((walk.known & KNOWN_IP_LENGTH) == 0) return ask(<u64>match, REASON_NO_HEADER, rule);
  if (walk.rewritten) return ask(<u64>match, REASON_NOT_MODELLED, rule);
  const length = walk.packet.ipLength;
  return length >= load<u16>(match, PAYLOAD) && length <= load<u16>(match, PAYLOAD + 2);
}

/** `-m ttl` and `-m hl`: as it is now. */
export function matchTtl(match: usize, rule: i32): bool {
  if ((walk.known & KNOWN_TTL) == 0) return ask(<u64>match, REASON_NO_HEADER, rule);
  const compare: u32 = load<u8>(match, PAYLOAD);
  const value: u32 = load<u8>(match, PAYLOAD + 1);
  if (compare == TTL_EQ) return walk.ttl == value;
  return compare == TTL_LT ? walk.ttl < value : walk.ttl > value;
}

/** `-m dscp`: the upper six bits. */
export function matchDscp(match: usize, rule: i32): bool {
  if ((walk.known & KNOWN_TOS) == 0) return ask(<u64>match, REASON_NO_HEADER, rule);
  return walk.tos >> 2 == load<u8>(match, PAYLOAD);
}

/** `-m tos`. */
export function matchTos(match: usize, rule: i32): bool {
  if ((walk.known & KNOWN_TOS) == 0) return ask(<u64>match, REASON_NO_HEADER, rule);
  return (walk.tos & load<u8>(match, PAYLOAD + 1)) == load<u8>(match, PAYLOAD);
}

/** `-f`: a later fragment. */
export function matchFragment(match: usize, rule: i32): bool {
  if ((walk.known & KNOWN_FRAGMENT) == 0) return ask(<u64>match, REASON_NO_HEADER, rule);
  return (walk.flags & PACKET_LATER_FRAGMENT) != 0;
}
