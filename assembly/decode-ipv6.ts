// IPv6 header to packet record. Leaves the extension headers' chain to decode-extension.ts and what is
// behind it to decode-transport.ts.
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
  MALFORMED_EXTENSION,
  MALFORMED_IP,
  MALFORMED_NONE,
  PACKET_AUTHENTICATED,
  PACKET_FRAGMENT,
  PACKET_FRAGMENT_HEADER,
  PACKET_LATER_FRAGMENT,
  PACKET_MORE_FRAGMENTS,
} from "./layout";
import {
  CHAIN_BROKEN,
  CHAIN_LATER_FRAGMENT,
  CHAIN_WHOLE,
  EXTENSION_HOP_BY_HOP,
  chainFragment,
  chainFragmentId,
  chainHasAuthentication,
  chainHasFragment,
  chainOffset,
  chainProtocol,
  isExtension,
  walkChain,
} from "./decode-extension";
import { HOP_BY_HOP_BAD, HOP_BY_HOP_SOUND, PAYLOAD_MAX, readHopByHop } from "./hop-by-hop";
import { decodeTransport } from "./decode-transport";
import { PROTOCOL_TCP } from "./protocol";
import { Packet } from "./records";

// IPv6 header (RFC 8200, section 3).
const VERSION_CLASS_FLOW: u32 = 0;
const PAYLOAD_LENGTH: u32 = 4;
const NEXT_HEADER: u32 = 6;
const HOP_LIMIT: u32 = 7;
const SRC: u32 = 8;
const DST: u32 = 24;
const SIZE: u32 = 40;

const KNOWN_HEADER: u32 = KNOWN_SRC | KNOWN_DST | KNOWN_TTL | KNOWN_TOS;

/**
 * Decodes an IPv6 packet and what it carries.
 *
 * Source: RFC 8200, RFC 2675; Linux, ip6_rcv_core() and ipv6_find_hdr(), which is what ip6tables `-p` sees.
 *
 * @param at       address of the header
 * @param captured bytes there
 * @param wire     bytes that were there on the wire, link-layer padding included
 */
export function decodeIpv6(packet: Packet, at: usize, captured: u32, wire: u32): void {
  packet.family = 6;
  packet.network = <u32>at;
  packet.end = <u32>at + captured;
  if (captured < SIZE) return decodeStart(packet, at, captured, wire);
  const first = bswap<u32>(load<u32>(at, VERSION_CLASS_FLOW));
  if (first >> 28 != 6) {
    packet.malformed = <u8>MALFORMED_IP;
    return;
  }
  packet.tos = <u8>(first >> 20);
  packet.ttl = load<u8>(at, HOP_LIMIT);
  packet.src0 = bswap<u32>(load<u32>(at, SRC));
  packet.src1 = bswap<u32>(load<u32>(at, SRC + 4));
  packet.src2 = bswap<u32>(load<u32>(at, SRC + 8));
  packet.src3 = bswap<u32>(load<u32>(at, SRC + 12));
  packet.dst0 = bswap<u32>(load<u32>(at, DST));
  packet.dst1 = bswap<u32>(load<u32>(at, DST + 4));
  packet.dst2 = bswap<u32>(load<u32>(at, DST + 8));
  packet.dst3 = bswap<u32>(load<u32>(at, DST + 12));
  packet.known = KNOWN_HEADER;

  const next = load<u8>(at, NEXT_HEADER);
  const payload = <u32>bswap<u16>(load<u16>(at, PAYLOAD_LENGTH));
  // What the header says, and where the packet ends for the stack.
  let length = SIZE + payload;
  let bound = length;
  let lengthKnown = true;
  if (next == EXTENSION_HOP_BY_HOP) {
    const options = readHopByHop(at + SIZE, captured - SIZE, wire - SIZE, payload);
    if (options == HOP_BY_HOP_BAD) packet.malformed = <u8>MALFORMED_IP;
    if (options > PAYLOAD_MAX) {
      length = SIZE + options;
      bound = length;
    } else if (payload == 0) {
      // Without the option ip6_rcv_core() does not trim the packet.
      bound = wire;
      if (options != HOP_BY_HOP_SOUND) lengthKnown = false;
    }
  } else if (payload == 0 && <u32>next == PROTOCOL_TCP && wire > SIZE + PAYLOAD_MAX) {
    // BIG TCP as newer kernels show it: no jumbo option (ipv6_payload_len()).
    length = wire;
    bound = wire;
  }
  if (lengthKnown) {
    packet.ipLength = length;
    packet.known |= KNOWN_IP_LENGTH;
  }
  // Dropped by ip6_rcv_core() (InTruncatedPkts), yet worth decoding for the report.
  if (bound > wire) packet.malformed = <u8>MALFORMED_IP;
  if (captured > bound) captured = bound;
  packet.end = <u32>at + captured;

  if (!isExtension(<u32>next)) {
    packet.protocol = next;
    packet.known |= KNOWN_PROTOCOL | KNOWN_FRAGMENT;
    return decodeTransport(packet, at + SIZE, captured - SIZE, bound - SIZE);
  }
  decodeChain(packet, <u32>next, at + SIZE, captured - SIZE, bound - SIZE);
}

/** Decodes a chain of extension headers and what is behind it. */
function decodeChain(packet: Packet, next: u32, at: usize, captured: u32, wire: u32): void {
  const outcome = walkChain(next, at, captured, wire);
  if (chainHasFragment) {
    packet.ipId = chainFragmentId;
    packet.fragmentOffset = <u16>(chainFragment & 0xfff8);
    packet.known |= KNOWN_IP_ID | KNOWN_FRAGMENT;
    packet.flags |= PACKET_FRAGMENT_HEADER;
    if ((chainFragment & 1) != 0) packet.flags |= PACKET_MORE_FRAGMENTS;
    // RFC 8200, section 4.5: a first fragment with nothing behind it (RFC 6946) is no fragment.
    if ((chainFragment & 0xfff9) != 0) packet.flags |= PACKET_FRAGMENT;
    if ((chainFragment & 0xfff8) != 0) packet.flags |= PACKET_LATER_FRAGMENT;
  }
  if (chainHasAuthentication) packet.flags |= PACKET_AUTHENTICATED;
  if (outcome == CHAIN_BROKEN) {
    // ipv6_parse_hopopts() fails before any hook; other headers are first missed by ip6tables.
    const early = chainOffset == 0 && next == EXTENSION_HOP_BY_HOP;
    if (packet.malformed == MALFORMED_NONE) {
      packet.malformed = <u8>(early ? MALFORMED_IP : MALFORMED_EXTENSION);
    }
  }
  // ipv6_find_hdr() has no answer for a later fragment that goes on with an extension header.
  if (!isExtension(chainProtocol)) {
    packet.protocol = <u8>chainProtocol;
    packet.known |= KNOWN_PROTOCOL;
  }
  if (outcome == CHAIN_LATER_FRAGMENT) {
    packet.payloadLength = wire - chainOffset;
    packet.known |= KNOWN_PAYLOAD_LENGTH;
  }
  if (outcome != CHAIN_WHOLE) return;
  packet.known |= KNOWN_FRAGMENT;
  // A jumbo length that was not captured: nothing is known of the lengths, and nothing is left to read.
  if ((packet.known & KNOWN_IP_LENGTH) == 0) return;
  const behind: u32 = captured > chainOffset ? captured - chainOffset : 0;
  decodeTransport(packet, at + chainOffset, behind, wire - chainOffset);
}

/** Decodes what there is of a header that the snap length, or the frame, cut. */
function decodeStart(packet: Packet, at: usize, captured: u32, wire: u32): void {
  if (wire < SIZE) packet.malformed = <u8>MALFORMED_IP;
  if (captured < 1) return;
  const version = <u32>load<u8>(at, VERSION_CLASS_FLOW);
  if (version >> 4 != 6) {
    packet.malformed = <u8>MALFORMED_IP;
    return;
  }
  if (captured < 2) return;
  packet.tos = <u8>(bswap<u16>(load<u16>(at, VERSION_CLASS_FLOW)) >> 4);
  packet.known |= KNOWN_TOS;
  if (captured < NEXT_HEADER + 1) return;
  const next = <u32>load<u8>(at, NEXT_HEADER);
  const payload = <u32>bswap<u16>(load<u16>(at, PAYLOAD_LENGTH));
  // A length of 0 may have another meaning, as above.
  if (payload != 0) {
    packet.ipLength = SIZE + payload;
    packet.known |= KNOWN_IP_LENGTH;
    if (SIZE + payload > wire) packet.malformed = <u8>MALFORMED_IP;
  }
  if (!isExtension(next)) {
    packet.protocol = <u8>next;
    packet.known |= KNOWN_PROTOCOL | KNOWN_FRAGMENT;
  }
  if (captured < HOP_LIMIT + 1) return;
  packet.ttl = load<u8>(at, HOP_LIMIT);
  packet.known |= KNOWN_TTL;
  if (captured < SRC + 16) return;
  packet.src0 = bswap<u32>(load<u32>(at, SRC));
  packet.src1 = bswap<u32>(load<u32>(at, SRC + 4));
  packet.src2 = bswap<u32>(load<u32>(at, SRC + 8));
  packet.src3 = bswap<u32>(load<u32>(at, SRC + 12));
  packet.known |= KNOWN_SRC;
}
