// Which part of its datagram a fragment is.
import {
  KNOWN_FRAGMENT,
  KNOWN_IP_ID,
  KNOWN_IP_LENGTH,
  PACKET_DONT_FRAGMENT,
  PACKET_MORE_FRAGMENTS,
  SHOWN_OPTIONS_NONE,
} from "./layout";
import { PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP } from "./protocol";
import { Packet } from "./records";

@unmanaged
export class Piece {
  /** The range of the datagram's bytes behind its IP headers; the end exclusive. */
  offset: u32;
  end: u32;
  /** Bytes of IP headers in front, the fragment header included. */
  headers: u32;
  /** How many of the range's bytes were captured. */
  captured: u32;
  /** More fragments follow. */
  more: bool;
  /** IPv6: where the number stands by which the header in front announces the fragment header. */
  announced: u32;
}

/** The fragment under way. */
export const piece: Piece = changetype<Piece>(memory.data(offsetof<Piece>()));

// IPv4 header (RFC 791), IPv6 header (RFC 8200).
const IPV4_SIZE: u32 = 20;
const IPV4_FRAGMENT: usize = 6;
// As it lies in memory.
const IPV4_DONT_FRAGMENT: u16 = 0x0040;
const IPV6_SIZE: u32 = 40;
const IPV6_NEXT_HEADER: u32 = 6;
const FRAGMENT_HEADER: u32 = 44;
const FRAGMENT_HEADER_SIZE: u32 = 8;
const AUTHENTICATION: u32 = 51;
const HEADERS_MAX: u32 = 64;

const KNOWN_PLACE: u32 = KNOWN_IP_ID | KNOWN_FRAGMENT | KNOWN_IP_LENGTH;

/** Reads a fragment's place; false where the capture does not show it. */
export function readPiece(packet: Packet): bool {
  if ((packet.known & KNOWN_PLACE) != KNOWN_PLACE) return false;
  // How long options are a text does not always tell.
  if (packet.shownOptions != SHOWN_OPTIONS_NONE) return false;
  piece.announced = IPV6_NEXT_HEADER;
  const headers = packet.family == 4 ? headersOf4(packet) : headersOf6(packet);
  if (headers == 0 || packet.ipLength < headers) return false;
  piece.headers = headers;
  piece.offset = packet.fragmentOffset;
  piece.end = piece.offset + packet.ipLength - headers;
  piece.more = (packet.flags & PACKET_MORE_FRAGMENTS) != 0;
  const captured: u32 = packet.network == 0 ? 0 : packet.end - packet.network;
  piece.captured = captured > headers ? captured - headers : 0;
  return true;
}

/**
 * Tells whether an IPv6 datagram's first fragment does not hold the header that names its ports.
 * Precondition: `readPiece`.
 *
 * > Discard the first fragment if it does not include all headers (RFC 8200, section 4.5): conntrack
 * > leaves it as it is. Source: Linux, ipv6frag_thdr_truncated().
 */
export function isCutFirst(packet: Packet): bool {
  if (packet.family != 6 || piece.offset != 0 || packet.transport == 0) return false;
  const there = packet.ipLength - (packet.transport - packet.network);
  switch (<i32>packet.protocol) {
    case PROTOCOL_TCP:
      return there < 20;
    case PROTOCOL_UDP:
    case PROTOCOL_ICMPV6:
      return there < 8;
    default:
      return there < 1;
  }
}

/** Its IPv4 header says that it may not be cut. Precondition: KNOWN_FRAGMENT. */
export function forbidsCutting(packet: Packet): bool {
  if (packet.family != 4) return false;
  if (packet.network == 0) return (packet.flags & PACKET_DONT_FRAGMENT) != 0;
  if (packet.end - packet.network < IPV4_SIZE) return false;
  return (load<u16>(packet.network, IPV4_FRAGMENT) & IPV4_DONT_FRAGMENT) != 0;
}

// A text without options: there are none.
function headersOf4(packet: Packet): u32 {
  if (packet.network == 0) return IPV4_SIZE;
  return ((<u32>load<u8>(packet.network)) & 0x0f) << 2;
}

// 0 where the fragment header was not captured.
function headersOf6(packet: Packet): u32 {
  if (packet.network == 0) return IPV6_SIZE + FRAGMENT_HEADER_SIZE;
  const captured = packet.end - packet.network;
  let next = <u32>load<u8>(packet.network, IPV6_NEXT_HEADER);
  let offset = IPV6_SIZE;
  for (let headers: u32 = 0; headers < HEADERS_MAX; headers++) {
    if (offset > captured || captured - offset < FRAGMENT_HEADER_SIZE) return 0;
    if (next == FRAGMENT_HEADER) return offset + FRAGMENT_HEADER_SIZE;
    const at: usize = packet.network + offset;
    const length: u32 = load<u8>(at, 1);
    piece.announced = offset;
    offset += next == AUTHENTICATION ? (length + 2) << 2 : (length + 1) << 3;
    next = load<u8>(at);
  }
  return 0;
}
