// Pieces of memory: short ones, whose size is known when this is compiled (what the host offers for long ones
// costs a call each time), and fresh ones that begin with a cache line.

/** Copies two addresses that lie behind each other. */
export function copyAddresses(to: usize, from: usize): void {
  const first = v128.load(from);
  const second = v128.load(from, 16);
  v128.store(to, first);
  v128.store(to, second, 16);
}

/** Copies a piece; of what lies in it, nothing may be in both. */
export function copyBytes(to: usize, from: usize, size: usize): void {
  let at: usize = 0;
  for (; at + 16 <= size; at += 16) v128.store(to + at, v128.load(from + at));
  for (; at + 4 <= size; at += 4) store<u32>(to + at, load<u32>(from + at));
  for (; at < size; at++) store<u8>(to + at, load<u8>(from + at));
}

/** Fills a piece with zeros. */
export function clearBytes(address: usize, size: usize): void {
  const zero = i64x2.splat(0);
  let at: usize = 0;
  for (; at + 16 <= size; at += 16) v128.store(address + at, zero);
  for (; at + 4 <= size; at += 4) store<u32>(address + at, 0);
  for (; at < size; at++) store<u8>(address + at, 0);
}

/** Takes memory that is never given back, and begins with a cache line. */
export function alignedLines(size: usize): usize {
  return (heap.alloc(size + 63) + 63) & ~63;
}

/** Two addresses are the same. */
export function sameAddress(one: usize, other: usize): bool {
  const low = load<u64>(one) ^ load<u64>(other);
  return (low | (load<u64>(one, 8) ^ load<u64>(other, 8))) == 0;
}
