// Adds entries to sets and deletes them, as a packet makes it happen. Every change goes through the
// journal; where its outcome is not known, the entry is doubted from then on.
// Source: Linux, ip_set_hash_gen.h, mtype_add(), mtype_del(); ip_set_bitmap_gen.h; ip_set_bitmap_ipmac.c;
// ip_set_list_set.c; kernel lab.
import { SECOND, sinceStart } from "./clock";
import {
  addPair,
  ENTRY_KEY,
  entrySize,
  firstInBucket,
  hasLateMacs,
  isSame,
  isSameNet,
  lengthAt,
  lengthsOf,
  linkEntry,
  maskProbe,
  noteDeadline,
  pairOf,
} from "./ipset";
import { fillProbe, isAsked, PROBE_NO, PROBE_UNKNOWN } from "./ipset-probe";
import { IpSet, probe, SetEntry } from "./ipset-records";
import {
  askThere,
  awaitsMac,
  ENTRY_NOT,
  ENTRY_PERHAPS,
  ENTRY_SURE,
  entryState,
  isFull,
  lingerState,
  longestLength,
} from "./ipset-state";
import { touch } from "./journal";
import {
  KNOWN_IP_LENGTH,
  LIST_MEMBER_SIZE,
  PACKET_HAS_TIME,
  SET_COUNTERS,
  SET_ENTRY_NOMATCH,
  SET_FIELD_B,
  SET_FORCEADD,
  SET_LIST,
  SET_NETS,
  SET_SKBINFO,
  SET_TIMEOUT,
} from "./layout";
import { TICK_SLACK } from "./match/bucket";
import { forgetMemos } from "./memo";
import { walk } from "./walk";

/** Timeout of a rule that says none: the set's own. */
export const TIMEOUT_OF_SET: u32 = u32.MAX_VALUE;
/** > Longer ones do not fit the kernel's clock. */
const TIMEOUT_MAX: u32 = 4294967;

// u32[setCount]: the sets of the rulesets.
let sets: usize = 0;

/** Sets the array of sets' addresses. */
export function setSets(address: usize): void {
  sets = address;
}

/** A set by its number. */
export function setOf(number: u32): IpSet {
  return changetype<IpSet>(load<u32>(sets + ((<usize>number) << 2)));
}

/** The entry that holds what a list says of a member; null without any. */
export function memberEntry(list: IpSet, index: u32): SetEntry {
  const at = <usize>list.members + <usize>index * LIST_MEMBER_SIZE;
  return changetype<SetEntry>(load<u32>(at, 4));
}

/** A member's number. */
export function memberNumber(list: IpSet, index: u32): u32 {
  return load<u32>(<usize>list.members + <usize>index * LIST_MEMBER_SIZE);
}

/**
 * Adds what the packet has to a set; to the first member of a list that takes it.
 *
 * @param timeout seconds, or TIMEOUT_OF_SET
 * @param exist   an entry that is there begins anew
 * @returns whether it was added, or began anew
 */
export function addToSet(
  number: u32,
  flags: usize,
  timeout: u32,
  exist: bool,
  listed: bool,
  rule: i32,
): bool {
  const set = setOf(number);
  if (!isAsked(set, flags) || set.lost != 0) return false;
  if ((set.flags & SET_LIST) != 0) {
    for (let index: u32 = 0; index < set.memberCount; index++) {
      if (!isMemberThere(set, index, rule)) continue;
      if (isLostAt(set, index)) break;
      if (addToSet(memberNumber(set, index), flags, timeout, exist, true, rule)) break;
    }
    return true;
  }
  const outcome = fillProbe(set, flags, rule);
  if (outcome == PROBE_NO) return false;
  const seconds = timeout == TIMEOUT_OF_SET ? set.timeout : min(timeout, TIMEOUT_MAX);
  if (outcome == PROBE_UNKNOWN) {
    store1(set, offsetof<IpSet>("mayHold"));
    doubtCount(set);
    return true;
  }
  if ((set.flags & SET_NETS) != 0) maskToLongest(set, rule);
  if (hasLateMacs(set)) return addWithMac(set, seconds, exist, rule);
  return addEntry(set, seconds, exist, listed, rule);
}

/** Deletes what the packet has from a set; from the first member of a list that has it. */
export function deleteFromSet(number: u32, flags: usize, listed: bool, rule: i32): bool {
  const set = setOf(number);
  if (!isAsked(set, flags) || set.lost != 0) return false;
  if ((set.flags & SET_LIST) != 0) {
    for (let index: u32 = 0; index < set.memberCount; index++) {
      if (!isMemberThere(set, index, rule)) continue;
      if (isLostAt(set, index)) break;
      if (deleteFromSet(memberNumber(set, index), flags, true, rule)) break;
    }
    return true;
  }
  const outcome = fillProbe(set, flags, rule);
  if (outcome == PROBE_NO) return false;
  if (outcome == PROBE_UNKNOWN) {
    store1(set, offsetof<IpSet>("mayMiss"));
    doubtCount(set);
    return true;
  }
  if ((set.flags & SET_NETS) != 0) maskToLongest(set, rule);
  const slot = slotOfProbe(set);
  if (slot == 0) return false;
  const entry = changetype<SetEntry>(slot);
  let state = entryState(set, entry);
  if (state == ENTRY_PERHAPS && listed) state = askThere(entry, rule) ? ENTRY_SURE : ENTRY_NOT;
  if (state == ENTRY_NOT) return false;
  touchEntry(set, entry);
  if (entry.gone == 0) countEntry(set, entry, -1);
  if (state == ENTRY_PERHAPS) doubtCount(set);
  entry.gone = 1;
  entry.doubted = 0;
  return true;
}

/** Says that nothing is known of a set, or of a list's members, from here on: what came to it is not known. */
export function blurSet(number: u32): void {
  const set = setOf(number);
  if ((set.flags & SET_LIST) == 0) {
    if (set.lost == 0) forgetMemos();
    store1(set, offsetof<IpSet>("lost"));
  }
  for (let index: u32 = 0; index < set.memberCount; index++) blurSet(memberNumber(set, index));
}

// Which of a list's members takes what is added, or has what is deleted, hangs on one of which nothing is known.
function isLostAt(list: IpSet, index: u32): bool {
  if (setOf(memberNumber(list, index)).lost == 0) return false;
  for (let next = index + 1; next < list.memberCount; next++) blurSet(memberNumber(list, next));
  return true;
}

/** Tells whether a list's member has not expired. */
export function isMemberThere(list: IpSet, index: u32, rule: i32): bool {
  if ((list.flags & SET_TIMEOUT) == 0) return true;
  const entry = memberEntry(list, index);
  const state = entryState(list, entry);
  return state == ENTRY_PERHAPS ? askThere(entry, rule) : state == ENTRY_SURE;
}

// > Of two prefixes each has a longest length; of an address all bits count.
function maskToLongest(set: IpSet, rule: i32): void {
  const bitsA = longestLength(set, false, rule);
  maskProbe(bitsA, (set.fields & SET_FIELD_B) == 0 ? 0 : longestLength(set, true, rule));
}

function addEntry(set: IpSet, seconds: u32, exist: bool, listed: bool, rule: i32): bool {
  const slot = slotOfProbe(set);
  if (slot == 0) return addNew(set, seconds, rule);
  const entry = changetype<SetEntry>(slot);
  let state = entryState(set, entry);
  if (state == ENTRY_PERHAPS) {
    const counts = set.limit != 0 && set.linked >= set.limit;
    const asks = counts || (!exist && (listed || (set.flags & SET_SKBINFO) != 0));
    if (!asks) {
      settle(set, entry, seconds, exist);
      return true;
    }
    state = askThere(entry, rule) ? ENTRY_SURE : ENTRY_NOT;
  }
  if (state == ENTRY_SURE && !exist) return false;
  if (state == ENTRY_NOT && entry.gone != 0 && isFull(set, rule)) return evict(set, seconds);
  takeSlot(set, entry, seconds);
  return true;
}

function addNew(set: IpSet, seconds: u32, rule: i32): bool {
  if (isFull(set, rule)) return evict(set, seconds);
  takeSlot(set, changetype<SetEntry>(roomForProbe(set)), seconds);
  return true;
}

// > forceadd: something in the new entry's bucket is put out, where there is something. Which, and
// whether, no dump shows.
function evict(set: IpSet, seconds: u32): bool {
  if ((set.flags & SET_FORCEADD) == 0) return false;
  store1(set, offsetof<IpSet>("mayMiss"));
  const slot = slotOfProbe(set);
  const entry = changetype<SetEntry>(slot == 0 ? roomForProbe(set) : slot);
  const before = set.present;
  takeSlot(set, entry, seconds);
  set.present = before;
  entry.doubted = 1;
  return true;
}

// The entry may have been there before: it is there now. When it will be gone is not known, if not said anew.
function settle(set: IpSet, entry: SetEntry, seconds: u32, exist: bool): void {
  const timed = (set.flags & SET_TIMEOUT) != 0;
  const expires = timed && entry.doubted == 0 && entry.deadline != 0;
  const latest = expires ? entry.goneAt : u64.MAX_VALUE;
  if (entry.gone != 0) doubtCount(set);
  takeSlot(set, entry, seconds);
  if (exist) return;
  if ((set.flags & SET_COUNTERS) != 0) entry.countsDoubted = 1;
  if (!timed) return;
  entry.goneAt = entry.deadline == 0 ? u64.MAX_VALUE : max(latest, entry.goneAt);
  entry.deadline = max<u64>(1, sinceStart());
  noteDeadline(set, entry);
}

// Makes an entry what `probe` is, there for sure and as new.
function takeSlot(set: IpSet, entry: SetEntry, seconds: u32): void {
  touchEntry(set, entry);
  if (entry.gone != 0) {
    entry.word = probe.word;
    entry.flags = 0;
    entry.gone = 0;
    countEntry(set, entry, 1);
    addPair(set, pairOf(entry));
  }
  // > A rule cannot say `nomatch`, not even of an entry that had it.
  entry.flags &= ~(<u8>SET_ENTRY_NOMATCH);
  entry.doubted = holdsSurely(set) ? 0 : 1;
  beginExtensions(set, entry);
  if ((set.flags & SET_TIMEOUT) != 0) setDeadline(set, entry, seconds);
}

// > A rule never makes the table grow: where a bucket has its twelve entries, no other is added. That is
// next to impossible as long as there are not two for each bucket.
function holdsSurely(set: IpSet): bool {
  return set.hashSize == 0 || set.present - set.collected <= 2 * set.hashSize;
}

// > The packet is the first that is counted; the mark is none.
function beginExtensions(set: IpSet, entry: SetEntry): void {
  if ((set.flags & (SET_COUNTERS | SET_SKBINFO)) == 0) return;
  entry.packets = 1;
  entry.bytes = walk.packet.ipLength;
  entry.countsDoubted = (walk.known & KNOWN_IP_LENGTH) == 0 ? 1 : 0;
  entry.mark = 0;
  entry.markMask = 0;
}

function setDeadline(set: IpSet, entry: SetEntry, seconds: u32): void {
  entry.deadline = 0;
  entry.goneAt = 0;
  if (seconds == 0) return;
  if ((walk.flags & PACKET_HAS_TIME) == 0) {
    entry.deadline = 1;
    entry.goneAt = u64.MAX_VALUE;
  } else {
    entry.deadline = sinceStart() + <u64>seconds * SECOND - TICK_SLACK;
    entry.goneAt = entry.deadline + 2 * TICK_SLACK;
  }
  noteDeadline(set, entry);
}

// ── Ethernet addresses that come later ─────────────────────────────────────────────────────────────────

function addWithMac(set: IpSet, seconds: u32, exist: bool, rule: i32): bool {
  const slot = slotOfProbe(set);
  if (slot == 0) return addNew(set, seconds, rule);
  const entry = changetype<SetEntry>(slot);
  const state = entryState(set, entry);
  const there = state == ENTRY_PERHAPS ? askThere(entry, rule) : state == ENTRY_SURE;
  if (there && awaitsMac(set, entry)) {
    completeMac(set, entry, seconds);
    return true;
  }
  if (there && !exist) return false;
  // > One that has expired and was not collected keeps its address.
  const keeps =
    !there &&
    !exist &&
    entry.word != probe.word &&
    lingerState(set, entry) != ENTRY_NOT &&
    askThere(entry, rule);
  const mac = keeps ? entry.word : probe.word;
  takeSlot(set, entry, seconds);
  entry.word = mac;
  return true;
}

/** > An entry without an Ethernet address takes that of the first packet that asks for it; its time begins. */
export function completeMac(set: IpSet, entry: SetEntry, seconds: u32): void {
  const stores = (set.flags & SET_TIMEOUT) != 0 && seconds == set.timeout;
  takeSlot(set, entry, stores ? <u32>(entry.deadline / SECOND) : seconds);
  entry.word = probe.word;
}

// ── Slots ──────────────────────────────────────────────────────────────────────────────────────────────

/** The entry that just is what `probe` is, there or not; 0 without one. */
export function slotOfProbe(set: IpSet): usize {
  const late = hasLateMacs(set);
  let gone: usize = 0;
  let next = firstInBucket(set);
  while (next != 0) {
    const entry = changetype<SetEntry>(next);
    const deleted = entry.gone != 0 && entry.doubted == 0;
    if (late ? isSameNet(entry) : isSame(entry)) {
      if (!deleted) return next;
      if (late || entry.word == probe.word) gone = next;
    }
    next = entry.next;
  }
  return gone;
}

// The room of an entry of the same bucket that was deleted before this packet, or a new one. It is what
// `probe` is from here on, in every try.
function roomForProbe(set: IpSet): usize {
  let next = firstInBucket(set);
  while (next != 0) {
    const entry = changetype<SetEntry>(next);
    const free = entry.gone != 0 && entry.doubted == 0;
    if (free && entry.changedBy != <u32>walk.packet.number) break;
    next = entry.next;
  }
  const room = next == 0 ? linkEntry(set) : <usize>next;
  memory.copy(
    room + ENTRY_KEY,
    changetype<usize>(probe) + ENTRY_KEY,
    offsetof<SetEntry>("flags") - ENTRY_KEY,
  );
  changetype<SetEntry>(room).word = probe.word;
  changetype<SetEntry>(room).gone = 1;
  return room;
}

function touchEntry(set: IpSet, entry: SetEntry): void {
  const at = changetype<usize>(entry);
  entry.changedBy = <u32>walk.packet.number;
  touch(at + ENTRY_KEY, entrySize(set) - ENTRY_KEY, at + offsetof<SetEntry>("doubted"));
  if ((set.flags & SET_COUNTERS) == 0) return;
  touch(at + offsetof<SetEntry>("packets"), 16, at + offsetof<SetEntry>("countsDoubted"));
}

// Counts an entry that comes (1) or goes (-1).
function countEntry(set: IpSet, entry: SetEntry, by: i32): void {
  const doubt = changetype<usize>(set) + offsetof<IpSet>("countDoubted");
  touch(changetype<usize>(set) + offsetof<IpSet>("present"), 4, doubt);
  set.present += <u32>by;
  const lengths = lengthsOf(set);
  if (lengths == 0) return;
  const first = lengthAt(lengths, false, entry.bitsA);
  const second = lengthAt(lengths, true, entry.bitsB);
  touch(first, 4, doubt);
  store<u32>(first, load<u32>(first) + <u32>by);
  touch(second, 4, doubt);
  store<u32>(second, load<u32>(second) + <u32>by);
}

function doubtCount(set: IpSet): void {
  store1(set, offsetof<IpSet>("countDoubted"));
}

// Says that something of a set is not known.
function store1(set: IpSet, offset: usize): void {
  const at = changetype<usize>(set) + offset;
  touch(at, 1, at);
  store<u8>(at, 1);
}
