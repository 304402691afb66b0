// Looking entries up, those included of which one side is not known yet: a backend chosen at random, a
// source that was masqueraded. The packet that shows the other side fixes it.
import { now } from "./entry-life";
import {
  Entry,
  ENTRY_GUESSED,
  ENTRY_PORT_UNKNOWN,
  ENTRY_SNAT,
  ENTRY_UNDECIDED,
  entryAt,
  findNode,
  key,
  linkNode,
  NODE_BACKEND,
  NODE_CLIENT,
  NODE_ORIGINAL,
  NODE_ORIGINAL_SEEN,
  NODE_REPLY,
  NODE_REPLY_SEEN,
  nodeEntry,
  nodeKind,
  removeEntry,
  unlinkNode,
} from "./flow-table";
import { lookup } from "./set";
import { ENTRY_NONE } from "./tracking";

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

/**
 * Looks `key` up, the kernel's own tuples first; expired entries are removed on the way.
 */
export function findLive(): i64 {
  let kinds: u32 = (1 << NODE_ORIGINAL) | (1 << NODE_REPLY);
  if (sights) kinds |= (1 << NODE_ORIGINAL_SEEN) | (1 << NODE_REPLY_SEEN);
  while (true) {
    const node = findNode(kinds);
    if (node < 0) return findHalfKnown();
    const entry = entryAt(nodeEntry(node));
    if (entry.deadline > now()) {
      // The backend that was tried first, and its translations.
      const kind = nodeKind(node);
      const shown = kind == NODE_REPLY || kind == NODE_ORIGINAL_SEEN;
      if (shown && (entry.flags & ENTRY_GUESSED) != 0) settleBackend(nodeEntry(node));
      return node;
    }
    removeEntry(nodeEntry(node));
  }
}

// Flows of which one side is not known yet: a backend chosen at random, a source that was masqueraded.
// The packet that shows it fixes it.
function findHalfKnown(): i64 {
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
    // The answer of a backend to the address that stands for the masqueraded source.
    const masqueraded = findSide(NODE_BACKEND, false);
    if (masqueraded != ENTRY_NONE && !entryAnswered(masqueraded)) {
      return <i64>masqueraded * 6 + NODE_REPLY;
    }
  }
  return -1;
}

/**
 * The connection whose answers come from where `key` comes from, to an address (or any) at a port that
 * the node chose itself: `key` may be one of them. ENTRY_NONE without one.
 */
export function findPortUnknown(): u32 {
  const saved = changetype<usize>(savedKey);
  memory.copy(saved, changetype<usize>(key), offsetof<SavedKey>());
  if (key.protocol == 1 || key.protocol == 58) key.sport = 0;
  else key.dport = 0;
  let node = findNode(1 << NODE_BACKEND);
  if (node < 0) {
    memory.fill(changetype<usize>(key) + 16, 0, 16);
    node = findNode(1 << NODE_BACKEND);
  }
  memory.copy(changetype<usize>(key), saved, offsetof<SavedKey>());
  if (node < 0 || entryAt(nodeEntry(node)).deadline <= now()) return ENTRY_NONE;
  return nodeEntry(node);
}

function isBackend(word0: u32, word1: u32, word2: u32, word3: u32, port: u16): bool {
  return lookup(backends, word0, word1, word2, word3, key.protocol, port) >= 0;
}

function entryAnswered(number: u32): bool {
  const entry = entryAt(number);
  // The answer goes to an address that is not the client's own.
  return (
    entry.src0 == key.dst0 &&
    entry.src1 == key.dst1 &&
    entry.src2 == key.dst2 &&
    entry.src3 == key.dst3
  );
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
  if (node < 0) return ENTRY_NONE;
  const number = nodeEntry(node);
  if (entryAt(number).deadline > now()) return number;
  removeEntry(number);
  return ENTRY_NONE;
}

// Hangs a guessed entry up under the backend that the packet shows.
function fixBackend(number: u32, kind: u32, fromBackend: bool): i64 {
  const entry = entryAt(number);
  unlinkNode(number, NODE_REPLY);
  unlinkNode(number, NODE_ORIGINAL_SEEN);
  unlinkNode(number, NODE_CLIENT);
  entry.to0 = fromBackend ? key.src0 : key.dst0;
  entry.to1 = fromBackend ? key.src1 : key.dst1;
  entry.to2 = fromBackend ? key.src2 : key.dst2;
  entry.to3 = fromBackend ? key.src3 : key.dst3;
  entry.toPort = fromBackend ? key.sport : key.dport;
  // It was found by the client's own address: the source is as it was.
  memory.copy(
    changetype<usize>(entry) + offsetof<Entry>("from0"),
    changetype<usize>(entry) + offsetof<Entry>("src0"),
    16,
  );
  entry.fromPort = entry.sport;
  entry.flags &= ~(ENTRY_GUESSED | ENTRY_UNDECIDED | ENTRY_SNAT | ENTRY_PORT_UNKNOWN);
  linkNode(number, NODE_REPLY);
  linkNode(number, NODE_ORIGINAL_SEEN);
  return <i64>number * 6 + kind;
}

function settleBackend(number: u32): void {
  unlinkNode(number, NODE_CLIENT);
  entryAt(number).flags &= ~(ENTRY_GUESSED | ENTRY_UNDECIDED);
}

@unmanaged
class SavedKey {
  words0: v128;
  words1: v128;
  rest: u64;
}

const savedKey: SavedKey = changetype<SavedKey>(memory.data(offsetof<SavedKey>(), 16));
