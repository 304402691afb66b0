// Looking entries up, those included of which a side is not known yet: a backend chosen at random, a source
// that was masqueraded, or both. The packet that shows it fixes it; a question, of which nothing stays, does not.
import { learnBackend } from "./affinity-visits";
import { isQuestion } from "./attempt";
import {
  Entry,
  ENTRY_DNAT,
  ENTRY_GUESSED,
  ENTRY_MASQUERADED,
  ENTRY_OPEN,
  ENTRY_PERHAPS,
  ENTRY_PORT_UNKNOWN,
  ENTRY_SEEN_REPLY,
  ENTRY_SNAT,
  ENTRY_UNDECIDED,
  entryAt,
  Tuples,
  tuplesOf,
} from "./entry";
import { refreshFor, timeoutOf } from "./entry-life";
import {
  NODE_BACKEND,
  NODE_CLIENT,
  NODE_ORIGINAL,
  NODE_ORIGINAL_SEEN,
  NODE_REPLY,
  NODE_REPLY_SEEN,
  NODE_SOURCE,
  nodeEntry,
  nodeKind,
  nodeOf,
} from "./entry-tuples";
import { isHashOfNode } from "./flow-slots";
import {
  findCertainNode,
  findNode,
  hasNodes,
  linkNode,
  nextNode,
  removeEntry,
  unlinkNode,
} from "./flow-table";
import { ask } from "./fork";
import { forgetHeard } from "./heard";
import { key } from "./key";
import { KNOWN_TCP_FLAGS, REASON_NAT_PORT, ROUTE_LOCAL, ROUTE_MISSING, RULE_NONE } from "./layout";
import { Packet } from "./records";
import { routeKind, routeOf } from "./route";
import { mayHaveTag } from "./sctp";
import { isEmpty, lookup } from "./set";
import { TCP_ACK } from "./tcp";
import { sideOf } from "./tcp-side";
import { hasWindowFacts } from "./tcp-window";
import { DIRECTION_ORIGINAL, DIRECTION_REPLY, ENTRY_NONE } from "./tracking";
import { walk } from "./walk";
import { refuse } from "./worlds";

// Table of the addresses and ports that DNAT rules lead to.
let backends: usize = 0;

/** Sets the table of the addresses and ports that DNAT rules lead to. */
export function setUpBackends(table: usize): void {
  backends = table;
}

// Whether packets behind their last hook are looked for, too.
let sights: bool = true;

/** Says whether the packet under way may be one that the capture shows behind its last hook. */
export function lookUpSights(allowed: bool): void {
  sights = allowed;
}

/** Looks `key` up, the kernel's own tuples first; asks whether a connection that exists perhaps does. */
export function findLive(): i64 {
  while (true) {
    const node = findNode(kindsLookedUp());
    if (node < 0) return findHalfKnown();
    if (isMet(node)) return node;
  }
}

/** What `findLive` would meet first, for a packet that is not tried: perhaps it does not exist. */
export function findFirst(): i64 {
  return findCertainNode(kindsLookedUp());
}

/** For certain no connection is met by a packet whose tuple has this hash. */
export function isUnknown(hash: u32): bool {
  const halfKnown: u32 = (1 << NODE_CLIENT) | (1 << NODE_BACKEND) | (1 << NODE_SOURCE);
  return !hasNodes(halfKnown) && !isHashOfNode(hash);
}

function kindsLookedUp(): u32 {
  const own: u32 = (1 << NODE_ORIGINAL) | (1 << NODE_REPLY);
  return sights ? own | (1 << NODE_ORIGINAL_SEEN) | (1 << NODE_REPLY_SEEN) : own;
}

/** Tells whether `key` is the tuple of a connection that exists. */
export function isTupleTaken(): bool {
  while (true) {
    const node = findNode((1 << NODE_ORIGINAL) | (1 << NODE_REPLY));
    if (node < 0) return false;
    if (exists(nodeEntry(node))) return true;
  }
}

/** Perhaps another connection has the tuple of the answers to `key`, which is turned round afterwards. */
export function arePerhapsTaken(): bool {
  const src = v128.load(changetype<usize>(key));
  v128.store(changetype<usize>(key), v128.load(changetype<usize>(key), 16));
  v128.store(changetype<usize>(key), src, 16);
  const sport = key.sport;
  key.sport = key.dport;
  key.dport = sport;
  const own: u32 = (1 << NODE_ORIGINAL) | (1 << NODE_REPLY);
  return hasNodes(1 << NODE_BACKEND) || findNode(own) >= 0;
}

// A packet met it. Nobody but the backend that was drawn answers, or is reached.
function isMet(node: i64): bool {
  const number = nodeEntry(node);
  const flags = entryAt(number).flags;
  const kind = nodeKind(node);
  if ((flags & ENTRY_GUESSED) == 0 || (kind != NODE_REPLY && kind != NODE_ORIGINAL_SEEN))
    return exists(number);
  const certain = (flags & ENTRY_PERHAPS) == 0;
  if (!certain && !isMetAlone(number)) return exists(number);
  if (isQuestion()) return true;
  if (certain) settleBackend(number);
  else settleGuess(number);
  return true;
}

// No connection of other ends has the tuple `key`, too.
function isMetAlone(number: u32): bool {
  const ends = changetype<usize>(tuplesOf(entryAt(number)));
  const ports = load<u32>(ends + offsetof<Tuples>("sport"));
  const answered = (1 << NODE_REPLY) | (1 << NODE_ORIGINAL_SEEN);
  for (let node = findNode(answered); node >= 0; node = nextNode(node)) {
    const other = changetype<usize>(tuplesOf(entryAt(nodeEntry(node))));
    if (load<u32>(other + offsetof<Tuples>("sport")) != ports) return false;
    if (memory.compare(other, ends, 32) != 0) return false;
  }
  return true;
}

/** Tells whether a connection exists; asks where it does so perhaps. */
export function exists(number: u32): bool {
  const entry = entryAt(number);
  if ((entry.flags & ENTRY_PERHAPS) == 0) return true;
  if (ask(QUESTION_EXISTS | number, entry.reason, tuplesOf(entry).undecidedRule)) return true;
  // Else it would be met again and again.
  return !refuse(number);
}

const QUESTION_EXISTS: u64 = 1 << 54;

// The other backends that might have been drawn were not.
function settleGuess(number: u32): void {
  const entry = entryAt(number);
  const saved = changetype<usize>(savedKey);
  memory.copy(saved, changetype<usize>(key), offsetof<SavedKey>());
  const tuple = changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("src0");
  memory.copy(changetype<usize>(key), tuple, 32);
  key.sport = tuplesOf(entry).sport;
  key.dport = tuplesOf(entry).dport;
  let node = findNode(1 << NODE_ORIGINAL);
  while (node >= 0) {
    const next = nextNode(node);
    const other = nodeEntry(node);
    if (other != number && (entryAt(other).flags & ENTRY_GUESSED) != 0) removeEntry(other);
    node = next;
  }
  memory.copy(changetype<usize>(key), saved, offsetof<SavedKey>());
  entry.flags &= ~(ENTRY_PERHAPS | ENTRY_GUESSED);
}

// Flows of which the backend is not known yet, as it was chosen at random. The packet that shows it fixes it.
function findHalfKnown(): i64 {
  if (isEmpty(backends)) return -1;
  const sport = key.sport;
  const dport = key.dport;
  if (isBackend(key.dst0, key.dst1, key.dst2, key.dst3, dport)) {
    // Original direction, seen after the translation.
    const entry = findSide(NODE_CLIENT, false);
    if (entry != ENTRY_NONE) return fixBackend(entry, NODE_ORIGINAL_SEEN, false);
  }
  if (isBackend(key.src0, key.src1, key.src2, key.src3, sport)) {
    const entry = findSide(NODE_CLIENT, true);
    if (entry != ENTRY_NONE) return fixBackend(entry, NODE_REPLY, true);
  }
  return -1;
}

/** What `findMasqueraded` gives where nobody knows which it is. */
export const ANSWERS_SOME: i64 = -2;

/**
 * Looks for the connection, of a cluster seen as one, that is answered from where `key` comes from at the address
 * with which a node has masqueraded it. TCP's and SCTP's numbers tell several apart.
 *
 * @returns node number, -1 where there is none, or ANSWERS_SOME
 */
export function findMasqueraded(packet: Packet): i64 {
  if (isEmpty(backends) || !hasNodes(1 << NODE_BACKEND)) return -1;
  if (!isBackend(key.src0, key.src1, key.src2, key.src3, key.sport)) return -1;
  const kind = routeKind(routeOf(key.family, key.dst0, key.dst1, key.dst2, key.dst3));
  // A tunnel's address need not be told.
  if (kind != ROUTE_LOCAL && kind != ROUTE_MISSING) return -1;
  const saved = changetype<usize>(savedKey);
  memory.copy(saved, changetype<usize>(key), offsetof<SavedKey>());
  memory.fill(changetype<usize>(key) + 16, 0, 16);
  key.dport = 0;
  // All to one backend were let through alike: of a protocol without numbers any of them stands in for all.
  const takesAny = key.protocol != 6 && key.protocol != 132;
  let found = findAnswered(packet, takesAny);
  if (takesAny && found >= 0 && !isQuestion()) doubtAnswered(found);
  if (found == -1) {
    memory.fill(changetype<usize>(key), 0, 16);
    key.sport = 0;
    found = findAnswered(packet, false);
    if (found >= 0 && !hasNumbers(packet)) found = ANSWERS_SOME;
  }
  memory.copy(changetype<usize>(key), saved, offsetof<SavedKey>());
  if (found < 0) return found;
  const number = nodeEntry(found);
  if (staysUndecided(entryAt(number))) return nodeOf(number, NODE_REPLY);
  return isQuestion() ? ANSWERS_SOME : fixSource(number);
}

// Of several, from this one on, any may have been answered, and lives on where it was. Those behind one of which
// that was said before were there then.
function doubtAnswered(first: i64): void {
  if (nextNode(first) < 0) return;
  for (let node = first; node >= 0; node = nextNode(node)) {
    const entry = entryAt(nodeEntry(node));
    if (entry.stateDoubted != 0) return;
    if ((entry.flags & ENTRY_SEEN_REPLY) != 0) continue;
    entry.stateDoubted = 1;
    refreshFor(entry, timeoutOf(entry, true));
  }
}

// More was missing than the backend.
function staysUndecided(entry: Entry): bool {
  return (entry.flags & (ENTRY_UNDECIDED | ENTRY_GUESSED)) == ENTRY_UNDECIDED;
}

// The one connection under `key` that the packet may answer; ANSWERS_SOME where there are several.
function findAnswered(packet: Packet, takesAny: bool): i64 {
  let found: i64 = -1;
  for (let node = findNode(1 << NODE_BACKEND); node >= 0; node = nextNode(node)) {
    if (!mayAnswer(entryAt(nodeEntry(node)), packet)) continue;
    if (takesAny) return node;
    if (found >= 0) return ANSWERS_SOME;
    found = node;
  }
  return found;
}

// An error says nothing of the numbers of the connection that it quotes.
function hasNumbers(packet: Packet): bool {
  if (packet.protocol != key.protocol) return false;
  if (packet.protocol == 132) return packet.transport != 0 && packet.end - packet.transport >= 8;
  return (
    packet.protocol == 6 &&
    (packet.known & KNOWN_TCP_FLAGS) != 0 &&
    (packet.tcpFlags & TCP_ACK) != 0 &&
    hasWindowFacts(packet)
  );
}

function mayAnswer(entry: Entry, packet: Packet): bool {
  if (entry.protocol != key.protocol || entry.family != key.family) return false;
  if (!hasNumbers(packet)) return true;
  if (packet.protocol == 132) return mayHaveTag(entry, packet, DIRECTION_REPLY);
  return packet.tcpAck == sideOf(entry, DIRECTION_ORIGINAL).end;
}

/** Tells whether answers from where `key` comes from go to the port of that choice by the node. */
export function isDrawTaken(draw: u32): bool {
  for (let node = findBackend(); node >= 0; node = nextNode(node)) {
    const number = nodeEntry(node);
    if (tuplesOf(entryAt(number)).draw == draw && exists(number)) return true;
  }
  return false;
}

// Out of more ports than these, that the node draws a certain one is left out of account.
const PORTS_FEW: u32 = 1024;

/**
 * Tells whether `key` is the tuple of answers to a connection that drew its port: asks where it drew from so
 * few that it may well have been this one.
 */
export function isTupleDrawn(): bool {
  const icmp = key.protocol == 1 || key.protocol == 58;
  const port = icmp ? key.sport : key.dport;
  for (let node = findBackend(); node >= 0; node = nextNode(node)) {
    const number = nodeEntry(node);
    const entry = entryAt(number);
    if (
      <u32>tuplesOf(entry).portLast - tuplesOf(entry).portFirst >= PORTS_FEW ||
      !mayHavePort(entry, port)
    )
      continue;
    if (exists(number) && ask(QUESTION_TAKEN | number, REASON_NAT_PORT, RULE_NONE)) return true;
  }
  return false;
}

const QUESTION_TAKEN: u64 = 1 << 49;

// The first connection with a port of the node's choice whose answers come from where `key` comes from and
// go where it goes; `key` is as before afterwards.
function findBackend(): i64 {
  const saved = changetype<usize>(savedKey);
  memory.copy(saved, changetype<usize>(key), offsetof<SavedKey>());
  if (key.protocol == 1 || key.protocol == 58) key.sport = 0;
  else key.dport = 0;
  const node = findNode(1 << NODE_BACKEND);
  memory.copy(changetype<usize>(key), saved, offsetof<SavedKey>());
  return node;
}

/**
 * Looks for a connection whose answers come from where `key` comes from, to an address (or any) at a port
 * that the node chose itself, or from anywhere to a client whose translation is hidden: asks whether `key`
 * is one of them. @returns node number, or -1
 */
export function findPortUnknown(): i64 {
  if (!hasNodes((1 << NODE_BACKEND) | (1 << NODE_SOURCE))) return -1;
  const saved = changetype<usize>(savedKey);
  memory.copy(saved, changetype<usize>(key), offsetof<SavedKey>());
  const icmp = key.protocol == 1 || key.protocol == 58;
  const port = icmp ? key.sport : key.dport;
  if (icmp) key.sport = 0;
  else key.dport = 0;
  let found = askForPort(findNode(1 << NODE_BACKEND), port);
  if (found < 0) {
    memory.fill(changetype<usize>(key) + 16, 0, 16);
    found = askForPort(findNode(1 << NODE_BACKEND), port);
  }
  memory.copy(changetype<usize>(key), saved, offsetof<SavedKey>());
  if (found < 0) {
    memory.copy(changetype<usize>(key), changetype<usize>(key) + 16, 16);
    memory.fill(changetype<usize>(key) + 16, 0, 16);
    key.sport = port;
    key.dport = 0;
    found = askForHidden(findNode(1 << NODE_SOURCE));
    memory.copy(changetype<usize>(key), saved, offsetof<SavedKey>());
  }
  return found;
}

const QUESTION_PORT: u64 = 1 << 53;

// Of connections of one client, those whose translation is hidden.
function askForHidden(first: i64): i64 {
  for (let node = first; node >= 0; node = nextNode(node)) {
    const number = nodeEntry(node);
    if ((entryAt(number).flags & ENTRY_UNDECIDED) == 0) continue;
    if (ask(QUESTION_PORT | number, REASON_NAT_PORT, RULE_NONE)) return nodeOf(number, NODE_REPLY);
  }
  return -1;
}

function askForPort(first: i64, port: u16): i64 {
  for (let node = first; node >= 0; node = nextNode(node)) {
    const number = nodeEntry(node);
    const entry = entryAt(number);
    if (!mayHavePort(entry, port)) continue;
    // Whether one exists that it does not belong to makes no difference.
    if (ask(QUESTION_PORT | number, REASON_NAT_PORT, RULE_NONE)) return nodeOf(number, NODE_REPLY);
  }
  return -1;
}

// Of ports that nobody gave a range for, the kernel draws from the wanted one's class, and never the wanted
// one, which was taken. Source: Linux, nf_nat_core.c, nf_nat_l4proto_unique_tuple().
function mayHavePort(entry: Entry, port: u16): bool {
  if (port < tuplesOf(entry).portFirst || port > tuplesOf(entry).portLast) return false;
  return port != tuplesOf(entry).fromPort || port == 0 || (entry.flags & ENTRY_UNDECIDED) != 0;
}

/** Tells whether the walk leads to a destination that is known for a backend when a packet shows it. */
export function leadsToBackend(): bool {
  key.protocol = <u8>walk.protocol;
  return isBackend(walk.dst0, walk.dst1, walk.dst2, walk.dst3, <u16>walk.dport);
}

function isBackend(word0: u32, word1: u32, word2: u32, word3: u32, port: u16): bool {
  return lookup(backends, word0, word1, word2, word3, key.protocol, port) >= 0;
}

// Finds the entry that hangs under one side of `key` only; `key` is as before afterwards.
function findSide(kind: u32, destination: bool): u32 {
  const saved = changetype<usize>(savedKey);
  memory.copy(saved, changetype<usize>(key), offsetof<SavedKey>());
  if (destination) {
    memory.copy(changetype<usize>(key), changetype<usize>(key) + 16, 16);
    key.sport = key.dport;
  }
  memory.fill(changetype<usize>(key) + 16, 0, 16);
  key.dport = 0;
  const node = findNode(1 << kind);
  memory.copy(changetype<usize>(key), saved, offsetof<SavedKey>());
  return node < 0 ? ENTRY_NONE : nodeEntry(node);
}

// Hangs a guessed entry up under the backend that the packet shows.
function fixBackend(number: u32, kind: u32, fromBackend: bool): i64 {
  const entry = entryAt(number);
  if (staysUndecided(entry) || isQuestion()) return nodeOf(number, kind);
  unlinkTranslated(number);
  unlinkNode(number, NODE_BACKEND);
  tuplesOf(entry).to0 = fromBackend ? key.src0 : key.dst0;
  tuplesOf(entry).to1 = fromBackend ? key.src1 : key.dst1;
  tuplesOf(entry).to2 = fromBackend ? key.src2 : key.dst2;
  tuplesOf(entry).to3 = fromBackend ? key.src3 : key.dst3;
  tuplesOf(entry).toPort = fromBackend ? key.sport : key.dport;
  // It was found by the client's own address: the source is as it was, and no node has masqueraded it.
  memory.copy(
    changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("from0"),
    changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("src0"),
    16,
  );
  tuplesOf(entry).fromPort = tuplesOf(entry).sport;
  const source = ENTRY_SNAT | ENTRY_PORT_UNKNOWN | ENTRY_MASQUERADED;
  const open = ENTRY_GUESSED | ENTRY_UNDECIDED | ENTRY_OPEN;
  entry.flags = (entry.flags & ~(source | open)) | ENTRY_DNAT;
  learnBackend(entry);
  linkTranslated(number);
  return nodeOf(number, kind);
}

// Hangs an entry up under the backend that answered, and the address and port that it answers to.
function fixSource(number: u32): i64 {
  const entry = entryAt(number);
  unlinkTranslated(number);
  unlinkNode(number, NODE_BACKEND);
  memory.copy(
    changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("to0"),
    changetype<usize>(key),
    32,
  );
  tuplesOf(entry).toPort = key.sport;
  tuplesOf(entry).fromPort = key.dport;
  const open = ENTRY_GUESSED | ENTRY_UNDECIDED | ENTRY_MASQUERADED | ENTRY_OPEN;
  entry.flags = (entry.flags & ~open) | ENTRY_DNAT | ENTRY_SNAT;
  learnBackend(entry);
  linkTranslated(number);
  return nodeOf(number, NODE_REPLY);
}

function unlinkTranslated(number: u32): void {
  unlinkNode(number, NODE_REPLY);
  unlinkNode(number, NODE_ORIGINAL_SEEN);
  unlinkNode(number, NODE_REPLY_SEEN);
  unlinkNode(number, NODE_CLIENT);
}

function linkTranslated(number: u32): void {
  forgetHeard(entryAt(number));
  linkNode(number, NODE_REPLY);
  linkNode(number, NODE_ORIGINAL_SEEN);
  linkNode(number, NODE_REPLY_SEEN);
}

// It was met by the client's own address: no node has masqueraded it.
function settleBackend(number: u32): void {
  unlinkNode(number, NODE_CLIENT);
  unlinkNode(number, NODE_BACKEND);
  const entry = entryAt(number);
  entry.flags &= ~(ENTRY_GUESSED | ENTRY_UNDECIDED | ENTRY_OPEN | ENTRY_MASQUERADED);
  learnBackend(entry);
}

@unmanaged
class SavedKey {
  words0: v128;
  words1: v128;
  rest: u64;
}

const savedKey: SavedKey = changetype<SavedKey>(memory.data(offsetof<SavedKey>(), 16));
