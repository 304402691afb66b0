// A hash of two ends, each an address and a port or what stands for it: the same whichever comes first, so that both
// directions of a connection are looked up in one place.

/** Hash of one end of IPv4. */
export function wordHash(word: u32, end: u32): u64 {
  const hash = (((<u64>word) << 32) | end) * 0x9e3779b97f4a7c15;
  return hash ^ (hash >> 32);
}

/** Hash of one end: the address of its four words. */
export function endHash(address: usize, end: u32): u64 {
  let hash = wordHash(load<u32>(address), end);
  // Of IPv6.
  const low = load<u64>(address, 8);
  if (low != 0) hash = (hash + low) * 0x94d049bb133111eb;
  const middle = load<u32>(address, 4);
  if (middle != 0) hash = (hash ^ middle) * 0xd6e8feb86659fd93;
  return hash;
}

/** Hash of both. */
export function pairHash(one: u64, other: u64, protocol: u32, family: u32): u32 {
  return <u32>((((one + other) ^ (protocol | (family << 8))) * 0xbf58476d1ce4e5b9) >> 32);
}
