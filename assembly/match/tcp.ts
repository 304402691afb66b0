// `-m tcpmss`, and what `-m ecn` asks of a TCP header. Source: Linux, xt_tcpmss.c, xt_ecn.c.
import { changedHeader } from "../changed-header";
import { ask } from "../fork";
import {
  ECN_CWR,
  ECN_ECE,
  ECN_IP,
  KNOWN_TCP_FLAGS,
  KNOWN_TOS,
  MATCH_HEADER_SIZE,
  PACKET_LATER_FRAGMENT,
  REASON_NO_HEADER,
  REASON_NO_PAYLOAD,
  REASON_NO_TCP_FLAGS,
  REASON_NOT_MODELLED,
} from "../layout";
import { walk } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;

const TCP_SIZE: u32 = 20;
const TCP_OFFSET: u32 = 12;
const TCP_FLAGS: u32 = 13;
const FLAG_ECE: u32 = 0x40;
const FLAG_CWR: u32 = 0x80;

const OPTION_MSS: u32 = 2;
const OPTION_MSS_SIZE: u32 = 4;

// > Neither match looks whether it has a later fragment: what lies there is taken for a header.
let header: usize = 0;
let captured: u32 = 0;
let length: u32 = 0;

function findHeader(): void {
  const packet = walk.packet;
  header = 0;
  captured = 0;
  length = walk.transportLength;
  if ((walk.flags & PACKET_LATER_FRAGMENT) == 0) header = packet.transport;
  else if (packet.network != 0 && packet.network < packet.end) {
    // > ipv6_find_hdr() does not tell where a later fragment's bytes begin: the packet's own do.
    const before: u32 = walk.family == 4 ? (<u32>(load<u8>(packet.network) & 0xf)) << 2 : 0;
    header = packet.network + before;
    length = packet.ipLength - before;
  }
  if (header != 0 && header < packet.end) captured = packet.end - <u32>header;
  if (walk.changedSize == 0) return;
  header = changedHeader;
  captured = walk.changedSize;
}

/** `-m ecn`. > A TCP header that is too short does not match, negated or not. */
export function matchEcn(match: usize, rule: i32): bool {
  const asked: u32 = load<u8>(match, PAYLOAD);
  const inverted: u32 = load<u8>(match, PAYLOAD + 1);
  if ((asked & ECN_IP) != 0) {
    if ((walk.known & KNOWN_TOS) == 0) return ask(<u64>match, REASON_NO_HEADER, rule);
    const found = (walk.tos & 3) == load<u8>(match, PAYLOAD + 2);
    if (found == ((inverted & ECN_IP) != 0)) return false;
  }
  if ((asked & (ECN_ECE | ECN_CWR)) == 0) return true;
  findHeader();
  if (length < TCP_SIZE) return false;
  const later = (walk.flags & PACKET_LATER_FRAGMENT) != 0;
  if (!later && (walk.known & KNOWN_TCP_FLAGS) == 0) {
    return ask(<u64>match, REASON_NO_TCP_FLAGS, rule);
  }
  if (later && captured < TCP_SIZE) return ask(<u64>match, REASON_NO_PAYLOAD, rule);
  if (walk.rewritten) return ask(<u64>match, REASON_NOT_MODELLED, rule);
  const bytes = later || walk.changedSize != 0;
  const flags: u32 = bytes ? load<u8>(header + TCP_FLAGS) : walk.packet.tcpFlags;
  return (
    bitHolds(asked & ECN_ECE, inverted & ECN_ECE, flags & FLAG_ECE) &&
    bitHolds(asked & ECN_CWR, inverted & ECN_CWR, flags & FLAG_CWR)
  );
}

function bitHolds(asked: u32, inverted: u32, flag: u32): bool {
  return asked == 0 || (flag != 0) != (inverted != 0);
}

/** `-m tcpmss`. > A header that cannot be read drops the packet; without the option only `!` matches. */
export function matchTcpmss(match: usize, rule: i32, invert: bool): bool {
  findHeader();
  if (length < TCP_SIZE) {
    walk.hotdrop = true;
    return false;
  }
  if (walk.rewritten) return ask(<u64>match, REASON_NOT_MODELLED, rule);
  if (captured <= TCP_OFFSET) return ask(<u64>match, REASON_NO_PAYLOAD, rule);
  const size: u32 = (load<u8>(header + TCP_OFFSET) >> 4) << 2;
  if (size < TCP_SIZE || size > length) {
    walk.hotdrop = true;
    return false;
  }
  if (size == TCP_SIZE) return invert;
  if (captured < size) return ask(<u64>match, REASON_NO_PAYLOAD, rule);
  let at = TCP_SIZE;
  while (at < size) {
    const kind: u32 = load<u8>(header + at);
    const found =
      kind == OPTION_MSS &&
      size - at >= OPTION_MSS_SIZE &&
      load<u8>(header + at, 1) == OPTION_MSS_SIZE;
    if (found) {
      const mss: u32 = bswap<u16>(load<u16>(header + at, 2));
      const fits = mss >= load<u16>(match, PAYLOAD) && mss <= load<u16>(match, PAYLOAD + 2);
      return fits != invert;
    }
    const step: u32 = kind < 2 || at + 1 >= size ? 1 : load<u8>(header + at, 1);
    at += step == 0 ? 1 : step;
  }
  return invert;
}
