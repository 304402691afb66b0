// Where a tuple's hash leads to: nodes of the flow table, and rows. Whether its tuple is the one that is looked for,
// the flow table and the rows tell.
import { alignedLines, leaveLines } from "./bytes";

// A slot: a hash, u32, and what it leads to, u32: a node number plus one, with TWIN where another node has the same
// hash, or a row number plus one, with ROW; 0: free. It is the one that the hash names, or one of those behind it
// without a free one between. Of one hash the newest node comes first.
const SLOT_WHAT: usize = 4;
const TWIN: u32 = 1 << 31;
// Its bits are more than a node's: TWIN's, too, as no node is the only one there.
const ROW: u32 = 3 << 30;
const SLOTS_MIN: u32 = 1 << 14;
let slots: usize = 0;
let slotMask: u32 = 0;
// Slots that are not free, and how many of them lead to nodes.
let taken: u32 = 0;
let nodes: u32 = 0;

/** Prepares an empty index. */
export function setUpSlots(): void {
  makeSlots(SLOTS_MIN);
}

/** What is in a slot, its hash in the lower half; 0: nothing. A hash is the place of the first slot that may have it. */
export function slotAt(place: u32): u64 {
  return load<u64>(addressOf(place));
}

/** A slot leads to a node, and has this hash. Precondition: it is not free. */
export function hasNode(slot: u64, hash: u32): bool {
  return <u32>slot == hash && <u32>(slot >> 32) < ROW;
}

/** The number of the node in a slot that has one. */
export function nodeIn(slot: u64): u32 {
  return ((<u32>(slot >> 32)) & ~TWIN) - 1;
}

/** A slot leads to a row. */
export function hasRow(slot: u64): bool {
  return <u32>(slot >> 32) >= ROW;
}

/** The number of the row in a slot that has one. */
export function rowIn(slot: u64): u32 {
  return <u32>(slot >> 32) - ROW - 1;
}

/** Node number plus one of the only node that has a hash; 0: there is none, or several. */
export function onlyNode(hash: u32): u32 {
  const node = <u32>(firstWithNode(hash) >> 32);
  return node < TWIN ? node : 0;
}

/** Some node has a hash. */
export function isHashOfNode(hash: u32): bool {
  return firstWithNode(hash) != 0;
}

// What is in the first slot that leads to a node with a hash; 0: none does.
function firstWithNode(hash: u32): u64 {
  // Where there are rows alone nobody has to wait for their slots.
  if (nodes == 0) return 0;
  let at = hash;
  let slot = slotAt(at);
  while (slot != 0 && !hasNode(slot, hash)) {
    at++;
    slot = slotAt(at);
  }
  return slot;
}

/** Place of the slot that holds a node. Precondition: it is indexed by that hash. */
export function placeOfNode(hash: u32, node: u32): u32 {
  let at = hash;
  let slot = slotAt(at);
  while (slot == 0 || nodeIn(slot) != node) {
    if (slot == 0) unreachable();
    at++;
    slot = slotAt(at);
  }
  return at;
}

/** Puts in a node. */
export function insertNode(hash: u32, node: u32): void {
  takeSlot();
  nodes++;
  insert(hash, node + 1);
}

/** Puts in a row. */
export function insertRow(hash: u32, row: u32): void {
  takeSlot();
  let at = hash;
  while (slotAt(at) != 0) at++;
  store<u64>(addressOf(at), (<u64>hash) | ((<u64>(ROW + row + 1)) << 32));
}

/** Takes out a node that is there. */
export function deleteNode(hash: u32, node: u32): void {
  const place = placeOfNode(hash, node);
  leaveTwins(place);
  clearSlot(place);
  taken--;
  nodes--;
}

/** Puts a node in the place of one with the same hash. */
export function replaceNode(place: u32, node: u32): void {
  const twin = load<u32>(addressOf(place), SLOT_WHAT) & TWIN;
  store<u32>(addressOf(place), (node + 1) | twin, SLOT_WHAT);
}

/** Puts a row in the place of a node with the same hash. */
export function replaceByRow(hash: u32, node: u32, row: u32): void {
  const place = placeOfNode(hash, node);
  leaveTwins(place);
  store<u32>(addressOf(place), ROW + row + 1, SLOT_WHAT);
  nodes--;
}

/** Address of the first slot that may have a hash. */
export function slotsOf(hash: u32): usize {
  return addressOf(hash);
}

function addressOf(place: u32): usize {
  return slots + ((<usize>(place & slotMask)) << 3);
}

function takeSlot(): void {
  taken++;
  if (taken > slotMask >> 1) growSlots();
}

// What is there already moves on by one. `what`: as in a slot, without TWIN.
function insert(hash: u32, what: u32): void {
  let moved = (<u64>hash) | ((<u64>what) << 32);
  for (let at = hash; moved != 0; at++) {
    const slot = addressOf(at);
    let before = load<u64>(slot);
    store<u64>(slot, moved);
    if (before != 0 && what < ROW && hasNode(before, hash)) {
      before |= (<u64>TWIN) << 32;
      store<u32>(addressOf(hash), what | TWIN, SLOT_WHAT);
    }
    moved = before;
  }
}

// A node goes: another with its hash is perhaps the only one then.
function leaveTwins(place: u32): void {
  const gone = slotAt(place);
  if (<u32>(gone >> 32) < TWIN) return;
  let other: usize = 0;
  let others: u32 = 0;
  for (let at = <u32>gone; slotAt(at) != 0; at++) {
    if (!hasNode(slotAt(at), <u32>gone) || ((at ^ place) & slotMask) == 0) continue;
    other = addressOf(at);
    others++;
  }
  if (others == 1) store<u32>(other, load<u32>(other, SLOT_WHAT) & ~TWIN, SLOT_WHAT);
}

// What lies behind moves back, as far as the slots that hashes name.
function clearSlot(place: u32): void {
  let gap = place;
  for (let at = place + 1; ; at++) {
    const slot = slotAt(at);
    if (slot == 0) break;
    const away = (at - <u32>slot) & slotMask;
    if (away < ((at - gap) & slotMask)) continue;
    store<u64>(addressOf(gap), slot);
    gap = at;
  }
  store<u64>(addressOf(gap), 0);
}

function makeSlots(size: u32): void {
  slotMask = size - 1;
  slots = alignedLines((<usize>size) << 3);
  memory.fill(slots, 0, (<usize>size) << 3);
}

// Twice the slots.
function growSlots(): void {
  const before = slots;
  const size = slotMask + 1;
  makeSlots(size << 1);
  // From behind a free slot on, backwards: of one hash the oldest is put in first.
  let start: u32 = 0;
  while (load<u64>(before + ((<usize>start) << 3)) != 0) start++;
  for (let step: u32 = 1; step < size; step++) {
    const slot = load<u64>(before + ((<usize>((start - step) & (size - 1))) << 3));
    if (slot == 0) continue;
    insert(<u32>slot, hasRow(slot) ? <u32>(slot >> 32) : nodeIn(slot) + 1);
  }
  leaveLines(before, (<usize>size) << 3);
}
