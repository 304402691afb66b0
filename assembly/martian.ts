// What the IP stack discards for its addresses alone, whatever rules say: martians.
import { inInterfaceFor } from "./arrival";
import { REASON_MARTIAN, REASON_MARTIAN_DESTINATION, ROUTE_UNICAST, RULE_NONE } from "./layout";
import { isLoopback } from "./node-interface";
import { PROTOCOL_IGMP } from "./protocol";
import { routeInterface, routeKind } from "./route";
import { isSentOnly, isValidSource, routesLocalnet } from "./switches";
import { walk } from "./walk";

// Of no interface.
const INTERFACE_NONE: u32 = 0;

/**
 * The reason for which an IPv4 packet is discarded behind PREROUTING that goes by this route; 0 without one.
 *
 * Source: Linux, ip_route_input_slow(). Of 0.0.0.0/8 only 0.0.0.0 is no address (since 5.3).
 */
export function martian4(route: i32): u32 {
  const src = walk.src0;
  const dst = walk.dst0;
  if (hasNobodysSource()) return REASON_MARTIAN;
  if (dst == 0xffffffff || (src | dst) == 0) {
    return src == 0 || isValidSource(INTERFACE_NONE) ? 0 : REASON_MARTIAN;
  }
  if (dst == 0) return REASON_MARTIAN_DESTINATION;
  const looped = dst >> 24 == 127;
  if ((looped || src >> 24 == 127) && !routesLocalnet() && !isLoopback(inInterfaceFor(RULE_NONE)))
    return looped ? REASON_MARTIAN_DESTINATION : REASON_MARTIAN;
  const kind = routeKind(route);
  if (isSentOnly(kind) && dst >> 28 != 0xe) return REASON_MARTIAN_DESTINATION;
  const out = kind == ROUTE_UNICAST ? routeInterface(route) : INTERFACE_NONE;
  return src == 0 || isValidSource(out) ? 0 : REASON_MARTIAN;
}

/** The source is a group's, everybody's or, where that is not asked for, nobody's: no interface takes it. */
export function hasNobodysSource(): bool {
  const src = walk.src0;
  const dst = walk.dst0;
  if (walk.family == 6) return src >> 24 == 0xff;
  if (src != 0) return src >> 28 == 0xe || src == 0xffffffff;
  // > 0.0.0.0 may ask everybody and its link-local neighbours, and join groups.
  const joins = dst >> 28 == 0xe && walk.protocol == PROTOCOL_IGMP;
  return dst != 0 && dst != 0xffffffff && dst >> 8 != 0xe00000 && !joins;
}

/** The same of IPv6, before PREROUTING. Source: Linux, ip6_rcv_core(). */
export function martian6(): u32 {
  if (hasNobodysSource()) return REASON_MARTIAN;
  const scope = (walk.dst0 >> 16) & 0xf;
  const toGroup = walk.dst0 >> 24 == 0xff;
  if (!walk.generated && !isLoopback(walk.inInterface)) {
    if (isLoopback6(walk.src0, walk.src1, walk.src2, walk.src3)) return REASON_MARTIAN;
    if (isLoopback6(walk.dst0, walk.dst1, walk.dst2, walk.dst3)) return REASON_MARTIAN_DESTINATION;
  }
  // > Interface-local groups and the reserved scope never come over a wire.
  return toGroup && scope <= 1 ? REASON_MARTIAN_DESTINATION : 0;
}

/** The source is not forwarded to another link than it came from. Source: Linux, ip6_forward(). */
export function isConfined6(out: u32): bool {
  if (out == inInterfaceFor(RULE_NONE)) return false;
  const unspecified = (walk.src0 | walk.src1 | walk.src2 | walk.src3) == 0;
  return unspecified || walk.src0 >> 22 == 0x3fa;
}

function isLoopback6(word0: u32, word1: u32, word2: u32, word3: u32): bool {
  return (word0 | word1 | word2) == 0 && word3 == 1;
}
