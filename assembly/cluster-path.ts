// The way of a packet through a cluster seen as one node, or through one node as its manifests tell it:
// interfaces and ends follow from the addresses, and an end that no object has is missing.
import { attempt, end, endUntold, isQuestion } from "./attempt";
import { track, wasSeen } from "./conntrack";
import { decidedBefore, inheritState, stateOfPacket, takeFirstTuple } from "./connection-state";
import { crossesNodes, crossNodes, passesHosts, QUESTION_NODE } from "./between-nodes";
import { isPod, NODE_ELSEWHERE, spareNode } from "./entry-node";
import { ask } from "./fork";
import { isPassedOn } from "./hops-left";
import { captureInterfaceNumber, captureInterfaceStand } from "./interface";
import {
  CAPTURED_PERHAPS_BELOW,
  CAPTURED_PERHAPS_ELSEWHERE,
  CAPTURED_PERHAPS_POD,
  CAPTURED_TOLD,
  CT_ESTABLISHED,
  CT_NEW,
  CT_RELATED,
  CT_UNTRACKED,
  HOOK_FORWARD,
  HOOK_INPUT,
  HOOK_OUTPUT,
  HOOK_POSTROUTING,
  HOOK_PREROUTING,
  PACKET_INBOUND,
  PACKET_OUTBOUND,
  REASON_BACKEND,
  REASON_MASQUERADED,
  REASON_MISSING_DST,
  REASON_MISSING_SRC,
  REASON_NO_ENDPOINT,
  REASON_NO_NODE,
  REASON_NO_ROUTE,
  REASON_NO_WAY,
  ROUTE_LOCAL,
  ROUTE_MISSING,
  ROUTE_NONE,
  ROUTE_UNICAST,
  ROUTE_UNTRANSLATED,
  RULE_NONE,
  TABLE_FILTER,
  TABLE_MANGLE,
  TABLE_RAW,
  TABLE_SECURITY,
  VERDICT_DROP,
  VERDICT_UNKNOWN,
} from "./layout";
import { isNodeInterface } from "./node-interface";
import { nodeWay } from "./node-way";
import { translateDestination, translatesOtherwise, translateSource } from "./nat";
import { startSource } from "./new-source";
import { isAsSent, isPerhapsClients, isPerhapsPods } from "./own-source";
import { Packet } from "./records";
import {
  isRealNode,
  policesEachHost,
  policesHosts,
  routeInterface,
  routeIsBare,
  routeIsFar,
  routeIsMultipath,
  routeIsNear,
  routeIsPerhapsLocal,
  routeIsWrapped,
  routeKind,
  routeNode,
  routeOf,
  routeTunnel,
  severalNodes,
  staysOnLink,
  uplinkInterface,
} from "./route";
import { runTable } from "./run-table";
import {
  DIRECTION_ORIGINAL,
  ENTRY_NONE,
  isTrackedWhenTried,
  tracking,
  trackNothing,
} from "./tracking";
import { walk } from "./walk";

const QUESTION_ELSEWHERE: u64 = (1 << 46) | (7 << 32);
const QUESTION_OWN: u64 = (1 << 46) | (9 << 32);

/**
 * Tries the way; true when the packet got through its last hook. The connection was tracked before, unless
 * that is to be tried (`trackWhenTried`).
 */
export function tryClusterPath(packet: Packet): bool {
  const family: u32 = packet.family;
  const later = isTrackedWhenTried();
  if (later) trackNothing();
  else if (!takeConnection()) return false;
  lookAtEnds(packet);
  if (!runTable(TABLE_RAW)) return false;
  if (later && !connect(packet)) return false;
  if (!takeOwnSource(packet)) return false;
  startSource();
  if (severalNodes()) {
    if (repeatsFirst()) {
      walk.again = true;
      walk.ctState = CT_NEW;
    }
    if (tracking.fresh || walk.again) walk.node = firstNode();
  }
  if (!runTable(TABLE_MANGLE) || !translateDestination()) return false;
  attempt.dstRoute = routeOf(family, walk.dst0, walk.dst1, walk.dst2, walk.dst3);
  lookAtDestination(packet);
  const passed = !wayUnknown() && isPassedOn(packet) && goOn(packet);
  if (walk.again && translatesOtherwise()) return end(VERDICT_UNKNOWN, REASON_BACKEND);
  return passed;
}

// Each node on the way sees another first packet.
function repeatsFirst(): bool {
  if (tracking.fresh || tracking.entry == ENTRY_NONE) return false;
  return tracking.direction == DIRECTION_ORIGINAL && (walk.ctState & CT_NEW) != 0;
}

// Behind raw: no connection, or that which the packet belongs to.
function connect(packet: Packet): bool {
  if (walk.notrack) {
    walk.ctState = CT_UNTRACKED;
    return true;
  }
  track(packet, wasSeen(packet));
  if (!takeConnection()) return false;
  lookAtEnds(packet);
  return true;
}

// What begins with a node's address the node itself has sent, or forwarded with the address of a client or pod, which
// rules saw.
function takeOwnSource(packet: Packet): bool {
  if (!walk.srcLocal || (walk.ctState & CT_NEW) == 0 || isRealNode() || isQuestion()) return true;
  const clients = isPerhapsClients(packet, attempt.srcRoute, attempt.dstRoute);
  if (!clients && !isPerhapsPods(packet, attempt.srcRoute, attempt.dstRoute)) return true;
  // Another packet's TTL may tell otherwise.
  walk.volatile = true;
  if (isAsSent(packet) || ask(QUESTION_OWN, REASON_MASQUERADED, RULE_NONE)) return true;
  // Policies of the node's own interfaces may see it before any translation; of pods each has its own.
  if (!clients || policesHosts()) return end(VERDICT_UNKNOWN, REASON_MASQUERADED);
  walk.srcHidden = true;
  walk.srcLocal = false;
  walk.sportDrawn = true;
  walk.inInterface = uplinkInterface();
  walk.hook = HOOK_PREROUTING;
  return true;
}

function takeConnection(): bool {
  walk.ctState = tracking.state;
  if (!decidedBefore()) return false;
  walk.ctState = stateOfPacket();
  takeFirstTuple();
  return true;
}

// What the addresses are at the first hook, and by which interface the packet comes or leaves.
function lookAtEnds(packet: Packet): void {
  const family: u32 = packet.family;
  attempt.srcRoute = routeOf(family, walk.src0, walk.src1, walk.src2, walk.src3);
  attempt.dstRoute = routeOf(family, walk.dst0, walk.dst1, walk.dst2, walk.dst3);
  walk.srcMissing = routeKind(attempt.srcRoute) == ROUTE_MISSING;
  walk.srcLocal = routeKind(attempt.srcRoute) == ROUTE_LOCAL;
  lookAtDestination(packet);
  walk.hook = walk.srcLocal ? HOOK_OUTPUT : HOOK_PREROUTING;
  if (walk.srcLocal) inheritState(packet);
  if (walk.srcLocal) leaveByRoute(packet);
  else walk.inInterface = arrivalInterface(packet);
}

// From the routing decision to the last hook; false when the try has ended.
function goOn(packet: Packet): bool {
  if (severalNodes() && passesHosts()) return crossNodes();
  if (walk.node != 0 || walk.mark != 0) {
    if (severalNodes() && (tracking.fresh || walk.again) && crossesNodes()) return crossNodes();
  }
  const delivered = walk.dstLocal;
  const sameNode = (delivered || walk.srcLocal) && onSameNode();
  if (walk.srcLocal && sameNode) {
    if (!runTable(TABLE_FILTER) || !runTable(TABLE_SECURITY)) return false;
    leaveByRoute(packet);
    if (!postroute()) return false;
    if (delivered) return comeBack();
    attempt.outInterface = walk.outUnknown ? 0 : walk.outInterface;
    return true;
  }
  if (delivered && sameNode) {
    walk.hook = HOOK_INPUT;
    attempt.inInterface = walk.inInterface;
    return runTable(TABLE_MANGLE) && runTable(TABLE_FILTER) && runTable(TABLE_SECURITY);
  }
  if (walk.srcLocal && delivered) return passOn();
  if (attempt.dstRoute == ROUTE_NONE) return end(VERDICT_DROP, REASON_NO_ROUTE);
  // Another node's address lies behind the uplink.
  if (walk.srcLocal) walk.inInterface = uplinkInterface();
  if (delivered) walk.outInterface = uplinkInterface();
  else leaveByRoute(packet);
  attempt.inInterface = walk.inInterface;
  attempt.outInterface = walk.outUnknown ? 0 : walk.outInterface;
  walk.hook = HOOK_FORWARD;
  if (!runTable(TABLE_MANGLE) || !runTable(TABLE_FILTER) || !runTable(TABLE_SECURITY)) return false;
  return postroute();
}

// From one node to another: neither forwards it.
function passOn(): bool {
  walk.outInterface = uplinkInterface();
  if (!runTable(TABLE_FILTER) || !runTable(TABLE_SECURITY) || !postroute()) return false;
  walk.inInterface = uplinkInterface();
  walk.outInterface = 0;
  attempt.inInterface = walk.inInterface;
  walk.hook = HOOK_INPUT;
  return runTable(TABLE_MANGLE) && runTable(TABLE_FILTER) && runTable(TABLE_SECURITY);
}

// What a node sends to itself comes back by its loopback interface, with its connection.
function comeBack(): bool {
  walk.inInterface = walk.outInterface;
  walk.outInterface = 0;
  walk.hook = HOOK_PREROUTING;
  walk.templated = true;
  if (!runTable(TABLE_RAW) || !runTable(TABLE_MANGLE)) return false;
  walk.hook = HOOK_INPUT;
  return runTable(TABLE_MANGLE) && runTable(TABLE_FILTER) && runTable(TABLE_SECURITY);
}

// Where a node has several ways out, and tunnels, the capture may show by which of them the packet went.
function leaveByRoute(packet: Packet): void {
  walk.outInterface = routeInterface(attempt.dstRoute);
  walk.outUnknown = routeIsMultipath(attempt.dstRoute);
  if (policesEachHost() && walk.outInterface == uplinkInterface()) {
    const node = routeNode(attempt.srcRoute);
    walk.outInterface = nodeWay(node, false);
    walk.outUnknown = node == 0;
    return;
  }
  if (!leadsAway(attempt.dstRoute)) return;
  const tunnel = routeTunnel(attempt.dstRoute);
  const wrapped = tunnel != 0 && routeIsWrapped(attempt.dstRoute);
  if (wrapped) {
    walk.outInterface = tunnel;
    walk.outUnknown = false;
  } else if (tunnel != 0 && !routeIsBare(attempt.dstRoute)) {
    walk.outUnknown = true;
  }
  if (showsArrival(packet)) return;
  const way = walk.outInterface;
  walk.outUnknown = isUnsure(packet, way, walk.outUnknown, wrapped, isLocalPod(attempt.srcRoute));
  if (showsWay(packet)) walk.outInterface = capturedOr(way, packet, walk.outUnknown);
}

// By the route it leaves by the interface that it leaves the node by, or perhaps by several.
function leadsAway(route: i32): bool {
  return !isRealNode() && isNodeInterface(routeInterface(route));
}

// At one end is a pod of the judged node.
function isLocalPod(route: i32): bool {
  return isPod(route) && !leadsAway(route);
}

// The capture shows the packet where it arrives, or has no more to say of where it leaves.
function showsArrival(packet: Packet): bool {
  if ((packet.flags & PACKET_OUTBOUND) != 0) return false;
  return (packet.flags & PACKET_INBOUND) != 0 || leadsAway(attempt.srcRoute);
}

// The capture names one of the node's interfaces but those of pods.
function showsWay(packet: Packet): bool {
  const captured = captureInterfaceNumber(packet.captureInterface);
  if (captureInterfaceStand(packet.captureInterface) != CAPTURED_TOLD) return true;
  return isNodeInterface(captured);
}

// Whether rules see another interface than that which the capture shows, or without one whether the routes leave it
// open. What is always wrapped is seen in a tunnel; where it is not, the capture is not this node's.
function isUnsure(packet: Packet, way: u32, open: bool, wrapped: bool, ofPod: bool): bool {
  const stand = captureInterfaceStand(packet.captureInterface);
  if (stand == CAPTURED_PERHAPS_BELOW) return true;
  if (!showsWay(packet)) return open;
  const differs = captureInterfaceNumber(packet.captureInterface) != way;
  if (ofPod && stand == CAPTURED_PERHAPS_POD) return open || differs;
  return wrapped && differs;
}

// The captured interface, or where that is perhaps no interface of the node, the packet's way.
// Where it is unknown, all are tried.
function capturedOr(way: u32, packet: Packet, unknown: bool): u32 {
  const captured = captureInterfaceNumber(packet.captureInterface);
  const stand = captureInterfaceStand(packet.captureInterface);
  if (unknown || stand != CAPTURED_PERHAPS_ELSEWHERE) return captured;
  return ask(QUESTION_ELSEWHERE, REASON_NO_WAY, RULE_NONE) ? way : captured;
}

// The node whose tables a connection's first packet meets first: where it is sent from, or else sent to.
function firstNode(): u32 {
  const srcKind = routeKind(attempt.srcRoute);
  const toNode = routeKind(attempt.dstRoute) == ROUTE_LOCAL ? routeNode(attempt.dstRoute) : 0;
  if (srcKind != ROUTE_UNICAST && srcKind != ROUTE_LOCAL) return toNode;
  const node = routeNode(attempt.srcRoute);
  if (node != 0 || toNode == 0) return node;
  if (ask(QUESTION_NODE, REASON_NO_NODE, RULE_NONE)) return toNode;
  spareNode(toNode);
  return walk.node == 0 ? NODE_ELSEWHERE : walk.node;
}

function postroute(): bool {
  walk.hook = HOOK_POSTROUTING;
  return runTable(TABLE_MANGLE) && translateSource();
}

// Without an end that the tables are for, there is nothing to ask them.
function wayUnknown(): bool {
  if ((walk.ctState & CT_UNTRACKED) != 0) return false;
  const srcKind = routeKind(attempt.srcRoute);
  const dstKind = routeKind(attempt.dstRoute);
  if (dstKind == ROUTE_UNTRANSLATED && (walk.ctState & CT_NEW) != 0) {
    endUntold();
    return true;
  }
  // Nobody says at which hooks it comes by, and whether a node port takes it.
  if ((walk.ctState & (CT_ESTABLISHED | CT_RELATED)) == 0) {
    if (routeIsPerhapsLocal(attempt.srcRoute)) return !end(VERDICT_UNKNOWN, REASON_MISSING_SRC);
    if (routeIsPerhapsLocal(attempt.dstRoute)) return !end(VERDICT_UNKNOWN, REASON_MISSING_DST);
  }
  if (srcKind == ROUTE_UNICAST || srcKind == ROUTE_LOCAL) return false;
  if (dstKind == ROUTE_UNICAST || dstKind == ROUTE_LOCAL) return false;
  if (walk.srcMissing) end(VERDICT_UNKNOWN, REASON_MISSING_SRC);
  else if (walk.dstMissing) end(VERDICT_UNKNOWN, REASON_MISSING_DST);
  else end(VERDICT_UNKNOWN, REASON_NO_ENDPOINT);
  return true;
}

// Seen as one, the cluster's nodes are still apart: what passes between two of them is forwarded.
function onSameNode(): bool {
  if (!severalNodes()) return true;
  const srcNode = routeNode(attempt.srcRoute);
  const dstNode = routeNode(attempt.dstRoute);
  if (srcNode != 0 && dstNode != 0) return srcNode == dstNode;
  const srcKind = routeKind(attempt.srcRoute);
  const dstKind = routeKind(attempt.dstRoute);
  const podWithoutNode =
    (isPod(attempt.srcRoute) && dstKind == ROUTE_LOCAL) ||
    (srcKind == ROUTE_LOCAL && isPod(attempt.dstRoute));
  return !podWithoutNode || ask(QUESTION_NODE, REASON_NO_NODE, RULE_NONE);
}

// A packet arrives where its source is; where the capture was taken on another endpoint's interface, it
// arrives there (a source that is not the endpoint's own).
function arrivalInterface(packet: Packet): u32 {
  const expected = routeInterface(attempt.srcRoute);
  const captured = captureInterfaceNumber(packet.captureInterface);
  if (policesEachHost() && expected == uplinkInterface()) {
    const node = routeNode(attempt.dstRoute);
    walk.inUnknown = node == 0;
    return nodeWay(node, false);
  }
  if (leadsAway(attempt.srcRoute)) return arriveFromAway(packet);
  if (captured == 0 || captured == uplinkInterface() || isNodeInterface(captured)) return expected;
  if (captureInterfaceStand(packet.captureInterface) != CAPTURED_TOLD) return expected;
  if ((packet.flags & PACKET_OUTBOUND) != 0 || tracking.seenAfter) return expected;
  return captured == routeInterface(attempt.dstRoute) ? expected : captured;
}

// Where host endpoints tell interfaces apart: from another node by a tunnel, or by one of several by which it may
// have come, as the capture may show.
function arriveFromAway(packet: Packet): u32 {
  let way = routeInterface(attempt.srcRoute);
  let open = routeIsMultipath(attempt.srcRoute);
  const tunnel = comesByTunnel();
  const wrapped = tunnel == TUNNEL_SURE;
  if (wrapped) way = routeTunnel(attempt.dstRoute);
  if (tunnel != TUNNEL_NONE) open = !wrapped;
  walk.inUnknown = open;
  if ((packet.flags & PACKET_OUTBOUND) != 0) return way;
  const captured = captureInterfaceNumber(packet.captureInterface);
  if (showsWay(packet)) {
    walk.inUnknown = isUnsure(packet, way, open, wrapped, isLocalPod(attempt.dstRoute));
    return capturedOr(way, packet, walk.inUnknown);
  }
  if (captured == 0 || tracking.seenAfter || captured == routeInterface(attempt.dstRoute))
    return way;
  walk.inUnknown = false;
  return captured;
}

const TUNNEL_NONE: u32 = 0;
const TUNNEL_SURE: u32 = 1;
const TUNNEL_PERHAPS: u32 = 2;

// Whether another node has wrapped the packet: it does so for the destination's sake.
function comesByTunnel(): u32 {
  if (routeTunnel(attempt.dstRoute) == 0 || routeIsBare(attempt.dstRoute)) return TUNNEL_NONE;
  const kind = routeKind(attempt.srcRoute);
  if (kind != ROUTE_UNICAST && kind != ROUTE_MISSING) return TUNNEL_NONE;
  const always = routeIsWrapped(attempt.dstRoute);
  if (!always && routeIsNear(attempt.srcRoute)) return TUNNEL_NONE;
  // A node's own address, or one of which nothing tells what it is.
  if (routeTunnel(attempt.srcRoute) == 0 || kind == ROUTE_MISSING) return TUNNEL_PERHAPS;
  return always || routeIsFar(attempt.srcRoute) ? TUNNEL_SURE : TUNNEL_PERHAPS;
}

function lookAtDestination(packet: Packet): void {
  const kind = routeKind(attempt.dstRoute);
  walk.dstMissing = kind == ROUTE_MISSING;
  walk.dstLocal = kind == ROUTE_LOCAL || staysOnLink(packet.family, walk.dst0);
}
