// Where a packet was when the capture saw it, on a real node: arriving by an interface, on its way out,
// or sent by the node itself. Source: semantics.md C-1 to C-10.
import { attempt } from "./attempt";
import { firstSource } from "./conntrack";
import { ask } from "./fork";
import { captureInterfaceNumber } from "./interface";
import {
  LINK_ETHERNET,
  PACKET_HAS_MAC,
  PACKET_HAS_SENDER,
  PACKET_INBOUND,
  PACKET_OTHER_HOST,
  PACKET_OUTBOUND,
  REASON_NO_IN_INTERFACE,
  REASON_NO_WAY,
  ROUTE_LOCAL,
  ROUTE_UNICAST,
} from "./layout";
import { hasMac, interfaceNumbers, isNodeInterface, upperInterface } from "./node-interface";
import { Packet } from "./records";
import { isRealNode, routeInterface, routeIsMultipath, routeKind, routeOf } from "./route";
import {
  CALLS_NO,
  callsOf,
  isBelowVlans,
  isBridge,
  isForPort,
  isForStack,
  isFromStack,
  isOfNode,
  TOP_ASTRAY,
  TOP_NOBODY,
  topOf,
} from "./stack";
import { walk } from "./walk";

/** The capture does not show it. */
export const SEEN_ANYWHERE: u32 = 0;
/** Before the first hook. */
export const SEEN_ARRIVING: u32 = 1;
/** Behind the last hook. */
export const SEEN_LEAVING: u32 = 2;
/** Addressed to another host. */
export const SEEN_PASSING: u32 = 3;
/** A bridge hands it from port to port; on which side of its rules is not shown. */
export const SEEN_BRIDGED: u32 = 4;
/** Of a VLAN that no interface has. */
export const SEEN_BY_NOBODY: u32 = 5;
/** Where it goes from there is not modelled, or was not told. */
export const SEEN_ASTRAY: u32 = 6;

const QUESTION_ARRIVAL: u64 = 1 << 58;

/** Where the capture saw the packet: one of SEEN_*. */
export function whereSeen(packet: Packet): u32 {
  if (packet.seen == 0) packet.seen = <u8>(findSeen(packet) + 1);
  return packet.seen - 1;
}

function findSeen(packet: Packet): u32 {
  if (!isRealNode()) {
    if ((packet.flags & PACKET_INBOUND) != 0) return SEEN_ARRIVING;
    return (packet.flags & PACKET_OUTBOUND) != 0 ? SEEN_LEAVING : SEEN_ANYWHERE;
  }
  if ((packet.flags & PACKET_OUTBOUND) != 0) return whereOut(packet);
  const inbound = (packet.flags & PACKET_INBOUND) != 0;
  const number = captureInterfaceNumber(packet.captureInterface);
  const otherHost = (packet.flags & PACKET_OTHER_HOST) != 0;
  if (number == 0 && packet.vlan > 1) return SEEN_ASTRAY;
  if (number == 0) return otherHost ? SEEN_PASSING : inbound ? SEEN_ARRIVING : SEEN_ANYWHERE;
  // Neither cooked captures nor texts without addresses show the tags of what goes on to a VLAN.
  if ((packet.flags & PACKET_HAS_MAC) == 0 && packet.vlan == 0 && isBelowVlans(number))
    return SEEN_ASTRAY;
  const top = topOf(number, packet.vlan);
  if (top == TOP_NOBODY) return SEEN_BY_NOBODY;
  if (top == TOP_ASTRAY) return SEEN_ASTRAY;
  const bridge = isBridge(top);
  // > A bridge itself gets others' frames only as copies, where somebody listens.
  if (otherHost && number == top) return bridge ? SEEN_BRIDGED : SEEN_PASSING;
  if (otherHost) return bridge ? whereOnBridge(packet, top) : SEEN_PASSING;
  if (inbound && !bridge) return SEEN_ARRIVING;
  if (packet.linkType != LINK_ETHERNET || !hasMac(number)) {
    if (inbound) return SEEN_ARRIVING;
    return leavesByRoute(packet, top) ? SEEN_LEAVING : SEEN_ANYWHERE;
  }
  if (!inbound && isFromStack(number, top, packet)) return SEEN_LEAVING;
  if (isForStack(number, top, packet)) return SEEN_ARRIVING;
  // The first bit on the wire: a group of hosts.
  if ((packet.dstMac & 1) != 0) return SEEN_ARRIVING;
  // Whose frames come by another interface (macvlan), takes them where nobody follows.
  if (!bridge) return isOfNode(packet) ? SEEN_ASTRAY : SEEN_PASSING;
  if (!isForPort(top, packet)) return SEEN_BRIDGED;
  // > For the port by which it came the IP stack takes it, for another one it does not, unless rules turn it.
  const passing = number != top && callsOf(top, packet.family) == CALLS_NO;
  return passing ? SEEN_PASSING : SEEN_ASTRAY;
}

const SENDER_KNOWN: u32 = PACKET_HAS_MAC | PACKET_HAS_SENDER;

// What leaves by a bridge's port comes from the bridge itself, or from another port.
function whereOut(packet: Packet): u32 {
  const bridge = bridgeOfPort(packet);
  if (bridge == 0 || (packet.flags & SENDER_KNOWN) == 0) return SEEN_LEAVING;
  const number = captureInterfaceNumber(packet.captureInterface);
  return isFromStack(number, bridge, packet) ? SEEN_LEAVING : SEEN_BRIDGED;
}

/** It leaves by a bridge's port, and nothing tells whether it comes from another port. */
export function isPerhapsBridged(packet: Packet): bool {
  const out = (packet.flags & PACKET_OUTBOUND) != 0;
  if (!out || (packet.flags & SENDER_KNOWN) != 0 || !isRealNode()) return false;
  const src = routeOf(packet.family, packet.src0, packet.src1, packet.src2, packet.src3);
  return routeKind(src) != ROUTE_LOCAL && bridgeOfPort(packet) != 0;
}

// The bridge one of whose ports shows the packet; 0 without one.
function bridgeOfPort(packet: Packet): u32 {
  const number = captureInterfaceNumber(packet.captureInterface);
  const top = number == 0 ? 0 : topOf(number, packet.vlan);
  return top != number && isBridge(top) ? top : 0;
}

// > For the port it is another host's, be it the bridge's own or that of somebody behind another port. Without its
// address the routes tell: who is behind the bridge gets it from port to port.
function whereOnBridge(packet: Packet, bridge: u32): u32 {
  const route = routeOf(packet.family, packet.dst0, packet.dst1, packet.dst2, packet.dst3);
  const near = routeKind(route) == ROUTE_UNICAST && routeInterface(route) == bridge;
  return near ? SEEN_BRIDGED : SEEN_ARRIVING;
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
  const number = captureInterfaceNumber(packet.captureInterface);
  walk.inInterface = number == 0 ? 0 : topOf(number, packet.vlan);
  walk.inUnknown = number == 0;
}

/** The capture may show the packet behind a hook, with addresses that it has there. */
export function isPerhapsBehindHooks(seen: u32): bool {
  return !isRealNode() || seen == SEEN_LEAVING || seen == SEEN_BRIDGED;
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
  const reason = isRealNode() ? REASON_NO_IN_INTERFACE : REASON_NO_WAY;
  for (let number: u32 = 1; number < interfaceNumbers(); number++) {
    // What a bridge or a bond takes arrives by that.
    if (!isNodeInterface(number) || upperInterface(number) != 0) continue;
    if (!ask(QUESTION_ARRIVAL | number, reason, rule)) continue;
    walk.inInterface = number;
    attempt.inInterface = number;
    return number;
  }
  return walk.inInterface;
}
