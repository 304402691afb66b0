// One packet's way through the hooks, tried once: routing decision, tables in the kernel's order,
// translation. Ends in allow or drop, or in unknown where the way itself is not known.
// Source: semantics.md H-1 to H-6; Linux, net/netfilter/core.c.
import { captureInterfaceNumber } from "./interface";
import { Entry, ENTRY_DNAT, ENTRY_MASQUERADED, entryAt } from "./flow-table";
import { ask } from "./fork";
import {
  BACKEND_LEGACY,
  BACKEND_NFT,
  CT_ESTABLISHED,
  CT_INVALID,
  CT_NEW,
  CT_RELATED,
  CT_UNTRACKED,
  HOOK_FORWARD,
  HOOK_INPUT,
  HOOK_OUTPUT,
  HOOK_POSTROUTING,
  HOOK_PREROUTING,
  PACKET_OUTBOUND,
  PACKET_SRC,
  REASON_CHAIN_POLICY,
  REASON_MISSING_DST,
  REASON_MISSING_SRC,
  REASON_NO_BACKENDS,
  REASON_NO_ENDPOINT,
  REASON_NO_ICMP,
  REASON_NO_NODE,
  REASON_NO_ROUTE,
  REASON_NO_TCP_FLAGS,
  REASON_RULE,
  REASON_TOO_MANY_RULES,
  ROUTE_LOCAL,
  ROUTE_MISSING,
  ROUTE_NONE,
  ROUTE_UNICAST,
  ROUTE_UNTRANSLATED,
  RULE_IS_END,
  RULE_NONE,
  TABLE_FILTER,
  TABLE_MANGLE,
  TABLE_NAT,
  TABLE_RAW,
  TABLE_SECURITY,
  VERDICT_ALLOW,
  VERDICT_DROP,
  VERDICT_UNKNOWN,
} from "./layout";
import { hasPorts } from "./match";
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
import { entryOf, ruleAt, underflowOf } from "./rule";
import { traceEnter } from "./trace";
import { startPath, TABLE_DROPS, TABLE_PASS, traverse } from "./traverse";
import { Walk, walk } from "./walk";
import { DIRECTION_REPLY, ENTRY_NONE, tracking } from "./tracking";

/** How one try ended. */
@unmanaged
export class Attempt {
  /** VERDICT_ALLOW, VERDICT_DROP or VERDICT_UNKNOWN. */
  verdict: u32;
  reason: u32;
  /** Hook and table in which the filter decided, or which dropped. */
  hook: u32;
  table: u32;
  srcRoute: i32;
  dstRoute: i32;
  /** The interfaces by which the packet came and leaves; 0 for the node itself. */
  inInterface: u32;
  outInterface: u32;
}

/** The try under way. */
export const attempt: Attempt = changetype<Attempt>(memory.data(offsetof<Attempt>()));

// Questions that are not about a match.
const QUESTION_STATE: u64 = 1 << 60;
const QUESTION_NODE: u64 = 1 << 61;

/** Tries the packet's way once; answers to missing facts come from fork.ts. */
export function tryHooks(packet: Packet): void {
  startPath();
  startAttempt();
  startWalk(packet);
  const family: u32 = packet.family;
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
  if (!runTable(TABLE_RAW) || !runTable(TABLE_MANGLE) || !translateDestination()) return;
  attempt.dstRoute = routeOf(family, walk.dst0, walk.dst1, walk.dst2, walk.dst3);
  lookAtDestination(packet);
  if (wayUnknown()) return;
  if (goOn()) conclude();
}

// From the routing decision to the last hook; false when the attempt has ended.
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
  if (!runTable(TABLE_MANGLE)) return false;
  return !tracking.fresh || runTable(TABLE_NAT);
}

// The packet got through its last hook.
function conclude(): void {
  // What policies bind an endpoint that is missing from the snapshot, nobody said; packets of a flow
  // that was let through need none.
  if ((walk.ctState & (CT_ESTABLISHED | CT_RELATED | CT_UNTRACKED)) == 0) {
    if (walk.srcMissing) {
      end(VERDICT_UNKNOWN, REASON_MISSING_SRC);
      return;
    }
    if (walk.dstMissing) {
      end(VERDICT_UNKNOWN, REASON_MISSING_DST);
      return;
    }
  }
  const byRule = walk.rule != RULE_NONE && (ruleAt(walk.rule).flags & RULE_IS_END) == 0;
  end(VERDICT_ALLOW, byRule ? REASON_RULE : REASON_CHAIN_POLICY);
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

// > The nat table's rules run for the packet that creates a connection; later ones use what it got.
function translateDestination(): bool {
  if (tracking.fresh) return runTable(TABLE_NAT);
  const entry = translatedEntry();
  if (entry == null || tracking.direction == DIRECTION_REPLY) return true;
  walk.dst0 = entry.to0;
  walk.dst1 = entry.to1;
  walk.dst2 = entry.to2;
  walk.dst3 = entry.to3;
  if (hasPorts(walk.protocol)) walk.dport = entry.toPort;
  walk.translated = true;
  return true;
}

// The entry under way when its addresses differ between hooks; errors about it keep their own.
function translatedEntry(): Entry | null {
  if (tracking.entry == ENTRY_NONE || (walk.ctState & CT_RELATED) != 0) return null;
  const entry = entryAt(tracking.entry);
  return (entry.flags & (ENTRY_DNAT | ENTRY_MASQUERADED)) != 0 ? entry : null;
}

function startAttempt(): void {
  attempt.verdict = 0;
  attempt.reason = 0;
  attempt.hook = 0;
  attempt.table = TABLE_FILTER;
  attempt.inInterface = 0;
  attempt.outInterface = 0;
}

function startWalk(packet: Packet): void {
  memory.fill(changetype<usize>(walk), 0, offsetof<Walk>());
  memory.copy(
    changetype<usize>(walk) + offsetof<Walk>("src0"),
    changetype<usize>(packet) + PACKET_SRC,
    32,
  );
  walk.family = packet.family;
  walk.protocol = packet.protocol;
  walk.known = packet.known;
  walk.flags = packet.flags;
  walk.packet = packet;
  walk.ttl = packet.ttl;
  walk.tos = packet.tos;
  walk.sport = packet.sport;
  walk.dport = packet.dport;
  walk.icmpType = packet.icmpType;
  walk.icmpCode = packet.icmpCode;
  walk.rule = RULE_NONE;
  walk.decider = RULE_NONE;
  walk.ctState = stateOfPacket();
  const entry = translatedEntry();
  if (entry != null) takeTuple(entry);
}

function stateOfPacket(): u32 {
  if (tracking.quoteMissing) {
    return ask(QUESTION_STATE, REASON_NO_ICMP, RULE_NONE) ? CT_RELATED : CT_INVALID;
  }
  if (!tracking.ambiguous) return tracking.state;
  const reason = walk.protocol == 6 ? REASON_NO_TCP_FLAGS : REASON_NO_ICMP;
  return ask(QUESTION_STATE, reason, RULE_NONE) ? CT_ESTABLISHED : CT_NEW;
}

// The addresses with which a translated flow's packet enters its first hook: what the capture shows may
// be those behind the last one. Source: semantics.md N-6 and N-8.
function takeTuple(entry: Entry): void {
  const walkSrc = changetype<usize>(walk) + offsetof<Walk>("src0");
  const walkDst = walkSrc + 16;
  const src = changetype<usize>(entry) + offsetof<Entry>("src0");
  const dst = src + 16;
  const to = dst + 16;
  const ports = hasPorts(walk.protocol);
  if (tracking.direction == DIRECTION_REPLY) {
    memory.copy(walkSrc, to, 16);
    memory.copy(walkDst, src, 16);
    if (ports) {
      walk.sport = entry.toPort;
      walk.dport = entry.sport;
    }
    return;
  }
  memory.copy(walkSrc, src, 16);
  memory.copy(walkDst, dst, 16);
  if (ports) {
    walk.sport = entry.sport;
    walk.dport = entry.dport;
  }
}

// Runs both backends' tables of a name at the hook under way; false when the attempt has ended.
function runTable(table: u32): bool {
  return runBackend(BACKEND_LEGACY, table) && runBackend(BACKEND_NFT, table);
}

function runBackend(backend: u32, table: u32): bool {
  const first = entryOf(backend, walk.family, table, walk.hook);
  if (first == RULE_NONE) return true;
  const before = walk.rule;
  walk.table = table;
  walk.nft = backend == BACKEND_NFT;
  traceEnter();
  const outcome = traverse(first, underflowOf(backend, walk.family, table, walk.hook));
  if (outcome == TABLE_PASS) {
    // What lets a packet through is the filter's word, not that of the tables around it.
    if (table != TABLE_FILTER) walk.rule = before;
    else attempt.hook = walk.hook;
    return true;
  }
  attempt.hook = walk.hook;
  attempt.table = table;
  return outcome == TABLE_DROPS
    ? end(VERDICT_DROP, REASON_RULE)
    : end(VERDICT_UNKNOWN, REASON_TOO_MANY_RULES);
}

function end(verdict: u32, reason: u32): bool {
  attempt.verdict = verdict;
  attempt.reason = reason;
  return false;
}
