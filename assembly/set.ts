// Longest-prefix tables, of routes and of the backends that rules lead to. Members hang in hash
// chains by their masked address, and the lengths in use are tried from the longest.
// Source of the order: ipset(8), hash:net; Linux, ip_set_hash_gen.h, mtype_test_cidrs().
import { zeros } from "./bytes";

/** A table. `lengths` is how often each prefix length is in use, u32[129]. */
@unmanaged
class PrefixTable {
  /** Address of u32[bucketMask + 1]: member addresses, 0 at the end. */
  buckets: u32;
  bucketMask: u32;
  count: u32;
  /** Address of u8[lengthCount]: the lengths in use, longest first. */
  lengths: u32;
  lengthCount: u32;
  /** Address of u64[256]: by an IPv4 address's first byte, a bit for each length that a prefix with it has. */
  lengthsOfFirst: u32;
}

@unmanaged
class Member {
  /** Address of the next member of the bucket, or 0. */
  next: u32;
  word0: u32;
  word1: u32;
  word2: u32;
  word3: u32;
  value: u32;
  port: u16;
  protocol: u8;
  bits: u8;
}

const LENGTHS_MAX: u32 = 129;
const FIRSTS: usize = 256;

/** Makes an empty table with room for about `members` without long chains. */
export function makeTable(members: u32): usize {
  const table = changetype<PrefixTable>(heap.alloc(offsetof<PrefixTable>()));
  let size: u32 = 16;
  while (size < members) size <<= 1;
  table.buckets = <u32>zeros((<usize>size) << 2);
  table.bucketMask = size - 1;
  table.count = 0;
  table.lengths = <u32>heap.alloc(LENGTHS_MAX);
  table.lengthCount = 0;
  table.lengthsOfFirst = <u32>zeros(FIRSTS * 8);
  return changetype<usize>(table);
}

/** Tells whether a table has no members. */
export function isEmpty(at: usize): bool {
  return changetype<PrefixTable>(at).count == 0;
}

/** Adds a member; the words must be masked. The same prefix and port again replaces nothing and is kept behind. */
export function insertMember(
  at: usize,
  word0: u32,
  word1: u32,
  word2: u32,
  word3: u32,
  bits: u32,
  protocol: u32,
  port: u32,
  value: u32,
): void {
  const table = changetype<PrefixTable>(at);
  const member = changetype<Member>(heap.alloc(offsetof<Member>()));
  member.word0 = word0;
  member.word1 = word1;
  member.word2 = word2;
  member.word3 = word3;
  member.value = value;
  member.port = <u16>port;
  member.protocol = <u8>protocol;
  member.bits = <u8>bits;
  const key = hashMember(word0, word1, word2, word3, bits, protocol, port);
  const bucket = bucketAt(table, key);
  member.next = load<u32>(bucket);
  store<u32>(bucket, <u32>changetype<usize>(member));
  table.count++;
  addLength(table, <u8>bits);
  if (bits <= 32) addToFirsts(table, word0, bits);
}

// Prefixes shorter than a byte have several first ones.
function addToFirsts(table: PrefixTable, word: u32, bits: u32): void {
  const several: u32 = bits < 8 ? 1 << (8 - bits) : 1;
  for (let first = word >> 24; first < (word >> 24) + several; first++) {
    const at = firstAt(table, first);
    store<u64>(at, load<u64>(at) | ((<u64>1) << bits));
  }
}

function firstAt(table: PrefixTable, first: u32): usize {
  return <usize>table.lengthsOfFirst + ((<usize>first) << 3);
}

/** The same as `lookup` for IPv4 and members without protocol and port: most addresses have few lengths to try. */
export function lookup4(at: usize, word: u32): i64 {
  const table = changetype<PrefixTable>(at);
  let lengths = load<u64>(firstAt(table, word >> 24));
  while (lengths != 0) {
    const bits = 63 - <u32>clz<u64>(lengths);
    const masked = word & maskWord(bits, 0);
    let next = load<u32>(bucketAt(table, hashMember(masked, 0, 0, 0, bits, 0, 0)));
    while (next != 0) {
      const member = changetype<Member>(next);
      if (member.word0 == masked && member.bits == bits) return <i64>member.value;
      next = member.next;
    }
    lengths ^= (<u64>1) << bits;
  }
  return -1;
}

/** Value of the longest prefix that holds the address with this protocol and port; -1 without one. */
export function lookup(
  at: usize,
  word0: u32,
  word1: u32,
  word2: u32,
  word3: u32,
  protocol: u32,
  port: u32,
): i64 {
  const table = changetype<PrefixTable>(at);
  for (let index: u32 = 0; index < table.lengthCount; index++) {
    const bits: u32 = load<u8>(<usize>table.lengths + index);
    const masked0 = word0 & maskWord(bits, 0);
    const masked1 = word1 & maskWord(bits, 32);
    const masked2 = word2 & maskWord(bits, 64);
    const masked3 = word3 & maskWord(bits, 96);
    const key = hashMember(masked0, masked1, masked2, masked3, bits, protocol, port);
    let next = load<u32>(bucketAt(table, key));
    while (next != 0) {
      const member = changetype<Member>(next);
      if (
        member.word0 == masked0 &&
        member.word1 == masked1 &&
        member.word2 == masked2 &&
        member.word3 == masked3 &&
        member.bits == bits &&
        member.protocol == protocol &&
        member.port == port
      ) {
        return <i64>member.value;
      }
      next = member.next;
    }
  }
  return -1;
}

function maskWord(bits: u32, from: u32): u32 {
  if (bits <= from) return 0;
  const ones = bits - from;
  return ones >= 32 ? 0xffffffff : 0xffffffff << (32 - ones);
}

function bucketAt(table: PrefixTable, key: u32): usize {
  return <usize>table.buckets + ((<usize>(key & table.bucketMask)) << 2);
}

function hashMember(
  word0: u32,
  word1: u32,
  word2: u32,
  word3: u32,
  bits: u32,
  protocol: u32,
  port: u32,
): u32 {
  let hash = mix(word0, bits | (protocol << 8) | (port << 16));
  if ((word1 | word2 | word3) != 0) {
    hash = mix(hash, word1);
    hash = mix(hash, word2);
    hash = mix(hash, word3);
  }
  return hash;
}

/** Stirs a word into a hash (the finalizer of MurmurHash3, Austin Appleby, public domain). */
export function mix(hash: u32, word: u32): u32 {
  let stirred = hash ^ (word * 0x9e3779b1);
  stirred ^= stirred >> 16;
  stirred *= 0x85ebca6b;
  stirred ^= stirred >> 13;
  stirred *= 0xc2b2ae35;
  return stirred ^ (stirred >> 16);
}

// Keeps the list of lengths sorted, longest first, without doubles.
function addLength(table: PrefixTable, bits: u8): void {
  const lengths: usize = table.lengths;
  let index: u32 = 0;
  while (index < table.lengthCount && load<u8>(lengths + index) > bits) index++;
  if (index < table.lengthCount && load<u8>(lengths + index) == bits) return;
  memory.copy(lengths + index + 1, lengths + index, <usize>(table.lengthCount - index));
  store<u8>(lengths + index, bits);
  table.lengthCount++;
}
