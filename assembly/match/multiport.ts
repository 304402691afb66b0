// `-m multiport`. Source: Linux, xt_multiport.c, multiport_mt(): four bytes are enough, and a packet
// without them is dropped; a later fragment never matches, negated or not.
import { ask } from "../fork";
import {
  MATCH_HEADER_SIZE,
  PACKET_LATER_FRAGMENT,
  SIDE_DST,
  SIDE_EITHER,
  SIDE_SRC,
} from "../layout";
import { knowsPorts, portReason, walk } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;

/** One of the ports lies in one of the ranges. */
export function matchMultiport(match: usize, rule: i32, invert: bool): bool {
  if ((walk.flags & PACKET_LATER_FRAGMENT) != 0) return false;
  if (walk.transportLength < 4) {
    walk.hotdrop = true;
    return false;
  }
  const side = load<u8>(match, PAYLOAD);
  if (!knowsPorts(side == SIDE_DST)) return ask(<u64>match, portReason(), rule);
  const count: u32 = load<u8>(match, PAYLOAD + 1);
  let found = false;
  for (let index: u32 = 0; index < count && !found; index++) {
    const range = match + PAYLOAD + 4 + ((<usize>index) << 2);
    const first = load<u16>(range);
    const last = load<u16>(range, 2);
    if (side == SIDE_SRC || side == SIDE_EITHER) found = walk.sport >= first && walk.sport <= last;
    if (!found && (side == SIDE_DST || side == SIDE_EITHER))
      found = walk.dport >= first && walk.dport <= last;
  }
  return found != invert;
}
