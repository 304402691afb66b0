// By which node a connection enters a cluster seen as one, where nothing tells. Each answer leaves fewer nodes, so
// that what is asked later fits it: a node chooses from its own backends only, and masquerades with its own
// addresses.
import { attempt } from "./attempt";
import { ask } from "./fork";
import { REASON_BY_NODE, REASON_NO_NODE, ROUTE_UNICAST, RULE_NONE } from "./layout";
import { routeInterface, routeKind, routeNode, uplinkInterface } from "./route";
import { walk } from "./walk";

/** A node that is none of those with a number of their own, or of which nothing tells which it is. */
export const NODE_ELSEWHERE: u32 = 0xffff;

const QUESTION_AMONG: u64 = (1 << 46) | (4 << 32);
const QUESTION_BY_NODE: u64 = (1 << 46) | (5 << 32);

// u32[wordCount]: a bit for each node by its number; the lowest is any that nothing names.
let all: usize = 0;
let wordCount: u32 = 0;
// The same: those that are left in this try, once `walk.nodesLeft`.
let left: usize = 0;

/** Sets the bits of the nodes by which connections may come. */
export function setNodes(bits: usize, words: u32): void {
  all = bits;
  wordCount = words;
  left = heap.alloc((<usize>max<u32>(1, words)) << 2);
}

/** Not the address of a Service, to which nothing leads that has an interface here. */
export function isPod(route: i32): bool {
  return routeKind(route) == ROUTE_UNICAST && routeInterface(route) != uplinkInterface();
}

/** An address belongs to the node whose tables are asked, as far as that is known. */
export function isHere(route: i32): bool {
  const node = routeNode(route);
  return walk.node == 0 || node == 0 || node == walk.node;
}

/** The node whose tables are asked is known. */
export function knowsNode(): bool {
  return walk.node != 0 && walk.node != NODE_ELSEWHERE;
}

/**
 * Tells whether the node whose tables are asked is one of some.
 *
 * @param nodes  a bit for each node by its number
 * @param spared nothing comes by them from outside
 */
export function isAtNodes(nodes: usize, spared: bool, rule: i32): bool {
  if (knowsNode()) return hasBit(nodes, walk.node);
  begin();
  let some: u32 = 0;
  let others: u32 = 0;
  for (let index: u32 = 0; index < wordCount; index++) {
    const at = (<usize>index) << 2;
    some |= load<u32>(left + at) & load<u32>(nodes + at);
    others |= load<u32>(left + at) & ~load<u32>(nodes + at);
  }
  if (some == 0) return false;
  if (others == 0) return true;
  const outside = !isPod(attempt.srcRoute);
  const among = !(spared && outside) && ask(QUESTION_AMONG | (<u64>nodes), reason(), rule);
  for (let index: u32 = 0; index < wordCount; index++) {
    const at = (<usize>index) << 2;
    const own = load<u32>(nodes + at);
    store<u32>(left + at, load<u32>(left + at) & (among ? own : ~own));
  }
  takeOnly();
  return among;
}

/** Tells whether it is a certain one. */
export function isAtNode(node: u32): bool {
  if (!mayBeAt(node)) return false;
  begin();
  takeOnly();
  // It is that: no other is left.
  if (knowsNode()) return true;
  if (!ask(QUESTION_BY_NODE | (<u64>node), reason(), RULE_NONE)) {
    spareNode(node);
    return false;
  }
  walk.node = node;
  return true;
}

/** Tells whether it may be a certain one. */
export function mayBeAt(node: u32): bool {
  if (knowsNode()) return node == walk.node;
  return walk.nodesLeft ? hasBit(left, node) : hasBit(all, node);
}

/** It is not a certain one. */
export function spareNode(node: u32): void {
  begin();
  const at = left + ((<usize>(node >> 5)) << 2);
  if (node >> 5 < wordCount) store<u32>(at, load<u32>(at) & ~(1 << (node & 31)));
  takeOnly();
}

function begin(): void {
  if (walk.nodesLeft) return;
  walk.nodesLeft = true;
  memory.copy(left, all, (<usize>wordCount) << 2);
}

function hasBit(bits: usize, node: u32): bool {
  if (node >> 5 >= wordCount) return false;
  return ((load<u32>(bits + ((<usize>(node >> 5)) << 2)) >> (node & 31)) & 1) != 0;
}

// One is left, and it has a number.
function takeOnly(): void {
  let only: u32 = 0;
  for (let index: u32 = 0; index < wordCount; index++) {
    const word = load<u32>(left + ((<usize>index) << 2));
    if (word == 0) continue;
    if (only != 0 || popcnt<u32>(word) != 1 || (index == 0 && (word & 1) != 0)) return;
    only = (index << 5) + ctz<u32>(word);
  }
  if (only != 0) walk.node = only;
}

function reason(): u32 {
  return isPod(attempt.srcRoute) && routeNode(attempt.srcRoute) == 0
    ? REASON_NO_NODE
    : REASON_BY_NODE;
}
