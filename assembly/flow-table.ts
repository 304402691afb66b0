// The table of conntrack entries: each entry hangs in hash chains under every tuple by which its packets
// can be met. Besides the kernel's two tuples these are the sights of a translated flow after its last
// hook, because a capture shows packets there too (semantics.md N-8).
import { now } from "./entry-life";
import { touch } from "./journal";
import { forgetTuple } from "./memo";
import { mix } from "./set";
import { isRefused, noteChange } from "./worlds";

/** One tracked connection. Times are nanoseconds of packet time. */
@unmanaged
export class Entry {
  /** Node numbers plus one of the next in each chain; one for each of NODE_*. */
  next0: u32;
  next1: u32;
  next2: u32;
  next3: u32;
  next4: u32;
  next5: u32;
  next6: u32;
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
  /** ENTRY_* bits. */
  flags: u16;
  family: u8;
  protocol: u8;
  tcpState: u8;
  /** CLASS_* and direction of the last segment that was accepted or ignored. */
  lastClass: u8;
  lastDirection: u8;
  /** REASON_* of an undecided entry, and the rule whose match lacked the fact. */
  reason: u8;
  /** Bit per kind of node that is linked. */
  linked: u8;
  unused0: u8;
  unused1: u16;
  undecidedRule: i32;
  /** Where the node chose the port of the translated source: from these. `fromPort` is not the one. */
  portFirst: u16;
  portLast: u16;
  /** Number of that choice: connections of one source may share it. */
  draw: u32;
  /** Tells it from others that had, or will have, its number, and from what it was under other tuples. */
  stamp: u32;
  /** Low bits of the number of the packet that made it; 0: it was there before. */
  maker: u32;
  started: u64;
  deadline: u64;
  /** TCP: the last acknowledgement or ignored segment. */
  lastSeq: u32;
  lastAck: u32;
  lastEnd: u32;
  lastWindow: u16;
  lastScale: u8;
  lastFlags: u8;
  retransmissions: u8;
  /** 1: tries left it in different states. */
  stateDoubted: u8;
  unused2: u16;
  /** Two TcpSide records (tcp-window.ts): original, reply. */
  side0: u64;
  side0b: u64;
  side0c: u32;
  side1: u32;
  side1b: u64;
  side1c: u64;
  /** Set by CONNMARK. */
  mark: u32;
  /** 1: the mark is not known. */
  markDoubted: u32;
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

export const ENTRY_SEEN_REPLY: u16 = 1 << 0;
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

/** A tuple to look for. */
@unmanaged
export class Key {
  src0: u32;
  src1: u32;
  src2: u32;
  src3: u32;
  dst0: u32;
  dst1: u32;
  dst2: u32;
  dst3: u32;
  sport: u16;
  dport: u16;
  family: u8;
  protocol: u8;
  unused: u16;
}

/** The tuple of the last look-up. */
export const key: Key = changetype<Key>(memory.data(offsetof<Key>()));
// A tuple computed from an entry.
const other: Key = changetype<Key>(memory.data(offsetof<Key>()));
const searched: Key = changetype<Key>(memory.data(offsetof<Key>()));
const KEY_SIZE: usize = offsetof<Key>();

const PIECE: u32 = 4096;
// u32[PIECES_MAX]: addresses of pieces of PIECE entries; pieces are never moved.
const PIECES_MAX: u32 = 16384;
let pieces: usize = 0;
let pieceCount: u32 = 0;
// Entries that were removed, as a list through next0; numbers plus one.
let free: u32 = 0;
let used: u32 = 0;
let count: u32 = 0;
let stamps: u32 = 0;
let buckets: usize = 0;
let bucketMask: u32 = 0;

/** Prepares an empty table. */
export function setUpFlowTable(): void {
  pieces = heap.alloc((<usize>PIECES_MAX) << 2);
  bucketMask = (1 << 14) - 1;
  buckets = heap.alloc((<usize>bucketMask + 1) << 2);
  memory.fill(buckets, 0, (<usize>bucketMask + 1) << 2);
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

/** Has an entry's state on its way from memory, before it is needed. */
export function touchLines(number: u32): void {
  const entry = changetype<usize>(entryAt(number));
  touched +=
    load<u32>(entry, offsetof<Entry>("flags")) + load<u32>(entry, offsetof<Entry>("lastEnd"));
  touched += load<u32>(entry, offsetof<Entry>("mark"));
}

// Read by nobody.
let touched: u32 = 0;

/** Keeps an entry's state as it is, so that a try that changes it can be taken back. */
export function touchEntry(number: u32): void {
  noteChange(number);
  const state = offsetof<Entry>("flags");
  touch(changetype<usize>(entryAt(number)) + state, offsetof<Entry>() - state, 0);
}

/** Tells whether the entry is in the table (removed entries keep their place for reuse). */
export function entryLinked(entry: Entry): bool {
  return entry.linked != 0;
}

/** Says that no packet of the entry has a verdict, and why. */
export function leaveEntryUndecided(entry: Entry, reason: u32, rule: i32): void {
  entry.flags |= ENTRY_UNDECIDED;
  entry.reason = <u8>reason;
  entry.undecidedRule = rule;
}

/** Makes an entry from `key` and links its two tuples. */
export function addEntry(): u32 {
  let number: u32;
  if (free != 0) {
    number = free - 1;
    free = entryAt(number).next0;
  } else {
    number = used;
    if (number % PIECE == 0) {
      store<u32>(pieces + ((<usize>pieceCount) << 2), <u32>heap.alloc(PIECE * offsetof<Entry>()));
      pieceCount++;
    }
    used++;
  }
  const entry = entryAt(number);
  memory.fill(changetype<usize>(entry), 0, offsetof<Entry>());
  memory.copy(changetype<usize>(entry) + offsetof<Entry>("src0"), changetype<usize>(key), 32);
  memory.copy(changetype<usize>(entry) + offsetof<Entry>("to0"), changetype<usize>(key) + 16, 16);
  memory.copy(changetype<usize>(entry) + offsetof<Entry>("from0"), changetype<usize>(key), 16);
  entry.sport = key.sport;
  entry.dport = key.dport;
  entry.toPort = key.dport;
  entry.fromPort = key.sport;
  entry.family = key.family;
  entry.protocol = key.protocol;
  stampEntry(entry);
  count++;
  if (count > bucketMask) growBuckets();
  return number;
}

/** The entry is another from now on. */
export function stampEntry(entry: Entry): void {
  stamps++;
  entry.stamp = stamps;
}

/** Tells whether this entry still lives. */
export function isEntryAlive(entry: Entry, stamp: u32): bool {
  return entry.stamp == stamp && entry.linked != 0 && entry.deadline > now();
}

/** Hangs an entry under one of its tuples. */
export function linkNode(number: u32, kind: u32): void {
  const entry = entryAt(number);
  tupleOf(entry, kind);
  const bucket = bucketOf(other);
  setNext(entry, kind, load<u32>(bucket));
  store<u32>(bucket, number * NODE_KINDS + kind + 1);
  entry.linked |= (<u8>1) << (<u8>kind);
  // Only by a translation do its packets look like those of another connection.
  const translated = (entry.flags & (ENTRY_DNAT | ENTRY_SNAT)) != 0;
  if (translated && kind >= NODE_REPLY && kind <= NODE_REPLY_SEEN) forgetTuple(other);
}

/** Takes an entry out of one chain. */
export function unlinkNode(number: u32, kind: u32): void {
  const entry = entryAt(number);
  if (((<u32>entry.linked) & (1 << kind)) == 0) return;
  tupleOf(entry, kind);
  const node = number * NODE_KINDS + kind + 1;
  let at = bucketOf(other);
  while (load<u32>(at) != node) at = nextAt(load<u32>(at) - 1);
  store<u32>(at, load<u32>(nextAt(node - 1)));
  entry.linked ^= (<u8>1) << (<u8>kind);
}

/** Removes an entry. */
export function removeEntry(number: u32): void {
  for (let kind: u32 = 0; kind < NODE_KINDS; kind++) unlinkNode(number, kind);
  entryAt(number).next0 = free;
  free = number + 1;
  count--;
}

/** Removes entries that have expired from the chain of `key`. */
export function removeExpired(): void {
  let node = load<u32>(bucketOf(key));
  while (node != 0) {
    const number = (node - 1) / NODE_KINDS;
    node = load<u32>(nextAt(node - 1));
    if (entryAt(number).deadline > now()) continue;
    removeEntry(number);
    // It may have hung there more than once.
    node = load<u32>(bucketOf(key));
  }
}

/**
 * Looks `key` up among the kinds of the mask: what has expired, or does not exist in this try, is not met.
 * The least kind wins. @returns node number, or -1
 */
export function findNode(kinds: u32): i64 {
  let found: i64 = -1;
  let foundKind: u32 = NODE_KINDS;
  let node = load<u32>(bucketOf(key));
  while (node != 0) {
    const kind = (node - 1) % NODE_KINDS;
    if (kind < foundKind && ((1 << kind) & kinds) != 0 && isMet((node - 1) / NODE_KINDS)) {
      tupleOf(entryAt((node - 1) / NODE_KINDS), kind);
      if (memory.compare(changetype<usize>(other), changetype<usize>(key), KEY_SIZE) == 0) {
        found = node - 1;
        foundKind = kind;
      }
    }
    node = load<u32>(nextAt(node - 1));
  }
  return found;
}

function isMet(number: u32): bool {
  return entryAt(number).deadline > now() && !isRefused(number);
}

export function nodeEntry(node: i64): u32 {
  return <u32>node / NODE_KINDS;
}

/** The node by which an entry is met in one of its chains. */
export function nodeOf(number: u32, kind: u32): i64 {
  return <i64>number * NODE_KINDS + kind;
}

/** The node behind another in its chain that hangs there as the same kind and by the same tuple; or -1. */
export function nextNode(previous: i64): i64 {
  const kind = nodeKind(previous);
  tupleOf(entryAt(nodeEntry(previous)), kind);
  memory.copy(changetype<usize>(searched), changetype<usize>(other), KEY_SIZE);
  let node = load<u32>(nextAt(<u32>previous));
  while (node != 0) {
    const number = (node - 1) / NODE_KINDS;
    if ((node - 1) % NODE_KINDS == kind && isMet(number)) {
      tupleOf(entryAt(number), kind);
      if (memory.compare(changetype<usize>(other), changetype<usize>(searched), KEY_SIZE) == 0) {
        return node - 1;
      }
    }
    node = load<u32>(nextAt(node - 1));
  }
  return -1;
}

export function nodeKind(node: i64): u32 {
  return <u32>node % NODE_KINDS;
}

// Writes the tuple by which an entry hangs in a kind's chain to `other`.
function tupleOf(entry: Entry, kind: u32): void {
  const at = changetype<usize>(other);
  const src = changetype<usize>(entry) + offsetof<Entry>("src0");
  const dst = src + 16;
  const to = dst + 16;
  const from = to + 16;
  const icmp = entry.protocol == 1 || entry.protocol == 58;
  other.family = entry.family;
  other.protocol = entry.protocol;
  other.unused = 0;
  switch (<i32>kind) {
    case NODE_ORIGINAL:
    case NODE_ORIGINAL_SEEN:
      memory.copy(at, kind == NODE_ORIGINAL ? src : from, 16);
      memory.copy(at + 16, kind == NODE_ORIGINAL ? dst : to, 16);
      other.sport = kind == NODE_ORIGINAL ? entry.sport : entry.fromPort;
      other.dport = kind == NODE_ORIGINAL || icmp ? entry.dport : entry.toPort;
      break;
    case NODE_REPLY:
    case NODE_REPLY_SEEN:
      memory.copy(at, kind == NODE_REPLY ? to : dst, 16);
      memory.copy(at + 16, kind == NODE_REPLY ? from : src, 16);
      if (icmp) {
        other.sport = kind == NODE_REPLY ? entry.fromPort : entry.sport;
        other.dport = inverseIcmp(entry.protocol, entry.dport);
      } else {
        other.sport = kind == NODE_REPLY ? entry.toPort : entry.dport;
        other.dport = kind == NODE_REPLY ? entry.fromPort : entry.sport;
      }
      break;
    case NODE_CLIENT:
    case NODE_SOURCE:
      memory.copy(at, src, 16);
      memory.fill(at + 16, 0, 16);
      other.sport = entry.sport;
      other.dport = 0;
      break;
    case NODE_BACKEND:
      memory.copy(at, to, 16);
      if ((entry.flags & ENTRY_MASQUERADED) != 0) memory.fill(at + 16, 0, 16);
      else memory.copy(at + 16, from, 16);
      other.sport = icmp ? 0 : entry.toPort;
      other.dport = icmp ? inverseIcmp(entry.protocol, entry.dport) : 0;
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

function bucketOf(tuple: Key): usize {
  let hash = mix(tuple.src0, (<u32>tuple.sport) | ((<u32>tuple.protocol) << 16));
  hash = mix(hash, tuple.dst0);
  hash = mix(hash, tuple.dport);
  if (tuple.family == 6) {
    hash = mix(hash, tuple.src1 ^ tuple.dst2);
    hash = mix(hash, tuple.src2 ^ tuple.dst1);
    hash = mix(hash, tuple.src3);
    hash = mix(hash, tuple.dst3);
  }
  return buckets + ((<usize>(hash & bucketMask)) << 2);
}

function nextAt(node: u32): usize {
  return changetype<usize>(entryAt(node / NODE_KINDS)) + ((<usize>(node % NODE_KINDS)) << 2);
}

function setNext(entry: Entry, kind: u32, node: u32): void {
  store<u32>(changetype<usize>(entry) + ((<usize>kind) << 2), node);
}

// Four times the buckets, and every entry hung up anew. The old buckets stay allocated: nothing is freed.
function growBuckets(): void {
  bucketMask = ((bucketMask + 1) << 2) - 1;
  buckets = heap.alloc((<usize>bucketMask + 1) << 2);
  memory.fill(buckets, 0, (<usize>bucketMask + 1) << 2);
  for (let number: u32 = 0; number < used; number++) {
    const linked: u32 = entryAt(number).linked;
    for (let kind: u32 = 0; kind < NODE_KINDS; kind++) {
      if ((linked & (1 << kind)) != 0) linkNode(number, kind);
    }
  }
}
