// From node to node in a cluster seen as one: each has tables of its own, and what one masquerades comes to
// the next with an address of it. This way go first packets that are translated at a node, or for a node, and
// those like them that nobody has answered; where policies bind the nodes' own interfaces, so do all packets
// between two nodes. Others pass both nodes' chains at once.
// Source: semantics.md section 19, rows 8 and 10 to 13.
import { recallAnew } from "./affinity";
import { attempt, end, endUntold } from "./attempt";
import {
  isAtNode,
  isHere,
  isPod,
  knowsNode,
  mayBeAt,
  NODE_ELSEWHERE,
  spareNode,
} from "./entry-node";
import { ask } from "./fork";
import { journalMark, rollBackTo } from "./journal";
import {
  CT_DNAT,
  CT_SNAT,
  HOOK_FORWARD,
  HOOK_INPUT,
  HOOK_OUTPUT,
  HOOK_POSTROUTING,
  HOOK_PREROUTING,
  MARK_STAYS,
  NODE_ADDRESS_FAMILY,
  NODE_ADDRESS_NODE,
  NODE_ADDRESS_SIZE,
  NODE_ADDRESS_TUNNEL,
  NODE_ADDRESS_WORDS,
  REASON_BY_NODE,
  REASON_NO_NODE,
  REASON_NO_WAY,
  REASON_OUTGOING,
  ROUTE_LOCAL,
  ROUTE_MISSING,
  ROUTE_UNICAST,
  ROUTE_UNTRANSLATED,
  RULE_NONE,
  TABLE_FILTER,
  TABLE_MANGLE,
  TABLE_RAW,
  TABLE_SECURITY,
  VERDICT_UNKNOWN,
} from "./layout";
import { translateDestination, translateSource } from "./nat";
import { nodeWay } from "./node-way";
import {
  policesEachHost,
  routeInterface,
  routeIsBare,
  routeIsWrapped,
  routeKind,
  routeNode,
  routeOf,
  routeTunnel,
  severalNodes,
} from "./route";
import { runTable } from "./run-table";
import { Walk, walk } from "./walk";

/** Both ends are on one node. */
export const QUESTION_NODE: u64 = 1 << 61;
const QUESTION_HOP: u64 = 1 << 46;
const QUESTION_BY: u64 = (1 << 46) | (1 << 32);
const QUESTION_ADDRESS: u64 = (1 << 46) | (2 << 32);
const QUESTION_OUTGOING: u64 = (1 << 46) | (3 << 32);

const QUESTION_WRAPPED: u64 = (1 << 46) | (6 << 32);

const walkSrc: usize = changetype<usize>(walk) + offsetof<Walk>("src0");
const walkDst: usize = changetype<usize>(walk) + offsetof<Walk>("dst0");
const savedDst: usize = memory.data(16);

// The packet is wrapped on its way between the two nodes that it passes now.
let wrapped: bool = false;
let addresses: usize = 0;
let addressCount: u32 = 0;
let outgoingKnown: bool = false;

/**
 * Sets the records of the addresses from which nodes send: NODE_ADDRESS_*, those of a node together.
 *
 * @param isOutgoingKnown rules say what nodes masquerade of what their pods send out
 */
export function setNodeAddresses(records: usize, count: u32, isOutgoingKnown: bool): void {
  outgoingKnown = isOutgoingKnown;
  addresses = records;
  addressCount = count;
}

/** A node has masqueraded the packet; or nothing tells whether it does so of what pods send out of their ranges. */
export function mayBeMasqueraded(): bool {
  if (walk.masqueraded) return true;
  if (!severalNodes() || outgoingKnown || !isPod(attempt.srcRoute)) return false;
  return !isPod(attempt.dstRoute) && routeKind(attempt.dstRoute) != ROUTE_MISSING;
}

/** The packet, as PREROUTING or OUTPUT of its first node left it, has to be judged node by node. */
export function crossesNodes(): bool {
  const kind = routeKind(attempt.dstRoute);
  if (kind == ROUTE_LOCAL && !isHere(attempt.dstRoute)) return true;
  // A pod that reaches itself.
  if (attempt.dstRoute == attempt.srcRoute) return false;
  if (walk.mark == 0 || !walk.translated || (kind != ROUTE_UNICAST && kind != ROUTE_LOCAL))
    return false;
  const node = routeNode(attempt.dstRoute);
  if (node == 0) return !isBackendHere();
  return !isAtNode(node);
}

/**
 * The packet, as PREROUTING or OUTPUT of its first node left it, passes the interfaces of two nodes. Of which a pod
 * is on, perhaps nothing tells.
 */
export function passesHosts(): bool {
  if (!policesEachHost() || !isOfNode(attempt.srcRoute) || !isOfNode(attempt.dstRoute))
    return false;
  // A node that was asked before has chosen from its own.
  if ((walk.mark & MARK_STAYS) != 0) return false;
  let from = routeNode(attempt.srcRoute);
  const to = routeNode(attempt.dstRoute);
  if (from == 0 && knowsNode()) from = walk.node;
  if (from != 0 && from == to) return false;
  if (from == 0 || to == 0) {
    if (attempt.srcRoute == attempt.dstRoute) return false;
    if (isPerhapsAt(from, to) && ask(QUESTION_NODE, REASON_NO_NODE, RULE_NONE)) return false;
    if (from == 0 && to != 0) spareNode(to);
  }
  if (from != 0) walk.node = from;
  else if (!knowsNode()) walk.node = NODE_ELSEWHERE;
  return true;
}

// The destination's node may be the one that the source is on.
function isPerhapsAt(from: u32, to: u32): bool {
  return from != 0 || to == 0 || mayBeAt(to);
}

function isOfNode(route: i32): bool {
  return routeNode(route) != 0 || isPod(route);
}

/** Judges it node by node; false when the try has ended. The walk keeps the source that the last node saw. */
export function crossNodes(): bool {
  const srcRoute = attempt.srcRoute;
  const srcMissing = walk.srcMissing;
  const ctState = walk.ctState;
  const passed = hop() && (isThere() || hop()) && arriveAtLast();
  attempt.srcRoute = srcRoute;
  walk.srcMissing = srcMissing;
  walk.ctState = ctState | (walk.ctState & (CT_DNAT | CT_SNAT));
  return passed;
}

// The destination is at the node whose tables are asked, or another sees the same.
function isThere(): bool {
  const node = routeNode(attempt.dstRoute);
  if (node == walk.node || walk.mark == 0) return true;
  return node == 0 && (!isPod(attempt.dstRoute) || isBackendHere());
}

// A backend of which nothing tells where it is, is at the node that has translated to it.
function isBackendHere(): bool {
  return (walk.mark & MARK_STAYS) != 0 || ask(QUESTION_HOP, REASON_NO_NODE, RULE_NONE);
}

// Out of one node and into the destination's.
function hop(): bool {
  const toNode = routeKind(attempt.dstRoute) == ROUTE_LOCAL;
  const fromPod = routeKind(attempt.srcRoute) == ROUTE_UNICAST;
  if (!leave()) return false;
  if (walk.masqueraded && !takeNodeAddress()) return false;
  walk.node = routeNode(attempt.dstRoute);
  walk.nodesLeft = false;
  walk.hopped = true;
  recallAnew();
  walk.srcLocal = false;
  walk.mark = 0;
  arriveByUplink();
  walk.outInterface = 0;
  walk.outUnknown = false;
  if (walk.translated) {
    walk.ctState &= ~(<u32>(CT_DNAT | CT_SNAT));
    // Nobody has rules for it there but those that bind the node's own interface.
    if (!policesEachHost()) return true;
    walk.translated = false;
    const passed = arrive();
    walk.translated = true;
    return passed;
  }
  const before = walk.node;
  const mark = journalMark();
  memory.copy(savedDst, walkDst, 16);
  const port = walk.dport;
  if (!arrive()) return false;
  // Whether nodes masquerade what pods send out of the pods' ranges, where no object tells.
  if (outgoingKnown || !walk.translated || !fromPod || !toNode) return true;
  if (!ask(QUESTION_OUTGOING, REASON_OUTGOING, RULE_NONE)) return true;
  rollBackTo(mark);
  walk.remembered = 0;
  recallAnew();
  memory.copy(walkDst, savedDst, 16);
  walk.dport = port;
  walk.translated = false;
  walk.dstLocal = true;
  walk.mark = 0;
  walk.ctState &= ~(<u32>CT_DNAT);
  walk.node = routeNode(attempt.srcRoute);
  attempt.dstRoute = routeOfDestination();
  walk.masqueraded = true;
  if (!takeNodeAddress()) return false;
  walk.node = before;
  return arrive();
}

function arriveByUplink(): void {
  walk.inInterface = nodeWay(walk.node, wrapped);
  walk.inUnknown = policesEachHost() && !knowsNode();
}

// Between these nodes it is wrapped. Whether it is so makes a difference where policies bind the devices.
function isWrapped(): bool {
  if (!policesEachHost() || routeTunnel(attempt.dstRoute) == 0 || routeIsBare(attempt.dstRoute))
    return false;
  if (routeIsWrapped(attempt.dstRoute)) return true;
  return ask(QUESTION_WRAPPED | (<u64>(<u32>attempt.dstRoute)), REASON_NO_WAY, RULE_NONE);
}

function leave(): bool {
  wrapped = isWrapped();
  walk.outInterface = nodeWay(walk.node, wrapped);
  walk.outUnknown = policesEachHost() && !knowsNode();
  attempt.outInterface = walk.outInterface;
  if (walk.srcLocal) {
    walk.hook = HOOK_OUTPUT;
  } else {
    attempt.inInterface = walk.inInterface;
    walk.hook = HOOK_FORWARD;
    if (!runTable(TABLE_MANGLE)) return false;
  }
  if (!runTable(TABLE_FILTER) || !runTable(TABLE_SECURITY)) return false;
  walk.hook = HOOK_POSTROUTING;
  return runTable(TABLE_MANGLE) && translateSource();
}

function arrive(): bool {
  walk.hook = HOOK_PREROUTING;
  if (!runTable(TABLE_RAW) || !runTable(TABLE_MANGLE) || !translateDestination()) return false;
  attempt.dstRoute = routeOfDestination();
  const kind = routeKind(attempt.dstRoute);
  walk.dstLocal = kind == ROUTE_LOCAL;
  return kind != ROUTE_UNTRANSLATED || endUntold();
}

function arriveAtLast(): bool {
  arriveByUplink();
  if (walk.dstLocal) {
    walk.hook = HOOK_INPUT;
    return runTable(TABLE_MANGLE) && runTable(TABLE_FILTER) && runTable(TABLE_SECURITY);
  }
  walk.outInterface = routeInterface(attempt.dstRoute);
  walk.outUnknown = false;
  attempt.outInterface = walk.outInterface;
  walk.hook = HOOK_FORWARD;
  if (!runTable(TABLE_MANGLE) || !runTable(TABLE_FILTER) || !runTable(TABLE_SECURITY)) return false;
  walk.hook = HOOK_POSTROUTING;
  return runTable(TABLE_MANGLE) && translateSource();
}

// One of the addresses of the node it leaves; where that is not known, of any but the destination's.
function takeNodeAddress(): bool {
  const known = knowsNode();
  let node: u32 = 0;
  let wants: bool = false;
  let taken: usize = 0;
  for (let index: u32 = 0; index < addressCount; index++) {
    const record = addresses + <usize>index * NODE_ADDRESS_SIZE;
    const own: u32 = load<u16>(record, NODE_ADDRESS_NODE);
    // Of a node whose tunnels' addresses are not told, each may be.
    if (own != node || index == 0) wants = anySuits(index, own);
    node = own;
    if (!maySendFrom(record) || (wants && !suits(record))) continue;
    // The last one is not asked for.
    if (taken != 0) {
      const question = (known ? QUESTION_ADDRESS : QUESTION_BY) | index;
      if (ask(question, REASON_BY_NODE, RULE_NONE)) break;
    }
    taken = record;
  }
  if (taken == 0) return end(VERDICT_UNKNOWN, REASON_BY_NODE);
  memory.copy(walkSrc, taken + NODE_ADDRESS_WORDS, 16);
  walk.sportDrawn = true;
  walk.srcMissing = false;
  attempt.srcRoute = routeOf(
    walk.family,
    load<u32>(walkSrc),
    load<u32>(walkSrc, 4),
    load<u32>(walkSrc, 8),
    load<u32>(walkSrc, 12),
  );
  return true;
}

// It is of the node that the packet leaves, or may be.
function maySendFrom(record: usize): bool {
  if (<u32>load<u8>(record, NODE_ADDRESS_FAMILY) != walk.family) return false;
  const node: u32 = load<u16>(record, NODE_ADDRESS_NODE);
  return mayBeAt(node) && (knowsNode() || node != routeNode(attempt.dstRoute));
}

// Of the node's addresses, which begin here, one is that of the interface to the destination.
function anySuits(first: u32, node: u32): bool {
  for (let index = first; index < addressCount; index++) {
    const record = addresses + <usize>index * NODE_ADDRESS_SIZE;
    if (<u32>load<u16>(record, NODE_ADDRESS_NODE) != node) return false;
    if (maySendFrom(record) && suits(record)) return true;
  }
  return false;
}

// It is the one of the interface to the destination: a tunnel's, or the node's.
function suits(record: usize): bool {
  const tunnel = load<u8>(record, NODE_ADDRESS_TUNNEL) != 0;
  const wrapped = routeIsWrapped(attempt.dstRoute);
  return tunnel ? wrapped || !routeIsBare(attempt.dstRoute) : !wrapped;
}

function routeOfDestination(): i32 {
  return routeOf(walk.family, walk.dst0, walk.dst1, walk.dst2, walk.dst3);
}
