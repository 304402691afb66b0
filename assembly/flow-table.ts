// The table of conntrack entries: each entry is indexed by every tuple by which its packets can be met.
// Besides the kernel's two tuples these are the sights of a translated flow after its last hook, because a
// capture shows packets there too (semantics.md N-8).
import { alignedLines, clearBytes, copyBytes, sameAddress, zeros } from "./bytes";
import { pairHash, wordHash } from "./ends-hash";
import { now, SECOND } from "./entry-life";
import { touch } from "./journal";
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
import { Heard, settleHeard } from "./heard";
import { Key, key, sameEnds, tupleHash } from "./key";
import { SHARE_TRANSLATION } from "./layout";
import { needWhole } from "./share";
import { isRefused, noteChange } from "./worlds";

/**
 * One tracked connection: what every packet of it needs, in two cache lines. Times are nanoseconds of packet time.
 */
@unmanaged
export class Entry {
  /** Of IPv4 the original tuple: source address, destination << 32; source port, destination port << 16. */
  ends: u64;
  ports: u32;
  /** Address of its Tuples; 0: what `ends` and `ports` hold, and the same turned round, are its tuples. */
  tuples: u32;
  /** What was said of its packets: two Heard records, of the original direction and of the reply's. */
  heard0: u64;
  heard0b: u64;
  heard1: u64;
  heard1b: u64;
  /** Bit per kind of node that is linked, and REPLY_TURNED. */
  linked: u8;
  /** REASON_* of an undecided entry. What a try changes and takes back begins here. */
  reason: u8;
  retransmissions: u8;
  /** 1: tries left it in different states. */
  stateDoubted: u8;
  /** ENTRY_* bits. */
  flags: u16;
  family: u8;
  protocol: u8;
  deadline: u64;
  /** TCP: the last acknowledgement or ignored segment. */
  lastSeq: u32;
  lastAck: u32;
  lastEnd: u32;
  lastWindow: u16;
  lastScale: u8;
  lastFlags: u8;
  /** TCP: two TcpSide records (tcp-side.ts): original, reply. UDP: when it began. */
  side0: u64;
  side0b: u64;
  side0c: u16;
  side1: u16;
  side1b: u32;
  side1c: u64;
  side1d: u32;
  tcpState: u8;
  /** CLASS_* and direction of the last segment that was accepted or ignored. */
  lastClass: u8;
  lastDirection: u8;
  /** 1: the mark is not known. */
  markDoubted: u8;
  /** Set by CONNMARK. What a try changes and takes back ends here. */
  mark: u32;
  /** Number plus one of a row with the hash of the original tuple, to which the slot leads by the entry; 0: to none. */
  row: u32;
}

if (offsetof<Entry>() != 128) ERROR("an Entry has two cache lines");

/** Both tuples of an entry, and what few entries need besides. */
@unmanaged
export class Tuples {
  /** Original tuple. ICMP: sport is the id, dport is type << 8 | code. */
  src0: u32;
  src1: u32;
  src2: u32;
  src3: u32;
  dst0: u32;
  dst1: u32;
  dst2: u32;
  dst3: u32;
  /** Destination after DNAT; the original's without. */
  to0: u32;
  to1: u32;
  to2: u32;
  to3: u32;
  /** Source after SNAT; the original's without. */
  from0: u32;
  from1: u32;
  from2: u32;
  from3: u32;
  sport: u16;
  dport: u16;
  toPort: u16;
  fromPort: u16;
  /** Where the node chose the port of the translated source: from these. `fromPort` is not the one. */
  portFirst: u16;
  portLast: u16;
  /** Number of that choice: connections of one source may share it. */
  draw: u32;
  /** Low bits of the number of the packet that made it; 0: it was there before, or nobody asked for it then. */
  maker: u32;
  /** Address of the visit that it began with (affinity-visits.ts); 0: it is known where that led. */
  visit: u32;
  /** The rule whose match lacked the fact, of an undecided entry. */
  undecidedRule: i32;
}

/** As created: what the first packet had. */
export const NODE_ORIGINAL: u32 = 0;
/** What answers have when they arrive. */
export const NODE_REPLY: u32 = 1;
/** The original direction after DNAT. */
export const NODE_ORIGINAL_SEEN: u32 = 2;
/** Answers after the translation was undone. */
export const NODE_REPLY_SEEN: u32 = 3;
/** The client's side only: the backend was chosen at random and is not known yet. */
export const NODE_CLIENT: u32 = 4;
/** The backend's side only: the source was replaced by an address or port that is not known. */
export const NODE_BACKEND: u32 = 5;
/** The client's side only, of a translated source: its next connection may get the same translation. */
export const NODE_SOURCE: u32 = 6;
const NODE_KINDS: u32 = 7;
/** Neither NODE_ORIGINAL nor NODE_REPLY for certain. */
export const DIRECTION_NEITHER: u32 = 2;
// Besides the bits of kinds: the reply's tuple is the original's turned round. Both have one hash, and one slot,
// that of the original's node.
const REPLY_TURNED: u8 = 1 << 7;
// A node number is that of its entry, and its kind in the lowest bits.
const KIND_BITS: u32 = 3;
const KIND_MASK: u32 = (1 << KIND_BITS) - 1;

export const ENTRY_SEEN_REPLY: u16 = 1 << 0;
/** Seen as one, the cluster's nodes may have sent it to any backend, with an address of any of them. */
export const ENTRY_OPEN: u16 = 1 << 1;
export const ENTRY_MIDSTREAM: u16 = 1 << 2;
export const ENTRY_DNAT: u16 = 1 << 3;
/** The backend is one of several that are judged alike; which one, is not known. */
export const ENTRY_GUESSED: u16 = 1 << 4;
/** The source was translated to an address that is not known. */
export const ENTRY_MASQUERADED: u16 = 1 << 5;
/** The flow's first packet got no verdict, so no packet of it does. */
export const ENTRY_UNDECIDED: u16 = 1 << 6;
export const ENTRY_SNAT: u16 = 1 << 7;
/** The node chose the port of the translated source itself. */
export const ENTRY_PORT_UNKNOWN: u16 = 1 << 8;
export const ENTRY_ASSURED: u16 = 1 << 9;
/** Only some tries of an earlier packet made it, or kept it. */
export const ENTRY_PERHAPS: u16 = 1 << 10;
/** It began when the node had no nat table: none is ever asked for its translation. */
export const ENTRY_UNBOUND: u16 = 1 << 11;
/** It began when no rule made the kernel count what connections carry: perhaps nothing counts this one. */
export const ENTRY_UNCOUNTED: u16 = 1 << 12;

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

// A tuple computed from an entry.
const other: Key = changetype<Key>(memory.data(offsetof<Key>()));
const searched: Key = changetype<Key>(memory.data(offsetof<Key>()));

const PIECE: u32 = 4096;
// u32[PIECES_MAX]: addresses of pieces of PIECE entries; pieces are never moved.
const PIECES_MAX: u32 = 16384;
let pieces: usize = 0;
let pieceCount: u32 = 0;
// u32[PIECES_MAX]: addresses of pieces of PIECE Neighbours, or 0 where no entry has any.
let neighbourPieces: usize = 0;
// Tuples that nobody has yet: the address of the next, and how many.
const TUPLES_PIECE: u32 = 256;
let nextTuples: usize = 0;
let tuplesLeft: u32 = 0;
// Entries that were removed, as a list through `ports`; numbers plus one. They keep their Tuples.
let free: u32 = 0;
let used: u32 = 0;
let count: u32 = 0;
// The entry that is looked at next for whether it has expired.
let inspected: u32 = 0;

// u32[NODE_KINDS]: how many nodes there are of each kind; and a bit for each kind of which there are any.
const kindCounts: usize = memory.data(7 * 4, 4);
let kindsThere: u32 = 0;

/** Prepares an empty table. */
export function setUpFlowTable(): void {
  pieces = heap.alloc((<usize>PIECES_MAX) << 2);
  neighbourPieces = zeros((<usize>PIECES_MAX) << 2);
  setUpSlots();
}

export function entryCount(): u32 {
  return count;
}

/** Entry numbers are below this. */
export function entryLimit(): u32 {
  return used;
}

export function entryAt(number: u32): Entry {
  const piece: usize = load<u32>(pieces + ((<usize>(number / PIECE)) << 2));
  return changetype<Entry>(piece + <usize>(number % PIECE) * offsetof<Entry>());
}

/** An entry's tuples, which have a place of their own from here on. */
export function tuplesOf(entry: Entry): Tuples {
  if (entry.tuples == 0) unfoldTuples(entry);
  return changetype<Tuples>(entry.tuples);
}

/** An entry has tuples that `ends` and `ports` do not tell, or somebody has asked for them. */
export function hasTuples(entry: Entry): bool {
  return entry.tuples != 0;
}

let makersKept: bool = false;

/** From now on new connections know which packets made them: some rule asks for it. */
export function keepMakers(): void {
  makersKept = true;
}

/** Says by which packet a new entry was made. */
export function setMaker(entry: Entry, packet: u64): void {
  if (makersKept) tuplesOf(entry).maker = <u32>packet;
}

// Of IPv4, not translated.
function unfoldTuples(entry: Entry): void {
  const tuples = startTuples(entry);
  tuples.src0 = <u32>entry.ends;
  tuples.dst0 = <u32>(entry.ends >> 32);
  tuples.sport = <u16>entry.ports;
  tuples.dport = <u16>(entry.ports >> 16);
  startTranslation(tuples);
}

function startTuples(entry: Entry): Tuples {
  if (entry.tuples == 0) {
    if (tuplesLeft == 0) {
      tuplesLeft = TUPLES_PIECE;
      nextTuples = heap.alloc(TUPLES_PIECE * offsetof<Tuples>());
    }
    entry.tuples = <u32>nextTuples;
    nextTuples += offsetof<Tuples>();
    tuplesLeft--;
  }
  clearBytes(entry.tuples, offsetof<Tuples>());
  return changetype<Tuples>(entry.tuples);
}

// What is not translated is as it was.
function startTranslation(tuples: Tuples): void {
  const at = changetype<usize>(tuples);
  copyBytes(at + offsetof<Tuples>("to0"), at + offsetof<Tuples>("dst0"), 16);
  copyBytes(at + offsetof<Tuples>("from0"), at, 16);
  tuples.toPort = tuples.dport;
  tuples.fromPort = tuples.sport;
}

/** When a UDP flow began; of others it is not kept. */
export function startedOf(entry: Entry): u64 {
  return isUdp(entry) ? entry.side0 : 0;
}

export function setStarted(entry: Entry, time: u64): void {
  if (isUdp(entry)) entry.side0 = time;
}

function isUdp(entry: Entry): bool {
  return entry.protocol == 17 || entry.protocol == 136;
}

function isIcmp(entry: Entry): bool {
  return entry.protocol == 1 || entry.protocol == 58;
}

/** Where what of an entry changes begins, and how much it is. */
export const ENTRY_STATE: usize = offsetof<Entry>("reason");
export const ENTRY_STATE_SIZE: usize = offsetof<Entry>("row") - ENTRY_STATE;

/** Address of what of an entry changes. */
export function stateOfEntry(number: u32): usize {
  return changetype<usize>(entryAt(number)) + ENTRY_STATE;
}

/** Keeps an entry's state as it is, so that a try that changes it can be taken back. */
export function touchEntry(number: u32): void {
  noteChange(number);
  touch(stateOfEntry(number), ENTRY_STATE_SIZE, 0);
}

/** Tells whether the entry is in the table (removed entries keep their place for reuse). */
export function entryLinked(entry: Entry): bool {
  return entry.linked != 0;
}

/** Says that no packet of the entry has a verdict, and why. */
export function leaveEntryUndecided(entry: Entry, reason: u32, rule: i32): void {
  entry.flags |= ENTRY_UNDECIDED;
  setMissing(entry, reason, rule);
}

/**
 * Says which fact is missing of an entry, and whose match lacked it. Where a try says so and is taken back, the rule
 * stays, which nobody asks for without the reason.
 */
export function setMissing(entry: Entry, reason: u32, rule: i32): void {
  entry.reason = <u8>reason;
  tuplesOf(entry).undecidedRule = rule;
}

/** Makes an entry from `key`. */
export function addEntry(): u32 {
  let number: u32;
  let tuples: u32 = 0;
  if (free != 0) {
    number = free - 1;
    free = entryAt(number).ports;
    tuples = entryAt(number).tuples;
  } else {
    number = used;
    if (number % PIECE == 0) {
      const piece = alignedLines(PIECE * offsetof<Entry>());
      store<u32>(pieces + ((<usize>pieceCount) << 2), <u32>piece);
      pieceCount++;
    }
    used++;
  }
  const entry = entryAt(number);
  clearBytes(changetype<usize>(entry), offsetof<Entry>());
  entry.tuples = tuples;
  entry.family = key.family;
  entry.protocol = key.protocol;
  if (key.family == 4) {
    entry.ends = endsOfKey(key);
    entry.ports = portsOfKey(key);
    if (tuples != 0) unfoldTuples(entry);
  } else {
    copyTuple(startTuples(entry));
  }
  count++;
  return number;
}

function copyTuple(tuples: Tuples): void {
  copyBytes(changetype<usize>(tuples), changetype<usize>(key), 32);
  tuples.sport = key.sport;
  tuples.dport = key.dport;
  startTranslation(tuples);
}

// As an entry of IPv4 has them.
function endsOfKey(tuple: Key): u64 {
  return (<u64>tuple.src0) | ((<u64>tuple.dst0) << 32);
}

function portsOfKey(tuple: Key): u32 {
  return (<u32>tuple.sport) | ((<u32>tuple.dport) << 16);
}

/** What was said of an entry's packets, of one direction. */
export function heardOf(entry: Entry, direction: u32): Heard {
  const first = changetype<usize>(entry) + offsetof<Entry>("heard0");
  return changetype<Heard>(first + <usize>direction * offsetof<Heard>());
}

/** The entry is another from now on: what was said of its packets does not hold. */
export function forgetHeard(entry: Entry): void {
  heardOf(entry, 0).where = 0;
  heardOf(entry, 1).where = 0;
}

/** Counts in their rows all packets that are counted with connections. */
export function settleEntries(): void {
  for (let number: u32 = 0; number < used; number++) {
    const entry = entryAt(number);
    if (entry.linked == 0) continue;
    settleHeard(heardOf(entry, 0));
    settleHeard(heardOf(entry, 1));
  }
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
  const hash = tupleHash(other);
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
  const hash = tupleHash(other);
  const node = nodeNumber(number, kind);
  if (kind == NODE_ORIGINAL && entry.row != 0) {
    replaceByRow(hash, node, entry.row - 1);
    entry.row = 0;
  } else deleteNode(hash, node);
}

/**
 * Has a hash lead to a row: by the entry of a connection whose original tuple has that hash, if one is there that
 * leads to none.
 */
export function linkRow(hash: u32, row: u32): void {
  let at = hash;
  for (let slot = slotAt(at); slot != 0; at++, slot = slotAt(at)) {
    if (!hasNode(slot, hash) || (nodeIn(slot) & KIND_MASK) != NODE_ORIGINAL) continue;
    const entry = entryAt(nodeIn(slot) >> KIND_BITS);
    if (entry.row != 0) continue;
    entry.row = row + 1;
    return;
  }
  insertRow(hash, row);
}

/** Number plus one of the row that a slot leads to; 0: to none. */
export function rowOfSlot(slot: u64): u32 {
  if (hasRow(slot)) return rowIn(slot) + 1;
  const node = nodeIn(slot);
  return (node & KIND_MASK) == NODE_ORIGINAL ? entryAt(node >> KIND_BITS).row : 0;
}

// What answers has the same ends the other way round; ICMP's has another type.
function isTurned(entry: Entry): bool {
  if (isIcmp(entry)) return false;
  if (entry.tuples == 0) return true;
  const tuples = tuplesOf(entry);
  const src = changetype<usize>(tuples);
  const to = src + offsetof<Tuples>("to0");
  return (
    tuples.toPort == tuples.dport &&
    tuples.fromPort == tuples.sport &&
    sameAddress(to, src + 16) &&
    sameAddress(to + 16, src)
  );
}

// Takes the place of the newest entry of the tuple in `other`, if there is one.
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

// The tuple in `other` is also that of an entry's node; it is in `other` afterwards.
function sharesTuple(number: u32, kind: u32): bool {
  copyBytes(changetype<usize>(searched), changetype<usize>(other), offsetof<Key>());
  const shares = hangsUnder(entryAt(number), kind, searched);
  copyBytes(changetype<usize>(other), changetype<usize>(searched), offsetof<Key>());
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
  const place = placeOfNode(tupleHash(other), nodeNumber(number, kind));
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
    if (entryAt(number).deadline > now() && !(tried && isRefused(number))) return next;
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
  const entry = entryAt(number);
  settleHeard(heardOf(entry, 0));
  settleHeard(heardOf(entry, 1));
  entry.ports = free;
  free = number + 1;
  count--;
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
  for (let each: u32 = 0; each < INSPECTED_EACH * INSPECTED_FOR && used > 0; each++) {
    if (inspected >= used) {
      if (now() < turnBegan + SECOND) return;
      turnBegan = now();
      inspected = 0;
    }
    const entry = entryAt(inspected);
    if (entry.linked != 0 && entry.deadline <= now()) removeEntry(inspected);
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
    if (entry.deadline <= now()) continue;
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

/**
 * The direction of a packet of IPv4 in a connection that is not translated on the packet's way, whose node is what
 * `findCertainNode` finds; DIRECTION_NEITHER: it takes a closer look.
 *
 * @param node  the only one that has the tuple's hash
 * @param ends  source's address, destination's << 32
 * @param ports the source's in the lower half
 */
export function plainDirection(node: i64, entry: Entry, ends: u64, ports: u32, protocol: u32): u32 {
  if (entry.family != 4 || entry.protocol != <u8>protocol) return DIRECTION_NEITHER;
  const kind = nodeKind(node);
  if (kind == NODE_ORIGINAL) {
    const differs = (entry.ends ^ ends) | (entry.ports ^ ports);
    const turned = (entry.ends ^ rotl<u64>(ends, 32)) | (entry.ports ^ rotl<u32>(ports, 16));
    const isReply = (turned | (~entry.linked & REPLY_TURNED)) == 0;
    // As many have one direction as the other: no branches.
    const back = select<u32>(NODE_REPLY, DIRECTION_NEITHER, isReply);
    return select<u32>(NODE_ORIGINAL, back, differs == 0);
  }
  if (kind != NODE_REPLY) return DIRECTION_NEITHER;
  const tuples = tuplesOf(entry);
  const own = (<u32>tuples.toPort) | ((<u32>tuples.fromPort) << 16);
  const same = tuples.to0 == <u32>ends && tuples.from0 == <u32>(ends >> 32) && own == ports;
  return same ? kind : DIRECTION_NEITHER;
}

// The tuple is the one by which a kind of the entry's nodes is indexed.
function hangsUnder(entry: Entry, kind: u32, tuple: Key): bool {
  if (entry.protocol != tuple.protocol || entry.family != tuple.family) return false;
  if (kind == NODE_ORIGINAL && entry.family == 4)
    return entry.ends == endsOfKey(tuple) && entry.ports == portsOfKey(tuple);
  if (kind == NODE_REPLY && !isIcmp(entry)) {
    if (entry.tuples == 0) {
      const ends = rotl<u64>(endsOfKey(tuple), 32);
      return entry.ends == ends && entry.ports == rotl<u32>(portsOfKey(tuple), 16);
    }
    const tuples = tuplesOf(entry);
    if (tuples.toPort != tuple.sport || tuples.fromPort != tuple.dport) return false;
    const to = changetype<usize>(tuples) + offsetof<Tuples>("to0");
    const at = changetype<usize>(tuple);
    return sameAddress(to, at) && sameAddress(to + 16, at + 16);
  }
  tupleOf(entry, kind);
  return sameEnds(other, tuple);
}

function isMet(number: u32): bool {
  return entryAt(number).deadline > now() && !isRefused(number);
}

export function nodeEntry(node: i64): u32 {
  return (<u32>node) >> KIND_BITS;
}

/** The node by which an entry is met by one of its tuples. */
export function nodeOf(number: u32, kind: u32): i64 {
  return nodeNumber(number, kind);
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
  copyBytes(changetype<usize>(searched), changetype<usize>(other), offsetof<Key>());
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

function nodeNumber(number: u32, kind: u32): u32 {
  return (number << KIND_BITS) | kind;
}

export function nodeKind(node: i64): u32 {
  return (<u32>node) & KIND_MASK;
}

// Writes the tuple by which a kind of an entry's nodes is indexed to `other`.
function tupleOf(entry: Entry, kind: u32): void {
  if (entry.tuples == 0 && kind == NODE_ORIGINAL) {
    clearBytes(changetype<usize>(other), offsetof<Key>());
    other.src0 = <u32>entry.ends;
    other.dst0 = <u32>(entry.ends >> 32);
    other.sport = <u16>entry.ports;
    other.dport = <u16>(entry.ports >> 16);
    other.family = entry.family;
    other.protocol = entry.protocol;
    return;
  }
  const at = changetype<usize>(other);
  const tuples = tuplesOf(entry);
  const src = changetype<usize>(tuples);
  const dst = src + 16;
  const to = dst + 16;
  const from = to + 16;
  const icmp = isIcmp(entry);
  other.family = entry.family;
  other.protocol = entry.protocol;
  other.unused = 0;
  switch (<i32>kind) {
    case NODE_ORIGINAL:
    case NODE_ORIGINAL_SEEN:
      copyBytes(at, kind == NODE_ORIGINAL ? src : from, 16);
      copyBytes(at + 16, kind == NODE_ORIGINAL ? dst : to, 16);
      other.sport = kind == NODE_ORIGINAL ? tuples.sport : tuples.fromPort;
      other.dport = kind == NODE_ORIGINAL || icmp ? tuples.dport : tuples.toPort;
      break;
    case NODE_REPLY:
    case NODE_REPLY_SEEN:
      copyBytes(at, kind == NODE_REPLY ? to : dst, 16);
      copyBytes(at + 16, kind == NODE_REPLY ? from : src, 16);
      if (icmp) {
        other.sport = kind == NODE_REPLY ? tuples.fromPort : tuples.sport;
        other.dport = inverseIcmp(entry.protocol, tuples.dport);
      } else {
        other.sport = kind == NODE_REPLY ? tuples.toPort : tuples.dport;
        other.dport = kind == NODE_REPLY ? tuples.fromPort : tuples.sport;
      }
      break;
    case NODE_CLIENT:
    case NODE_SOURCE:
      copyBytes(at, src, 16);
      memory.fill(at + 16, 0, 16);
      other.sport = tuples.sport;
      other.dport = 0;
      break;
    case NODE_BACKEND:
      if ((entry.flags & ENTRY_OPEN) != 0) {
        memory.fill(at, 0, 32);
        other.sport = 0;
        other.dport = 0;
        break;
      }
      copyBytes(at, to, 16);
      if ((entry.flags & ENTRY_MASQUERADED) != 0) memory.fill(at + 16, 0, 16);
      else copyBytes(at + 16, from, 16);
      other.sport = icmp ? 0 : tuples.toPort;
      other.dport = icmp ? inverseIcmp(entry.protocol, tuples.dport) : 0;
      break;
    default:
      unreachable();
  }
}

/** Type and code that answer a query's; the same where there is none. */
export function inverseIcmp(protocol: u32, typeCode: u16): u16 {
  const type: u32 = typeCode >> 8;
  const code = typeCode & 0xff;
  if (protocol == 1) {
    if (type == 8) return code;
    if (type == 0) return 0x800 | code;
    if (type == 13 || type == 15 || type == 17) return (<u16>((type + 1) << 8)) | code;
    if (type == 14 || type == 16 || type == 18) return (<u16>((type - 1) << 8)) | code;
  } else {
    if (type == 128 || type == 139) return (<u16>((type + 1) << 8)) | code;
    if (type == 129 || type == 140) return (<u16>((type - 1) << 8)) | code;
  }
  return typeCode;
}

/** `tupleHash` of IPv4. `ports`: the source's in the lower half. */
export function endsHash(src: u32, dst: u32, ports: u32, protocol: u32): u32 {
  return pairHash(wordHash(src, ports & 0xffff), wordHash(dst, ports >> 16), protocol, 4);
}
