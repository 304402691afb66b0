// ipsets: hash tables of entries with up to two prefixes, a protocol and port, and a word of its own
// (mark, Ethernet address, interface). Which of them a set has, its type says. The lengths of prefixes
// in use are tried from the longest, the first one's before the second's.
// Source: Linux, ip_set_hash_gen.h, mtype_test_cidrs(); semantics.md section 8.
// A bucket's chain only grows: an entry that is deleted stays in it, and its room is taken by the next
// new one of the bucket. Chains are therefore the same in every try.
import { clearBytes } from "./bytes";
import { interfaceName } from "./interface";
import { addPlain, makePlain } from "./ipset-plain";
import {
  INTERFACE_SIZE,
  IPSET_FLAGS,
  IPSET_HASH_SIZE,
  IPSET_HIGH,
  IPSET_INCOMPLETE,
  IPSET_LIMIT,
  IPSET_LOW,
  IPSET_MARK_MASK,
  IPSET_MASK,
  IPSET_NODES,
  IPSET_MEMBER_COUNT,
  IPSET_MEMBERS,
  IPSET_TIMEOUT,
  SET_BITMAP,
  SET_CHANGES,
  SET_COUNTERS,
  SET_ENTRY_A,
  SET_ENTRY_B,
  SET_ENTRY_BITS_A,
  SET_ENTRY_BITS_B,
  SET_ENTRY_BYTES,
  SET_ENTRY_DEADLINE,
  SET_ENTRY_FLAGS,
  SET_ENTRY_GONE_AT,
  SET_ENTRY_MARK,
  SET_ENTRY_MARK_MASK,
  SET_ENTRY_NOMATCH,
  SET_ENTRY_PACKETS,
  SET_ENTRY_PORT,
  SET_ENTRY_PROTOCOL,
  SET_ENTRY_WILDCARD,
  SET_ENTRY_WORD,
  SET_FIELD_A,
  SET_FIELD_B,
  SET_FIELD_IFACE,
  SET_FIELD_MAC,
  SET_FIELD_MARK,
  SET_FIELD_PORT,
  SET_NETS,
  SET_PLAIN,
  SET_SKBINFO,
  SET_TIMEOUT,
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
  /** Entries in chains, whether they are there or not. */
  linked: u32;
  /** Address of u16[pairCount]: lengths in use, first << 8 | second, in the order they are tried. */
  pairs: u32;
  pairCount: u32;
  /** INCOMPLETE_*, or 0: what may be a member without being here. */
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
  /** list:set: address of the members in their order, LIST_MEMBER_SIZE apart. */
  members: u32;
  memberCount: u32;
  /** Most entries; 0: as many as there are. */
  limit: u32;
  /** Seconds that an entry lives which no one says it of; 0: for ever. */
  timeout: u32;
  /** Buckets of the kernel's own table. */
  hashSize: u32;
  /** SET_PLACE: address of a bit for each node, u32[]. */
  nodes: u32;
  /** Address of the counts of lengths. */
  lengths: u32;
  /** Entries that are there, less those that were collected: the first is taken back with a try. */
  present: u32;
  collected: u32;
  /** 1: how many there are is not known. */
  countDoubted: u8;
  /** 1: an entry may have been added that is not known. */
  mayHold: u8;
  /** 1: any entry may have been deleted. */
  mayMiss: u8;
  /** 1: its entries' counters are not known. */
  countsDoubted: u8;
  /** 1: nothing is known of its entries. */
  lost: u8;
  unused0: u8;
  unused1: u16;
  /** Packet time in ns before which no entry is gone. */
  earliest: u64;
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
  /** 1: it was deleted. */
  gone: u8;
  /** The packet that changed it last: its low bits. Not taken back with a try. */
  changedBy: u32;
  /** Mark, Ethernet address, or interface number. */
  word: u64;
  /**
   * Nanoseconds since the first packet: before, it is there, and from `goneAt` on it is not; 0: it stays.
   * Of a bitmap's entry without an Ethernet address: how long it will live once it has one.
   */
  deadline: u64;
  goneAt: u64;
  packets: u64;
  bytes: u64;
  /** What a packet's mark becomes. */
  mark: u32;
  markMask: u32;
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
if (offsetof<IpSet>("limit") != IPSET_LIMIT) ERROR("IPSET_LIMIT");
if (offsetof<IpSet>("timeout") != IPSET_TIMEOUT) ERROR("IPSET_TIMEOUT");
if (offsetof<IpSet>("hashSize") != IPSET_HASH_SIZE) ERROR("IPSET_HASH_SIZE");
if (offsetof<IpSet>("nodes") != IPSET_NODES) ERROR("IPSET_NODES");
if (offsetof<SetEntry>("a0") != SET_ENTRY_A) ERROR("SET_ENTRY_A");
if (offsetof<SetEntry>("b0") != SET_ENTRY_B) ERROR("SET_ENTRY_B");
if (offsetof<SetEntry>("port") != SET_ENTRY_PORT) ERROR("SET_ENTRY_PORT");
if (offsetof<SetEntry>("protocol") != SET_ENTRY_PROTOCOL) ERROR("SET_ENTRY_PROTOCOL");
if (offsetof<SetEntry>("bitsA") != SET_ENTRY_BITS_A) ERROR("SET_ENTRY_BITS_A");
if (offsetof<SetEntry>("bitsB") != SET_ENTRY_BITS_B) ERROR("SET_ENTRY_BITS_B");
if (offsetof<SetEntry>("flags") != SET_ENTRY_FLAGS) ERROR("SET_ENTRY_FLAGS");
if (offsetof<SetEntry>("word") != SET_ENTRY_WORD) ERROR("SET_ENTRY_WORD");
if (offsetof<SetEntry>("deadline") != SET_ENTRY_DEADLINE) ERROR("SET_ENTRY_DEADLINE");
if (offsetof<SetEntry>("goneAt") != SET_ENTRY_GONE_AT) ERROR("SET_ENTRY_GONE_AT");
if (offsetof<SetEntry>("packets") != SET_ENTRY_PACKETS) ERROR("SET_ENTRY_PACKETS");
if (offsetof<SetEntry>("bytes") != SET_ENTRY_BYTES) ERROR("SET_ENTRY_BYTES");
if (offsetof<SetEntry>("mark") != SET_ENTRY_MARK) ERROR("SET_ENTRY_MARK");
if (offsetof<SetEntry>("markMask") != SET_ENTRY_MARK_MASK) ERROR("SET_ENTRY_MARK_MASK");

/** What is looked for; also what is inserted. */
export const probe: SetEntry = changetype<SetEntry>(memory.data(offsetof<SetEntry>(), 8));

const PAIRS_AT_FIRST: u32 = 16;
const PAIRS_MAX: u32 = 129 * 129;
const LENGTHS: u32 = 129;

/** Makes an empty set with room for about `members` without long chains. */
export function makeIpSet(fields: u32, family: u32, members: u32, flags: u32): usize {
  const set = changetype<IpSet>(heap.alloc(offsetof<IpSet>()));
  memory.fill(changetype<usize>(set), 0, offsetof<IpSet>());
  set.fields = fields;
  set.family = family;
  set.dimensions = dimensionsOf(fields);
  set.flags = flags;
  if ((flags & SET_PLAIN) != 0) makePlain(set, members);
  else makeBuckets(set, members);
  set.mask0 = 0xffffffff;
  set.mask1 = 0xffffffff;
  set.mask2 = 0xffffffff;
  set.mask3 = 0xffffffff;
  set.markMask = 0xffffffff;
  set.earliest = u64.MAX_VALUE;
  return changetype<usize>(set);
}

function makeBuckets(set: IpSet, members: u32): void {
  let size: u32 = 16;
  while (size < members && size < 1 << 24) size <<= 1;
  set.buckets = <u32>heap.alloc((<usize>size) << 2);
  memory.fill(<usize>set.buckets, 0, (<usize>size) << 2);
  set.bucketMask = size - 1;
}

/** Address of `probe`, for the host to fill. */
export function setProbe(): usize {
  clearBytes(changetype<usize>(probe), offsetof<SetEntry>());
  return changetype<usize>(probe);
}

/**
 * Adds what `probe` holds, whose words are masked, to a set.
 *
 * @returns the entry's address; 0 in a plain set
 */
export function insertEntry(at: usize): usize {
  const set = changetype<IpSet>(at);
  if ((set.flags & SET_PLAIN) != 0) {
    addPlain(set);
    addPair(set, pairOf(probe));
    return 0;
  }
  const entry = linkEntry(set);
  memory.copy(entry + ENTRY_KEY, changetype<usize>(probe) + ENTRY_KEY, entrySize(set) - ENTRY_KEY);
  set.present++;
  countLengths(set, changetype<SetEntry>(entry), 1);
  noteDeadline(set, changetype<SetEntry>(entry));
  addPair(set, pairOf(changetype<SetEntry>(entry)));
  return entry;
}

/** Hangs up an entry that is not there yet, for what `probe` is. */
export function linkEntry(set: IpSet): usize {
  const size = entrySize(set);
  const entry = heap.alloc(size);
  memory.fill(entry, 0, size);
  const bucket = bucketAt(set, hashOf(set, probe));
  changetype<SetEntry>(entry).next = load<u32>(bucket);
  store<u32>(bucket, <u32>entry);
  set.linked++;
  return entry;
}

/** Bytes of a set's entries: what comes with timeouts, counters and marks only where there are such. */
export function entrySize(set: IpSet): usize {
  const extended = (set.flags & (SET_TIMEOUT | SET_COUNTERS | SET_SKBINFO)) != 0;
  return extended ? offsetof<SetEntry>() : offsetof<SetEntry>("deadline");
}

/** What of an entry tells it from others, and all behind it; before lies the way to the next. */
export const ENTRY_KEY: usize = offsetof<SetEntry>("a0");

/** The first entry of the bucket of what `probe` is; 0 without one. */
export function firstInBucket(set: IpSet): usize {
  return load<u32>(bucketAt(set, hashOf(set, probe)));
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

/** Tells whether an entry is what `probe` is, its word included. */
export function isSame(entry: SetEntry): bool {
  return isSameNet(entry) && isSameWord(entry);
}

// > Of an interface with a wildcard the beginning counts.
function isSameWord(entry: SetEntry): bool {
  if (entry.word == probe.word) return true;
  if ((entry.flags & SET_ENTRY_WILDCARD) == 0) return false;
  const beginning = interfaceName(<u32>entry.word);
  const name = interfaceName(<u32>probe.word);
  for (let at: usize = 0; at < <usize>INTERFACE_SIZE; at++) {
    const letter = load<u8>(beginning + at);
    if (letter == 0) return true;
    if (letter != load<u8>(name + at)) return false;
  }
  return true;
}

/** The same but for the word. */
export function isSameNet(entry: SetEntry): bool {
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

/** Masks the addresses of `probe` to lengths. */
export function maskProbe(bitsA: u32, bitsB: u32): void {
  probe.bitsA = <u8>bitsA;
  probe.bitsB = <u8>bitsB;
  probe.a0 &= maskWord(bitsA, 0);
  probe.a1 &= maskWord(bitsA, 32);
  probe.a2 &= maskWord(bitsA, 64);
  probe.a3 &= maskWord(bitsA, 96);
  probe.b0 &= maskWord(bitsB, 0);
  probe.b1 &= maskWord(bitsB, 32);
  probe.b2 &= maskWord(bitsB, 64);
  probe.b3 &= maskWord(bitsB, 96);
}

// Entries of one prefix for several interfaces are in one bucket, and a bitmap's entry stays where it is
// when it gets its Ethernet address.
function hashOf(set: IpSet, entry: SetEntry): u32 {
  let hash = mix(
    entry.a0,
    (<u32>entry.bitsA) | ((<u32>entry.protocol) << 8) | ((<u32>entry.port) << 16),
  );
  hash = mix(hash, entry.b0 ^ ((<u32>entry.bitsB) << 24));
  if ((set.fields & SET_FIELD_IFACE) == 0 && !hasLateMacs(set)) {
    hash = mix(hash, <u32>entry.word);
    hash = mix(hash, <u32>(entry.word >> 32));
  }
  if ((entry.a1 | entry.a2 | entry.a3 | entry.b1 | entry.b2 | entry.b3) != 0) {
    hash = mix(hash, entry.a1);
    hash = mix(hash, entry.a2);
    hash = mix(hash, entry.a3);
    hash = mix(hash, entry.b1);
    hash = mix(hash, entry.b2);
    hash = mix(hash, entry.b3);
  }
  return hash;
}

/** bitmap:ip,mac: an entry without an Ethernet address gets that of the first packet that asks for it. */
export function hasLateMacs(set: IpSet): bool {
  return (set.fields & SET_FIELD_MAC) != 0 && (set.flags & SET_BITMAP) != 0;
}

function bucketAt(set: IpSet, hash: u32): usize {
  return <usize>set.buckets + ((<usize>(hash & set.bucketMask)) << 2);
}

function maskWord(bits: u32, from: u32): u32 {
  if (bits <= from) return 0;
  const ones = bits - from;
  return ones >= 32 ? 0xffffffff : 0xffffffff << (32 - ones);
}

/** The lengths of an entry's prefixes as one number. */
export function pairOf(entry: SetEntry): u32 {
  return ((<u32>entry.bitsA) << 8) | entry.bitsB;
}

/** Keeps the pairs of lengths sorted, longest first, without doubles. One that is not used any more stays. */
export function addPair(set: IpSet, pair: u32): void {
  let index: u32 = 0;
  const count = set.pairCount;
  while (index < count && load<u16>(<usize>set.pairs + ((<usize>index) << 1)) > pair) index++;
  if (index < count && load<u16>(<usize>set.pairs + ((<usize>index) << 1)) == pair) return;
  if (set.pairs == 0) {
    set.pairs = <u32>heap.alloc(PAIRS_AT_FIRST * 2);
  } else if (count == PAIRS_AT_FIRST) {
    const more = heap.alloc(PAIRS_MAX * 2);
    memory.copy(more, set.pairs, PAIRS_AT_FIRST * 2);
    set.pairs = <u32>more;
  }
  const at = <usize>set.pairs + ((<usize>index) << 1);
  memory.copy(at + 2, at, (<usize>(count - index)) << 1);
  store<u16>(at, <u16>pair);
  set.pairCount++;
}

/** Address of u32[2][129]: how many entries have each length; 0 where nobody will ask. */
export function lengthsOf(set: IpSet): usize {
  if ((set.flags & SET_NETS) == 0 || (set.flags & SET_CHANGES) == 0) return 0;
  if (set.lengths == 0) {
    set.lengths = <u32>heap.alloc(2 * LENGTHS * 4);
    memory.fill(set.lengths, 0, 2 * LENGTHS * 4);
  }
  return set.lengths;
}

/** Where the count of a length of the first or the second prefix is. */
export function lengthAt(lengths: usize, second: bool, bits: u32): usize {
  return lengths + ((<usize>bits + (second ? <usize>LENGTHS : 0)) << 2);
}

function countLengths(set: IpSet, entry: SetEntry, by: u32): void {
  const lengths = lengthsOf(set);
  if (lengths == 0) return;
  const first = lengthAt(lengths, false, entry.bitsA);
  const second = lengthAt(lengths, true, entry.bitsB);
  store<u32>(first, load<u32>(first) + by);
  store<u32>(second, load<u32>(second) + by);
}

/** Keeps the time before which no entry is gone. */
export function noteDeadline(set: IpSet, entry: SetEntry): void {
  if ((set.flags & SET_TIMEOUT) == 0 || entry.deadline == 0) return;
  if (entry.deadline < set.earliest) set.earliest = entry.deadline;
}
