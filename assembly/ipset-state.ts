// What is known of a set's entries at the time of the packet under way: which are there, how many, and
// which lengths of prefixes they have. What the kernel's clock or its collector decides is asked for.
// Source: Linux, ip_set_timeout.h, ip_set_hash_gen.h, mtype_add(), mtype_gc_do().
import { SECOND, sinceStart } from "./clock";
import { ask } from "./fork";
import { hasLateMacs, lengthAt, lengthsOf } from "./ipset";
import { IpSet, SetEntry } from "./ipset-records";
import {
  PACKET_HAS_TIME,
  REASON_NO_TIME,
  REASON_STATE,
  SET_BITMAP,
  SET_FORCEADD,
  SET_NETS,
  SET_TIMEOUT,
} from "./layout";
import { walk } from "./walk";

export const ENTRY_NOT: u32 = 0;
export const ENTRY_PERHAPS: u32 = 1;
export const ENTRY_SURE: u32 = 2;

/** Tells whether an entry is there: one of ENTRY_*. */
export function entryState(set: IpSet, entry: SetEntry): u32 {
  if (entry.doubted != 0) return ENTRY_PERHAPS;
  if (entry.gone != 0) return ENTRY_NOT;
  const kept = (set.flags & SET_TIMEOUT) == 0 || entry.deadline == 0 || awaitsMac(set, entry);
  if (!kept) {
    if ((walk.flags & PACKET_HAS_TIME) == 0) return ENTRY_PERHAPS;
    if (sinceStart() >= entry.goneAt) return ENTRY_NOT;
    if (sinceStart() >= entry.deadline) return ENTRY_PERHAPS;
  }
  return set.mayMiss != 0 ? ENTRY_PERHAPS : ENTRY_SURE;
}

/** Tells whether an entry is there; asks where that is not known. */
export function isThere(set: IpSet, entry: SetEntry, rule: i32): bool {
  const state = entryState(set, entry);
  return state == ENTRY_PERHAPS ? askThere(entry, rule) : state == ENTRY_SURE;
}

/** Asks whether an entry is there. */
export function askThere(entry: SetEntry, rule: i32): bool {
  const timeless = entry.doubted == 0 && (walk.flags & PACKET_HAS_TIME) == 0;
  return ask(<u64>changetype<usize>(entry), timeless ? REASON_NO_TIME : REASON_STATE, rule);
}

/** A bitmap's entry that has no Ethernet address yet: its time does not run. */
export function awaitsMac(set: IpSet, entry: SetEntry): bool {
  return entry.word == 0 && hasLateMacs(set);
}

/** Tells whether an entry lies in the table, expired or not: one of ENTRY_*. */
export function lingerState(set: IpSet, entry: SetEntry): u32 {
  const state = entryState(set, entry);
  if (state != ENTRY_NOT || entry.gone != 0) return state;
  return sinceStart() < entry.goneAt + collectorPeriod(set) ? ENTRY_PERHAPS : ENTRY_NOT;
}

// > IPSET_GC_PERIOD(): a third of the timeout, three minutes at most; and the second that it may be late.
function collectorPeriod(set: IpSet): u64 {
  const third = set.timeout / 3;
  return <u64>((third == 0 ? 1 : min<u32>(third, 180)) + 1) * SECOND;
}

const QUESTION_FULL: u64 = 1 << 40;
const QUESTION_LENGTH: u64 = 1 << 41;
/** > HTABLE_REGION_BITS: a larger table counts in parts, which fill up one by one. */
const REGION_BUCKETS: u32 = 1024;

// What a look at all entries finds.
let sure: u32 = 0;
let perhaps: u32 = 0;

/** Tells whether there is no room for a new entry. */
export function isFull(set: IpSet, rule: i32): bool {
  if ((set.flags & SET_BITMAP) != 0 || set.limit == 0 || set.linked < set.limit) return false;
  const full = set.present - set.collected >= set.limit;
  if (!expiryMatters(set) && set.countDoubted == 0 && set.mayMiss == 0) {
    return full && set.hashSize > REGION_BUCKETS ? askFull(set, rule) : full;
  }
  // What was put out is not known, but something took its place.
  if (full && (set.flags & (SET_FORCEADD | SET_TIMEOUT)) == SET_FORCEADD) return true;
  countEntries(set);
  if (sure + perhaps < set.limit) return false;
  return (sure >= set.limit && set.hashSize <= REGION_BUCKETS) || askFull(set, rule);
}

function askFull(set: IpSet, rule: i32): bool {
  return ask(QUESTION_FULL | changetype<usize>(set), REASON_STATE, rule);
}

// Some entry may have expired.
function expiryMatters(set: IpSet): bool {
  if ((set.flags & SET_TIMEOUT) == 0) return false;
  return sinceStart() >= set.earliest || (walk.flags & PACKET_HAS_TIME) == 0;
}

// > A full set takes out what has expired. Nothing that this packet changed is among it, so this stands
// whichever try does.
function countEntries(set: IpSet): void {
  sure = 0;
  perhaps = 0;
  let earliest: u64 = u64.MAX_VALUE;
  for (let bucket: u32 = 0; bucket <= set.bucketMask; bucket++) {
    let next = load<u32>(<usize>set.buckets + ((<usize>bucket) << 2));
    while (next != 0) {
      const entry = changetype<SetEntry>(next);
      next = entry.next;
      const state = entryState(set, entry);
      if (state == ENTRY_SURE) sure++;
      else if (state == ENTRY_PERHAPS) perhaps++;
      else if (entry.gone == 0 && (set.flags & SET_NETS) == 0) {
        entry.gone = 1;
        set.collected++;
      }
      if ((set.flags & SET_TIMEOUT) == 0 || entry.gone != 0 || entry.deadline == 0) continue;
      const changing = entry.changedBy == <u32>walk.packet.number;
      earliest = min(earliest, changing ? min(entry.deadline, sinceStart()) : entry.deadline);
    }
  }
  set.earliest = earliest;
}

// u8[129]: ENTRY_* of each length.
const lengthStates: usize = memory.data(129);

/**
 * The length that the kernel adds and deletes with: the longest that is in use, that of a whole address in
 * an empty set.
 */
export function longestLength(set: IpSet, second: bool, rule: i32): u32 {
  const whole: i32 = set.family == 4 ? 32 : 128;
  const lengths = lengthsOf(set);
  if (!expiryMatters(set) && set.countDoubted == 0 && set.mayMiss == 0) {
    for (let bits = whole; bits >= 0; bits--) {
      if (load<u32>(lengthAt(lengths, second, bits)) != 0) return bits;
    }
    return whole;
  }
  memory.fill(lengthStates, 0, 129);
  for (let bucket: u32 = 0; bucket <= set.bucketMask; bucket++) {
    let next = load<u32>(<usize>set.buckets + ((<usize>bucket) << 2));
    while (next != 0) {
      const entry = changetype<SetEntry>(next);
      next = entry.next;
      const at = lengthStates + <usize>(second ? entry.bitsB : entry.bitsA);
      store<u8>(at, max(load<u8>(at), <u8>lingerState(set, entry)));
    }
  }
  for (let bits = whole; bits >= 0; bits--) {
    const state: u32 = load<u8>(lengthStates + <usize>bits);
    if (state == ENTRY_SURE) return bits;
    const question = QUESTION_LENGTH | ((<u64>bits) << 44) | (second ? (<u64>1) << 42 : 0);
    if (state == ENTRY_PERHAPS && ask(question | changetype<usize>(set), REASON_STATE, rule))
      return bits;
  }
  return whole;
}
