// `-m set`: the packet's fields, picked by the rule's flags, are a member of a set.
// Source: Linux, xt_set.c, ip_set_core.c, ip_set_getport.c, ip_set_hash_*.c, ip_set_bitmap_*.c; kernel lab.
import { inInterfaceFor } from "../arrival";
import { outInterfaceFor } from "../departure";
import { sinceStart } from "../entry-life";
import { ask } from "../fork";
import { touch } from "../journal";
import { findEntry, IpSet, isNomatch, probe, SetEntry, setProbe } from "../ipset";
import {
  COUNTER_EQ,
  COUNTER_GT,
  COUNTER_LT,
  COUNTER_NE,
  KNOWN_ICMP,
  KNOWN_PORTS,
  LINK_ETHERNET,
  MATCH_HEADER_SIZE,
  MATCH_SET_RETURN_NOMATCH,
  MATCH_SET_SKIP_COUNTERS,
  MATCH_SET_SKIP_SUBCOUNTERS,
  PACKET_LATER_FRAGMENT,
  REASON_MISSING_DST,
  REASON_MISSING_SRC,
  REASON_NO_ICMP,
  REASON_NO_MAC,
  REASON_NO_PORTS,
  REASON_NOT_MODELLED,
  REASON_STATE,
  SET_BITMAP,
  SET_COUNTERS,
  SET_FIELD_A,
  SET_FIELD_B,
  SET_FIELD_IFACE,
  SET_FIELD_MAC,
  SET_FIELD_MARK,
  SET_FIELD_PORT,
  SET_LIST,
  SET_NETS,
  SET_NO_ZERO,
  SET_ONLY_TCP_UDP,
  SIDE_SRC,
} from "../layout";
import { hasPorts } from "../match";
import { Walk, walk } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;
const SRC: usize = changetype<usize>(walk) + offsetof<Walk>("src0");
const DST: usize = changetype<usize>(walk) + offsetof<Walk>("dst0");

// What a look-up says.
const NO: u32 = 0;
const YES: u32 = 1;
// It is in the set, as far as this try goes: nothing is looked up.
const TAKEN: u32 = 2;

// The sets of the rulesets, u32[setCount].
let sets: usize = 0;

/** Sets the array of sets' addresses. */
export function setSets(address: usize): void {
  sets = address;
}

/** Tells whether the packet is in the set. */
export function matchSet(match: usize, rule: i32): bool {
  const number = load<u32>(match, PAYLOAD);
  const flags = match + PAYLOAD + 4;
  return testSet(number, flags, match, rule, false) == YES;
}

function setOf(number: u32): IpSet {
  return changetype<IpSet>(load<u32>(sets + ((<usize>number) << 2)));
}

// > Fewer flags than the set has dimensions, or another family: not in the set.
function testSet(number: u32, flags: usize, match: usize, rule: i32, sub: bool): u32 {
  const set = setOf(number);
  if (load<u8>(flags) < <u8>set.dimensions) return NO;
  if (set.family != 0 && set.family != walk.family) return NO;
  if ((set.flags & SET_LIST) != 0) return testList(set, flags, match, rule);
  const outcome = fillProbe(set, flags, match, rule);
  if (outcome != YES) return outcome == TAKEN ? YES : NO;
  let found = findEntry(set, sinceStart());
  if (found == 0) found = completeMac(set);
  // > Sets that know no `nomatch` do not heed the option.
  const returnsNomatch =
    (set.flags & SET_NETS) != 0 && (load<u8>(flags, 7) & MATCH_SET_RETURN_NOMATCH) != 0;
  if (found == 0) return missing(set, number, flags, rule);
  if (changetype<SetEntry>(found).doubted != 0) {
    return ask(<u64>found, REASON_STATE, rule) ? YES : NO;
  }
  if (isNomatch(found) != returnsNomatch) return NO;
  return (set.flags & SET_COUNTERS) == 0 ||
    countsHold(changetype<SetEntry>(found), flags, rule, sub)
    ? YES
    : NO;
}

// > bitmap:ip,mac: an entry without an Ethernet address takes that of the first packet that asks for it.
function completeMac(set: IpSet): usize {
  if ((set.fields & SET_FIELD_MAC) == 0 || (set.flags & SET_BITMAP) == 0) return 0;
  const mac = probe.word;
  probe.word = 0;
  const found = findEntry(set, sinceStart());
  probe.word = mac;
  if (found == 0) return 0;
  touch(found + offsetof<SetEntry>("word"), 8, found + offsetof<SetEntry>("doubted"));
  changetype<SetEntry>(found).word = mac;
  return found;
}

// > The packet is counted first, then the counters are compared.
function countsHold(entry: SetEntry, flags: usize, rule: i32, sub: bool): bool {
  const options: u32 = load<u8>(flags, 7);
  const skip = MATCH_SET_SKIP_COUNTERS | (sub ? MATCH_SET_SKIP_SUBCOUNTERS : 0);
  const at = changetype<usize>(entry);
  if ((options & skip) == 0) {
    touch(at + offsetof<SetEntry>("packets"), 16, at + offsetof<SetEntry>("countsDoubted"));
    entry.packets++;
    entry.bytes += walk.packet.ipLength;
  }
  const packets: u32 = load<u8>(flags, 8);
  const bytes: u32 = load<u8>(flags, 9);
  if (packets == 0 && bytes == 0) return true;
  if (entry.countsDoubted != 0) return ask((<u64>at) | ((<u64>packets) << 33), REASON_STATE, rule);
  return (
    countHolds(entry.packets, packets, load<u64>(flags, 12)) &&
    countHolds(entry.bytes, bytes, load<u64>(flags, 20))
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

// > Members in their order; the first that has the packet.
function testList(list: IpSet, flags: usize, match: usize, rule: i32): u32 {
  for (let index: u32 = 0; index < list.memberCount; index++) {
    const member = load<u32>(<usize>list.members + ((<usize>index) << 2));
    if (testSet(member, flags, match, rule, true) == YES) return YES;
  }
  return NO;
}

// The set holds the endpoints of the snapshot; whether a missing one belongs to it, nobody said.
function missing(set: IpSet, number: u32, flags: usize, rule: i32): u32 {
  if (set.incomplete == 0) return NO;
  const src = load<u8>(flags, 1) == SIDE_SRC;
  if (!(src ? walk.srcMissing : walk.dstMissing)) return NO;
  const question = ((<u64>number) << 8) | (src ? 1 : 2);
  return ask(question << 32, src ? REASON_MISSING_SRC : REASON_MISSING_DST, rule) ? YES : NO;
}

// Fills `probe` with the packet's fields; NO when the packet lacks one for good.
function fillProbe(set: IpSet, flags: usize, match: usize, rule: i32): u32 {
  setProbe();
  let dimension: usize = 1;
  if ((set.fields & SET_FIELD_A) != 0) {
    const at = load<u8>(flags + dimension) == SIDE_SRC ? SRC : DST;
    dimension++;
    probe.a0 = load<u32>(at) & set.mask0;
    probe.a1 = load<u32>(at, 4) & set.mask1;
    probe.a2 = load<u32>(at, 8) & set.mask2;
    probe.a3 = load<u32>(at, 12) & set.mask3;
    const zero = (probe.a0 | probe.a1 | probe.a2 | probe.a3) == 0;
    if (zero && (set.flags & SET_NO_ZERO) != 0) return NO;
    if ((set.flags & SET_BITMAP) != 0 && (probe.a0 < set.low || probe.a0 > set.high)) return NO;
  }
  if ((set.fields & SET_FIELD_PORT) != 0) {
    const src = flags + dimension;
    dimension++;
    const outcome = fillPort(set, load<u8>(src) == SIDE_SRC, match, rule);
    if (outcome != YES) return outcome;
  }
  if ((set.fields & SET_FIELD_B) != 0) {
    memory.copy(
      changetype<usize>(probe) + offsetof<SetEntry>("b0"),
      load<u8>(flags + dimension) == SIDE_SRC ? SRC : DST,
      16,
    );
    dimension++;
  }
  if ((set.fields & SET_FIELD_MARK) != 0) {
    if ((walk.markUnknown & set.markMask) != 0) {
      return ask(<u64>match, REASON_NOT_MODELLED, rule) ? TAKEN : NO;
    }
    probe.word = walk.mark & set.markMask;
  }
  if ((set.fields & SET_FIELD_MAC) != 0)
    return fillMac(load<u8>(flags + dimension) == SIDE_SRC, match, rule);
  if ((set.fields & SET_FIELD_IFACE) != 0) {
    const src = load<u8>(flags + dimension) == SIDE_SRC;
    probe.word = src ? inInterfaceFor(rule) : outInterfaceFor(rule);
    if (probe.word == 0) return NO;
  }
  return YES;
}

function fillPort(set: IpSet, src: bool, match: usize, rule: i32): u32 {
  const protocol = walk.protocol;
  const icmp = walk.family == 4 ? protocol == 1 : protocol == 58;
  const numbered = hasPorts(protocol) && protocol != 33;
  const bitmap = (set.flags & SET_ONLY_TCP_UDP) != 0;
  if (bitmap && protocol != 6 && protocol != 17) return NO;
  if ((numbered || icmp) && (walk.flags & PACKET_LATER_FRAGMENT) != 0) return NO;
  if (!bitmap) probe.protocol = <u8>protocol;
  if (numbered) {
    if (walk.transportLength < headerSize(protocol)) return NO;
    if ((walk.known & KNOWN_PORTS) == 0) return ask(<u64>match, REASON_NO_PORTS, rule) ? TAKEN : NO;
    probe.port = <u16>(src ? walk.sport : walk.dport);
  } else if (icmp) {
    if (walk.transportLength < 8) return NO;
    if ((walk.known & KNOWN_ICMP) == 0) return ask(<u64>match, REASON_NO_ICMP, rule) ? TAKEN : NO;
    probe.port = <u16>((walk.icmpType << 8) | walk.icmpCode);
  }
  return bitmap && (<u32>probe.port < set.low || <u32>probe.port > set.high) ? NO : YES;
}

function headerSize(protocol: u32): u32 {
  return protocol == 6 ? 20 : protocol == 132 ? 12 : 8;
}

function fillMac(src: bool, match: usize, rule: i32): u32 {
  if (walk.generated) return NO;
  if (walk.packet.linkType != LINK_ETHERNET) {
    return ask(<u64>match, REASON_NO_MAC, rule) ? TAKEN : NO;
  }
  const packet = walk.packet;
  probe.word = src
    ? (<u64>packet.srcMac) | ((<u64>packet.srcMacTail) << 32)
    : (<u64>packet.dstMac) | ((<u64>packet.dstMacTail) << 32);
  return probe.word == 0 ? NO : YES;
}
