// Where a packet was when the capture saw it, on a real node: arriving by an interface, on its way out,
// or sent by the node itself. Source: semantics.md C-1 to C-10.
import { attempt } from "./attempt";
import { firstSource } from "./conntrack";
import { ask } from "./fork";
import { captureInterfaceNumber } from "./interface";
import {
  LINK_ETHERNET,
  PACKET_INBOUND,
  PACKET_OUTBOUND,
  REASON_NO_IN_INTERFACE,
  ROUTE_LOCAL,
  ROUTE_UNICAST,
} from "./layout";
import {
  hasMac,
  interfaceNumbers,
  isDestinationMac,
  isNodeInterface,
  isSourceMac,
} from "./node-interface";
import { Packet } from "./records";
import { isRealNode, routeInterface, routeIsMultipath, routeKind, routeOf } from "./route";
import { walk } from "./walk";

/** The capture does not show it. */
export const SEEN_ANYWHERE: u32 = 0;
/** Before the first hook. */
export const SEEN_ARRIVING: u32 = 1;
/** Behind the last hook. */
export const SEEN_LEAVING: u32 = 2;
/** Addressed to another host. */
export const SEEN_PASSING: u32 = 3;

const QUESTION_ARRIVAL: u64 = 1 << 58;

/** Where the capture saw the packet: one of SEEN_*. */
export function whereSeen(packet: Packet): u32 {
  if (packet.seen == 0) packet.seen = <u8>(findSeen(packet) + 1);
  return packet.seen - 1;
}

function findSeen(packet: Packet): u32 {
  if ((packet.flags & PACKET_INBOUND) != 0) return SEEN_ARRIVING;
  if ((packet.flags & PACKET_OUTBOUND) != 0) return SEEN_LEAVING;
  if (!isRealNode()) return SEEN_ANYWHERE;
  const number = captureInterfaceNumber(packet.captureInterface);
  if (number == 0) return SEEN_ANYWHERE;
  if (packet.linkType != LINK_ETHERNET || !hasMac(number)) {
    return leavesByRoute(packet, number) ? SEEN_LEAVING : SEEN_ANYWHERE;
  }
  if (isSourceMac(number, packet)) return SEEN_LEAVING;
  if (isDestinationMac(number, packet)) return SEEN_ARRIVING;
  // The first bit on the wire: a group of hosts.
  return (packet.dstMac & 1) != 0 ? SEEN_ARRIVING : SEEN_PASSING;
}

// Without direction and MAC addresses the routes tell: the way to the destination leads out by this
// interface, and the source is not behind it. Source: semantics.md C-1, for any interface.
function leavesByRoute(packet: Packet, number: u32): bool {
  const family: u32 = packet.family;
  const dst = routeOf(family, packet.dst0, packet.dst1, packet.dst2, packet.dst3);
  if (routeKind(dst) != ROUTE_UNICAST || routeIsMultipath(dst)) return false;
  if (routeInterface(dst) != number) return false;
  const src = routeOf(family, packet.src0, packet.src1, packet.src2, packet.src3);
  if (routeKind(src) == ROUTE_LOCAL) return true;
  if (routeKind(src) != ROUTE_UNICAST || routeIsMultipath(src)) return false;
  return routeInterface(src) != number;
}

/** Begins the walk at the interface by which the packet arrived, or at the node itself. */
export function arrive(packet: Packet): void {
  const seen = whereSeen(packet);
  if (seen == SEEN_LEAVING) {
    // A source that is the node's own by translation has come from elsewhere.
    const first = firstSource(packet);
    walk.generated = first == 0 ? isLocal(attempt.srcRoute) : isLocal(routeOfSource(first));
    walk.inUnknown = !walk.generated;
    return;
  }
  walk.generated = isLocal(attempt.srcRoute) && seen == SEEN_ANYWHERE;
  if (walk.generated) return;
  walk.inInterface = captureInterfaceNumber(packet.captureInterface);
  walk.inUnknown = walk.inInterface == 0;
}

function isLocal(route: i32): bool {
  return routeKind(route) == ROUTE_LOCAL;
}

function routeOfSource(words: usize): i32 {
  const word0 = load<u32>(words);
  return routeOf(
    walk.family,
    word0,
    load<u32>(words, 4),
    load<u32>(words, 8),
    load<u32>(words, 12),
  );
}

/** The in-interface that a rule looks at; each of the node's is tried where it is not known. */
export function inInterfaceFor(rule: i32): u32 {
  if (!walk.inUnknown) return walk.inInterface;
  walk.inUnknown = false;
  for (let number: u32 = 1; number < interfaceNumbers(); number++) {
    if (!isNodeInterface(number)) continue;
    if (!ask(QUESTION_ARRIVAL | number, REASON_NO_IN_INTERFACE, rule)) continue;
    walk.inInterface = number;
    attempt.inInterface = number;
    return number;
  }
  return walk.inInterface;
}
