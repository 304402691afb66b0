// `-m rpfilter`. Source: Linux, ipt_rpfilter.c and ip6t_rpfilter.c.
import { inInterfaceFor } from "../arrival";
import { ask } from "../fork";
import {
  MATCH_HEADER_SIZE,
  REASON_MISSING_SRC,
  ROUTE_ANYCAST,
  ROUTE_BLACKHOLE,
  ROUTE_LOCAL,
  ROUTE_MISSING,
  ROUTE_NONE,
  ROUTE_UNICAST,
  RPFILTER_ACCEPT_LOCAL,
  RPFILTER_LOOSE,
} from "../layout";
import { isLoopback } from "../node-interface";
import { isRealNode, routeInterface, routeKind, routeOf } from "../route";
import { walk } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;

// A pod that is missing from the snapshot may be behind the interface.
const QUESTION_OWNER: u64 = 1 << 49;

/** The way back to the source leads through the interface by which the packet came. */
export function matchRpfilter(match: usize, rule: i32): bool {
  const flags: u32 = load<u8>(match, PAYLOAD);
  const number = inInterfaceFor(rule);
  if (isLoopback(number)) return true;
  if (walk.family == 4) {
    if (walk.src0 >> 28 == 0xe || walk.src0 == 0xffffffff) return false;
    // > From nowhere to a group or to everybody.
    if (walk.src0 == 0) {
      if (walk.dst0 >> 28 == 0xe || walk.dst0 == 0xffffffff) return true;
    }
  } else {
    const unspecified = (walk.src0 | walk.src1 | walk.src2 | walk.src3) == 0;
    if (unspecified) return true;
    if (walk.src0 >> 24 == 0xff) return false;
  }
  const route = routeOf(walk.family, walk.src0, walk.src1, walk.src2, walk.src3);
  if (route == ROUTE_NONE) return false;
  const kind = routeKind(route);
  if (kind == ROUTE_BLACKHOLE) return false;
  if (kind == ROUTE_LOCAL || kind == ROUTE_ANYCAST) return (flags & RPFILTER_ACCEPT_LOCAL) != 0;
  if (!isRealNode() && number != routeInterface(route)) {
    // > Link-local addresses are looked up by the interface they come from.
    if (walk.family == 6 && walk.src0 >> 22 == 0x3fa) return true;
    return kind == ROUTE_MISSING && ask(QUESTION_OWNER, REASON_MISSING_SRC, rule);
  }
  if (kind != ROUTE_UNICAST && isRealNode()) return false;
  return (flags & RPFILTER_LOOSE) != 0 || routeInterface(route) == number;
}
