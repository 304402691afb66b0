// Where frames have their fields that most captures are full of: Ethernet, IPv4 without options and not in fragments,
// TCP or UDP with nothing wrong about it.
import { PROTOCOL_TCP, PROTOCOL_UDP } from "./protocol";

/** Bytes in front of the IP header. */
export const ETHERNET: u32 = 14;

// From the frame's first byte.
/** The header itself. */
export const IP: usize = 14;
const IP_TOS: usize = IP + 1;
const IP_LENGTH: usize = IP + 2;
const IP_ID: usize = IP + 4;
const IP_FRAGMENT: usize = IP + 6;
const IP_TTL: usize = IP + 8;
const IP_PROTOCOL: usize = IP + 9;
const IP_SRC: usize = IP + 12;
export const IP_SIZE: u32 = 20;
export const TRANSPORT: usize = IP + 20;

// As it lies in memory: more fragments, and the offset.
const FRAGMENTED: u16 = 0xff3f;

const TCP_SEQ: usize = TRANSPORT + 4;
const TCP_OFFSET: usize = TRANSPORT + 12;
/** As far as it is read, and without options. */
const TCP_READ: u32 = 16;
export const TCP_SIZE: u32 = 20;
const UDP_LENGTH: usize = TRANSPORT + 4;
const UDP_READ: u32 = 6;
export const UDP_SIZE: u32 = 8;

/** As far as a plain frame is read, even where it ends before: what lies behind has no part in what comes of it. */
export const PLAIN_READ: usize = 54;

// Ethernet and IPv4 without options, and ports behind.
const FRAME_TYPE: usize = 12;
const PORTED_SIZE: u32 = 38;
const TYPE_IPV4: u16 = 0x0008;
const VERSION_IPV4: u8 = 0x45;

/** An Ethernet frame is of IPv4 without options, and its ports were captured. */
export function isPortedFrame(frame: usize, captured: u32): bool {
  if (captured < PORTED_SIZE || load<u16>(frame, FRAME_TYPE) != TYPE_IPV4) return false;
  return load<u8>(frame, IP) == VERSION_IPV4;
}

/** Tells whether a frame is plain. Precondition: `isPortedFrame`. */
export function isPlainFrame(frame: usize, capturedLength: u32, originalLength: u32): bool {
  if ((load<u16>(frame, IP_FRAGMENT) & FRAGMENTED) != 0) return false;
  const wire = max(originalLength, capturedLength) - ETHERNET;
  const length = lengthOf(frame);
  if (length > wire || length < IP_SIZE) return false;
  const behind = min(capturedLength - ETHERNET, length) - IP_SIZE;
  const payload = length - IP_SIZE;
  const protocol = protocolOf(frame);
  const tcp = protocol == PROTOCOL_TCP;
  if (!tcp && protocol != PROTOCOL_UDP) return false;
  // One is as likely as the other: no branches.
  const told = <u32>bswap<u16>(load<u16>(frame, UDP_LENGTH));
  const header = select<u32>(tcpHeaderOf(frame), told, tcp);
  const read = select<u32>(TCP_READ, UDP_READ, tcp);
  const least = select<u32>(TCP_SIZE, UDP_SIZE, tcp);
  return behind >= read && header >= least && header <= payload;
}

/** The ends of a frame as numbers: source's address, destination's, ports with the source's in the lower half. */
export function endsOf(frame: usize): v128 {
  const bytes = v128.load(frame, IP_SRC);
  return v128.shuffle<u8>(bytes, bytes, 3, 2, 1, 0, 7, 6, 5, 4, 9, 8, 11, 10, 12, 13, 14, 15);
}

export function protocolOf(frame: usize): u8 {
  return load<u8>(frame, IP_PROTOCOL);
}

export function lengthOf(frame: usize): u32 {
  return <u32>bswap<u16>(load<u16>(frame, IP_LENGTH));
}

export function ttlOf(frame: usize): u8 {
  return load<u8>(frame, IP_TTL);
}

export function tosOf(frame: usize): u8 {
  return load<u8>(frame, IP_TOS);
}

export function ipIdOf(frame: usize): u32 {
  return <u32>bswap<u16>(load<u16>(frame, IP_ID));
}

/** What a TCP header says: its two numbers, and the window, flags << 16, the byte with its length << 24. */
export function tcpOf(frame: usize): v128 {
  const bytes = v128.load(frame, TCP_SEQ);
  return v128.shuffle<u8>(bytes, bytes, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 12, 13, 14, 15);
}

/** Bytes of the TCP header. */
export function tcpHeaderOf(frame: usize): u32 {
  return ((<u32>load<u8>(frame, TCP_OFFSET)) >> 4) << 2;
}
