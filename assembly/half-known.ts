// Looking entries up by `key`, those included of which the backend is not known yet, as it was chosen at random. The
// packet that shows it fixes it; a question, of which nothing stays, does not.
import { isQuestion } from "./attempt";
import { backends, isBackend } from "./backends";
import { isAlive } from "./deadline";
import { ENTRY_GUESSED, ENTRY_PERHAPS } from "./entry";
import { entryAt } from "./entry-list";
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
} from "./entry-tuples";
import { isHashOfNode } from "./flow-slots";
import { findCertainNode, findNode, hasNodes, nextNode } from "./flow-table";
import { key, SavedKey, savedKey, turnKey } from "./key";
import { isEmpty } from "./set";
import { fixBackend, settleBackend, settleGuess } from "./shown-translation";
import { ENTRY_NONE } from "./tracking";
import { Tuples, tuplesOf } from "./tuples";
import { exists } from "./worlds";

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

/** There are connections that packets may meet by other tuples than the kernel's own. */
export function areHalfKnown(): bool {
  return hasNodes((1 << NODE_CLIENT) | (1 << NODE_BACKEND) | (1 << NODE_SOURCE));
}

/** For certain no connection is met by a packet whose tuple has this hash. */
export function isUnknown(hash: u32): bool {
  return !areHalfKnown() && !isHashOfNode(hash);
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
  turnKey();
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
  if (!isAlive(entryAt(number))) return exists(number);
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

// Flows of which the backend is not known yet.
function findHalfKnown(): i64 {
  if (isEmpty(backends)) return -1;
  const sport = key.sport;
  const dport = key.dport;
  if (isBackend(key.dst0, key.dst1, key.dst2, key.dst3, dport)) {
    // Original direction, seen after the translation.
    const entry = findSide(NODE_CLIENT, false);
    if (entry != ENTRY_NONE && isAliveOrExists(entry))
      return fixBackend(entry, NODE_ORIGINAL_SEEN, false);
  }
  if (isBackend(key.src0, key.src1, key.src2, key.src3, sport)) {
    const entry = findSide(NODE_CLIENT, true);
    if (entry != ENTRY_NONE && isAliveOrExists(entry)) return fixBackend(entry, NODE_REPLY, true);
  }
  return -1;
}

// Whoever shows its backend shows that it exists, but for one whose time is nearly up.
function isAliveOrExists(number: u32): bool {
  return isAlive(entryAt(number)) || exists(number);
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
