// What becomes of a packet in a cluster, as its manifests tell it, for what each node looks at that receives it: a
// source that nobody has, the options in its IPv4 header, and the TTL, which one that forwards it counts down. How many
// nodes it has before it hangs on its ends, and on where the capture shows it.
// Source: Linux, ip_rcv_finish(), ip_route_input_slow(), ip_forward(), ip6_forward().
import { attempt, end } from "./attempt";
import { isHere, isPod } from "./entry-node";
import { ask } from "./fork";
import { captureInterfaceNumber } from "./interface";
import { fateByOptions, OPTIONS_BAD, OPTIONS_FINE } from "./ip-options";
import {
  KNOWN_TTL,
  PACKET_INBOUND,
  PACKET_OUTBOUND,
  REASON_MARTIAN,
  REASON_OPTIONS,
  REASON_OPTIONS_UNKNOWN,
  REASON_TTL,
  REASON_TTL_LEFT,
  ROUTE_LOCAL,
  RULE_NONE,
  VERDICT_DROP,
  VERDICT_UNKNOWN,
} from "./layout";
import { hasNobodysSource } from "./martian";
import { Packet } from "./records";
import { routeInterface, routeKind, routeNode, routeOf, severalNodes } from "./route";
import { isTranslatedPort } from "./share";
import { walk } from "./walk";

const QUESTION_LEFT: u64 = (1 << 46) | (10 << 32);

/** A TTL above this one lasts through a cluster: a pod's node, one that translates, and the backend's. */
export const TTL_ENOUGH: u32 = 3;

// So many nodes, at least and at most, receive the packet yet.
let least: u32 = 0;
let most: u32 = 0;

/** The nodes ahead pass the packet on; false: the try has ended. */
export function isPassedOn(packet: Packet): bool {
  const short = (packet.known & KNOWN_TTL) != 0 && packet.ttl <= <u8>TTL_ENOUGH;
  const options = packet.family == 4 ? fateByOptions(packet) : OPTIONS_FINE;
  const martian = hasNobodysSource();
  if ((!short && !martian && options == OPTIONS_FINE) || walk.srcHidden) return true;
  countNodes(packet);
  lookAhead(packet);
  if (martian && isReceived(1)) return end(VERDICT_DROP, REASON_MARTIAN);
  if (options != OPTIONS_FINE && isReceived(1)) {
    if (options == OPTIONS_BAD) return end(VERDICT_DROP, REASON_OPTIONS);
    return end(VERDICT_UNKNOWN, REASON_OPTIONS_UNKNOWN);
  }
  // The last one delivers what is its own.
  const forwards = max<u32>(1, packet.ttl) + (walk.dstLocal ? 1 : 0);
  return !short || !isReceived(forwards) || end(VERDICT_DROP, REASON_TTL);
}

// So many nodes receive it yet; asks where that is open.
function isReceived(nodes: u32): bool {
  if (most < nodes) return false;
  return least >= nodes || !ask(QUESTION_LEFT | nodes, REASON_TTL_LEFT, RULE_NONE);
}

// From its source on.
function countNodes(packet: Packet): void {
  const ofNode = routeKind(attempt.srcRoute) == ROUTE_LOCAL;
  if (!severalNodes()) {
    least = most = ofNode ? 0 : 1;
    return;
  }
  const ofPod = isPod(attempt.srcRoute);
  const inside = isPod(attempt.dstRoute) || routeKind(attempt.dstRoute) == ROUTE_LOCAL;
  least = ofPod ? 1 : 0;
  most = least;
  if (!inside) return;
  const from = routeNode(attempt.srcRoute);
  const to = routeNode(attempt.dstRoute);
  if (!ofPod && !ofNode) {
    // By the destination's node, or by another one that translates it.
    least = 1;
    most = walk.translated ? 2 : 1;
  } else if (from == 0 || to == 0) most++;
  else if (from != to) {
    least++;
    most++;
  }
  // A node whose address it has leads it on: to a pod of its own, or by that pod's node.
  if (isToTranslate()) most += 2;
  else if (isTranslatedAtNode(packet)) most = max<u32>(most, ofPod ? 3 : 2);
}

// Another node's port leads to a pod, perhaps: that node has yet to translate it.
function isToTranslate(): bool {
  if (!walk.dstLocal || isHere(attempt.dstRoute)) return false;
  return isTranslatedPort(walk.protocol, walk.dport);
}

// It is for a node's address, which stands for another.
function isTranslatedAtNode(packet: Packet): bool {
  const route = routeOf(packet.family, packet.dst0, packet.dst1, packet.dst2, packet.dst3);
  return !walk.dstLocal && routeKind(route) == ROUTE_LOCAL;
}

// From where the capture shows it on.
function lookAhead(packet: Packet): void {
  const inbound = (packet.flags & PACKET_INBOUND) != 0;
  const outbound = (packet.flags & PACKET_OUTBOUND) != 0;
  const captured = captureInterfaceNumber(packet.captureInterface);
  const sent = isAt(attempt.srcRoute, captured) && !outbound;
  const arrived = isAt(attempt.dstRoute, captured) && !inbound;
  if (sent && !arrived) return;
  if (arrived && !sent) {
    least = most = 0;
    return;
  }
  least = inbound ? min<u32>(1, most) : 0;
  // The node that it leaves has received it, but for what that sends itself.
  const left = outbound && routeKind(attempt.srcRoute) != ROUTE_LOCAL;
  const beyond = inbound && isPod(attempt.srcRoute) && captured != 0;
  if ((left || beyond) && most > least) most--;
}

// The capture was taken at the interface of a pod.
function isAt(route: i32, captured: u32): bool {
  return captured != 0 && isPod(route) && routeInterface(route) == captured;
}
