// Where a packet was when the capture saw it, on a real node: arriving by an interface, on its way out,
// or sent by the node itself. Source: semantics.md C-1 to C-10.
import { attempt } from "./attempt";
import { entryOfPacket } from "./conntrack";
import { ask } from "./fork";
import { captureInterfaceNumber } from "./interface";
import {
  LINK_ETHERNET,
  PACKET_INBOUND,
  PACKET_OUTBOUND,
  REASON_NO_IN_INTERFACE,
  ROUTE_LOCAL,
} from "./layout";
import {
  hasMac,
  interfaceNumbers,
  isDestinationMac,
  isNodeInterface,
  isSourceMac,
} from "./node-interface";
import { Packet } from "./records";
import { isRealNode, routeKind } from "./route";
import { ENTRY_NONE } from "./tracking";
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
  if ((packet.flags & PACKET_INBOUND) != 0) return SEEN_ARRIVING;
  if ((packet.flags & PACKET_OUTBOUND) != 0) return SEEN_LEAVING;
  if (!isRealNode() || packet.linkType != LINK_ETHERNET) return SEEN_ANYWHERE;
  const number = captureInterfaceNumber(packet.captureInterface);
  if (number == 0 || !hasMac(number)) return SEEN_ANYWHERE;
  if (isSourceMac(number, packet)) return SEEN_LEAVING;
  if (isDestinationMac(number, packet)) return SEEN_ARRIVING;
  // The first bit on the wire: a group of hosts.
  return (packet.dstMac & 1) != 0 ? SEEN_ARRIVING : SEEN_PASSING;
}

/** Begins the walk at the interface by which the packet arrived, or at the node itself. */
export function arrive(packet: Packet): void {
  const seen = whereSeen(packet);
  const srcLocal = routeKind(attempt.srcRoute) == ROUTE_LOCAL;
  if (seen == SEEN_LEAVING) {
    // Translated to an address of the node, it may still have come from elsewhere.
    walk.generated = srcLocal && entryOfPacket(packet) == ENTRY_NONE;
    walk.inUnknown = !walk.generated;
    return;
  }
  walk.generated = srcLocal && seen == SEEN_ANYWHERE;
  if (walk.generated) return;
  walk.inInterface = captureInterfaceNumber(packet.captureInterface);
  walk.inUnknown = walk.inInterface == 0;
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
