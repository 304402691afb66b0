// ipsets: hash tables of entries with up to two prefixes, a protocol and port, and a word of its own
// (mark, Ethernet address, interface). Which of them a set has, its type says. The lengths of prefixes
// in use are tried from the longest, the first one's before the second's.
// Source: Linux, ip_set_hash_gen.h, mtype_test_cidrs(); semantics.md section 8.
// A bucket's chain only grows: an entry that is deleted stays in it, and its room is taken by the next
// new one of the bucket. Chains are therefore the same in every try.
import { zeros } from "./bytes";
import { interfaceName } from "./interface";
import { addPlain, makePlain } from "./ipset-plain";
import { IpSet, probe, SetEntry } from "./ipset-records";
import {
  INTERFACE_SIZE,
  SET_BITMAP,
  SET_CHANGES,
  SET_COUNTERS,
  SET_ENTRY_NOMATCH,
  SET_ENTRY_WILDCARD,
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

const PAIRS_AT_FIRST: u32 = 16;
const PAIRS_MAX: u32 = 129 * 129;
const LENGTHS: u32 = 129;

/** Makes an empty set with room for about `members` without long chains. */
export function makeIpSet(fields: u32, family: u32, members: u32, flags: u32): usize {
  const set = changetype<IpSet>(zeros(offsetof<IpSet>()));
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
  set.buckets = <u32>zeros((<usize>size) << 2);
  set.bucketMask = size - 1;
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
  const entry = zeros(size);
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
    set.lengths = <u32>zeros(2 * LENGTHS * 4);
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
