// ICMP and ICMPv6 to packet record, and the header of the packet that an error quotes.
// The quote is read as conntrack reads it to find the flow an error belongs to: nf_conntrack_inet_error().
// A whole packet without KNOWN_QUOTE has a quote that conntrack cannot read either.
import { KNOWN_ICMP, KNOWN_ICMP_ID, KNOWN_QUOTE, PACKET_DEEP_QUOTE } from "./layout";
import { CHAIN_CUT, CHAIN_WHOLE, chainOffset, chainProtocol, walkQuote } from "./decode-extension";
import {
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  PROTOCOL_UDPLITE,
} from "./protocol";
import { Packet } from "./records";

// ICMP (RFC 792) and ICMPv6 (RFC 4443, section 2.1) header.
const TYPE: u32 = 0;
const CODE: u32 = 1;
const ID: u32 = 4;
const SIZE: u32 = 8;

// ICMP types (IANA).
const ICMP_ECHO_REPLY: u32 = 0;
const ICMP_UNREACHABLE: u32 = 3;
const ICMP_SOURCE_QUENCH: u32 = 4;
const ICMP_REDIRECT: u32 = 5;
const ICMP_ECHO: u32 = 8;
const ICMP_TIME_EXCEEDED: u32 = 11;
const ICMP_PARAMETER_PROBLEM: u32 = 12;
const ICMP_TIMESTAMP: u32 = 13;
const ICMP_MASK_REPLY: u32 = 18;

// ICMPv6 types (IANA).
const ICMPV6_INFORMATIONAL: u32 = 128;
const ICMPV6_ECHO: u32 = 128;
const ICMPV6_ECHO_REPLY: u32 = 129;
const ICMPV6_NODE_QUERY: u32 = 139;
const ICMPV6_NODE_REPLY: u32 = 140;

// The quoted IPv4 header (RFC 791, section 3.1).
const IPV4_IHL: u32 = 0;
const IPV4_FRAGMENT: u32 = 6;
const IPV4_PROTOCOL: u32 = 9;
const IPV4_SRC: u32 = 12;
const IPV4_DST: u32 = 16;
const IPV4_SIZE: u32 = 20;

// The quoted IPv6 header (RFC 8200, section 3).
const IPV6_NEXT_HEADER: u32 = 6;
const IPV6_SRC: u32 = 8;
const IPV6_DST: u32 = 24;
const IPV6_SIZE: u32 = 40;
const IPV6_NO_NEXT_HEADER: u32 = 59;

// The start of the quoted transport header.
const SPORT: u32 = 0;
const DPORT: u32 = 2;
const PORTS_SIZE: u32 = 4;

/** Decodes an ICMP message. Source: RFC 792; Linux, nf_conntrack_proto_icmp.c. */
export function decodeIcmp(packet: Packet, at: usize, captured: u32): void {
  if (captured < CODE + 1) return;
  const type = <u32>load<u8>(at, TYPE);
  packet.icmpType = <u8>type;
  packet.icmpCode = load<u8>(at, CODE);
  packet.known |= KNOWN_ICMP;
  if (captured < ID + 2) return;
  // Timestamp, information and address mask, requests and replies, are 13 to 18.
  if (
    type == ICMP_ECHO ||
    type == ICMP_ECHO_REPLY ||
    (type >= ICMP_TIMESTAMP && type <= ICMP_MASK_REPLY)
  ) {
    packet.icmpId = bswap<u16>(load<u16>(at, ID));
    packet.known |= KNOWN_ICMP_ID;
    return;
  }
  if (captured < SIZE) return;
  switch (type) {
    case ICMP_UNREACHABLE:
    case ICMP_SOURCE_QUENCH:
    case ICMP_REDIRECT:
    case ICMP_TIME_EXCEEDED:
    case ICMP_PARAMETER_PROBLEM:
      decodeQuotedIpv4(packet, at + SIZE, captured - SIZE);
  }
}

/**
 * Decodes an ICMPv6 message. A redirect's quote, in an option, is left alone.
 *
 * Source: RFC 4443; Linux, nf_conntrack_proto_icmpv6.c.
 */
export function decodeIcmpv6(packet: Packet, at: usize, captured: u32): void {
  if (captured < CODE + 1) return;
  const type = <u32>load<u8>(at, TYPE);
  packet.icmpType = <u8>type;
  packet.icmpCode = load<u8>(at, CODE);
  packet.known |= KNOWN_ICMP;
  if (captured < ID + 2) return;
  if (
    type == ICMPV6_ECHO ||
    type == ICMPV6_ECHO_REPLY ||
    type == ICMPV6_NODE_QUERY ||
    type == ICMPV6_NODE_REPLY
  ) {
    packet.icmpId = bswap<u16>(load<u16>(at, ID));
    packet.known |= KNOWN_ICMP_ID;
    return;
  }
  // > error messages have message types from 0 to 127 (RFC 4443, section 2.1)
  if (type < ICMPV6_INFORMATIONAL && captured >= SIZE) {
    decodeQuotedIpv6(packet, at + SIZE, captured - SIZE);
  }
}

/** Source: Linux, nf_conntrack_core.c, ipv4_get_l4proto(), which does not look at the version. */
function decodeQuotedIpv4(packet: Packet, at: usize, captured: u32): void {
  if (captured < IPV4_SIZE) return;
  // A later fragment says nothing of ports.
  if ((bswap<u16>(load<u16>(at, IPV4_FRAGMENT)) & 0x1fff) != 0) return;
  const header = ((<u32>load<u8>(at, IPV4_IHL)) & 0x0f) << 2;
  if (captured < header) return;
  const protocol = <u32>load<u8>(at, IPV4_PROTOCOL);
  if (!decodeQuotedTransport(packet, protocol, at + header, captured - header)) return;
  packet.quotedSrc0 = bswap<u32>(load<u32>(at, IPV4_SRC));
  packet.quotedDst0 = bswap<u32>(load<u32>(at, IPV4_DST));
  packet.known |= KNOWN_QUOTE;
}

/** Source: Linux, nf_conntrack_core.c, ipv6_get_l4proto(). */
function decodeQuotedIpv6(packet: Packet, at: usize, captured: u32): void {
  if (captured < IPV6_SIZE) return;
  const behind = captured - IPV6_SIZE;
  const next = <u32>load<u8>(at, IPV6_NEXT_HEADER);
  const outcome = walkQuote(next, at + IPV6_SIZE, behind);
  if (outcome == CHAIN_CUT) packet.flags |= PACKET_DEEP_QUOTE;
  if (outcome != CHAIN_WHOLE) return;
  // ipv6_skip_exthdr() fails on it, ipv6_find_hdr() does not.
  if (chainProtocol == IPV6_NO_NEXT_HEADER) return;
  const transport = at + IPV6_SIZE + chainOffset;
  const left = behind > chainOffset ? behind - chainOffset : 0;
  if (!decodeQuotedTransport(packet, chainProtocol, transport, left)) return;
  packet.quotedSrc0 = bswap<u32>(load<u32>(at, IPV6_SRC));
  packet.quotedSrc1 = bswap<u32>(load<u32>(at, IPV6_SRC + 4));
  packet.quotedSrc2 = bswap<u32>(load<u32>(at, IPV6_SRC + 8));
  packet.quotedSrc3 = bswap<u32>(load<u32>(at, IPV6_SRC + 12));
  packet.quotedDst0 = bswap<u32>(load<u32>(at, IPV6_DST));
  packet.quotedDst1 = bswap<u32>(load<u32>(at, IPV6_DST + 4));
  packet.quotedDst2 = bswap<u32>(load<u32>(at, IPV6_DST + 8));
  packet.quotedDst3 = bswap<u32>(load<u32>(at, IPV6_DST + 12));
  packet.known |= KNOWN_QUOTE;
}

/**
 * Decodes the quoted ports, or the ICMP id, type and code; false when the quote is too short for them.
 *
 * Source: Linux, nf_conntrack_core.c, nf_ct_get_tuple(): 4 bytes for ports, 8 for ICMP, none for others.
 */
function decodeQuotedTransport(packet: Packet, protocol: u32, at: usize, captured: u32): bool {
  switch (protocol) {
    case PROTOCOL_TCP:
    case PROTOCOL_UDP:
    case PROTOCOL_UDPLITE:
    case PROTOCOL_SCTP:
      if (captured < PORTS_SIZE) return false;
      packet.quotedSport = bswap<u16>(load<u16>(at, SPORT));
      packet.quotedDport = bswap<u16>(load<u16>(at, DPORT));
      break;
    case PROTOCOL_ICMP:
    case PROTOCOL_ICMPV6:
      if (captured < SIZE) return false;
      packet.quotedSport = bswap<u16>(load<u16>(at, ID));
      packet.quotedDport = bswap<u16>(load<u16>(at, TYPE));
  }
  packet.quotedProtocol = <u8>protocol;
  return true;
}
