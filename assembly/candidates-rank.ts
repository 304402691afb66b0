// Ranks: for numbers too long to compare at once (IPv6 addresses, interface names) how many of those that rules
// name are not above them. What lies between the same two of those is the same for all rules.

/** Sorted numbers of 128 bits without doubles: how many, and behind that each as two u64, the upper one first. */
@unmanaged
class Ranks {
  count: u32;
  unused0: u32;
  unused1: u64;
}

const KEY_SIZE: usize = 16;

let keys: usize = 0;
let keyRoom: u32 = 0;
let keyCount: u32 = 0;

/** Begins a list of at most so many numbers. */
export function startRanks(most: u32): void {
  keyCount = 0;
  if (most <= keyRoom) return;
  keyRoom = most;
  // Half of the room is for sorting.
  keys = heap.alloc(<usize>most * KEY_SIZE * 2);
}

/** Adds where a range begins, and where it has ended. */
export function addRange(range: usize): void {
  addKey(load<u64>(range), load<u64>(range, 8));
  const upper = load<u64>(range, 16);
  const lower = load<u64>(range, 24) + 1;
  if (lower != 0) addKey(upper, lower);
  else if (upper != u64.MAX_VALUE) addKey(upper + 1, 0);
}

/** Sorts what was added. @returns address of the ranks */
export function makeRanks(): usize {
  sortKeys();
  const at = heap.alloc(offsetof<Ranks>() + <usize>keyCount * KEY_SIZE);
  let count: u32 = 0;
  let behind = at + offsetof<Ranks>();
  for (let index: u32 = 0; index < keyCount; index++) {
    const key = keys + <usize>index * KEY_SIZE;
    if (count > 0 && memory.compare(key, behind - KEY_SIZE, KEY_SIZE) == 0) continue;
    memory.copy(behind, key, KEY_SIZE);
    behind += KEY_SIZE;
    count++;
  }
  changetype<Ranks>(at).count = count;
  return at;
}

/** The greatest rank. */
export function ranksCount(ranks: usize): u32 {
  return changetype<Ranks>(ranks).count;
}

/** How many of the numbers are not above this one. */
export function rankOf(ranks: usize, upper: u64, lower: u64): u32 {
  const first = ranks + offsetof<Ranks>();
  let low: u32 = 0;
  let high = changetype<Ranks>(ranks).count;
  while (low < high) {
    const middle = (low + high) >> 1;
    const key = first + <usize>middle * KEY_SIZE;
    if (isAbove(key, upper, lower)) high = middle;
    else low = middle + 1;
  }
  return low;
}

function isAbove(key: usize, upper: u64, lower: u64): bool {
  const own = load<u64>(key);
  return own > upper || (own == upper && load<u64>(key, 8) > lower);
}

function addKey(upper: u64, lower: u64): void {
  const key = keys + <usize>keyCount * KEY_SIZE;
  store<u64>(key, upper);
  store<u64>(key, lower, 8);
  keyCount++;
}

// Merges runs of twice the length, to and fro between the halves of the room.
function sortKeys(): void {
  let from = keys;
  let to = keys + <usize>keyRoom * KEY_SIZE;
  for (let length: u32 = 1; length < keyCount; length <<= 1) {
    for (let start: u32 = 0; start < keyCount; start += length << 1) {
      mergeRuns(
        from,
        to,
        start,
        min(start + length, keyCount),
        min(start + (length << 1), keyCount),
      );
    }
    const swapped = from;
    from = to;
    to = swapped;
  }
  keys = min(from, to);
  if (from != keys) memory.copy(keys, from, <usize>keyCount * KEY_SIZE);
}

function mergeRuns(from: usize, to: usize, start: u32, middle: u32, end: u32): void {
  let one = start;
  let other = middle;
  for (let place = start; place < end; place++) {
    const otherKey = from + <usize>other * KEY_SIZE;
    const first =
      other == end ||
      (one < middle &&
        !isAbove(from + <usize>one * KEY_SIZE, load<u64>(otherKey), load<u64>(otherKey, 8)));
    const taken = first ? one : other;
    memory.copy(to + <usize>place * KEY_SIZE, from + <usize>taken * KEY_SIZE, KEY_SIZE);
    if (first) one++;
    else other++;
  }
}
