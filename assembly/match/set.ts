// `-m set`: the packet's fields, picked by the rule's flags, are a member of a set.
// Source: Linux, xt_set.c, ip_set_core.c, ip_set_test(), ip_set_match_extensions(); ip_set_hash_gen.h,
// mtype_test_cidrs(); ip_set_list_set.c; kernel lab.
import { isAtNodes } from "../entry-node";
import { ask } from "../fork";
import { touch } from "../journal";
import { firstInBucket, hasLateMacs, isNomatch, isSame, isSameNet, maskProbe } from "../ipset";
import { IpSet, probe, SetEntry } from "../ipset-records";
import {
  blurSet,
  completeMac,
  isMemberThere,
  memberEntry,
  memberNumber,
  setOf,
  slotOfProbe,
} from "../ipset-change";
import { holdsPlain } from "../ipset-plain";
import { fillProbe, isAsked, PROBE_NO, PROBE_UNKNOWN, probeReason } from "../ipset-probe";
import { awaitsMac, ENTRY_NOT, ENTRY_SURE, isThere, lingerState } from "../ipset-state";
import {
  COUNTER_EQ,
  COUNTER_GT,
  COUNTER_LT,
  COUNTER_NE,
  INCOMPLETE_ANY,
  KNOWN_IP_LENGTH,
  MATCH_HEADER_SIZE,
  MATCH_SET_RETURN_NOMATCH,
  MATCH_SET_SKIP_COUNTERS,
  MATCH_SET_SKIP_SUBCOUNTERS,
  REASON_MISSING_DST,
  REASON_MISSING_SRC,
  REASON_NOT_MODELLED,
  REASON_STATE,
  SET_COUNTERS,
  SET_FIELD_MAC,
  SET_FIELD_IFACE,
  SET_LIST,
  SET_NETS,
  SET_PLACE,
  SET_PLACE_SPARED,
  SET_PLAIN,
  SET_SKBINFO,
  SET_TIMEOUT,
  SIDE_SRC,
} from "../layout";
import { walk } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;

/** What the entry that was found makes of a packet's mark; bits that are not known. */
export let foundMark: u32 = 0;
export let foundMarkMask: u32 = 0;
export let foundMarkUnknown: u32 = 0;

/** Tells whether the packet is in the set. */
export function matchSet(match: usize, rule: i32): bool {
  const flags = match + PAYLOAD + 4;
  return testSet(load<u32>(match, PAYLOAD), flags, flags, rule);
}

/**
 * Tells whether the packet is in a set, and finds its mark.
 *
 * @param flags      address of how many, then of the side of each of six, then MATCH_SET_* u8
 * @param conditions address before the conditions on counters, as in MATCH_SET; 0 without
 */
export function testSet(number: u32, flags: usize, conditions: usize, rule: i32): bool {
  foundMark = 0;
  foundMarkMask = 0;
  foundMarkUnknown = 0;
  return isMember(number, flags, conditions, rule, false);
}

/** A packet may have been looked for: what is counted, and what takes its Ethernet address, is not known. */
export function blurMatchedSet(match: usize): void {
  blurFound(load<u32>(match, PAYLOAD));
}

function blurFound(number: u32): void {
  const set = setOf(number);
  if ((set.flags & SET_COUNTERS) != 0) set.countsDoubted = 1;
  if (hasLateMacs(set)) blurSet(number);
  for (let index: u32 = 0; index < set.memberCount; index++) blurFound(memberNumber(set, index));
}

function isMember(number: u32, flags: usize, conditions: usize, rule: i32, sub: bool): bool {
  const set = setOf(number);
  if ((set.flags & SET_PLACE) != 0)
    return isAtNodes(set.nodes, (set.flags & SET_PLACE_SPARED) != 0, rule);
  // Time and other packets change what it holds, or counts; and one address may have several MAC addresses.
  const changes = (set.flags & (SET_TIMEOUT | SET_COUNTERS)) != 0;
  if (changes || (set.fields & SET_FIELD_MAC) != 0) walk.volatile = true;
  if (!isAsked(set, flags)) return false;
  if ((set.flags & SET_LIST) != 0) return isInList(set, flags, conditions, rule);
  const outcome = fillProbe(set, flags, rule);
  if (outcome == PROBE_NO) return false;
  if (set.lost != 0) {
    foundMarkUnknown = u32.MAX_VALUE;
    return ask(0, REASON_STATE, rule);
  }
  if (outcome == PROBE_UNKNOWN) {
    foundMarkUnknown = u32.MAX_VALUE;
    return ask(<u64>flags, probeReason, rule);
  }
  const skip = MATCH_SET_SKIP_COUNTERS | (sub ? MATCH_SET_SKIP_SUBCOUNTERS : 0);
  const counts = ((<u32>load<u8>(flags, 7)) & skip) == 0;
  if (hasLateMacs(set)) {
    const slot = slotOfProbe(set);
    if (slot == 0) return isMissed(set, number, flags, rule);
    return matchesMac(set, changetype<SetEntry>(slot), conditions, counts, rule);
  }
  // > Sets that know no `nomatch` do not heed the option.
  const returnsNomatch =
    (set.flags & SET_NETS) != 0 && ((<u32>load<u8>(flags, 7)) & MATCH_SET_RETURN_NOMATCH) != 0;
  if ((set.flags & SET_PLAIN) != 0)
    return holdsPlain(set) ? !returnsNomatch : isMissed(set, number, flags, rule);
  const found = findEntry(set, conditions, counts, rule);
  if (found == 0) return isMissed(set, number, flags, rule);
  return isNomatch(found) == returnsNomatch;
}

/**
 * Finds the entry that `probe`, with full addresses, falls into: the one of the longest lengths that is
 * there and whose counters are as they should be.
 *
 * @returns its address; 0 without one
 */
function findEntry(set: IpSet, conditions: usize, counts: bool, rule: i32): usize {
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
    probe.a0 = a0;
    probe.a1 = a1;
    probe.a2 = a2;
    probe.a3 = a3;
    probe.b0 = b0;
    probe.b1 = b1;
    probe.b2 = b2;
    probe.b3 = b3;
    maskProbe(pair >> 8, pair & 0xff);
    let others = ENTRY_NOT;
    let next = firstInBucket(set);
    while (next != 0) {
      const entry = changetype<SetEntry>(next);
      next = entry.next;
      if (!isSameNet(entry)) continue;
      if (!isSame(entry)) {
        others = max(others, lingerState(set, entry));
        continue;
      }
      if (!isThere(set, entry, rule) || !countsHold(set, entry, conditions, counts, rule)) continue;
      findMark(set, entry);
      return changetype<usize>(entry);
    }
    // > With interfaces, the longest prefix that is there for any interface is the last one tried.
    if ((set.fields & SET_FIELD_IFACE) == 0 || others == ENTRY_NOT) continue;
    const question = (<u64>changetype<usize>(set)) | ((<u64>pair) << 32);
    if (others == ENTRY_SURE || ask(question, REASON_STATE, rule)) return 0;
  }
  return 0;
}

// > An entry without an Ethernet address gets the packet's, whatever its counters are.
function matchesMac(set: IpSet, entry: SetEntry, conditions: usize, counts: bool, rule: i32): bool {
  if (!awaitsMac(set, entry)) {
    if (entry.word != probe.word || !isThere(set, entry, rule)) return false;
    if (!countsHold(set, entry, conditions, counts, rule)) return false;
    findMark(set, entry);
    return true;
  }
  if (!isThere(set, entry, rule)) return false;
  completeMac(set, entry, set.timeout);
  return true;
}

// > The packet is counted first, then the counters are compared; in sets that do not count, they hold.
function countsHold(set: IpSet, entry: SetEntry, conditions: usize, counts: bool, rule: i32): bool {
  if ((set.flags & SET_COUNTERS) == 0) return true;
  const at = changetype<usize>(entry);
  if (counts) {
    touch(at + offsetof<SetEntry>("packets"), 16, at + offsetof<SetEntry>("countsDoubted"));
    entry.packets++;
    entry.bytes += walk.packet.ipLength;
    if ((walk.known & KNOWN_IP_LENGTH) == 0) entry.countsDoubted = 1;
  }
  if (conditions == 0) return true;
  const packets: u32 = load<u8>(conditions, 8);
  const bytes: u32 = load<u8>(conditions, 9);
  if (packets == 0 && bytes == 0) return true;
  if (entry.countsDoubted != 0 || set.countsDoubted != 0)
    return ask((<u64>at) | ((<u64>packets) << 33), REASON_STATE, rule);
  return (
    countHolds(entry.packets, packets, load<u64>(conditions, 12)) &&
    countHolds(entry.bytes, bytes, load<u64>(conditions, 20))
  );
}

function countHolds(count: u64, compare: u32, value: u64): bool {
  switch (<i32>compare) {
    case COUNTER_EQ:
      return count == value;
    case COUNTER_NE:
      return count != value;
    case COUNTER_LT:
      return count < value;
    case COUNTER_GT:
      return count > value;
    default:
      return true;
  }
}

function findMark(set: IpSet, entry: SetEntry): void {
  if ((set.flags & SET_SKBINFO) == 0) return;
  foundMark = entry.mark;
  foundMarkMask = entry.markMask;
  foundMarkUnknown = entry.doubted != 0 ? u32.MAX_VALUE : 0;
}

// > Members in their order; the first that has the packet, and whose counters in the list are as they
// should be. Counters of the members' own entries are not compared.
function isInList(list: IpSet, flags: usize, conditions: usize, rule: i32): bool {
  const counts = ((<u32>load<u8>(flags, 7)) & MATCH_SET_SKIP_COUNTERS) == 0;
  for (let index: u32 = 0; index < list.memberCount; index++) {
    if (!isMemberThere(list, index, rule)) continue;
    if (!isMember(memberNumber(list, index), flags, 0, rule, true)) continue;
    const entry = memberEntry(list, index);
    if (!countsHold(list, entry, conditions, counts, rule)) continue;
    findMark(list, entry);
    return true;
  }
  return false;
}

// Nothing was found; the set may hold what nobody knows of.
function isMissed(set: IpSet, number: u32, flags: usize, rule: i32): bool {
  if (set.mayHold != 0) {
    foundMarkUnknown = u32.MAX_VALUE;
    return ask((<u64>flags) | (1 << 32), REASON_STATE, rule);
  }
  if (set.incomplete == 0) return false;
  const src = load<u8>(flags, 1) == SIDE_SRC;
  const question = (((<u64>number) << 8) | (src ? 1 : 2)) << 32;
  if (set.incomplete == INCOMPLETE_ANY) return ask(question, REASON_NOT_MODELLED, rule);
  // The set holds the endpoints of the snapshot; whether a missing one belongs to it, nobody said.
  if (!(src ? walk.srcMissing : walk.dstMissing)) return false;
  return ask(question, src ? REASON_MISSING_SRC : REASON_MISSING_DST, rule);
}
