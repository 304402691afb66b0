// IPv4 header to packet record. Leaves what is behind the header to decode-transport.ts.
// The checks are those of Linux, ip_rcv_core(); the header checksum is not verified, since captures on
// the sending host show it before the network card fills it in.
import {
  KNOWN_DST,
  KNOWN_FRAGMENT,
  KNOWN_IP_ID,
  KNOWN_IP_LENGTH,
  KNOWN_PAYLOAD_LENGTH,
  KNOWN_PROTOCOL,
  KNOWN_SRC,
  KNOWN_TOS,
  KNOWN_TTL,
  MALFORMED_IP,
  PACKET_FRAGMENT,
  PACKET_LATER_FRAGMENT,
  PACKET_MORE_FRAGMENTS,
} from "./layout";
import { decodeTransport } from "./decode-transport";
import { Packet } from "./records";

// IPv4 header (RFC 791, section 3.1).
const VERSION_IHL: u32 = 0;
const TOS: u32 = 1;
const TOTAL_LENGTH: u32 = 2;
const IDENTIFICATION: u32 = 4;
const FRAGMENT: u32 = 6;
const TTL: u32 = 8;
const PROTOCOL: u32 = 9;
const SRC: u32 = 12;
const DST: u32 = 16;
/** Without options. */
const SIZE: u32 = 20;

const FRAGMENT_MORE: u32 = 0x2000;
const FRAGMENT_OFFSET: u32 = 0x1fff;

const KNOWN_HEADER: u32 =
  KNOWN_SRC |
  KNOWN_DST |
  KNOWN_PROTOCOL |
  KNOWN_IP_LENGTH |
  KNOWN_TTL |
  KNOWN_TOS |
  KNOWN_IP_ID |
  KNOWN_FRAGMENT;

/**
 * Decodes an IPv4 packet and what it carries.
 *
 * Source: RFC 791; Linux, ip_rcv_core().
 *
 * @param at       address of the header
 * @param captured bytes there
 * @param wire     bytes that were there on the wire, link-layer padding included
 */
export function decodeIpv4(packet: Packet, at: usize, captured: u32, wire: u32): void {
  packet.family = 4;
  packet.network = <u32>at;
  packet.end = <u32>at + captured;
  if (captured < SIZE) return decodeStart(packet, at, captured, wire);
  const versionIhl = <u32>load<u8>(at, VERSION_IHL);
  if (versionIhl >> 4 != 4) {
    packet.malformed = <u8>MALFORMED_IP;
    return;
  }
  packet.tos = load<u8>(at, TOS);
  packet.ipId = <u32>bswap<u16>(load<u16>(at, IDENTIFICATION));
  setFragment(packet, <u32>bswap<u16>(load<u16>(at, FRAGMENT)));
  packet.ttl = load<u8>(at, TTL);
  packet.protocol = load<u8>(at, PROTOCOL);
  packet.src0 = bswap<u32>(load<u32>(at, SRC));
  packet.dst0 = bswap<u32>(load<u32>(at, DST));
  const length = ipLength(<u32>bswap<u16>(load<u16>(at, TOTAL_LENGTH)), wire);
  packet.ipLength = length;
  packet.known = KNOWN_HEADER;

  const header = (versionIhl & 0x0f) << 2;
  if (header < SIZE || length < header) {
    packet.malformed = <u8>MALFORMED_IP;
    return;
  }
  // Dropped by ip_rcv (InTruncatedPkts), yet worth decoding for the report.
  if (length > wire) packet.malformed = <u8>MALFORMED_IP;
  // Padding of short frames is not part of the packet.
  if (captured > length) captured = length;
  packet.end = <u32>at + captured;
  if ((packet.flags & PACKET_LATER_FRAGMENT) != 0) {
    packet.payloadLength = length - header;
    packet.known |= KNOWN_PAYLOAD_LENGTH;
    return;
  }
  const behind: u32 = captured > header ? captured - header : 0;
  decodeTransport(packet, at + header, behind, length - header);
}

/** Decodes what there is of a header that the snap length, or the frame, cut. */
function decodeStart(packet: Packet, at: usize, captured: u32, wire: u32): void {
  if (wire < SIZE) packet.malformed = <u8>MALFORMED_IP;
  if (captured <= VERSION_IHL) return;
  const versionIhl = <u32>load<u8>(at, VERSION_IHL);
  if (versionIhl >> 4 != 4) {
    packet.malformed = <u8>MALFORMED_IP;
    return;
  }
  const header = (versionIhl & 0x0f) << 2;
  if (header < SIZE || header > wire) packet.malformed = <u8>MALFORMED_IP;
  if (captured < TOS + 1) return;
  packet.tos = load<u8>(at, TOS);
  packet.known |= KNOWN_TOS;
  if (captured < TOTAL_LENGTH + 2) return;
  const length = ipLength(<u32>bswap<u16>(load<u16>(at, TOTAL_LENGTH)), wire);
  packet.ipLength = length;
  packet.known |= KNOWN_IP_LENGTH;
  if (length < header || length > wire) packet.malformed = <u8>MALFORMED_IP;
  if (captured < IDENTIFICATION + 2) return;
  packet.ipId = <u32>bswap<u16>(load<u16>(at, IDENTIFICATION));
  packet.known |= KNOWN_IP_ID;
  if (captured < FRAGMENT + 2) return;
  setFragment(packet, <u32>bswap<u16>(load<u16>(at, FRAGMENT)));
  packet.known |= KNOWN_FRAGMENT;
  if (captured < TTL + 1) return;
  packet.ttl = load<u8>(at, TTL);
  packet.known |= KNOWN_TTL;
  if (captured < PROTOCOL + 1) return;
  packet.protocol = load<u8>(at, PROTOCOL);
  packet.known |= KNOWN_PROTOCOL;
  if (captured < SRC + 4) return;
  packet.src0 = bswap<u32>(load<u32>(at, SRC));
  packet.known |= KNOWN_SRC;
}

/** The packet's length: 0 stands for more than 16 bits hold (TSO, GRO, BIG TCP; semantics C-11). */
function ipLength(totalLength: u32, wire: u32): u32 {
  return totalLength == 0 ? wire : totalLength;
}

function setFragment(packet: Packet, field: u32): void {
  if ((field & (FRAGMENT_MORE | FRAGMENT_OFFSET)) == 0) return;
  packet.flags |= PACKET_FRAGMENT;
  if ((field & FRAGMENT_MORE) != 0) packet.flags |= PACKET_MORE_FRAGMENTS;
  const offset = (field & FRAGMENT_OFFSET) << 3;
  if (offset == 0) return;
  packet.flags |= PACKET_LATER_FRAGMENT;
  packet.fragmentOffset = <u16>offset;
}
