// What was said of packets of one direction of a connection, as they are seen in one manner, and which row counts
// them. It is a cache: where it is another's, or empty, packets walk.
import { Entry, entryAt, entryLimit } from "./entry";
import { addToRow } from "./row";

@unmanaged
export class Heard {
  /** Number of the manner, and the way that the packets go (the node's kind). */
  where: u32;
  /** Address of what was said last. */
  saying: u32;
  /** Address of the row that counts them. */
  row: u32;
  /** What the row does not count yet: packets << BYTE_BITS, and their bytes. */
  counted: u32;
}

const BYTE_BITS: u32 = 20;
const BYTES: u32 = (1 << BYTE_BITS) - 1;
// A packet of as many bytes is counted at once; others do not reach the packets' bits from half of the bytes'.
const BYTES_MANY: u32 = 1 << (BYTE_BITS - 1);
const PACKETS_MANY: u32 = 1 << 31;

/** The manner and way of packets as one number. `way` is less than four. */
export function whereOf(manner: u32, way: u32): u32 {
  return (manner << 2) | way;
}

/** Keeps what was said of packets; what was said of others in its place is forgotten. */
export function hear(heard: Heard, where: u32, saying: usize, row: usize): void {
  if (heard.row != <u32>row) settleHeard(heard);
  heard.where = where;
  heard.row = <u32>row;
  heard.saying = <u32>saying;
}

/** Counts a packet of so many bytes. */
export function countHeard(heard: Heard, bytes: u32): void {
  if (bytes >= BYTES_MANY) {
    addToRow(heard.row, 1, bytes);
    return;
  }
  const counted = heard.counted + (1 << BYTE_BITS) + bytes;
  heard.counted = counted;
  if ((counted & (PACKETS_MANY | BYTES_MANY)) != 0) settleHeard(heard);
}

/** Counts in the row what it does not count yet. */
export function settleHeard(heard: Heard): void {
  const counted = heard.counted;
  if (counted == 0) return;
  addToRow(heard.row, counted >> BYTE_BITS, counted & BYTES);
  heard.counted = 0;
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
  for (let number: u32 = 0; number < entryLimit(); number++) {
    const entry = entryAt(number);
    if (entry.linked == 0) continue;
    settleHeard(heardOf(entry, 0));
    settleHeard(heardOf(entry, 1));
  }
}
