// The way of a packet through a cluster seen as one node, or through one node as its manifests tell it:
// interfaces and ends follow from the addresses, and an end that no object has is missing.
import { attempt, end } from "./attempt";
import { decidedBefore, stateOfPacket, takeFirstTuple } from "./connection-state";
import { ask } from "./fork";
import { captureInterfaceNumber } from "./interface";
import {
  CT_NEW,
  CT_UNTRACKED,
  HOOK_FORWARD,
  HOOK_INPUT,
  HOOK_OUTPUT,
  HOOK_POSTROUTING,
  HOOK_PREROUTING,
  PACKET_OUTBOUND,
  REASON_MISSING_DST,
  REASON_MISSING_SRC,
  REASON_NO_BACKENDS,
  REASON_NO_ENDPOINT,
  REASON_NO_NODE,
  REASON_NO_ROUTE,
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
import { startSource, translateDestination, translateSource } from "./nat";
import { Packet } from "./records";
import {
  routeInterface,
  routeKind,
  routeNode,
  routeOf,
  severalNodes,
  staysOnLink,
  uplinkInterface,
} from "./route";
import { runTable } from "./run-table";
import { tracking } from "./tracking";
import { walk } from "./walk";

const QUESTION_NODE: u64 = 1 << 61;

/** Tries the way; true when the packet got through its last hook. The connection was tracked before. */
export function tryClusterPath(packet: Packet): bool {
  const family: u32 = packet.family;
  if (!decidedBefore()) return false;
  walk.ctState = stateOfPacket();
  takeFirstTuple();
  startSource();
  attempt.srcRoute = routeOf(family, walk.src0, walk.src1, walk.src2, walk.src3);
  attempt.dstRoute = routeOf(family, walk.dst0, walk.dst1, walk.dst2, walk.dst3);
  walk.srcMissing = routeKind(attempt.srcRoute) == ROUTE_MISSING;
  walk.srcLocal = routeKind(attempt.srcRoute) == ROUTE_LOCAL;
  lookAtDestination(packet);
  if (walk.srcLocal) {
    walk.outInterface = routeInterface(attempt.dstRoute);
  } else {
    walk.inInterface = arrivalInterface(packet);
  }
  walk.hook = walk.srcLocal ? HOOK_OUTPUT : HOOK_PREROUTING;
  if (!runTable(TABLE_RAW) || !runTable(TABLE_MANGLE) || !translateDestination()) return false;
  attempt.dstRoute = routeOf(family, walk.dst0, walk.dst1, walk.dst2, walk.dst3);
  lookAtDestination(packet);
  return !wayUnknown() && goOn();
}

// From the routing decision to the last hook; false when the try has ended.
function goOn(): bool {
  const delivered = walk.dstLocal;
  const sameNode = (delivered || walk.srcLocal) && onSameNode();
  if (walk.srcLocal && sameNode) {
    if (!runTable(TABLE_FILTER) || !runTable(TABLE_SECURITY)) return false;
    walk.outInterface = routeInterface(attempt.dstRoute);
    attempt.outInterface = walk.outInterface;
    return postroute();
  }
  if (delivered && sameNode) {
    walk.hook = HOOK_INPUT;
    attempt.inInterface = walk.inInterface;
    return runTable(TABLE_MANGLE) && runTable(TABLE_FILTER) && runTable(TABLE_SECURITY);
  }
  if (attempt.dstRoute == ROUTE_NONE) return end(VERDICT_DROP, REASON_NO_ROUTE);
  // Another node's address lies behind the uplink.
  if (walk.srcLocal) walk.inInterface = uplinkInterface();
  walk.outInterface = delivered ? uplinkInterface() : routeInterface(attempt.dstRoute);
  attempt.inInterface = walk.inInterface;
  attempt.outInterface = walk.outInterface;
  walk.hook = HOOK_FORWARD;
  if (!runTable(TABLE_MANGLE) || !runTable(TABLE_FILTER) || !runTable(TABLE_SECURITY)) return false;
  return postroute();
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
    end(VERDICT_UNKNOWN, REASON_NO_BACKENDS);
    return true;
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
    (srcKind == ROUTE_UNICAST && dstKind == ROUTE_LOCAL) ||
    (srcKind == ROUTE_LOCAL && dstKind == ROUTE_UNICAST);
  return !podWithoutNode || ask(QUESTION_NODE, REASON_NO_NODE, RULE_NONE);
}

// A packet arrives where its source is; where the capture was taken on another endpoint's interface, it
// arrives there (a source that is not the endpoint's own).
function arrivalInterface(packet: Packet): u32 {
  const expected = routeInterface(attempt.srcRoute);
  const captured = captureInterfaceNumber(packet.captureInterface);
  if (captured == 0 || captured == uplinkInterface()) return expected;
  if ((packet.flags & PACKET_OUTBOUND) != 0 || tracking.seenAfter) return expected;
  return captured == routeInterface(attempt.dstRoute) ? expected : captured;
}

function lookAtDestination(packet: Packet): void {
  const kind = routeKind(attempt.dstRoute);
  walk.dstMissing = kind == ROUTE_MISSING;
  walk.dstLocal = kind == ROUTE_LOCAL || staysOnLink(packet.family, walk.dst0);
}
