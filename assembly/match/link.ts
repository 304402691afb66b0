// Conditions on the frame around the packet: `-m mac`, `-m pkttype`, `-m eui64`.
import { inInterfaceFor } from "../arrival";
import { ask } from "../fork";
import {
  HOOK_OUTPUT,
  HOOK_POSTROUTING,
  LINK_ETHERNET,
  MATCH_HEADER_SIZE,
  PKTTYPE_BROADCAST,
  PKTTYPE_MULTICAST,
  PKTTYPE_OTHERHOST,
  PKTTYPE_UNICAST,
  REASON_NO_MAC,
  ROUTE_BROADCAST,
} from "../layout";
import { hasMac, isLoopback } from "../node-interface";
import { localRouteOf, routeKind } from "../route";
import { walk } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;

/** > False, negated or not, where the packet came by no Ethernet interface. */
export function matchMac(match: usize, rule: i32, invert: bool): bool {
  if (walk.generated) return false;
  const number = inInterfaceFor(rule);
  if (isLoopback(number) || (number != 0 && !hasMac(number))) return false;
  if (walk.packet.linkType != LINK_ETHERNET) return ask(<u64>match, REASON_NO_MAC, rule);
  const found =
    load<u32>(match, PAYLOAD) == walk.packet.srcMac &&
    load<u16>(match, PAYLOAD + 4) == walk.packet.srcMacTail;
  return found != invert;
}

/** > Looped packets are told apart by their destination address. Source: Linux, xt_pkttype.c. */
export function matchPkttype(match: usize, rule: i32): bool {
  const wanted: u32 = load<u8>(match, PAYLOAD);
  if (wanted == PKTTYPE_OTHERHOST) return false;
  if (walk.generated) return wanted == loopedType(rule);
  if (walk.packet.linkType != LINK_ETHERNET) return ask(<u64>match, REASON_NO_MAC, rule);
  const mac = walk.packet.dstMac;
  if ((mac & 1) == 0) return wanted == PKTTYPE_UNICAST;
  const all = mac == 0xffffffff && walk.packet.dstMacTail == 0xffff;
  return wanted == <u32>(all ? PKTTYPE_BROADCAST : PKTTYPE_MULTICAST);
}

// > What the node sends has the type it was made with: to this host, until the node's own copy comes back.
function loopedType(rule: i32): u32 {
  if (walk.hook == HOOK_OUTPUT || walk.hook == HOOK_POSTROUTING) return PKTTYPE_UNICAST;
  // > The kernel copies only what leaves by another interface than the loopback.
  if (isLoopback(inInterfaceFor(rule))) return PKTTYPE_UNICAST;
  if (walk.family == 6) return walk.dst0 >> 24 == 0xff ? PKTTYPE_MULTICAST : PKTTYPE_UNICAST;
  if (walk.dst0 >> 28 == 0xe) return PKTTYPE_MULTICAST;
  const broadcast =
    walk.dst0 == 0xffffffff || routeKind(localRouteOf(walk.dst0)) == ROUTE_BROADCAST;
  return broadcast ? PKTTYPE_BROADCAST : PKTTYPE_UNICAST;
}

/** > The lower half of the source address is the MAC with ff:fe in its middle. Source: Linux, ip6t_eui64.c. */
export function matchEui64(match: usize, rule: i32): bool {
  // > What the loopback device hands back has a MAC of zeros.
  let head: u32 = 0;
  let tail: u32 = 0;
  if (!walk.generated) {
    if (walk.packet.linkType != LINK_ETHERNET) return ask(<u64>match, REASON_NO_MAC, rule);
    head = bswap<u32>(walk.packet.srcMac);
    tail = bswap<u16>(walk.packet.srcMacTail);
  }
  return (
    walk.src2 == (((head & 0xffffff00) ^ 0x02000000) | 0xff) &&
    walk.src3 == (0xfe000000 | ((head & 0xff) << 16) | tail)
  );
}
