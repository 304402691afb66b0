// Plain frames in one pass. Comes to what decode.ts makes of them.
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
import {
  endsOf,
  ETHERNET,
  IP,
  IP_SIZE,
  ipIdOf,
  lengthOf,
  protocolOf,
  tcpOf,
  tosOf,
  TRANSPORT,
  ttlOf,
  UDP_SIZE,
} from "./plain-frame";
import { PROTOCOL_TCP } from "./protocol";
import { Packet } from "./records";

const ETHERTYPE_IPV4: u16 = 0x0800;

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

/**
 * Fills a packet record, of which all fields that it leaves alone are zero. The reader's part is filled.
 * Preconditions: `isPortedFrame`, `isPlainFrame`.
 */
export function decodePlain(packet: Packet): void {
  const frame: usize = packet.frame;
  const length = lengthOf(frame);
  const captured = min(packet.capturedLength - ETHERNET, length);
  const payload = length - IP_SIZE;
  const protocol = protocolOf(frame);
  // One protocol is as likely as the other: no branches. What is read of a TCP header may lie behind the frame.
  const tcp = protocol == PROTOCOL_TCP;
  const told = tcpOf(frame);
  const rest = select<u32>(i32x4.extract_lane(told, 2), 0, tcp);
  const offset = rest >> 28;
  packet.tcpSeq = select<u32>(i32x4.extract_lane(told, 0), 0, tcp);
  packet.tcpAck = select<u32>(i32x4.extract_lane(told, 1), 0, tcp);
  packet.tcpWindow = <u16>rest;
  packet.tcpFlags = <u8>(rest >> 16);
  packet.tcpOffset = <u8>offset;
  packet.payloadLength = payload - select<u32>(offset << 2, UDP_SIZE, tcp);
  packet.known = select<u32>(KNOWN_TCP, KNOWN_ALWAYS, tcp);
  const truncated = packet.capturedLength < packet.originalLength ? <u32>PACKET_TRUNCATED : 0;
  packet.flags |= truncated | PACKET_HAS_MAC;
  packet.dstMac = load<u32>(frame);
  packet.dstMacTail = load<u16>(frame, 4);
  packet.srcMac = load<u32>(frame, 6);
  packet.srcMacTail = load<u16>(frame, 10);
  packet.etherType = ETHERTYPE_IPV4;
  packet.family = 4;
  packet.protocol = protocol;
  packet.ttl = ttlOf(frame);
  packet.tos = tosOf(frame);
  packet.ipLength = length;
  packet.ipId = ipIdOf(frame);
  const ends = endsOf(frame);
  packet.src0 = i32x4.extract_lane(ends, 0);
  packet.dst0 = i32x4.extract_lane(ends, 1);
  const ports: u32 = i32x4.extract_lane(ends, 2);
  packet.sport = <u16>ports;
  packet.dport = <u16>(ports >> 16);
  packet.network = <u32>(frame + IP);
  packet.transport = <u32>(frame + TRANSPORT);
  packet.end = <u32>(frame + IP) + captured;
}
