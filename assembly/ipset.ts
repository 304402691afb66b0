// ipsets: hash tables of entries with up to two prefixes, a protocol and port, and a word of its own
// (mark, Ethernet address, interface). Which of them a set has, its type says. The lengths of prefixes
// in use are tried from the longest, the first one's before the second's.
// Source: Linux, ip_set_hash_gen.h, mtype_test_cidrs(); semantics.md section 8.
import {
  IPSET_FLAGS,
  IPSET_HIGH,
  IPSET_INCOMPLETE,
  IPSET_LOW,
  IPSET_MARK_MASK,
  IPSET_MASK,
  IPSET_MEMBER_COUNT,
  IPSET_MEMBERS,
  SET_BITMAP,
  SET_ENTRY_A,
  SET_ENTRY_B,
  SET_ENTRY_BITS_A,
  SET_ENTRY_BITS_B,
  SET_ENTRY_BYTES,
  SET_ENTRY_DEADLINE,
  SET_ENTRY_FLAGS,
  SET_ENTRY_NOMATCH,
  SET_ENTRY_PACKETS,
  SET_ENTRY_PORT,
  SET_ENTRY_PROTOCOL,
  SET_ENTRY_WORD,
  SET_FIELD_A,
  SET_FIELD_B,
  SET_FIELD_IFACE,
  SET_FIELD_MAC,
  SET_FIELD_MARK,
  SET_FIELD_PORT,
} from "./layout";
import { mix } from "./set";

/** A set. */
@unmanaged
export class IpSet {
  /** SET_FIELD_* bits: what its entries have. */
  fields: u32;
  /** 4, 6, or 0 for every family. */
  family: u32;
  /** How many flags a rule has to give. */
  dimensions: u32;
  /** SET_* flags of layout.ts. */
  flags: u32;
  /** Address of u32[bucketMask + 1]: entry addresses, 0 at the end. */
  buckets: u32;
  bucketMask: u32;
  count: u32;
  /** Address of u16[pairCount]: lengths in use, first << 8 | second, in the order they are tried. */
  pairs: u32;
  pairCount: u32;
  /** 1 when an address that is missing from the snapshot may be a member. */
  incomplete: u32;
  /** Of the first address. */
  mask0: u32;
  mask1: u32;
  mask2: u32;
  mask3: u32;
  markMask: u32;
  /** bitmap: the least and the greatest address or port. */
  low: u32;
  high: u32;
  /** list:set: address of u32[memberCount], the members' numbers in their order. */
  members: u32;
  memberCount: u32;
}

/** One entry. */
@unmanaged
export class SetEntry {
  /** Address of the next entry of the bucket, or 0. */
  next: u32;
  a0: u32;
  a1: u32;
  a2: u32;
  a3: u32;
  b0: u32;
  b1: u32;
  b2: u32;
  b3: u32;
  port: u16;
  protocol: u8;
  bitsA: u8;
  bitsB: u8;
  /** SET_ENTRY_* bits. */
  flags: u8;
  /** 1: whether it is there is not known. */
  doubted: u8;
  unused: u8;
  /** Mark, Ethernet address, or interface number. */
  word: u64;
  /** Packet time in ns after which it is gone; 0: never. */
  deadline: u64;
  packets: u64;
  bytes: u64;
  /** 1: the counters are not known. */
  countsDoubted: u64;
}

if (offsetof<IpSet>("flags") != IPSET_FLAGS) ERROR("IPSET_FLAGS");
if (offsetof<IpSet>("incomplete") != IPSET_INCOMPLETE) ERROR("IPSET_INCOMPLETE");
if (offsetof<IpSet>("mask0") != IPSET_MASK) ERROR("IPSET_MASK");
if (offsetof<IpSet>("markMask") != IPSET_MARK_MASK) ERROR("IPSET_MARK_MASK");
if (offsetof<IpSet>("low") != IPSET_LOW) ERROR("IPSET_LOW");
if (offsetof<IpSet>("high") != IPSET_HIGH) ERROR("IPSET_HIGH");
if (offsetof<IpSet>("members") != IPSET_MEMBERS) ERROR("IPSET_MEMBERS");
if (offsetof<IpSet>("memberCount") != IPSET_MEMBER_COUNT) ERROR("IPSET_MEMBER_COUNT");
if (offsetof<SetEntry>("a0") != SET_ENTRY_A) ERROR("SET_ENTRY_A");
if (offsetof<SetEntry>("b0") != SET_ENTRY_B) ERROR("SET_ENTRY_B");
if (offsetof<SetEntry>("port") != SET_ENTRY_PORT) ERROR("SET_ENTRY_PORT");
if (offsetof<SetEntry>("protocol") != SET_ENTRY_PROTOCOL) ERROR("SET_ENTRY_PROTOCOL");
if (offsetof<SetEntry>("bitsA") != SET_ENTRY_BITS_A) ERROR("SET_ENTRY_BITS_A");
if (offsetof<SetEntry>("bitsB") != SET_ENTRY_BITS_B) ERROR("SET_ENTRY_BITS_B");
if (offsetof<SetEntry>("flags") != SET_ENTRY_FLAGS) ERROR("SET_ENTRY_FLAGS");
if (offsetof<SetEntry>("word") != SET_ENTRY_WORD) ERROR("SET_ENTRY_WORD");
if (offsetof<SetEntry>("deadline") != SET_ENTRY_DEADLINE) ERROR("SET_ENTRY_DEADLINE");
if (offsetof<SetEntry>("packets") != SET_ENTRY_PACKETS) ERROR("SET_ENTRY_PACKETS");
if (offsetof<SetEntry>("bytes") != SET_ENTRY_BYTES) ERROR("SET_ENTRY_BYTES");

/** What is looked for; also what is inserted. */
export const probe: SetEntry = changetype<SetEntry>(memory.data(offsetof<SetEntry>(), 8));

const PAIRS_MAX: u32 = 33 * 129;

/** Makes an empty set with room for about `members` without long chains. */
export function makeIpSet(fields: u32, family: u32, members: u32): usize {
  const set = changetype<IpSet>(heap.alloc(offsetof<IpSet>()));
  memory.fill(changetype<usize>(set), 0, offsetof<IpSet>());
  let size: u32 = 16;
  while (size < members && size < 1 << 24) size <<= 1;
  set.fields = fields;
  set.family = family;
  set.dimensions = dimensionsOf(fields);
  set.buckets = <u32>heap.alloc((<usize>size) << 2);
  memory.fill(<usize>set.buckets, 0, (<usize>size) << 2);
  set.bucketMask = size - 1;
  set.mask0 = 0xffffffff;
  set.mask1 = 0xffffffff;
  set.mask2 = 0xffffffff;
  set.mask3 = 0xffffffff;
  set.markMask = 0xffffffff;
  return changetype<usize>(set);
}

/** Address of `probe`, for the host to fill. */
export function setProbe(): usize {
  memory.fill(changetype<usize>(probe), 0, offsetof<SetEntry>());
  return changetype<usize>(probe);
}

/** Adds what `probe` holds. Its words are masked. */
export function insertEntry(at: usize): void {
  const set = changetype<IpSet>(at);
  const entry = changetype<SetEntry>(heap.alloc(offsetof<SetEntry>()));
  memory.copy(changetype<usize>(entry), changetype<usize>(probe), offsetof<SetEntry>());
  const bucket = bucketAt(set, hashOf(set, probe));
  entry.next = load<u32>(bucket);
  store<u32>(bucket, <u32>changetype<usize>(entry));
  set.count++;
  addPair(set, ((<u32>entry.bitsA) << 8) | entry.bitsB);
}

/**
 * Finds the entry that `probe`, with full addresses, falls into: the one of the longest lengths.
 *
 * @returns its address; 0 without one
 */
export function findEntry(set: IpSet, now: u64): usize {
  const a0 = probe.a0;
  const a1 = probe.a1;
  const a2 = probe.a2;
  const a3 = probe.a3;
  const b0 = probe.b0;
  const b1 = probe.b1;
  const b2 = probe.b2;
  const b3 = probe.b3;
  for (let index: u32 = 0; index < set.pairCount; index++) {
    const pair: u32 = load<u16>(<usize>set.pairs + ((<usize>index) << 1));
    const bitsA = pair >> 8;
    const bitsB = pair & 0xff;
    probe.bitsA = <u8>bitsA;
    probe.bitsB = <u8>bitsB;
    probe.a0 = a0 & maskWord(bitsA, 0);
    probe.a1 = a1 & maskWord(bitsA, 32);
    probe.a2 = a2 & maskWord(bitsA, 64);
    probe.a3 = a3 & maskWord(bitsA, 96);
    probe.b0 = b0 & maskWord(bitsB, 0);
    probe.b1 = b1 & maskWord(bitsB, 32);
    probe.b2 = b2 & maskWord(bitsB, 64);
    probe.b3 = b3 & maskWord(bitsB, 96);
    sameNetMet = false;
    const found = findExact(set, now);
    if (found != 0) return found;
    // > With interfaces, the longest prefix that is there for any interface is the last one tried.
    if (sameNetMet && (set.fields & SET_FIELD_IFACE) != 0) return 0;
  }
  return 0;
}

/** An entry of the prefix that was looked for was met, whatever its word. */
let sameNetMet: bool = false;

/** The entry that is just what `probe` holds, its lengths included; 0 without one. */
export function findExact(set: IpSet, now: u64): usize {
  let next = load<u32>(bucketAt(set, hashOf(set, probe)));
  while (next != 0) {
    const entry = changetype<SetEntry>(next);
    if (isSameNet(entry)) sameNetMet = true;
    if (isSame(entry) && (entry.deadline == 0 || entry.deadline > now)) return next;
    next = entry.next;
  }
  return 0;
}

/** Tells whether an entry says "not in the set". */
export function isNomatch(entry: usize): bool {
  return (changetype<SetEntry>(entry).flags & SET_ENTRY_NOMATCH) != 0;
}

/** How many packet fields a set of these fields looks at. */
export function dimensionsOf(fields: u32): u32 {
  return popcnt(
    fields &
      (SET_FIELD_A |
        SET_FIELD_B |
        SET_FIELD_PORT |
        SET_FIELD_MARK |
        SET_FIELD_MAC |
        SET_FIELD_IFACE),
  );
}

function isSame(entry: SetEntry): bool {
  return entry.word == probe.word && isSameNet(entry);
}

function isSameNet(entry: SetEntry): bool {
  return (
    entry.a0 == probe.a0 &&
    entry.port == probe.port &&
    entry.protocol == probe.protocol &&
    entry.bitsA == probe.bitsA &&
    entry.bitsB == probe.bitsB &&
    entry.b0 == probe.b0 &&
    entry.a1 == probe.a1 &&
    entry.a2 == probe.a2 &&
    entry.a3 == probe.a3 &&
    entry.b1 == probe.b1 &&
    entry.b2 == probe.b2 &&
    entry.b3 == probe.b3
  );
}

// Entries of one prefix for several interfaces are in one bucket, and a bitmap's entry stays where it is
// when it gets its Ethernet address.
function hashOf(set: IpSet, entry: SetEntry): u32 {
  let hash = mix(
    entry.a0,
    (<u32>entry.bitsA) | ((<u32>entry.protocol) << 8) | ((<u32>entry.port) << 16),
  );
  hash = mix(hash, entry.b0 ^ ((<u32>entry.bitsB) << 24));
  const changing = (set.fields & SET_FIELD_MAC) != 0 && (set.flags & SET_BITMAP) != 0;
  if ((set.fields & SET_FIELD_IFACE) == 0 && !changing) hash = mix(hash, <u32>entry.word);
  if ((entry.a1 | entry.a2 | entry.a3 | entry.b3) != 0) {
    hash = mix(hash, entry.a1);
    hash = mix(hash, entry.a2);
    hash = mix(hash, entry.a3);
    hash = mix(hash, entry.b3);
  }
  return hash;
}

function bucketAt(set: IpSet, hash: u32): usize {
  return <usize>set.buckets + ((<usize>(hash & set.bucketMask)) << 2);
}

function maskWord(bits: u32, from: u32): u32 {
  if (bits <= from) return 0;
  const ones = bits - from;
  return ones >= 32 ? 0xffffffff : 0xffffffff << (32 - ones);
}

// Keeps the pairs of lengths sorted, longest first, without doubles.
function addPair(set: IpSet, pair: u32): void {
  if (set.pairs == 0) set.pairs = <u32>heap.alloc(PAIRS_MAX * 2);
  const pairs: usize = set.pairs;
  let index: u32 = 0;
  while (index < set.pairCount && load<u16>(pairs + ((<usize>index) << 1)) > pair) index++;
  if (index < set.pairCount && load<u16>(pairs + ((<usize>index) << 1)) == pair) return;
  const at = pairs + ((<usize>index) << 1);
  memory.copy(at + 2, at, (<usize>(set.pairCount - index)) << 1);
  store<u16>(at, <u16>pair);
  set.pairCount++;
}
