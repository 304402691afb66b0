// The conntrack entries: what is kept of a tracked connection, and where. By which tuples packets meet them is
// entry-tuples.ts's; where these are looked up, flow-table.ts's.
import { alignedLines, clearBytes, copyBytes } from "./bytes";
import { key, Key } from "./key";
import { CT_DNAT, CT_SNAT } from "./layout";

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
  /** Address of a row with the hash of the original tuple, to which the slot leads by the entry; 0: to none. */
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
  /** Address of the visit that it began with (affinity-records.ts); 0: it is known where that led. */
  visit: u32;
  /** The rule whose match lacked the fact, of an undecided entry. */
  undecidedRule: i32;
}

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

/** How many entries are in a piece of memory, and how many of these there can be. */
export const PIECE: u32 = 4096;
// u32[PIECES_MAX]: addresses of pieces of PIECE entries; pieces are never moved.
export const PIECES_MAX: u32 = 16384;
let pieces: usize = 0;
let pieceCount: u32 = 0;
// Tuples that nobody has yet: the address of the next, and how many.
const TUPLES_PIECE: u32 = 256;
let nextTuples: usize = 0;
let tuplesLeft: u32 = 0;
// Entries that were removed, as a list through `ports`; numbers plus one. They keep their Tuples.
let free: u32 = 0;
let used: u32 = 0;
let count: u32 = 0;

/** Prepares for the first entry. */
export function setUpEntries(): void {
  pieces = heap.alloc((<usize>PIECES_MAX) << 2);
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

/** Its ports are what ICMP has instead. */
export function isIcmp(entry: Entry): bool {
  return entry.protocol == 1 || entry.protocol == 58;
}

/**
 * CT_* bits of a connection's translation.
 * > `--ctstate SNAT` and `DNAT` look at the connection, of which errors about it are, too.
 */
export function translationBits(entry: Entry): u32 {
  const dnat: u32 = (entry.flags & ENTRY_DNAT) != 0 ? CT_DNAT : 0;
  const snat: u32 = (entry.flags & ENTRY_SNAT) != 0 ? CT_SNAT : 0;
  return dnat | snat;
}

/** Where what of an entry changes begins, and how much it is. */
export const ENTRY_STATE: usize = offsetof<Entry>("reason");
export const ENTRY_STATE_SIZE: usize = offsetof<Entry>("row") - ENTRY_STATE;

/** Address of what of an entry changes. */
export function stateOfEntry(number: u32): usize {
  return changetype<usize>(entryAt(number)) + ENTRY_STATE;
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

/** Addresses of IPv4 as an entry has them. */
export function endsOfKey(tuple: Key): u64 {
  return (<u64>tuple.src0) | ((<u64>tuple.dst0) << 32);
}

/** And ports. */
export function portsOfKey(tuple: Key): u32 {
  return (<u32>tuple.sport) | ((<u32>tuple.dport) << 16);
}

/** Leaves an entry's place to others. */
export function freeEntry(number: u32): void {
  entryAt(number).ports = free;
  free = number + 1;
  count--;
}
