// Fixes how a connection was translated, once a packet shows it: to which backend, chosen at random, with which source,
// masqueraded by a node, or both.
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
  ENTRY_SNAT,
  ENTRY_UNDECIDED,
} from "./entry";
import { entryAt } from "./entry-list";
import {
  NODE_BACKEND,
  NODE_CLIENT,
  NODE_ORIGINAL,
  NODE_ORIGINAL_SEEN,
  NODE_REPLY,
  NODE_REPLY_SEEN,
  nodeEntry,
  nodeOf,
} from "./entry-tuples";
import { findNode, linkNode, nextNode, removeEntry, unlinkNode } from "./flow-table";
import { forgetHeard } from "./heard";
import { key, SavedKey, savedKey } from "./key";
import { Tuples, tuplesOf } from "./tuples";

/** Settles a connection that exists perhaps: the other backends that might have been drawn were not. */
export function settleGuess(number: u32): void {
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

/** Tells whether more was missing than the backend. */
export function staysUndecided(entry: Entry): bool {
  return (entry.flags & (ENTRY_UNDECIDED | ENTRY_GUESSED)) == ENTRY_UNDECIDED;
}

/** Hangs a guessed entry up under the backend that the packet shows. */
export function fixBackend(number: u32, kind: u32, fromBackend: bool): i64 {
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

/** Hangs an entry up under the backend or whoever else answers, and the address and port that it answers to. */
export function fixSource(number: u32): i64 {
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
  const translated = isLedElsewhere(tuplesOf(entry)) ? ENTRY_DNAT | ENTRY_SNAT : ENTRY_SNAT;
  entry.flags = (entry.flags & ~(open | ENTRY_DNAT)) | translated;
  learnBackend(entry);
  linkTranslated(number);
  return nodeOf(number, NODE_REPLY);
}

function isLedElsewhere(tuples: Tuples): bool {
  const at = changetype<usize>(tuples);
  const to = at + offsetof<Tuples>("to0");
  return (
    tuples.toPort != tuples.dport || memory.compare(at + offsetof<Tuples>("dst0"), to, 16) != 0
  );
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

/** Settles a connection that was met by the client's own address: no node has masqueraded it. */
export function settleBackend(number: u32): void {
  unlinkNode(number, NODE_CLIENT);
  unlinkNode(number, NODE_BACKEND);
  const entry = entryAt(number);
  entry.flags &= ~(ENTRY_GUESSED | ENTRY_UNDECIDED | ENTRY_OPEN | ENTRY_MASQUERADED);
  learnBackend(entry);
}
