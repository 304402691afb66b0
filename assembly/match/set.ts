// `-m set`. Source: Linux, xt_set.c and ip_set_core.c, ip_set_test().
import { ask } from "../fork";
import {
  KNOWN_ICMP,
  KNOWN_PORTS,
  MATCH_HEADER_SIZE,
  PACKET_LATER_FRAGMENT,
  REASON_MISSING_DST,
  REASON_MISSING_SRC,
  REASON_NO_ICMP,
  REASON_NO_PORTS,
  SET_IP_PORT,
  SIDE_SRC,
} from "../layout";
import { hasPorts } from "../match";
import { lookup, tableFamily, tableIncomplete, tableKind } from "../set";
import { walk } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;

// The tables of the ruleset's sets, u32[setCount].
let sets: usize = 0;

/** Sets the array of set tables' addresses. */
export function setSets(address: usize): void {
  sets = address;
}

/** > Fewer flags than dimensions never match. */
export function matchSet(match: usize, rule: i32): bool {
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
      return ask(<u64>match, REASON_NO_PORTS, rule);
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
