// What few conntrack entries need: both tuples, where they are not those of IPv4 turned round, marks, and what is not
// known of them.
import { clearBytes, copyBytes } from "./bytes";
import { APART_TUPLES, Entry, ENTRY_UNDECIDED } from "./entry";
import { key } from "./key";

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
  /** Set by CONNMARK. */
  mark: u32;
  /** Addresses of the rows that count its packets where APART_ROW says so: of the original direction, and of the reply's. */
  row0: u32;
  row1: u32;
}

// Tuples that nobody has yet: the address of the next, and how many; and those that were left, as a list through
// `src0`: addresses.
const PIECE: u32 = 256;
let next: usize = 0;
let left: u32 = 0;
let free: u32 = 0;

/** An entry's tuples, which have a place of their own from here on. */
export function tuplesOf(entry: Entry): Tuples {
  if (!hasTuples(entry)) unfoldTuples(entry);
  return changetype<Tuples>(<usize>entry.ends);
}

/** An entry has Tuples. */
export function hasTuples(entry: Entry): bool {
  return (entry.apart & APART_TUPLES) != 0;
}

/** Addresses of an entry's original tuple, which is IPv4's: source, destination << 32. */
export function originalEnds(entry: Entry): u64 {
  if (!hasTuples(entry)) return entry.ends;
  const tuples = tuplesOf(entry);
  return (<u64>tuples.src0) | ((<u64>tuples.dst0) << 32);
}

/** And ports: the source's in the lower half. */
export function originalPorts(entry: Entry): u32 {
  if (!hasTuples(entry)) return entry.ports;
  const tuples = tuplesOf(entry);
  return (<u32>tuples.sport) | ((<u32>tuples.dport) << 16);
}

/** A connection's mark. */
export function markOf(entry: Entry): u32 {
  return hasTuples(entry) ? tuplesOf(entry).mark : 0;
}

/** Sets it; what tries take back is worlds.ts's. */
export function setMark(entry: Entry, mark: u32): void {
  if (mark != markOf(entry)) tuplesOf(entry).mark = mark;
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
  const ends = entry.ends;
  const tuples = takeTuples(entry);
  tuples.src0 = <u32>ends;
  tuples.dst0 = <u32>(ends >> 32);
  tuples.sport = <u16>entry.ports;
  tuples.dport = <u16>(entry.ports >> 16);
  startTranslation(tuples);
}

/** Gives a new entry the tuple of `key`. */
export function tuplesOfKey(entry: Entry): void {
  const tuples = takeTuples(entry);
  copyBytes(changetype<usize>(tuples), changetype<usize>(key), 32);
  tuples.sport = key.sport;
  tuples.dport = key.dport;
  startTranslation(tuples);
}

function takeTuples(entry: Entry): Tuples {
  let taken: usize = free;
  if (taken != 0) {
    free = changetype<Tuples>(taken).src0;
  } else {
    if (left == 0) {
      left = PIECE;
      next = heap.alloc(PIECE * offsetof<Tuples>());
    }
    taken = next;
    next += offsetof<Tuples>();
    left--;
  }
  clearBytes(taken, offsetof<Tuples>());
  entry.ends = taken;
  entry.apart |= APART_TUPLES;
  return changetype<Tuples>(taken);
}

/** Leaves an entry's Tuples, if it has any, to others. */
export function leaveTuples(entry: Entry): void {
  if (!hasTuples(entry)) return;
  tuplesOf(entry).src0 = free;
  free = <u32>entry.ends;
  entry.apart = 0;
}

// What is not translated is as it was.
function startTranslation(tuples: Tuples): void {
  const at = changetype<usize>(tuples);
  copyBytes(at + offsetof<Tuples>("to0"), at + offsetof<Tuples>("dst0"), 16);
  copyBytes(at + offsetof<Tuples>("from0"), at, 16);
  tuples.toPort = tuples.dport;
  tuples.fromPort = tuples.sport;
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
