// Where the conntrack entries are: pieces of memory that are never moved, and places that removed entries have left.
import { alignedLines, clearBytes } from "./bytes";
import { APART_IPV6, Entry, ENTRY_STATE } from "./entry";
import { endsOfKey, key, portsOfKey } from "./key";
import { leaveTuples, tuplesOfKey } from "./tuples";

/** How many entries are in a piece of memory, and how many of these there can be. */
export const PIECE: u32 = 4096;
// u32[PIECES_MAX]: addresses of pieces of PIECE entries.
export const PIECES_MAX: u32 = 16384;
let pieces: usize = 0;
let pieceCount: u32 = 0;
// Entries that were removed, as a list through `ports`; numbers plus one.
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

/** Address of what of an entry changes. */
export function stateOfEntry(number: u32): usize {
  return changetype<usize>(entryAt(number)) + ENTRY_STATE;
}

/** Makes an entry from `key`. */
export function addEntry(): u32 {
  let number: u32;
  if (free != 0) {
    number = free - 1;
    free = entryAt(number).ports;
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
  entry.protocol = key.protocol;
  if (key.family == 4) {
    entry.ends = endsOfKey(key);
    entry.ports = portsOfKey(key);
  } else {
    entry.apart = APART_IPV6;
    tuplesOfKey(entry);
  }
  count++;
  return number;
}

/** Leaves an entry's place to others. */
export function freeEntry(number: u32): void {
  leaveTuples(entryAt(number));
  entryAt(number).ports = free;
  free = number + 1;
  count--;
}
