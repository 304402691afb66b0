// What was said of packets of either direction of a connection, and which row counts them. It is a cache: where it is
// another's, or empty, packets walk.
import { APART_ROW, Entry } from "./entry";
import { entryAt, entryLimit } from "./entry-list";
import { addToRow, countRow, isWide, Row } from "./row";
import { hasTuples, Tuples, tuplesOf } from "./tuples";

// What a connection has counted, and its row has not: packets << BYTE_BITS, and their bytes.
const BYTE_BITS: u32 = 20;
const BYTES: u32 = (1 << BYTE_BITS) - 1;
// A packet of as many bytes is counted at once; others do not reach the packets' bits from half of the bytes'.
const BYTES_MANY: u32 = 1 << (BYTE_BITS - 1);
const PACKETS_MANY: u32 = 1 << 31;

/** The manner and way of packets as one number. `way` is less than four. */
export function whereOf(manner: u32, way: u32): u32 {
  return (manner << 2) | way;
}

/** Address of what was said last of an entry's packets, of one direction; 0: nothing. */
export function saidOf(entry: Entry, direction: u32): usize {
  return load<u32>(changetype<usize>(entry) + ((<usize>direction) << 2), offsetof<Entry>("said0"));
}

/** Keeps what was said of packets, and which row counts them; what was said of others in its place is forgotten. */
export function hear(entry: Entry, direction: u32, saying: usize, row: usize): void {
  const apart = APART_ROW << (<u8>direction);
  // The tuple was another connection's before, whose row it goes on with.
  if (entry.row == 0 && !hasTuples(entry) && !isWide(changetype<Row>(row))) entry.row = <u32>row;
  if (entry.row == <u32>row) {
    entry.apart &= ~apart;
  } else {
    store<u32>(rowApart(entry, direction), <u32>row);
    entry.apart |= apart;
  }
  keepSaid(entry, direction, saying);
}

/** The entry is another from now on: what was said of its packets does not hold. */
export function forgetHeard(entry: Entry): void {
  keepSaid(entry, 0, 0);
  keepSaid(entry, 1, 0);
}

function keepSaid(entry: Entry, direction: u32, saying: usize): void {
  const at = changetype<usize>(entry) + ((<usize>direction) << 2);
  store<u32>(at, <u32>saying, offsetof<Entry>("said0"));
}

/** Address of the row that counts packets of which something was said. */
export function rowHeard(entry: Entry, direction: u32): usize {
  return isRowApart(entry, direction) ? load<u32>(rowApart(entry, direction)) : entry.row;
}

/** Counts a packet of so many bytes there. */
export function countHeard(entry: Entry, direction: u32, bytes: u32): void {
  if (isRowApart(entry, direction) || bytes >= BYTES_MANY) {
    countRow(rowHeard(entry, direction), bytes);
    return;
  }
  const counted = entry.counted + (1 << BYTE_BITS) + bytes;
  entry.counted = counted;
  if ((counted & (PACKETS_MANY | BYTES_MANY)) != 0) settleHeard(entry);
}

/** Counts in an entry's row what it does not count yet. */
export function settleHeard(entry: Entry): void {
  const counted = entry.counted;
  if (counted == 0) return;
  addToRow(entry.row, counted >> BYTE_BITS, counted & BYTES);
  entry.counted = 0;
}

function isRowApart(entry: Entry, direction: u32): bool {
  return (entry.apart & (APART_ROW << (<u8>direction))) != 0;
}

function rowApart(entry: Entry, direction: u32): usize {
  return changetype<usize>(tuplesOf(entry)) + offsetof<Tuples>("row0") + ((<usize>direction) << 2);
}

/** Counts in their rows all packets that are counted with connections. */
export function settleEntries(): void {
  for (let number: u32 = 0; number < entryLimit(); number++) {
    const entry = entryAt(number);
    if (entry.linked != 0) settleHeard(entry);
  }
}
