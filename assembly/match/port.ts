// `-m tcp`, `udp`, `udplite`, `sctp`, `dccp`: ports, TCP flags and options, SCTP chunks, DCCP types.
// Source: Linux, xt_tcpudp.c, xt_sctp.c, xt_dccp.c; what iptables-nft makes of tcp and udp: kernel lab.
import { ask } from "../fork";
import {
  KNOWN_TCP_FLAGS,
  MATCH_HEADER_SIZE,
  PACKET_LATER_FRAGMENT,
  PACKET_TRUNCATED,
  PORT_CHUNKS,
  PORT_FLAGS,
  PORT_OPTION,
  PORT_TYPES,
  REASON_NO_PAYLOAD,
  REASON_NO_TCP_FLAGS,
  REASON_NOT_MODELLED,
} from "../layout";
import { transportBytes } from "../payload";
import { knowsPorts, portReason, walk } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;
const TCP: u32 = 6;
const UDP: u32 = 17;
const SCTP: u32 = 132;
const DCCP: u32 = 33;

/** All conditions hold. Negation comes after the exits of headers that cannot be read. */
export function matchPort(match: usize, rule: i32): bool {
  const protocol: u32 = load<u8>(match, PAYLOAD + 10);
  if (protocol != walk.protocol) return false;
  const parts: u32 = load<u8>(match, PAYLOAD + 11);
  if ((parts & PORT_FLAGS) != 0) walk.tcpFlagsLookedAt |= load<u8>(match, PAYLOAD + 12);
  if ((parts & ~(<u32>PORT_FLAGS)) != 0) walk.volatile = true;
  // > iptables-nft has its own expressions for the ports and flags of TCP and UDP.
  const native = walk.nft && (protocol == TCP || protocol == UDP) && (parts & PORT_OPTION) == 0;
  if (native) return matchNative(match, rule, parts);
  if ((walk.flags & PACKET_LATER_FRAGMENT) != 0) {
    // > A fragment at offset 1 would overwrite the flags: an attack. (In IPv6 it counts bytes, not eights.)
    const overwrites = walk.family == 4 && walk.packet.fragmentOffset == 8;
    if (protocol == TCP && overwrites) walk.hotdrop = true;
    return false;
  }
  if (!knowsPorts(isAnySource(match)) && !isShort(protocol)) {
    return ask(<u64>match, portReason(), rule);
  }
  if (isShort(protocol)) {
    walk.hotdrop = true;
    return false;
  }
  if (!portsHold(match, walk.sport, walk.dport)) return false;
  if ((parts & PORT_FLAGS) != 0 && !flagsHold(match, rule)) return false;
  if ((parts & PORT_OPTION) != 0 && !optionHolds(match, rule, protocol)) return false;
  if ((parts & PORT_CHUNKS) != 0 && !chunksHold(match, rule)) return false;
  return (parts & PORT_TYPES) == 0 || typeHolds(match, rule);
}

function portsHold(match: usize, sport: u32, dport: u32): bool {
  const sportHolds = sport >= load<u16>(match, PAYLOAD) && sport <= load<u16>(match, PAYLOAD + 2);
  const dportHolds =
    dport >= load<u16>(match, PAYLOAD + 4) && dport <= load<u16>(match, PAYLOAD + 6);
  return (
    sportHolds != (load<u8>(match, PAYLOAD + 8) != 0) &&
    dportHolds != (load<u8>(match, PAYLOAD + 9) != 0)
  );
}

function isAnySource(match: usize): bool {
  return load<u32>(match, PAYLOAD) == 0xffff0000 && load<u8>(match, PAYLOAD + 8) == 0;
}

// The header is shorter than its fixed part, as it was on the wire.
function isShort(protocol: u32): bool {
  const need: u32 = protocol == TCP ? 20 : protocol == SCTP || protocol == DCCP ? 12 : 8;
  return walk.transportLength < need;
}

// Loads that reach beyond the packet do not match, negated or not.
function matchNative(match: usize, rule: i32, parts: u32): bool {
  let sport = walk.sport;
  let dport = walk.dport;
  const anyPorts =
    load<u16>(match, PAYLOAD) == 0 &&
    load<u16>(match, PAYLOAD + 2) == 0xffff &&
    load<u16>(match, PAYLOAD + 4) == 0 &&
    load<u16>(match, PAYLOAD + 6) == 0xffff &&
    load<u16>(match, PAYLOAD + 8) == 0;
  if ((walk.flags & PACKET_LATER_FRAGMENT) != 0)
    return matchNativeFragment(match, rule, parts, anyPorts);
  if (!anyPorts) {
    if (walk.transportLength < 4) return false;
    if (!knowsPorts(isAnySource(match))) return ask(<u64>match, portReason(), rule);
    if (!nativePortsHold(match, sport, dport)) return false;
  }
  if ((parts & PORT_FLAGS) == 0) return true;
  return walk.transportLength >= 14 && flagsHold(match, rule);
}

// > Two single ports that are both negated become one comparison: not both.
function nativePortsHold(match: usize, sport: u32, dport: u32): bool {
  const sport0: u32 = load<u16>(match, PAYLOAD);
  const dport0: u32 = load<u16>(match, PAYLOAD + 4);
  const single = sport0 == load<u16>(match, PAYLOAD + 2) && dport0 == load<u16>(match, PAYLOAD + 6);
  const bothNegated = load<u8>(match, PAYLOAD + 8) != 0 && load<u8>(match, PAYLOAD + 9) != 0;
  if (single && bothNegated) return sport != sport0 || dport != dport0;
  return portsHold(match, sport, dport);
}

// > nft reads a later fragment's own bytes (IPv4), or those from the start of the header (IPv6).
function matchNativeFragment(match: usize, rule: i32, parts: u32, anyPorts: bool): bool {
  const packet = walk.packet;
  const needed: u32 = (parts & PORT_FLAGS) != 0 ? 14 : anyPorts ? 0 : 4;
  if (packet.network == 0) return ask(<u64>match, REASON_NO_PAYLOAD, rule);
  const header: u32 = walk.family == 4 ? ((<u32>load<u8>(packet.network)) & 0xf) << 2 : 0;
  if (packet.ipLength < header + needed) return false;
  const at: usize = packet.network + header;
  if (at + needed > packet.end) return ask(<u64>match, REASON_NO_PAYLOAD, rule);
  if (!anyPorts) {
    const sport: u32 = bswap<u16>(load<u16>(at));
    const dport: u32 = bswap<u16>(load<u16>(at, 2));
    if (!nativePortsHold(match, sport, dport)) return false;
  }
  return (parts & PORT_FLAGS) == 0 || flagsAre(match, load<u8>(at, 13));
}

function flagsHold(match: usize, rule: i32): bool {
  if ((walk.known & KNOWN_TCP_FLAGS) == 0) return ask(<u64>match, REASON_NO_TCP_FLAGS, rule);
  return flagsAre(match, walk.packet.tcpFlags);
}

function flagsAre(match: usize, flags: u32): bool {
  const holds = (flags & load<u8>(match, PAYLOAD + 12)) == load<u8>(match, PAYLOAD + 13);
  return holds != (load<u8>(match, PAYLOAD + 14) != 0);
}

// Source: Linux, xt_tcpudp.c, tcp_find_option(); xt_dccp.c, dccp_find_option().
function optionHolds(match: usize, rule: i32, protocol: u32): bool {
  const wanted: u32 = load<u8>(match, PAYLOAD + 15);
  const invert = load<u8>(match, PAYLOAD + 16) != 0;
  const fixed: u32 = protocol == TCP ? 20 : dccpFixedLength(rule, match);
  if (fixed == 0) return false;
  const header = headerLength(protocol);
  // A text does not say where the options end, nor does a capture that is cut before it.
  if (header == 0 && transportBytes(13) == 0) {
    return ask(<u64>match, REASON_NO_PAYLOAD, rule);
  }
  const options = header - fixed;
  const broken = header < fixed || (options != 0 && header > walk.transportLength);
  if (broken) {
    walk.hotdrop = true;
    return false;
  }
  if (walk.rewritten) return ask(<u64>match, REASON_NOT_MODELLED, rule);
  if (options == 0) return invert;
  const bytes = transportBytes(header);
  if (bytes == 0) return ask(<u64>match, REASON_NO_PAYLOAD, rule) != invert;
  let at: u32 = 0;
  while (at < options) {
    const kind: u32 = load<u8>(bytes + fixed + at);
    if (kind == wanted) return !invert;
    if (kind < 2 || at + 1 >= options) {
      at++;
      continue;
    }
    const length: u32 = load<u8>(bytes + fixed + at + 1);
    at += length == 0 ? 1 : length;
  }
  return invert;
}

function headerLength(protocol: u32): u32 {
  if (protocol == TCP) return (<u32>walk.packet.tcpOffset) << 2;
  const bytes = transportBytes(5);
  return bytes == 0 ? 0 : (<u32>load<u8>(bytes, 4)) << 2;
}

// > 12 bytes, 16 with long sequence numbers; then what its type carries.
function dccpFixedLength(rule: i32, match: usize): u32 {
  const bytes = transportBytes(9);
  if (bytes == 0) return ask(<u64>match, REASON_NO_PAYLOAD, rule) ? 12 : 0;
  const kind: u32 = (load<u8>(bytes, 8) >> 1) & 0xf;
  const long: u32 = (load<u8>(bytes, 8) & 1) != 0 ? 4 : 0;
  return 12 + long + dccpTypeLength(kind);
}

function dccpTypeLength(kind: u32): u32 {
  switch (<i32>kind) {
    case 0:
      return 4;
    case 2:
      return 0;
    case 3:
    case 4:
    case 5:
    case 6:
    case 8:
    case 9:
      return 8;
    default:
      return 12;
  }
}

// The set of chunk types that the packet has, against those of the rule.
// Source: Linux, xt_sctp.c, match_packet().
function chunksHold(match: usize, rule: i32): bool {
  const how: u32 = load<u8>(match, PAYLOAD + 17);
  const invert = load<u8>(match, PAYLOAD + 18) != 0;
  const count: u32 = load<u16>(match, PAYLOAD + 22);
  const list = match + PAYLOAD + 24;
  if ((walk.packet.flags & PACKET_TRUNCATED) != 0 && transportBytes(walk.transportLength) == 0) {
    return ask(<u64>match, REASON_NO_PAYLOAD, rule) != invert;
  }
  const bytes = transportBytes(walk.transportLength);
  if (bytes == 0) return ask(<u64>match, REASON_NO_PAYLOAD, rule) != invert;
  let seen: u64 = 0;
  let found = how != 0;
  let at: u32 = 12;
  do {
    if (walk.transportLength - at < 4 || load<u16>(bytes + at, 2) == 0) {
      walk.hotdrop = true;
      return false;
    }
    const type: u32 = load<u8>(bytes + at);
    const flags: u32 = load<u8>(bytes + at, 1);
    const index = chunkIndex(list, count, type, flags);
    if (how == 0 && index >= 0) return !invert;
    if (how == 2 && index < 0) return invert;
    if (index >= 0 && index < 64) seen |= (<u64>1) << index;
    const length: u32 = bswap<u16>(load<u16>(bytes + at, 2));
    at += (length + 3) & ~3;
  } while (at < walk.transportLength);
  if (how == 0) found = false;
  else if (how == 1) found = count == 0xffff ? false : popcnt(seen) == count;
  else found = true;
  return found != invert;
}

// Place of a chunk's type in the list; -1 when it is not there or has other flags.
function chunkIndex(list: usize, count: u32, type: u32, flags: u32): i32 {
  if (count == 0xffff) return 64;
  for (let index: u32 = 0; index < count; index++) {
    const at = list + ((<usize>index) << 2);
    if (load<u8>(at) != type) continue;
    const set: u32 = load<u8>(at, 1);
    const clear: u32 = load<u8>(at, 2);
    if ((flags & set) == set && (flags & clear) == 0) return <i32>index;
  }
  return -1;
}

function typeHolds(match: usize, rule: i32): bool {
  const bytes = transportBytes(9);
  if (bytes == 0) return ask(<u64>match, REASON_NO_PAYLOAD, rule);
  const type: u32 = (load<u8>(bytes, 8) >> 1) & 0xf;
  const bits: u32 = load<u16>(match, PAYLOAD + 20);
  const bit: u32 = type < 10 ? 1 << type : 1 << 15;
  return ((bits & bit) != 0) != (load<u8>(match, PAYLOAD + 19) != 0);
}
