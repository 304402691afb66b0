// Tuples by which connections are looked up, and their hash.
import { sameAddress } from "./bytes";
import { endHash, pairHash, wordHash } from "./ends-hash";

/** A tuple to look for. */
@unmanaged
export class Key {
  src0: u32;
  src1: u32;
  src2: u32;
  src3: u32;
  dst0: u32;
  dst1: u32;
  dst2: u32;
  dst3: u32;
  sport: u16;
  dport: u16;
  family: u8;
  protocol: u8;
  unused: u16;
}

/** The tuple of the last look-up. */
export const key: Key = changetype<Key>(memory.data(offsetof<Key>()));

/** What of a Key tells ends: addresses and ports. */
export const KEY_ENDS: usize = offsetof<Key>("family");

/** Two tuples have the same addresses and ports. */
export function sameEnds(one: Key, other: Key): bool {
  if (one.sport != other.sport || one.dport != other.dport) return false;
  const here = changetype<usize>(one);
  const there = changetype<usize>(other);
  return sameAddress(here, there) && sameAddress(here + 16, there + 16);
}

/** Hash of a tuple: the same for one that is turned round. */
export function tupleHash(tuple: Key): u32 {
  const src = endHash(changetype<usize>(tuple), tuple.sport);
  const dst = endHash(changetype<usize>(tuple) + 16, tuple.dport);
  return pairHash(src, dst, tuple.protocol, tuple.family);
}

/** `tupleHash` of IPv4. `ports`: the source's in the lower half. */
export function endsHash(src: u32, dst: u32, ports: u32, protocol: u32): u32 {
  return pairHash(wordHash(src, ports & 0xffff), wordHash(dst, ports >> 16), protocol, 4);
}

/** Addresses of IPv4 as an entry has them. */
export function endsOfKey(tuple: Key): u64 {
  return (<u64>tuple.src0) | ((<u64>tuple.dst0) << 32);
}

/** And ports. */
export function portsOfKey(tuple: Key): u32 {
  return (<u32>tuple.sport) | ((<u32>tuple.dport) << 16);
}

/** All that a Key holds. */
@unmanaged
export class SavedKey {
  words0: v128;
  words1: v128;
  rest: u64;
}

/** Where `key` is kept while something else is looked up. Only one look-up at a time keeps it. */
export const savedKey: SavedKey = changetype<SavedKey>(memory.data(offsetof<SavedKey>(), 16));

/** Makes `key` the tuple of what answers it. */
export function turnKey(): void {
  const src = v128.load(changetype<usize>(key));
  v128.store(changetype<usize>(key), v128.load(changetype<usize>(key), 16));
  v128.store(changetype<usize>(key), src, 16);
  const sport = key.sport;
  key.sport = key.dport;
  key.dport = sport;
}
