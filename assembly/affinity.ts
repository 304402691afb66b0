// Session affinity of a cluster's Services: kube-proxy has each node remember in a list for each backend when it
// sent a client there last (`-m recent`: --rcheck in front of the draw, --set where it leads). A list of which it
// is not known whether it has the client is passed over: where it leads, the draw behind it leads as well. Only
// then a list behind it that has the client is not believed.
// Tries change nothing of this; what they did together is one visit, which is kept when the verdict stands.
// Source: Linux, xt_recent.c; kubernetes pkg/proxy/iptables/proxier.go, writeServiceToEndpointRules().
import {
  countOpen,
  decisiveVisit,
  HAS_NOT,
  HAS_PERHAPS,
  NODE_UNTOLD,
  startAsking,
  wordOn,
} from "./affinity-lists";
import { List, listOf, stepIn } from "./affinity-records";
import { visitByAnybody, visitSomewhere } from "./affinity-count";
import { visitList, visitOneOf } from "./affinity-visits";
import { attempt } from "./attempt";
import { sameAddress } from "./bytes";
import { isPod, knowsNode } from "./entry-node";
import { ask } from "./fork";
import { KNOWN_SRC, PACKET_HAS_TIME, PACKET_SRC, REASON_BACKEND, ROUTE_LOCAL } from "./layout";
import { Packet } from "./records";
import { routeKind, routeNode, routeOf, severalNodes } from "./route";
import { sharedConflicts } from "./shared-state";
import { tracking } from "./tracking";
import { Walk, walk } from "./walk";

// Nodes are not told apart.
const NODE_ONLY: u32 = 1 << 16;
// The one that the client is on, which nothing tells: its connections meet no other first.
const NODE_OF_CLIENT: u32 = 1 << 17;

const QUESTION_RECALL: u64 = 1 << 45;

const walkSrc: usize = changetype<usize>(walk) + offsetof<Walk>("src0");
const walkClient: usize = changetype<usize>(walk) + offsetof<Walk>("client0");

// The steps of all tries: those of a node together, in the order of its rules.
const STEPS_MAX: u32 = 2048;
const steps: usize = memory.data(2048 * 16);
let stepCount: u32 = 0;
let candidateCount: u32 = 0;
let overflowed: bool = false;
// The client that tries put in; whether another try put in another one.
const client: usize = memory.data(16);
let clientsDiffer: bool = false;
// Tries that put in nobody: they began a connection, or they did not.
let leftOut: bool = false;
let wasThere: bool = false;

/** Begins a packet's first try. */
export function startVisit(): void {
  stepCount = 0;
  candidateCount = 0;
  overflowed = false;
  clientsDiffer = false;
  leftOut = false;
  wasThere = false;
}

// ── In a try ───────────────────────────────────────────────────────────────────────────────────────────

/** `--rcheck`: the node sent the client to this backend before, and not longer ago than that. */
export function isRecalled(shared: u32, seconds: u32, rule: i32): bool {
  startAsking((walk.flags & PACKET_HAS_TIME) != 0);
  const list = listOf(shared);
  list.seconds = seconds;
  const node = nodeAsked();
  if (!walk.again) noteStep(list, node);
  if (node == NODE_UNTOLD) return false;
  const word = sharedConflicts(shared) != 0 ? HAS_PERHAPS : wordOn(list, node, walkSrc);
  if (word == HAS_NOT) return false;
  if (word == HAS_PERHAPS) {
    const visit = decisiveVisit(list, node, walkSrc);
    if (visit == null || (walk.recalls != 0 && walk.recalls != <u32>changetype<usize>(visit))) {
      walk.recallDoubted = true;
      return false;
    }
    walk.recalls = <u32>changetype<usize>(visit);
    if (walk.recallsDenied + 1 < countOpen(visit)) {
      if (ask(QUESTION_RECALL | (<u64>changetype<usize>(list)), REASON_BACKEND, rule)) return true;
      walk.recallsDenied++;
      return false;
    }
  }
  return !walk.recallDoubted;
}

/** `--set`: the node remembers that it sends the client to this backend. */
export function remember(shared: u32): void {
  // > The kernel asks nat for a connection's first packet only.
  if (walk.again) return;
  if (walk.remembered != 0) walk.remembersMore = true;
  walk.remembered = <u32>changetype<usize>(listOf(shared));
  walk.rememberedAt = nodeAsked();
  memory.copy(walkClient, walkSrc, 16);
}

/** Another node's tables are asked from here on. */
export function recallAnew(): void {
  walk.step = 0;
  walk.recalls = 0;
  walk.recallsDenied = 0;
  walk.recallDoubted = false;
}

// The node whose tables are asked.
function nodeAsked(): u32 {
  if (!severalNodes()) return NODE_ONLY;
  const pod = isPod(attempt.srcRoute) && routeNode(attempt.srcRoute) == 0;
  if (pod && !walk.hopped) return NODE_OF_CLIENT;
  return knowsNode() ? walk.node : NODE_UNTOLD;
}

// Tries come to the same lists, one after the other; the first of them perhaps not to all.
function noteStep(list: List, node: u32): void {
  const place = stepOf(<u32>changetype<usize>(list), node);
  walk.step = place + 1;
  if (place < stepCount) return;
  if (stepCount == STEPS_MAX) {
    overflowed = true;
    return;
  }
  const step = stepIn(steps, stepCount);
  step.list = <u32>changetype<usize>(list);
  step.node = node;
  step.changes = 0;
  step.isCandidate = 0;
  stepCount++;
}

// Place of the step to a list; as many as there are without one.
function stepOf(list: u32, node: u32): u32 {
  if (walk.step < stepCount && isStep(walk.step, list, node)) return walk.step;
  let place: u32 = 0;
  while (place < stepCount && !isStep(place, list, node)) place++;
  return place;
}

function isStep(place: u32, list: u32, node: u32): bool {
  const step = stepIn(steps, place);
  return step.list == list && step.node == node;
}

// ── Behind a try, and behind all ───────────────────────────────────────────────────────────────────────

/** Notes what the try that has just ended did. */
export function noteVisit(): void {
  if (walk.remembered == 0) {
    if (tracking.fresh) leftOut = true;
    else wasThere = true;
    return;
  }
  if (walk.remembersMore) overflowed = true;
  const list = changetype<List>(<usize>walk.remembered);
  memory.copy(walk.remembered, changetype<usize>(walk) + offsetof<Walk>("dst0"), 16);
  list.port = walk.dport;
  if (candidateCount == 0) memory.copy(client, walkClient, 16);
  else if (!sameAddress(client, walkClient)) clientsDiffer = true;
  noteStep(list, walk.rememberedAt);
  const place = stepOf(walk.remembered, walk.rememberedAt);
  if (place == stepCount || stepIn(steps, place).isCandidate != 0) return;
  stepIn(steps, place).isCandidate = 1;
  candidateCount++;
}

/**
 * Keeps what the tries did, whose verdict stands.
 *
 * @param complete all tries were made
 * @param refused  the table of connections was full: perhaps the packet came to no rules
 */
export function keepVisit(packet: Packet, complete: bool, refused: bool): void {
  if (stepCount == 0) return;
  if (!complete || overflowed || clientsDiffer) {
    visitUntold(packet);
    return;
  }
  if (candidateCount == 0) return;
  const there = wasThere || refused;
  if (candidateCount == 1 && !leftOut && !there) {
    let chosen: u32 = 0;
    while (stepIn(steps, chosen).isCandidate == 0) chosen++;
    if (stepIn(steps, chosen).node != NODE_UNTOLD) {
      visitList(client, steps, chosen);
      return;
    }
  }
  visitOneOf(client, steps, stepCount, leftOut, there);
}

/** A packet may have come to any rules, or to none. */
export function visitUntold(packet: Packet): void {
  if ((packet.known & KNOWN_SRC) == 0) {
    visitByAnybody();
    return;
  }
  const dst = routeOf(packet.family, packet.dst0, packet.dst1, packet.dst2, packet.dst3);
  // What comes to another node's port perhaps has the address of the one that it has left.
  if (severalNodes() && routeKind(dst) == ROUTE_LOCAL) visitByAnybody();
  else visitSomewhere(changetype<usize>(packet) + PACKET_SRC);
}
