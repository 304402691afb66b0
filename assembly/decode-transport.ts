// What is behind the IP headers to packet record: ports, TCP, lengths. Leaves ICMP to decode-icmp.ts.
// A first fragment is never malformed for being short: the rest of the datagram completes it (F-1).
import {
  KNOWN_PAYLOAD_LENGTH,
  KNOWN_PORTS,
  KNOWN_TCP_FLAGS,
  KNOWN_TCP_SEQ,
  MALFORMED_LENGTH,
  MALFORMED_NONE,
  MALFORMED_TRANSPORT,
  PACKET_FRAGMENT,
} from "./layout";
import { decodeIcmp, decodeIcmpv6 } from "./decode-icmp";
import {
  PROTOCOL_DCCP,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  PROTOCOL_UDPLITE,
} from "./protocol";
import { Packet } from "./records";

// All protocols with ports have them here.
const SPORT: u32 = 0;
const DPORT: u32 = 2;
const PORTS_SIZE: u32 = 4;

// TCP header (RFC 9293, section 3.1).
const TCP_SEQ: u32 = 4;
const TCP_ACK: u32 = 8;
const TCP_OFFSET: u32 = 12;
const TCP_FLAGS: u32 = 13;
const TCP_WINDOW: u32 = 14;
/** Without options. */
const TCP_SIZE: u32 = 20;

// UDP (RFC 768) and UDP-Lite (RFC 3828, section 3.1), where the same field is the checksum coverage.
const UDP_LENGTH: u32 = 4;
const UDP_SIZE: u32 = 8;
const UDPLITE_CHECKSUM: u32 = 6;

// ICMP (RFC 792) and ICMPv6 (RFC 4443, section 2.1) header.
const ICMP_SIZE: u32 = 8;

// SCTP common header (RFC 9260, section 3.1).
const SCTP_SIZE: u32 = 12;

/**
 * Decodes what follows the IP headers of an unfragmented packet or of a first fragment.
 *
 * `packet.protocol` is set, and so are the fragment flags.
 *
 * @param at       address behind the IP headers
 * @param captured bytes of the packet there; 0 where `at` was not captured
 * @param wire     bytes from there to the packet's end, by the IP lengths
 */
export function decodeTransport(packet: Packet, at: usize, captured: u32, wire: u32): void {
  // Where the packet ends behind its IP headers, this is known, too.
  if (captured != 0 || (wire == 0 && <u32>at <= packet.end)) packet.transport = <u32>at;
  const protocol = <u32>packet.protocol;
  if (protocol == PROTOCOL_TCP) return decodeTcp(packet, at, captured, wire);
  if (protocol == PROTOCOL_UDP) return decodeUdp(packet, at, captured, wire);
  switch (protocol) {
    case PROTOCOL_ICMP:
      if (packet.family != 4) break;
      decodeIcmp(packet, at, captured);
      return setPayload(packet, wire, ICMP_SIZE);
    case PROTOCOL_ICMPV6:
      if (packet.family != 6) break;
      decodeIcmpv6(packet, at, captured);
      return setPayload(packet, wire, ICMP_SIZE);
    case PROTOCOL_SCTP:
      decodePorts(packet, at, captured);
      return setPayload(packet, wire, SCTP_SIZE);
    case PROTOCOL_UDPLITE:
      return decodeUdplite(packet, at, captured, wire);
    case PROTOCOL_DCCP:
      // > Nobody minds what its header says.
      decodePorts(packet, at, captured);
  }
  setPayload(packet, wire, 0);
}

/**
 * Sets the payload length behind a header of a fixed size; a packet without room for the header is
 * malformed: ip_tables' matches hotdrop it, conntrack calls it invalid.
 */
function setPayload(packet: Packet, wire: u32, header: u32): void {
  if (wire < header) return setMalformed(packet, MALFORMED_TRANSPORT);
  packet.payloadLength = wire - header;
  packet.known |= KNOWN_PAYLOAD_LENGTH;
}

function setMalformed(packet: Packet, what: u32): void {
  if ((packet.flags & PACKET_FRAGMENT) == 0 && packet.malformed == MALFORMED_NONE) {
    packet.malformed = <u8>what;
  }
}

function decodePorts(packet: Packet, at: usize, captured: u32): void {
  if (captured < PORTS_SIZE) return;
  packet.sport = bswap<u16>(load<u16>(at, SPORT));
  packet.dport = bswap<u16>(load<u16>(at, DPORT));
  packet.known |= KNOWN_PORTS;
}

function decodeTcp(packet: Packet, at: usize, captured: u32, wire: u32): void {
  if (captured < TCP_WINDOW + 2) return decodeTcpStart(packet, at, captured, wire);
  packet.sport = bswap<u16>(load<u16>(at, SPORT));
  packet.dport = bswap<u16>(load<u16>(at, DPORT));
  packet.tcpSeq = bswap<u32>(load<u32>(at, TCP_SEQ));
  packet.tcpAck = bswap<u32>(load<u32>(at, TCP_ACK));
  packet.tcpFlags = load<u8>(at, TCP_FLAGS);
  packet.tcpWindow = bswap<u16>(load<u16>(at, TCP_WINDOW));
  packet.known |= KNOWN_PORTS | KNOWN_TCP_FLAGS | KNOWN_TCP_SEQ;
  setTcpOffset(packet, (<u32>load<u8>(at, TCP_OFFSET)) >> 4, wire);
}

/** Decodes what there is of a header that the snap length, or the packet, cut. */
function decodeTcpStart(packet: Packet, at: usize, captured: u32, wire: u32): void {
  if (wire < TCP_SIZE) setMalformed(packet, MALFORMED_TRANSPORT);
  decodePorts(packet, at, captured);
  if (captured < TCP_OFFSET + 1) return;
  setTcpOffset(packet, (<u32>load<u8>(at, TCP_OFFSET)) >> 4, wire);
  if (captured < TCP_FLAGS + 1) return;
  packet.tcpFlags = load<u8>(at, TCP_FLAGS);
  packet.known |= KNOWN_TCP_FLAGS;
}

/** Source: Linux, nf_conntrack_proto_tcp.c, tcp_error(). */
function setTcpOffset(packet: Packet, words: u32, wire: u32): void {
  packet.tcpOffset = <u8>words;
  if (wire < TCP_SIZE) return setMalformed(packet, MALFORMED_TRANSPORT);
  const header = words << 2;
  if (header < TCP_SIZE || header > wire) return setMalformed(packet, MALFORMED_LENGTH);
  packet.payloadLength = wire - header;
  packet.known |= KNOWN_PAYLOAD_LENGTH;
}

/** Source: RFC 768; Linux, nf_conntrack_proto_udp.c, udp_error(). */
function decodeUdp(packet: Packet, at: usize, captured: u32, wire: u32): void {
  decodePorts(packet, at, captured);
  setPayload(packet, wire, UDP_SIZE);
  if (captured < UDP_LENGTH + 2) return;
  const length = <u32>bswap<u16>(load<u16>(at, UDP_LENGTH));
  if (length < UDP_SIZE || length > wire) setMalformed(packet, MALFORMED_LENGTH);
}

/** Source: RFC 3828, section 3.1; Linux, nf_conntrack_proto_udp.c, udplite_error(). */
function decodeUdplite(packet: Packet, at: usize, captured: u32, wire: u32): void {
  decodePorts(packet, at, captured);
  setPayload(packet, wire, UDP_SIZE);
  if (captured < UDP_LENGTH + 2) return;
  const coverage = <u32>bswap<u16>(load<u16>(at, UDP_LENGTH));
  // > A Checksum Coverage of zero indicates that the entire UDP-Lite packet is covered.
  const odd = coverage != 0 && (coverage < UDP_SIZE || coverage > wire);
  // > Unlike in UDP, there has to be one.
  const bare = captured >= UDP_SIZE && load<u16>(at, UDPLITE_CHECKSUM) == 0;
  if (odd || bare) setMalformed(packet, MALFORMED_LENGTH);
}
