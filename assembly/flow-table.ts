// The table of conntrack entries: each is indexed by every tuple by which packets can meet it (entry-tuples.ts).
import { copyBytes, zeros } from "./bytes";
import { now, SECOND } from "./clock";
import { isOver } from "./deadline";
import { Entry } from "./entry";
import { entryAt, entryLimit, freeEntry, PIECE, PIECES_MAX, setUpEntries } from "./entry-list";
import {
  hangsUnder,
  isTurned,
  KIND_BITS,
  KIND_MASK,
  NODE_BACKEND,
  NODE_CLIENT,
  NODE_KINDS,
  NODE_ORIGINAL,
  NODE_REPLY,
  nodeEntry,
  nodeKind,
  nodeNumber,
  nodeTuple,
  REPLY_TURNED,
  tupleOf,
} from "./entry-tuples";
import {
  deleteNode,
  hasNode,
  hasRow,
  insertNode,
  insertRow,
  nodeIn,
  placeOfNode,
  replaceByRow,
  replaceNode,
  rowIn,
  setUpSlots,
  slotAt,
} from "./flow-slots";
import { settleHeard } from "./heard";
import { Key, key, tupleHash } from "./key";
import { SHARE_TRANSLATION } from "./layout";
import { placeOf, rowAt } from "./row-list";
import { needWhole } from "./share";
import { isRefused } from "./worlds";

// Kinds from here on have tuples that any number of connections share. Only the newest of them is indexed; a
// list leads from it to the older ones.
const SHARED: u32 = NODE_CLIENT;

/** An entry's neighbours in the lists of its shared tuples: numbers of entries plus one, or 0. */
@unmanaged
class Neighbours {
  older4: u32;
  older5: u32;
  older6: u32;
  newer4: u32;
  newer5: u32;
  newer6: u32;
}

const NEWER: usize = offsetof<Neighbours>("newer4");

// u32[PIECES_MAX]: addresses of pieces of PIECE Neighbours, or 0 where no entry has any.
let neighbourPieces: usize = 0;
const searched: Key = changetype<Key>(memory.data(offsetof<Key>()));

// The entry that is looked at next for whether it has expired.
let inspected: u32 = 0;

// u32[NODE_KINDS]: how many nodes there are of each kind; and a bit for each kind of which there are any.
const kindCounts: usize = memory.data(7 * 4, 4);
let kindsThere: u32 = 0;

/** Prepares an empty table. */
export function setUpFlowTable(): void {
  setUpEntries();
  neighbourPieces = zeros((<usize>PIECES_MAX) << 2);
  setUpSlots();
}

/** Indexes an entry by one of its tuples, the original one first. */
export function linkNode(number: u32, kind: u32): void {
  const entry = entryAt(number);
  entry.linked |= (<u8>1) << (<u8>kind);
  countKind(kind, 1);
  if (kind == NODE_BACKEND) needWhole(SHARE_TRANSLATION);
  if (kind == NODE_REPLY && isTurned(entry)) {
    entry.linked |= REPLY_TURNED;
    return;
  }
  tupleOf(entry, kind);
  const hash = tupleHash(nodeTuple);
  if (kind >= SHARED && goBefore(hash, number, kind)) return;
  insertNode(hash, nodeNumber(number, kind));
}

/** Takes one of an entry's tuples out of the index. */
export function unlinkNode(number: u32, kind: u32): void {
  const entry = entryAt(number);
  if (((<u32>entry.linked) & (1 << kind)) == 0) return;
  entry.linked &= ~((<u8>1) << (<u8>kind));
  countKind(kind, -1);
  if (kind == NODE_REPLY && (entry.linked & REPLY_TURNED) != 0) {
    entry.linked &= ~REPLY_TURNED;
    return;
  }
  if (kind >= SHARED && leaveList(entry, number, kind)) return;
  tupleOf(entry, kind);
  const hash = tupleHash(nodeTuple);
  const node = nodeNumber(number, kind);
  const row = entry.row;
  if (kind == NODE_ORIGINAL && row != 0) {
    settleHeard(entry);
    entry.row = 0;
    if (!isLedTo(hash, row)) {
      replaceByRow(hash, node, placeOf(row));
      return;
    }
  }
  deleteNode(hash, node);
}

// Some slot with a hash leads to a row.
function isLedTo(hash: u32, row: u32): bool {
  let at = hash;
  for (let slot = slotAt(at); slot != 0; at++, slot = slotAt(at)) {
    if (<u32>slot == hash && rowOfSlot(slot) == <usize>row) return true;
  }
  return false;
}

/**
 * Has a hash lead to a row: by the entry of a connection whose original tuple has that hash, if one is there that
 * leads to none.
 */
export function linkRow(hash: u32, row: usize): void {
  let at = hash;
  for (let slot = slotAt(at); slot != 0; at++, slot = slotAt(at)) {
    if (!hasNode(slot, hash) || (nodeIn(slot) & KIND_MASK) != NODE_ORIGINAL) continue;
    const entry = entryAt(nodeIn(slot) >> KIND_BITS);
    if (entry.row != 0) continue;
    entry.row = <u32>row;
    return;
  }
  insertRow(hash, placeOf(row));
}

/** Address of the row that a slot leads to; 0: to none. */
export function rowOfSlot(slot: u64): usize {
  if (hasRow(slot)) return changetype<usize>(rowAt(rowIn(slot)));
  const node = nodeIn(slot);
  return (node & KIND_MASK) == NODE_ORIGINAL ? entryAt(node >> KIND_BITS).row : 0;
}

// Takes the place of the newest entry of the tuple in `nodeTuple`, if there is one.
function goBefore(hash: u32, number: u32, kind: u32): bool {
  store<u32>(neighbourAt(number, kind, 0), 0);
  store<u32>(neighbourAt(number, kind, NEWER), 0);
  let at = hash;
  let slot = slotAt(at);
  for (; slot != 0; at++, slot = slotAt(at)) {
    if (!hasNode(slot, hash)) continue;
    const node = nodeIn(slot);
    const newest = node >> KIND_BITS;
    if ((node & KIND_MASK) != kind || !sharesTuple(newest, kind)) continue;
    store<u32>(neighbourAt(number, kind, 0), newest + 1);
    store<u32>(neighbourAt(newest, kind, NEWER), number + 1);
    replaceNode(at, nodeNumber(number, kind));
    return true;
  }
  return false;
}

// The tuple in `nodeTuple` is also that of an entry's node; it is in `nodeTuple` afterwards.
function sharesTuple(number: u32, kind: u32): bool {
  copyBytes(changetype<usize>(searched), changetype<usize>(nodeTuple), offsetof<Key>());
  const shares = hangsUnder(entryAt(number), kind, searched);
  copyBytes(changetype<usize>(nodeTuple), changetype<usize>(searched), offsetof<Key>());
  return shares;
}

// False: it is indexed, and the only one of its tuple.
function leaveList(entry: Entry, number: u32, kind: u32): bool {
  const older = load<u32>(neighbourAt(number, kind, 0));
  const newer = load<u32>(neighbourAt(number, kind, NEWER));
  if (older != 0) store<u32>(neighbourAt(older - 1, kind, NEWER), newer);
  if (newer != 0) {
    store<u32>(neighbourAt(newer - 1, kind, 0), older);
    return true;
  }
  if (older == 0) return false;
  tupleOf(entry, kind);
  const place = placeOfNode(tupleHash(nodeTuple), nodeNumber(number, kind));
  replaceNode(place, nodeNumber(older - 1, kind));
  return true;
}

// Address of an entry's older neighbour in a list, or of its newer one.
function neighbourAt(number: u32, kind: u32, side: usize): usize {
  const at = neighbourPieces + ((<usize>(number / PIECE)) << 2);
  if (load<u32>(at) == 0) store<u32>(at, <u32>heap.alloc(PIECE * offsetof<Neighbours>()));
  const piece: usize = load<u32>(at);
  const own = piece + <usize>(number % PIECE) * offsetof<Neighbours>();
  return own + side + ((<usize>(kind - SHARED)) << 2);
}

// The newest entry that is met of those from this one on; number plus one, or 0.
function firstMet(first: u32, kind: u32, tried: bool): u32 {
  let next = first;
  while (next != 0) {
    const number = next - 1;
    if (!isOver(entryAt(number)) && !(tried && isRefused(number))) return next;
    next = load<u32>(neighbourAt(number, kind, 0));
  }
  return 0;
}

function countKind(kind: u32, more: i32): void {
  const at = kindCounts + ((<usize>kind) << 2);
  const kindCount = load<i32>(at) + more;
  store<i32>(at, kindCount);
  if (kindCount == 0) kindsThere &= ~(1 << kind);
  else kindsThere |= 1 << kind;
}

/** Removes an entry. */
export function removeEntry(number: u32): void {
  for (let kind: u32 = 0; kind < NODE_KINDS; kind++) unlinkNode(number, kind);
  freeEntry(number);
}

// Entries that are looked at for each new one: the table does not grow by what has expired. They are for so many
// new ones at once: memory is slow, and does not make each of them wait by itself.
const INSPECTED_EACH: u32 = 2;
const INSPECTED_FOR: u32 = 32;
let uninspected: u32 = 0;
// When the turn under way began: each begins a second of packet time behind the one before, at the earliest.
let turnBegan: u64 = 0;

/** Removes entries that have expired, in front of a new one: a few are looked at, in turn. */
export function removeExpired(): void {
  uninspected++;
  if (uninspected < INSPECTED_FOR) return;
  uninspected = 0;
  for (let each: u32 = 0; each < INSPECTED_EACH * INSPECTED_FOR && entryLimit() > 0; each++) {
    if (inspected >= entryLimit()) {
      if (now() < turnBegan + SECOND) return;
      turnBegan = now();
      inspected = 0;
    }
    const entry = entryAt(inspected);
    if (entry.linked != 0 && isOver(entry)) removeEntry(inspected);
    inspected++;
  }
}

/**
 * Looks `key` up among the kinds of the mask: what has expired, or does not exist in this try, is not met.
 * The least kind wins. @returns node number, or -1
 */
export function findNode(kinds: u32): i64 {
  return find(kinds, true);
}

/** The same for a packet that is not tried: nothing is missing for it. */
export function findCertainNode(kinds: u32): i64 {
  return find(kinds, false);
}

/** Tells whether any entry is indexed by a tuple of these kinds. */
export function hasNodes(kinds: u32): bool {
  return (kinds & kindsThere) != 0;
}

function find(kinds: u32, tried: bool): i64 {
  if ((kinds & kindsThere) == 0) return -1;
  let found: i64 = -1;
  let foundKind: u32 = NODE_KINDS;
  const hash = tupleHash(key);
  let at = hash;
  while (true) {
    const slot = slotAt(at);
    if (slot == 0) return found;
    at++;
    if (!hasNode(slot, hash)) continue;
    const number = nodeIn(slot) >> KIND_BITS;
    const entry = entryAt(number);
    const kind = metKind(entry, nodeIn(slot) & KIND_MASK, kinds, key);
    if (kind >= foundKind) continue;
    if (kind >= SHARED) {
      const met = firstMet(number + 1, kind, tried);
      if (met == 0) continue;
      found = nodeNumber(met - 1, kind);
      foundKind = kind;
      continue;
    }
    if (isOver(entry)) continue;
    if (tried && isRefused(number)) continue;
    found = nodeNumber(number, kind);
    if (kind == NODE_ORIGINAL) return found;
    foundKind = kind;
  }
}

// The least of the kinds by which a tuple meets an entry in the slot of one of its nodes; NODE_KINDS: none.
function metKind(entry: Entry, kind: u32, kinds: u32, tuple: Key): u32 {
  if ((kinds & (1 << kind)) != 0 && hangsUnder(entry, kind, tuple)) return kind;
  const turned = kind == NODE_ORIGINAL && (entry.linked & REPLY_TURNED) != 0;
  if (!turned || (kinds & (1 << NODE_REPLY)) == 0) return NODE_KINDS;
  return hangsUnder(entry, NODE_REPLY, tuple) ? NODE_REPLY : NODE_KINDS;
}

function isMet(number: u32): bool {
  return !isOver(entryAt(number)) && !isRefused(number);
}

/** The next node of the same kind and tuple: an older one; or -1. */
export function nextNode(previous: i64): i64 {
  const kind = nodeKind(previous);
  if (kind >= SHARED) {
    const met = firstMet(load<u32>(neighbourAt(nodeEntry(previous), kind, 0)), kind, true);
    return met == 0 ? -1 : <i64>nodeNumber(met - 1, kind);
  }
  const entry = entryAt(nodeEntry(previous));
  tupleOf(entry, kind);
  copyBytes(changetype<usize>(searched), changetype<usize>(nodeTuple), offsetof<Key>());
  const hash = tupleHash(searched);
  const turned = kind == NODE_REPLY && (entry.linked & REPLY_TURNED) != 0;
  let at = placeOfNode(hash, nodeNumber(nodeEntry(previous), turned ? NODE_ORIGINAL : kind));
  while (true) {
    at++;
    const slot = slotAt(at);
    if (slot == 0) return -1;
    if (!hasNode(slot, hash)) continue;
    const node = nodeIn(slot);
    const number = node >> KIND_BITS;
    const met = metKind(entryAt(number), node & KIND_MASK, 1 << kind, searched);
    if (met == kind && isMet(number)) return nodeNumber(number, kind);
  }
}
