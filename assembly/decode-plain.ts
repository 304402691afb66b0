// The frames that most captures are full of, in one pass: Ethernet, IPv4 without options and not in
// fragments, TCP or UDP with nothing wrong about it. Comes to what decode.ts makes of them.
import {
  KNOWN_DST,
  KNOWN_FRAGMENT,
  KNOWN_IP_ID,
  KNOWN_IP_LENGTH,
  KNOWN_PAYLOAD_LENGTH,
  KNOWN_PORTS,
  KNOWN_PROTOCOL,
  KNOWN_SRC,
  KNOWN_TCP_FLAGS,
  KNOWN_TCP_SEQ,
  KNOWN_TOS,
  KNOWN_TTL,
  PACKET_HAS_MAC,
  PACKET_TRUNCATED,
} from "./layout";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "./protocol";
import { Packet } from "./records";

const ETHERNET: u32 = 14;
const ETHERTYPE_IPV4: u16 = 0x0800;

// From the frame's first byte.
const IP: usize = 14;
const IP_TOS: usize = IP + 1;
const IP_LENGTH: usize = IP + 2;
const IP_ID: usize = IP + 4;
const IP_FRAGMENT: usize = IP + 6;
const IP_TTL: usize = IP + 8;
const IP_PROTOCOL: usize = IP + 9;
const IP_SRC: usize = IP + 12;
const IP_DST: usize = IP + 16;
const IP_SIZE: u32 = 20;
const TRANSPORT: usize = IP + 20;

// As it lies in memory: more fragments, and the offset.
const FRAGMENTED: u16 = 0xff3f;

const TCP_SEQ: usize = TRANSPORT + 4;
const TCP_ACK: usize = TRANSPORT + 8;
const TCP_OFFSET: usize = TRANSPORT + 12;
const TCP_FLAGS: usize = TRANSPORT + 13;
const TCP_WINDOW: usize = TRANSPORT + 14;
/** As far as it is read, and without options. */
const TCP_READ: u32 = 16;
const TCP_SIZE: u32 = 20;
const UDP_LENGTH: usize = TRANSPORT + 4;
const UDP_READ: u32 = 6;
const UDP_SIZE: u32 = 8;

const KNOWN_ALWAYS: u32 =
  KNOWN_SRC |
  KNOWN_DST |
  KNOWN_PROTOCOL |
  KNOWN_IP_LENGTH |
  KNOWN_TTL |
  KNOWN_TOS |
  KNOWN_IP_ID |
  KNOWN_FRAGMENT |
  KNOWN_PORTS |
  KNOWN_PAYLOAD_LENGTH;
const KNOWN_TCP: u32 = KNOWN_ALWAYS | KNOWN_TCP_FLAGS | KNOWN_TCP_SEQ;

/** Tells whether a frame is one of those. Preconditions as below. */
export function isPlainFrame(frame: usize, capturedLength: u32, originalLength: u32): bool {
  if ((load<u16>(frame, IP_FRAGMENT) & FRAGMENTED) != 0) return false;
  const wire = max(originalLength, capturedLength) - ETHERNET;
  const length = <u32>bswap<u16>(load<u16>(frame, IP_LENGTH));
  if (length > wire || length < IP_SIZE) return false;
  const behind = min(capturedLength - ETHERNET, length) - IP_SIZE;
  const payload = length - IP_SIZE;
  const protocol = load<u8>(frame, IP_PROTOCOL);
  if (protocol == PROTOCOL_TCP) {
    const header = ((<u32>load<u8>(frame, TCP_OFFSET)) >> 4) << 2;
    return behind >= TCP_READ && header >= TCP_SIZE && header <= payload;
  }
  const told = <u32>bswap<u16>(load<u16>(frame, UDP_LENGTH));
  return protocol == PROTOCOL_UDP && behind >= UDP_READ && told >= UDP_SIZE && told <= payload;
}

/**
 * Fills a packet record, of which all fields that it leaves alone are zero. The reader's part is filled.
 * Preconditions: an Ethernet frame of IPv4 without options, of which the ports were captured.
 *
 * @returns false: the frame is another, and the record is as it was
 */
export function decodePlain(packet: Packet): bool {
  const frame: usize = packet.frame;
  if (!isPlainFrame(frame, packet.capturedLength, packet.originalLength)) return false;
  const length = <u32>bswap<u16>(load<u16>(frame, IP_LENGTH));
  const captured = min(packet.capturedLength - ETHERNET, length);
  const payload = length - IP_SIZE;
  const protocol = load<u8>(frame, IP_PROTOCOL);
  if (protocol == PROTOCOL_TCP) {
    const header = ((<u32>load<u8>(frame, TCP_OFFSET)) >> 4) << 2;
    packet.tcpSeq = bswap<u32>(load<u32>(frame, TCP_SEQ));
    packet.tcpAck = bswap<u32>(load<u32>(frame, TCP_ACK));
    packet.tcpWindow = bswap<u16>(load<u16>(frame, TCP_WINDOW));
    packet.tcpFlags = load<u8>(frame, TCP_FLAGS);
    packet.tcpOffset = <u8>(header >> 2);
    packet.payloadLength = payload - header;
    packet.known = KNOWN_TCP;
  } else {
    packet.tcpSeq = 0;
    packet.tcpAck = 0;
    packet.tcpWindow = 0;
    packet.tcpFlags = 0;
    packet.tcpOffset = 0;
    packet.payloadLength = payload - UDP_SIZE;
    packet.known = KNOWN_ALWAYS;
  }
  const truncated = packet.capturedLength < packet.originalLength ? <u32>PACKET_TRUNCATED : 0;
  packet.flags |= truncated | PACKET_HAS_MAC;
  packet.dstMac = load<u32>(frame);
  packet.dstMacTail = load<u16>(frame, 4);
  packet.srcMac = load<u32>(frame, 6);
  packet.srcMacTail = load<u16>(frame, 10);
  packet.etherType = ETHERTYPE_IPV4;
  packet.family = 4;
  packet.protocol = protocol;
  packet.ttl = load<u8>(frame, IP_TTL);
  packet.tos = load<u8>(frame, IP_TOS);
  packet.ipLength = length;
  packet.ipId = bswap<u16>(load<u16>(frame, IP_ID));
  packet.src0 = bswap<u32>(load<u32>(frame, IP_SRC));
  packet.dst0 = bswap<u32>(load<u32>(frame, IP_DST));
  packet.sport = bswap<u16>(load<u16>(frame, TRANSPORT));
  packet.dport = bswap<u16>(load<u16>(frame, TRANSPORT + 2));
  packet.network = <u32>(frame + IP);
  packet.transport = <u32>(frame + TRANSPORT);
  packet.end = <u32>(frame + IP) + captured;
  return true;
}
