// Ranks: for numbers too long to compare at once (IPv6 addresses, interface names) how many of those that rules
// name are not above them. What lies between the same two of those is the same for all rules.

/**
 * Sorted numbers of 128 bits without doubles, each as two u64, the upper one first; and every eighth of them, and
 * every eighth of those, until eight or fewer are left: a search looks at eight neighbours of each.
 */
@unmanaged
class Ranks {
  count: u32;
  /** How many times every eighth was taken. */
  levels: u32;
  /** Address of u32 each: where the numbers themselves are, then every eighth of them, and so on. */
  starts: u32;
  unused: u32;
}

const FANOUT: u32 = 8;
const LEVELS_MAX: u32 = 11;
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
  dropDoubles();
  const starts = heap.alloc(LEVELS_MAX * 4);
  const at = heap.alloc(offsetof<Ranks>());
  const ranks = changetype<Ranks>(at);
  ranks.count = keyCount;
  ranks.levels = 0;
  ranks.starts = <u32>starts;
  let last = copyKeys(keys, keyCount, 1);
  store<u32>(starts, <u32>last);
  let count = keyCount;
  while (count > FANOUT) {
    last = copyKeys(last, count, FANOUT);
    count = (count + FANOUT - 1) / FANOUT;
    ranks.levels++;
    store<u32>(starts + ((<usize>ranks.levels) << 2), <u32>last);
  }
  return at;
}

function dropDoubles(): void {
  let count: u32 = 0;
  for (let index: u32 = 0; index < keyCount; index++) {
    const key = keys + <usize>index * KEY_SIZE;
    const place = keys + <usize>count * KEY_SIZE;
    if (count > 0 && memory.compare(key, place - KEY_SIZE, KEY_SIZE) == 0) continue;
    memory.copy(place, key, KEY_SIZE);
    count++;
  }
  keyCount = count;
}

// Every so many of the keys, and behind them what no number is below, up to a whole group.
function copyKeys(from: usize, count: u32, every: u32): usize {
  const taken = (count + every - 1) / every;
  const room = <usize>((taken + FANOUT - 1) & ~(FANOUT - 1)) * KEY_SIZE;
  const at = heap.alloc(max(room, <usize>FANOUT * KEY_SIZE));
  memory.fill(at, 0xff, max(room, <usize>FANOUT * KEY_SIZE));
  for (let index: u32 = 0; index < taken; index++) {
    const key = from + <usize>(index * every) * KEY_SIZE;
    memory.copy(at + <usize>index * KEY_SIZE, key, KEY_SIZE);
  }
  return at;
}

/** The greatest rank. */
export function ranksCount(ranks: usize): u32 {
  return changetype<Ranks>(ranks).count;
}

/** How many of the numbers are not above this one. */
export function rankOf(at: usize, upper: u64, lower: u64): u32 {
  const ranks = changetype<Ranks>(at);
  const starts: usize = ranks.starts;
  if (isAbove(load<u32>(starts), upper, lower)) return 0;
  // What groups are filled up with would not be above it.
  if ((upper & lower) == u64.MAX_VALUE) return ranks.count;
  let place: u32 = 0;
  for (let level = <i32>ranks.levels; level >= 0; level--) {
    const group =
      <usize>load<u32>(starts + ((<usize>level) << 2)) + <usize>place * FANOUT * KEY_SIZE;
    // The group's first one is not above it.
    place = place * FANOUT + countNotAbove(group, upper, lower) - 1;
  }
  return min(place + 1, ranks.count);
}

// Of a group; without a branch that could be guessed wrong.
function countNotAbove(group: usize, upper: u64, lower: u64): u32 {
  let count: u32 = 0;
  for (let at = group; at < group + <usize>FANOUT * KEY_SIZE; at += KEY_SIZE) {
    const own = load<u64>(at);
    const same: u32 = own == upper ? 1 : 0;
    const notAbove: u32 = load<u64>(at, 8) <= lower ? 1 : 0;
    count += (own < upper ? 1 : 0) | (same & notAbove);
  }
  return count;
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
