// The hop-by-hop options header of IPv6, which is read before any hook.
// Source: RFC 8200, sections 4.2 and 4.3; RFC 2675; Linux, ip6_parse_tlv() and ipv6_parse_hopopts().

/** It is sound, and has no jumbo payload length; lengths are above PAYLOAD_MAX. */
export const HOP_BY_HOP_SOUND: u32 = 0;
/** It was not captured as a whole. */
export const HOP_BY_HOP_CUT: u32 = 1;
/** For it the packet is discarded. */
export const HOP_BY_HOP_BAD: u32 = 2;

/** What the payload length of an IPv6 header can say. */
export const PAYLOAD_MAX: u32 = 65535;

const HEADER_LENGTH: u32 = 1;
const HEADER_SIZE: u32 = 8;
const FIRST: u32 = 2;

const PAD1: u32 = 0;
const PADN: u32 = 1;
const ROUTER_ALERT: u32 = 0x05;
/** CALIPSO, a security label. */
const LABEL: u32 = 0x07;
const IOAM: u32 = 0x31;
const JUMBO: u32 = 0xc2;

// > Padding has one purpose, to align to eight bytes.
const PADDING_MAX: u32 = 7;
/** > net.ipv6.max_hbh_opts_number. */
const OPTIONS_MAX: u32 = 8;
/** > Of an unknown option: what is to be done with the packet; 0: it goes on. */
const UNKNOWN_ACTION: u32 = 0xc0;

/**
 * Reads the header: one of HOP_BY_HOP_*, or the jumbo payload length.
 *
 * @param at      address of the header
 * @param payload what the IPv6 header says of the payload's length
 */
export function readHopByHop(at: usize, captured: u32, wire: u32, payload: u32): u32 {
  if (wire < HEADER_SIZE) return HOP_BY_HOP_BAD;
  if (captured < HEADER_SIZE) return HOP_BY_HOP_CUT;
  const size = (<u32>load<u8>(at, HEADER_LENGTH) + 1) << 3;
  if (wire < size) return HOP_BY_HOP_BAD;
  if (captured < size) return HOP_BY_HOP_CUT;
  let jumbo = HOP_BY_HOP_SOUND;
  let padding: u32 = 0;
  let options: u32 = 0;
  let offset = FIRST;
  while (offset < size) {
    const option = at + offset;
    const type = <u32>load<u8>(option);
    const left = size - offset;
    if (type != PAD1 && left < 2) return HOP_BY_HOP_BAD;
    const whole: u32 = type == PAD1 ? 1 : <u32>load<u8>(option, 1) + 2;
    if (whole > left) return HOP_BY_HOP_BAD;
    if (type <= PADN) {
      padding += whole;
      if (padding > PADDING_MAX || !isEmpty(option, whole)) return HOP_BY_HOP_BAD;
    } else {
      padding = 0;
      options++;
      if (options > OPTIONS_MAX || !isSound(option, offset, type, whole)) return HOP_BY_HOP_BAD;
      if (type == JUMBO) {
        jumbo = bswap<u32>(load<u32>(option, 2));
        // > The Jumbo Payload Length must be greater than 65,535, and the other one 0.
        if (jumbo <= PAYLOAD_MAX || jumbo > wire || payload != 0) return HOP_BY_HOP_BAD;
      }
    }
    offset += whole;
  }
  return jumbo;
}

// > Hosts are to look whether PadN holds zeros.
function isEmpty(option: usize, whole: u32): bool {
  for (let byte: u32 = 2; byte < whole; byte++) {
    if (load<u8>(option + byte) != 0) return false;
  }
  return true;
}

function isSound(option: usize, offset: u32, type: u32, whole: u32): bool {
  switch (<i32>type) {
    case ROUTER_ALERT:
      return whole == 4;
    case JUMBO:
      // > alignment requirement: 4n + 2.
      return whole == 6 && (offset & 3) == 2;
    case IOAM:
      // > alignment requirement: 4n. What is behind it is left alone where `ioam6_enabled` is off.
      return (offset & 3) == 0;
    case LABEL:
      // > A label has to be of a domain of interpretation that the node has; by itself it has none.
      return false;
    default:
      return (type & UNKNOWN_ACTION) == 0;
  }
}
