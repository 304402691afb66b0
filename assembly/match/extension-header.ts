// Matches on IPv6 extension headers: `-m frag`, `hbh`, `dst`, `rt`, `srh`, `ipv6header`; and `-m mh`.
// Source: Linux, ipv6_find_hdr(), ip6t_frag.c, ip6t_hbh.c, ip6t_rt.c, ip6t_srh.c, ip6t_ipv6header.c, ip6t_mh.c.
import { askForBytes, capturedLength, currentLength, hasBytes } from "../current-bytes";
import { ask } from "../fork";
import {
  FRAG_FIRST,
  FRAG_LAST,
  FRAG_MORE,
  FRAG_RESERVED,
  IPV6HEADER_SOFT,
  MATCH_HEADER_SIZE,
  OPTIONS_INVERT_LENGTH,
  OPTIONS_LENGTH,
  PACKET_LATER_FRAGMENT,
  REASON_NO_PAYLOAD,
  RT_ADDRESSES,
  RT_INVERT_LENGTH,
  RT_INVERT_TYPE,
  RT_LENGTH,
  RT_LOOSE,
  RT_RESERVED,
  RT_TYPE,
} from "../layout";
import { transportBytes } from "../payload";
import { walk } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;

const HEADER_HOP: u32 = 0;
const HEADER_ROUTING: u32 = 43;
const HEADER_FRAGMENT: u32 = 44;
const HEADER_ESP: u32 = 50;
export const HEADER_AUTHENTICATION: u32 = 51;
const HEADER_NONE: u32 = 59;
const HEADER_DESTINATION: u32 = 60;

const IP_SIZE: u32 = 40;
const FRAGMENT_SIZE: u32 = 8;
const ROUTING_SIZE: u32 = 4;
const SEGMENTS_SIZE: u32 = 8;
const MOBILITY_SIZE: u32 = 6;
const ADDRESS_SIZE: u32 = 16;

/** What a match says that finds no header. */
export let headerAbsence: bool = false;

// Where the search came to, from the IP header on.
let offset: u32 = 0;
// Bytes of the packet, and of those how many were captured.
let length: u32 = 0;
let captured: u32 = 0;

// What `findHeader` says.
const FOUND: u32 = 0;
const ABSENT: u32 = 1;
/** The packet ends before that is settled. */
const BROKEN: u32 = 2;
/** The capture does. */
const CUT: u32 = 3;

/**
 * Address of the first header of a kind, when this many bytes of it are there; else 0, with what the match
 * says in `headerAbsence`. > A packet that ends before drops itself.
 */
export function extensionHeader(kind: u32, size: u32, match: usize, rule: i32): usize {
  headerAbsence = false;
  if (!hasBytes()) {
    headerAbsence = askForBytes(match, rule);
    return 0;
  }
  let outcome = findHeader(kind);
  if (outcome == FOUND) outcome = presence(offset, size);
  if (outcome == FOUND) return walk.packet.network + offset;
  if (outcome == CUT) headerAbsence = askForBytes(match, rule);
  if (outcome == BROKEN) walk.hotdrop = true;
  return 0;
}

function findHeader(kind: u32): u32 {
  length = currentLength();
  captured = capturedLength();
  if (captured < IP_SIZE) return CUT;
  const start: usize = walk.packet.network;
  let next: u32 = load<u8>(start, 6);
  offset = IP_SIZE;
  while (true) {
    const found = next == kind;
    if (!isFollowed(next)) return found ? FOUND : ABSENT;
    const size = next == HEADER_ROUTING || next == HEADER_FRAGMENT ? ROUTING_SIZE : 2;
    const there = presence(offset, size);
    if (there != FOUND) return there;
    if (found) return FOUND;
    const header = start + offset;
    // > Nothing is read of a later fragment.
    if (next == HEADER_FRAGMENT && fragmentOffset(header) != 0) return ABSENT;
    offset += headerSize(header, next);
    next = load<u8>(header);
  }
}

function isFollowed(next: u32): bool {
  return (
    next == HEADER_HOP ||
    next == HEADER_ROUTING ||
    next == HEADER_FRAGMENT ||
    next == HEADER_AUTHENTICATION ||
    next == HEADER_DESTINATION
  );
}

function headerSize(header: usize, kind: u32): u32 {
  if (kind == HEADER_FRAGMENT) return FRAGMENT_SIZE;
  const words: u32 = load<u8>(header, 1);
  return kind == HEADER_AUTHENTICATION ? (words + 2) << 2 : (words + 1) << 3;
}

function fragmentOffset(header: usize): u32 {
  return bswap<u16>(load<u16>(header, 2)) & 0xfff8;
}

function presence(at: u32, size: u32): u32 {
  if (at > length || length - at < size) return BROKEN;
  return at > captured || captured - at < size ? CUT : FOUND;
}

/** > Linux 6.18 drops a packet whose header says that it is longer; older ones just do not match. */
export function isWhole(size: u32): bool {
  if (length - offset < size) walk.hotdrop = true;
  return !walk.hotdrop;
}

export function matchFrag(match: usize, rule: i32, invert: bool): bool {
  const header = extensionHeader(HEADER_FRAGMENT, FRAGMENT_SIZE, match, rule);
  if (header == 0) return headerAbsence;
  const identification = bswap<u32>(load<u32>(header, 4));
  const place: u32 = bswap<u16>(load<u16>(header, 2));
  const more = (place & 1) != 0;
  const flags: u32 = load<u8>(match, PAYLOAD + 8);
  if (isWithin(match, identification) == invert) return false;
  if ((flags & FRAG_RESERVED) != 0 && (load<u8>(header, 1) != 0 || (place & 6) != 0)) return false;
  if ((flags & FRAG_FIRST) != 0 && place >= 8) return false;
  if ((flags & FRAG_MORE) != 0 && !more) return false;
  return (flags & FRAG_LAST) == 0 || !more;
}

/** `-m hbh` and `-m dst`: the header begins with these options. */
export function matchOptions(match: usize, rule: i32): bool {
  const header = extensionHeader(load<u8>(match, PAYLOAD), 2, match, rule);
  if (header == 0) return headerAbsence;
  const flags: u32 = load<u8>(match, PAYLOAD + 1);
  const count: u32 = load<u16>(match, PAYLOAD + 2);
  let left = headerSize(header, HEADER_DESTINATION);
  if (!isWhole(left)) return false;
  const lengthHolds =
    (flags & OPTIONS_LENGTH) == 0 ||
    (left == load<u32>(match, PAYLOAD + 4)) != ((flags & OPTIONS_INVERT_LENGTH) != 0);
  if (count == 0) return lengthHolds;
  if (captured - offset < left) return askForBytes(match, rule);
  let at = header + 2;
  left -= 2;
  for (let index: u32 = 0; index < count; index++) {
    const wanted = match + PAYLOAD + 8 + ((<usize>index) << 1);
    if (left < 1) return false;
    const type: u32 = load<u8>(at);
    if (type != load<u8>(wanted)) return false;
    let size: u32 = 1;
    if (type != 0) {
      if (left < 2) return false;
      const wantedLength: u32 = load<u8>(wanted, 1);
      if (wantedLength != 0xff && wantedLength != load<u8>(at, 1)) return false;
      size = <u32>load<u8>(at, 1) + 2;
    }
    // > The last one may run beyond the header.
    if (left < size) return index + 1 == count && lengthHolds;
    at += size;
    left -= size;
  }
  return lengthHolds;
}

export function matchRt(match: usize, rule: i32, invert: bool): bool {
  const header = extensionHeader(HEADER_ROUTING, ROUTING_SIZE, match, rule);
  if (header == 0) return headerAbsence;
  const size = headerSize(header, HEADER_ROUTING);
  if (!isWhole(size)) return false;
  const flags: u32 = load<u8>(match, PAYLOAD + 16);
  if (isWithin(match, load<u8>(header, 3)) == invert) return false;
  const typeHolds = load<u8>(header, 2) == load<u32>(match, PAYLOAD + 8);
  if ((flags & RT_TYPE) != 0 && typeHolds == ((flags & RT_INVERT_TYPE) != 0)) return false;
  const lengthHolds = size == load<u32>(match, PAYLOAD + 12);
  if ((flags & RT_LENGTH) != 0 && lengthHolds == ((flags & RT_INVERT_LENGTH) != 0)) return false;
  if ((flags & (RT_RESERVED | RT_ADDRESSES)) == 0) return true;
  if (captured - offset < size) return askForBytes(match, rule);
  if ((flags & RT_RESERVED) != 0 && load<u32>(header, 4) != 0) return false;
  return (flags & RT_ADDRESSES) == 0 || addressesHold(match, header + 8, (size - 8) / ADDRESS_SIZE);
}

// The rule's addresses are all that the header names; loose: it names others between them.
function addressesHold(match: usize, addresses: usize, count: u32): bool {
  const wanted: u32 = load<u8>(match, PAYLOAD + 17);
  const loose = (load<u8>(match, PAYLOAD + 16) & RT_LOOSE) != 0;
  if (wanted > count || (!loose && wanted != count)) return false;
  let found: u32 = 0;
  for (let index: u32 = 0; index < count && found < wanted; index++) {
    const at = match + PAYLOAD + 20 + <usize>(found * ADDRESS_SIZE);
    if (isAddress(addresses + <usize>(index * ADDRESS_SIZE), at, 0)) found++;
    else if (!loose) return false;
  }
  return found == wanted;
}

// Compares an address of a header with one of a rule, under a mask where there is one.
function isAddress(header: usize, address: usize, mask: usize): bool {
  for (let at: usize = 0; at < 16; at += 4) {
    const bits: u32 = mask == 0 ? 0xffffffff : load<u32>(mask + at);
    if (((bswap<u32>(load<u32>(header + at)) ^ load<u32>(address + at)) & bits) != 0) return false;
  }
  return true;
}

// Bits of MATCH_SRH.
const SRH_NEXT: u32 = 1 << 0;
const SRH_FIRST_COMPARISON: u32 = 1 << 1;
const SRH_TAG: u32 = 1 << 10;
const SRH_PREVIOUS: u32 = 1 << 11;
const SRH_FOLLOWING: u32 = 1 << 12;
const SRH_LAST: u32 = 1 << 13;

/** > A packet that ends too early is not dropped here. */
export function matchSrh(match: usize, rule: i32): bool {
  const header = extensionHeader(HEADER_ROUTING, SEGMENTS_SIZE, match, rule);
  walk.hotdrop = false;
  if (header == 0) return headerAbsence;
  const size = headerSize(header, HEADER_ROUTING);
  if (length - offset < size) return false;
  const left: u32 = load<u8>(header, 3);
  const last: u32 = load<u8>(header, 4);
  if (load<u8>(header, 2) != 4 || left > last) return false;
  const asked: u32 = load<u16>(match, PAYLOAD);
  const inverted: u32 = load<u16>(match, PAYLOAD + 2);
  const next = load<u8>(header) == load<u8>(match, PAYLOAD + 4);
  if ((asked & SRH_NEXT) != 0 && next == ((inverted & SRH_NEXT) != 0)) return false;
  const hold =
    comparisonsHold(asked, inverted, SRH_FIRST_COMPARISON, load<u8>(header, 1), match + 5) &&
    comparisonsHold(asked, inverted, SRH_FIRST_COMPARISON << 3, left, match + 6) &&
    comparisonsHold(asked, inverted, SRH_FIRST_COMPARISON << 6, last, match + 7);
  if (!hold) return false;
  // > The tag is compared as it lies in memory.
  const tag = load<u16>(header, 6) == load<u16>(match, PAYLOAD + 8);
  if ((asked & SRH_TAG) != 0 && tag == ((inverted & SRH_TAG) != 0)) return false;
  const segments = offset + SEGMENTS_SIZE;
  const rules = match + PAYLOAD + 12;
  if ((asked & SRH_PREVIOUS) != 0) {
    if (left == last) return false;
    const at = segments + (left + 1) * ADDRESS_SIZE;
    if (!segmentHolds(at, rules, (inverted & SRH_PREVIOUS) != 0, match, rule)) return false;
  }
  if ((asked & SRH_FOLLOWING) != 0) {
    if (left == 0) return false;
    const at = segments + (left - 1) * ADDRESS_SIZE;
    if (!segmentHolds(at, rules + 32, (inverted & SRH_FOLLOWING) != 0, match, rule)) return false;
  }
  if ((asked & SRH_LAST) == 0) return true;
  return segmentHolds(segments, rules + 64, (inverted & SRH_LAST) != 0, match, rule);
}

// Equal, greater, less: a bit each.
function comparisonsHold(asked: u32, inverted: u32, first: u32, value: u32, wanted: usize): bool {
  const number: u32 = load<u8>(wanted, PAYLOAD);
  const equal = value == number;
  const greater = value > number;
  if ((asked & first) != 0 && equal == ((inverted & first) != 0)) return false;
  const second = first << 1;
  if ((asked & second) != 0 && greater == ((inverted & second) != 0)) return false;
  const third = first << 2;
  return (asked & third) == 0 || value < number != ((inverted & third) != 0);
}

function segmentHolds(at: u32, wanted: usize, invert: bool, match: usize, rule: i32): bool {
  const there = presence(at, ADDRESS_SIZE);
  if (there == BROKEN) return false;
  if (there == CUT) return askForBytes(match, rule);
  return isAddress(walk.packet.network + at, wanted, wanted + 16) != invert;
}

/** > A header that names another one behind it drops the packet, as one that is too short does. */
export function matchMh(match: usize, rule: i32, invert: bool): bool {
  if ((walk.flags & PACKET_LATER_FRAGMENT) != 0) return false;
  if (walk.transportLength < MOBILITY_SIZE) {
    walk.hotdrop = true;
    return false;
  }
  const bytes = transportBytes(MOBILITY_SIZE);
  if (bytes == 0) return ask(<u64>match, REASON_NO_PAYLOAD, rule);
  if (load<u8>(bytes) != HEADER_NONE) {
    walk.hotdrop = true;
    return false;
  }
  const type: u32 = load<u8>(bytes, 2);
  return (type >= load<u8>(match, PAYLOAD) && type <= load<u8>(match, PAYLOAD + 1)) != invert;
}

/** Which headers there are; `soft`: those of the rule, and maybe others. */
export function matchIpv6header(match: usize, rule: i32, invert: bool): bool {
  if (!hasBytes()) return askForBytes(match, rule);
  length = currentLength();
  captured = capturedLength();
  if (captured < IP_SIZE) return askForBytes(match, rule);
  const start: usize = walk.packet.network;
  let next: u32 = load<u8>(start, 6);
  let headers: u32 = 0;
  offset = IP_SIZE;
  while (headerBit(next) != 0) {
    if (next == HEADER_NONE) {
      headers |= headerBit(next);
      break;
    }
    const there = presence(offset, 2);
    if (there == BROKEN) return false;
    if (next == HEADER_ESP) {
      headers |= headerBit(next);
      break;
    }
    if (there == CUT) return askForBytes(match, rule);
    const header = start + offset;
    headers |= headerBit(next);
    offset += headerSize(header, next);
    next = load<u8>(header);
    if (offset > length) break;
  }
  if (next != HEADER_NONE && next != HEADER_ESP) headers |= 1;
  const wanted: u32 = load<u8>(match, PAYLOAD);
  if ((load<u8>(match, PAYLOAD + 1) & IPV6HEADER_SOFT) == 0) return (headers == wanted) != invert;
  return (headers & wanted) == (invert ? 0 : wanted);
}

// > MASK_*; 0 of what is no extension header.
function headerBit(next: u32): u32 {
  switch (<i32>next) {
    case HEADER_HOP:
      return 128;
    case HEADER_DESTINATION:
      return 64;
    case HEADER_ROUTING:
      return 32;
    case HEADER_FRAGMENT:
      return 16;
    case HEADER_AUTHENTICATION:
      return 8;
    case HEADER_ESP:
      return 4;
    case HEADER_NONE:
      return 2;
    default:
      return 0;
  }
}

function isWithin(match: usize, value: u32): bool {
  return value >= load<u32>(match, PAYLOAD) && value <= load<u32>(match, PAYLOAD + 4);
}
