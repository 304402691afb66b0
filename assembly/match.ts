// One function per match extension, and the switch that picks it. A match reads the walk's record; when
// it lacks a fact it asks for it. Negation comes after the exits of packets that cannot be read.
import { ask } from "./fork";
import { interfaceName } from "./interface";
import {
  ADDRTYPE_LOCAL,
  ICMP_TYPE_ANY,
  KNOWN_ICMP,
  KNOWN_PORTS,
  MATCH_ADDRESS,
  MATCH_ADDRTYPE,
  MATCH_COMMENT,
  MATCH_CONNTRACK,
  MATCH_HEADER_SIZE,
  MATCH_ICMP,
  MATCH_INTERFACE,
  MATCH_INVERT,
  MATCH_KIND,
  MATCH_MARK,
  MATCH_MULTIPORT,
  MATCH_OPAQUE,
  MATCH_PORT,
  MATCH_PROTOCOL,
  MATCH_RANDOM,
  MATCH_SET,
  PACKET_LATER_FRAGMENT,
  REASON_BACKEND,
  REASON_MISSING_DST,
  REASON_MISSING_SRC,
  REASON_NO_ICMP,
  REASON_NO_PORTS,
  REASON_NOT_MODELLED,
  SET_IP_PORT,
  SIDE_DST,
  SIDE_EITHER,
  SIDE_SRC,
} from "./layout";
import { lookup, tableFamily, tableIncomplete, tableKind } from "./set";
import { walk } from "./walk";

// Offset of a match's payload.
const PAYLOAD: usize = MATCH_HEADER_SIZE;

// The tables of the ruleset's sets, u32[setCount].
let sets: usize = 0;

/** Sets the array of set tables' addresses. */
export function setSets(address: usize): void {
  sets = address;
}

/** Tells whether the packet under way satisfies a match. `rule` is the rule it belongs to. */
export function matches(match: usize, rule: i32): bool {
  const invert = load<u8>(match, MATCH_INVERT) != 0;
  switch (<i32>load<u16>(match, MATCH_KIND)) {
    case MATCH_ADDRESS:
      return matchAddress(match) != invert;
    case MATCH_INTERFACE:
      return matchInterface(match) != invert;
    case MATCH_PROTOCOL:
      return (load<u8>(match, PAYLOAD) == walk.protocol) != invert;
    case MATCH_PORT:
      return matchPort(match, rule);
    case MATCH_MULTIPORT:
      return matchMultiport(match, rule, invert);
    case MATCH_CONNTRACK:
      return ((load<u8>(match, PAYLOAD) & walk.ctState) != 0) != invert;
    case MATCH_MARK:
      return ((walk.mark & load<u32>(match, PAYLOAD + 4)) == load<u32>(match, PAYLOAD)) != invert;
    case MATCH_SET:
      return matchSet(match, rule) != invert;
    case MATCH_ICMP:
      return matchIcmp(match, rule, invert);
    case MATCH_ADDRTYPE:
      return matchAddrtype(match) != invert;
    case MATCH_RANDOM:
      // A draw is no function of the packet: both outcomes are tried.
      return ask(0, REASON_BACKEND, rule) != invert;
    case MATCH_COMMENT:
      return true;
    case MATCH_OPAQUE:
      return ask(<u64>match, REASON_NOT_MODELLED, rule);
    default:
      return unreachable();
  }
}

function matchAddress(match: usize): bool {
  const src = load<u8>(match, PAYLOAD) == SIDE_SRC;
  const value = match + PAYLOAD + 4;
  const mask = value + 16;
  const word0 = src ? walk.src0 : walk.dst0;
  if ((word0 & load<u32>(mask)) != load<u32>(value)) return false;
  if (walk.family == 4) return true;
  const word1 = src ? walk.src1 : walk.dst1;
  const word2 = src ? walk.src2 : walk.dst2;
  const word3 = src ? walk.src3 : walk.dst3;
  return (
    (word1 & load<u32>(mask, 4)) == load<u32>(value, 4) &&
    (word2 & load<u32>(mask, 8)) == load<u32>(value, 8) &&
    (word3 & load<u32>(mask, 12)) == load<u32>(value, 12)
  );
}

// A hook without the interface has the empty name: only `+` matches it.
function matchInterface(match: usize): bool {
  const number = load<u8>(match, PAYLOAD) == SIDE_SRC ? walk.inInterface : walk.outInterface;
  const name = interfaceName(number);
  const value = match + PAYLOAD + 4;
  const mask = value + 16;
  return (
    (load<u64>(name) & load<u64>(mask)) == load<u64>(value) &&
    (load<u64>(name, 8) & load<u64>(mask, 8)) == load<u64>(value, 8)
  );
}

// Later fragments have no ports: false even when negated. Source: Linux, xt_tcpudp.c.
function matchPort(match: usize, rule: i32): bool {
  if (load<u8>(match, PAYLOAD + 10) != walk.protocol) return false;
  if ((walk.flags & PACKET_LATER_FRAGMENT) != 0) return false;
  if ((walk.known & KNOWN_PORTS) == 0) return askPorts(match, rule);
  const sportHolds =
    walk.sport >= load<u16>(match, PAYLOAD) && walk.sport <= load<u16>(match, PAYLOAD + 2);
  const dportHolds =
    walk.dport >= load<u16>(match, PAYLOAD + 4) && walk.dport <= load<u16>(match, PAYLOAD + 6);
  return (
    sportHolds != (load<u8>(match, PAYLOAD + 8) != 0) &&
    dportHolds != (load<u8>(match, PAYLOAD + 9) != 0)
  );
}

// Source: Linux, xt_multiport.c, multiport_mt().
function matchMultiport(match: usize, rule: i32, invert: bool): bool {
  if ((walk.flags & PACKET_LATER_FRAGMENT) != 0) return false;
  if ((walk.known & KNOWN_PORTS) == 0) return askPorts(match, rule);
  const side = load<u8>(match, PAYLOAD);
  const count: u32 = load<u8>(match, PAYLOAD + 1);
  let found = false;
  for (let index: u32 = 0; index < count && !found; index++) {
    const range = match + PAYLOAD + 4 + ((<usize>index) << 2);
    const first = load<u16>(range);
    const last = load<u16>(range, 2);
    if (side == SIDE_SRC || side == SIDE_EITHER) found = walk.sport >= first && walk.sport <= last;
    if (!found && (side == SIDE_DST || side == SIDE_EITHER))
      found = walk.dport >= first && walk.dport <= last;
  }
  return found != invert;
}

// Source: Linux, xt_set.c and ip_set_core.c, ip_set_test(): fewer flags than dimensions never match.
function matchSet(match: usize, rule: i32): bool {
  const number = load<u32>(match, PAYLOAD);
  const table: usize = load<u32>(sets + ((<usize>number) << 2));
  const flags: u32 = load<u8>(match, PAYLOAD + 4);
  if (tableFamily(table) != walk.family) return false;
  const src = load<u8>(match, PAYLOAD + 5) == SIDE_SRC;
  let protocol: u32 = 0;
  let port: u32 = 0;
  if (tableKind(table) == SET_IP_PORT) {
    if (flags < 2) return false;
    if ((walk.flags & PACKET_LATER_FRAGMENT) != 0) return false;
    protocol = walk.protocol;
    if ((walk.known & KNOWN_PORTS) != 0) {
      port = load<u8>(match, PAYLOAD + 6) == SIDE_SRC ? walk.sport : walk.dport;
    } else if (hasPorts(walk.protocol)) {
      return askPorts(match, rule);
    } else if (walk.protocol == 1 || walk.protocol == 58) {
      if ((walk.known & KNOWN_ICMP) == 0) return ask(<u64>match, REASON_NO_ICMP, rule);
      port = (walk.icmpType << 8) | walk.icmpCode;
    }
  }
  const found = src
    ? lookup(table, walk.src0, walk.src1, walk.src2, walk.src3, protocol, port)
    : lookup(table, walk.dst0, walk.dst1, walk.dst2, walk.dst3, protocol, port);
  if (found >= 0) return true;
  // The set holds the endpoints of the snapshot; whether a missing one belongs to it, nobody said.
  const missing = src ? walk.srcMissing : walk.dstMissing;
  if (!missing || !tableIncomplete(table)) return false;
  const question = ((<u64>number) << 8) | (src ? 1 : 2);
  return ask(question << 32, src ? REASON_MISSING_SRC : REASON_MISSING_DST, rule);
}

// Source: Linux, ip_tables.c, icmp_match(): a later fragment never matches, negated or not.
function matchIcmp(match: usize, rule: i32, invert: bool): bool {
  if ((walk.flags & PACKET_LATER_FRAGMENT) != 0) return false;
  if ((walk.known & KNOWN_ICMP) == 0) return ask(<u64>match, REASON_NO_ICMP, rule);
  const type: u32 = load<u8>(match, PAYLOAD);
  if (type == ICMP_TYPE_ANY) return !invert;
  const found =
    type == walk.icmpType &&
    walk.icmpCode >= load<u8>(match, PAYLOAD + 1) &&
    walk.icmpCode <= load<u8>(match, PAYLOAD + 2);
  return found != invert;
}

function matchAddrtype(match: usize): bool {
  const types = load<u16>(match, PAYLOAD);
  const local = load<u8>(match, PAYLOAD + 2) == SIDE_SRC ? walk.srcLocal : walk.dstLocal;
  return (types & ADDRTYPE_LOCAL) != 0 && local;
}

// Equal conditions on ports get equal answers: the match itself is the question.
function askPorts(match: usize, rule: i32): bool {
  return ask(<u64>match, REASON_NO_PORTS, rule);
}

/** Tells whether a protocol's header begins with two ports. */
export function hasPorts(protocol: u32): bool {
  return protocol == 6 || protocol == 17 || protocol == 132 || protocol == 136 || protocol == 33;
}
