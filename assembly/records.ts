// Names and widths for the records of `layout.ts`, for the Wasm side.
// The checks behind each class make a disagreement a build error with the constant's name.
import * as layout from "./layout";

/** One packet. A capture reader writes the fields up to `flags`, `decode` the rest. */
@unmanaged
export class Packet {
  /** Nanoseconds since 1970. */
  timestamp: u64;
  /** Address of the frame's first byte. */
  frame: u32;
  capturedLength: u32;
  originalLength: u32;
  /** One of LINK_*, or a link type that is not supported. */
  linkType: u16;
  captureInterface: u16;
  /** PACKET_* bits. */
  flags: u32;
  /** KNOWN_* bits: which of the fields below hold what the packet on the wire had. */
  known: u32;
  /** 4, 6, or 0 when the frame holds no IP. */
  family: u8;
  protocol: u8;
  ttl: u8;
  tos: u8;
  sport: u16;
  dport: u16;
  src0: u32;
  src1: u32;
  src2: u32;
  src3: u32;
  dst0: u32;
  dst1: u32;
  dst2: u32;
  dst3: u32;
  icmpType: u8;
  icmpCode: u8;
  icmpId: u16;
  tcpWindow: u16;
  tcpFlags: u8;
  /** In 32-bit words. */
  tcpOffset: u8;
  tcpSeq: u32;
  tcpAck: u32;
  ipLength: u32;
  payloadLength: u32;
  ipId: u32;
  /** In bytes. */
  fragmentOffset: u16;
  /** One of MALFORMED_*. */
  malformed: u8;
  /** Where the capture saw it, plus one (arrival.ts); 0: nobody has asked. */
  seen: u8;
  /** Address of the IP header; 0 without bytes. */
  network: u32;
  /** Address of the transport header; 0 when none of it was captured. */
  transport: u32;
  /** Address behind the last captured byte of the IP packet. */
  end: u32;
  srcName: u16;
  dstName: u16;
  /** The first four bytes of the source MAC, as they lie in the frame. */
  srcMac: u32;
  /** Its last two. */
  srcMacTail: u16;
  etherType: u16;
  dstMac: u32;
  dstMacTail: u16;
  /** Outermost VLAN identifier plus one; 0 without a tag. */
  vlan: u16;
  quotedProtocol: u8;
  /** One of SHOWN_OPTIONS_*. */
  shownOptions: u8;
  /** ICMP: the id. */
  quotedSport: u16;
  /** ICMP: type << 8 | code. */
  quotedDport: u16;
  tcpSegment: u16;
  quotedSrc0: u32;
  quotedSrc1: u32;
  quotedSrc2: u32;
  quotedSrc3: u32;
  quotedDst0: u32;
  quotedDst1: u32;
  quotedDst2: u32;
  quotedDst3: u32;
  /** Position in the capture, counted from 1. */
  number: u64;
}

if (offsetof<Packet>("timestamp") != layout.PACKET_TIMESTAMP) ERROR("PACKET_TIMESTAMP");
if (offsetof<Packet>("frame") != layout.PACKET_FRAME) ERROR("PACKET_FRAME");
if (offsetof<Packet>("capturedLength") != layout.PACKET_CAPTURED_LENGTH)
  ERROR("PACKET_CAPTURED_LENGTH");
if (offsetof<Packet>("originalLength") != layout.PACKET_ORIGINAL_LENGTH)
  ERROR("PACKET_ORIGINAL_LENGTH");
if (offsetof<Packet>("linkType") != layout.PACKET_LINK_TYPE) ERROR("PACKET_LINK_TYPE");
if (offsetof<Packet>("captureInterface") != layout.PACKET_CAPTURE_INTERFACE)
  ERROR("PACKET_CAPTURE_INTERFACE");
if (offsetof<Packet>("flags") != layout.PACKET_FLAGS) ERROR("PACKET_FLAGS");
if (offsetof<Packet>("known") != layout.PACKET_KNOWN) ERROR("PACKET_KNOWN");
if (offsetof<Packet>("family") != layout.PACKET_FAMILY) ERROR("PACKET_FAMILY");
if (offsetof<Packet>("protocol") != layout.PACKET_PROTOCOL) ERROR("PACKET_PROTOCOL");
if (offsetof<Packet>("ttl") != layout.PACKET_TTL) ERROR("PACKET_TTL");
if (offsetof<Packet>("tos") != layout.PACKET_TOS) ERROR("PACKET_TOS");
if (offsetof<Packet>("sport") != layout.PACKET_SPORT) ERROR("PACKET_SPORT");
if (offsetof<Packet>("dport") != layout.PACKET_DPORT) ERROR("PACKET_DPORT");
if (offsetof<Packet>("src0") != layout.PACKET_SRC) ERROR("PACKET_SRC");
if (offsetof<Packet>("dst0") != layout.PACKET_DST) ERROR("PACKET_DST");
if (offsetof<Packet>("icmpType") != layout.PACKET_ICMP_TYPE) ERROR("PACKET_ICMP_TYPE");
if (offsetof<Packet>("icmpCode") != layout.PACKET_ICMP_CODE) ERROR("PACKET_ICMP_CODE");
if (offsetof<Packet>("icmpId") != layout.PACKET_ICMP_ID) ERROR("PACKET_ICMP_ID");
if (offsetof<Packet>("tcpWindow") != layout.PACKET_TCP_WINDOW) ERROR("PACKET_TCP_WINDOW");
if (offsetof<Packet>("tcpFlags") != layout.PACKET_TCP_FLAGS) ERROR("PACKET_TCP_FLAGS");
if (offsetof<Packet>("tcpOffset") != layout.PACKET_TCP_OFFSET) ERROR("PACKET_TCP_OFFSET");
if (offsetof<Packet>("tcpSeq") != layout.PACKET_TCP_SEQ) ERROR("PACKET_TCP_SEQ");
if (offsetof<Packet>("tcpAck") != layout.PACKET_TCP_ACK) ERROR("PACKET_TCP_ACK");
if (offsetof<Packet>("ipLength") != layout.PACKET_IP_LENGTH) ERROR("PACKET_IP_LENGTH");
if (offsetof<Packet>("payloadLength") != layout.PACKET_PAYLOAD_LENGTH)
  ERROR("PACKET_PAYLOAD_LENGTH");
if (offsetof<Packet>("ipId") != layout.PACKET_IP_ID) ERROR("PACKET_IP_ID");
if (offsetof<Packet>("fragmentOffset") != layout.PACKET_FRAGMENT_OFFSET)
  ERROR("PACKET_FRAGMENT_OFFSET");
if (offsetof<Packet>("malformed") != layout.PACKET_MALFORMED) ERROR("PACKET_MALFORMED");
if (offsetof<Packet>("seen") != layout.PACKET_SEEN) ERROR("PACKET_SEEN");
if (offsetof<Packet>("network") != layout.PACKET_NETWORK) ERROR("PACKET_NETWORK");
if (offsetof<Packet>("transport") != layout.PACKET_TRANSPORT) ERROR("PACKET_TRANSPORT");
if (offsetof<Packet>("end") != layout.PACKET_END) ERROR("PACKET_END");
if (offsetof<Packet>("srcName") != layout.PACKET_SRC_NAME) ERROR("PACKET_SRC_NAME");
if (offsetof<Packet>("dstName") != layout.PACKET_DST_NAME) ERROR("PACKET_DST_NAME");
if (offsetof<Packet>("srcMac") != layout.PACKET_SRC_MAC) ERROR("PACKET_SRC_MAC");
if (offsetof<Packet>("etherType") != layout.PACKET_ETHER_TYPE) ERROR("PACKET_ETHER_TYPE");
if (offsetof<Packet>("dstMac") != layout.PACKET_DST_MAC) ERROR("PACKET_DST_MAC");
if (offsetof<Packet>("vlan") != layout.PACKET_VLAN) ERROR("PACKET_VLAN");
if (offsetof<Packet>("quotedProtocol") != layout.PACKET_QUOTED_PROTOCOL)
  ERROR("PACKET_QUOTED_PROTOCOL");
if (offsetof<Packet>("shownOptions") != layout.PACKET_SHOWN_OPTIONS) ERROR("PACKET_SHOWN_OPTIONS");
if (offsetof<Packet>("quotedSport") != layout.PACKET_QUOTED_SPORT) ERROR("PACKET_QUOTED_SPORT");
if (offsetof<Packet>("quotedDport") != layout.PACKET_QUOTED_DPORT) ERROR("PACKET_QUOTED_DPORT");
if (offsetof<Packet>("tcpSegment") != layout.PACKET_TCP_SEGMENT) ERROR("PACKET_TCP_SEGMENT");
if (offsetof<Packet>("quotedSrc0") != layout.PACKET_QUOTED_SRC) ERROR("PACKET_QUOTED_SRC");
if (offsetof<Packet>("quotedDst0") != layout.PACKET_QUOTED_DST) ERROR("PACKET_QUOTED_DST");
if (offsetof<Packet>("number") != layout.PACKET_NUMBER) ERROR("PACKET_NUMBER");
if (offsetof<Packet>() != layout.PACKET_SIZE) ERROR("PACKET_SIZE");
