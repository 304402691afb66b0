// `-m icmp` and `-m icmp6`. Source: Linux, ip_tables.c, icmp_match(): a later fragment never matches,
// negated or not; a header shorter than eight bytes drops the packet.
import { ask } from "../fork";
import {
  ICMP_TYPE_ANY,
  KNOWN_ICMP,
  MATCH_HEADER_SIZE,
  PACKET_LATER_FRAGMENT,
  REASON_NO_ICMP,
} from "../layout";
import { walk } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;
const HEADER: u32 = 8;

/** Type and code are those of the rule. */
export function matchIcmp(match: usize, rule: i32, invert: bool): bool {
  const four = load<u8>(match, PAYLOAD + 3) == 4;
  if (walk.protocol != <u32>(four ? 1 : 58)) return false;
  if ((walk.flags & PACKET_LATER_FRAGMENT) != 0) return false;
  if (walk.transportLength < HEADER) {
    walk.hotdrop = true;
    return false;
  }
  if ((walk.known & KNOWN_ICMP) == 0) return ask(<u64>match, REASON_NO_ICMP, rule);
  const type: u32 = load<u8>(match, PAYLOAD);
  if (four && type == ICMP_TYPE_ANY) return !invert;
  const found =
    type == walk.icmpType &&
    walk.icmpCode >= load<u8>(match, PAYLOAD + 1) &&
    walk.icmpCode <= load<u8>(match, PAYLOAD + 2);
  return found != invert;
}
