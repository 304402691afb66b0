// Pieces of memory: short ones, whose size is known when this is compiled (what the host offers for long ones
// costs a call each time, and each turn of a loop a look at whether the host wants something), and fresh ones that begin
// with a cache line.

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
  for (; at + 64 <= size; at += 64) {
    copyAddresses(to + at, from + at);
    copyAddresses(to + at + 32, from + at + 32);
  }
  for (; at + 16 <= size; at += 16) v128.store(to + at, v128.load(from + at));
  for (; at + 4 <= size; at += 4) store<u32>(to + at, load<u32>(from + at));
  for (; at < size; at++) store<u8>(to + at, load<u8>(from + at));
}

/** Fills a piece with zeros. */
export function clearBytes(address: usize, size: usize): void {
  const zero = i64x2.splat(0);
  let at: usize = 0;
  for (; at + 64 <= size; at += 64) {
    v128.store(address + at, zero);
    v128.store(address + at, zero, 16);
    v128.store(address + at, zero, 32);
    v128.store(address + at, zero, 48);
  }
  for (; at + 16 <= size; at += 16) v128.store(address + at, zero);
  for (; at + 4 <= size; at += 4) store<u32>(address + at, 0);
  for (; at < size; at++) store<u8>(address + at, 0);
}

/**
 * Takes memory that holds zeros: a Wasm's memory begins so, the runtime ("stub") gets back only what nobody wrote to
 * (`resize`), and copies of a matcher are made into fresh memory.
 */
export function zeros(size: usize): usize {
  return heap.alloc(size);
}

// What is not taken yet of a piece that somebody has left, and a list of the others: in each the address of the next
// one, u32, and its own size, u32.
let left: usize = 0;
let leftEnd: usize = 0;
let others: usize = 0;
const LEFT_SIZE: usize = 4;

/** Takes memory that begins with a cache line, whatever it holds. */
export function alignedLines(size: usize): usize {
  const lines = (size + 63) & ~63;
  if (lines > leftEnd - left) {
    if (others == 0 || lines > load<u32>(others, LEFT_SIZE))
      return (heap.alloc(lines + 63) + 63) & ~63;
    left = others;
    leftEnd = left + load<u32>(left, LEFT_SIZE);
    others = load<u32>(left);
  }
  const at = left;
  left += lines;
  return at;
}

/** Leaves a piece that was taken so to whoever takes one next. */
export function leaveLines(at: usize, size: usize): void {
  store<u32>(at, <u32>others);
  store<u32>(at, <u32>size, LEFT_SIZE);
  others = at;
}

/** Two pieces are the same; eight divides their size. */
export function sameBytes(one: usize, other: usize, size: usize): bool {
  let differing = i64x2.splat(0);
  let at: usize = 0;
  for (; at + 32 <= size; at += 32) {
    const first = v128.xor(v128.load(one + at), v128.load(other + at));
    const second = v128.xor(v128.load(one + at, 16), v128.load(other + at, 16));
    differing = v128.or(differing, v128.or(first, second));
  }
  let rest: u64 = 0;
  for (; at < size; at += 8) rest |= load<u64>(one + at) ^ load<u64>(other + at);
  return !v128.any_true(differing) && rest == 0;
}

/** Takes a word into a hash; multiplications do not wait for each other. */
export function stir(hash: u64, word: u64): u64 {
  return rotl<u64>(hash, 23) ^ (word * 0x9e3779b97f4a7c15);
}

/** Takes a piece into a new hash; eight divides its size. */
export function stirBytes(at: usize, size: usize): u64 {
  let hash: u64 = 0;
  for (let byte: usize = 0; byte < size; byte += 8) hash = stir(hash, load<u64>(at + byte));
  return hash;
}

/** The hash of all that was taken in. */
export function stirred(hash: u64): u32 {
  return <u32>((hash * 0xbf58476d1ce4e5b9) >> 32);
}

/** Two addresses are the same. */
export function sameAddress(one: usize, other: usize): bool {
  const low = load<u64>(one) ^ load<u64>(other);
  return (low | (load<u64>(one, 8) ^ load<u64>(other, 8))) == 0;
}
