// The packet's bytes as rules see them now, for matches that read them: where a field was changed on
// the way (the TTL by forwarding, addresses and ports by NAT), the captured bytes are copied and the
// fields and checksums written anew.
import { adjusted, changedHeader } from "./changed-header";
import { ask } from "./fork";
import {
  CT_DNAT,
  CT_RELATED,
  CT_SNAT,
  FRAME_MAX,
  KNOWN_IP_LENGTH,
  REASON_NO_PAYLOAD,
  REASON_NOT_MODELLED,
} from "./layout";
import { walk } from "./walk";

const copy: usize = memory.data(FRAME_MAX);

const TCP_CHECKSUM: u32 = 16;
const UDP_CHECKSUM: u32 = 6;

/** Bytes that the packet has, by its own length; what lies behind the capture's end counts too. */
export function currentLength(): u32 {
  return walk.packet.ipLength;
}

/** How many of them were captured. */
export function capturedLength(): u32 {
  const packet = walk.packet;
  return packet.network == 0 ? 0 : packet.end - packet.network;
}

/** Whether a match holds that needs bytes which were not captured. */
export function askForBytes(match: usize, rule: i32): bool {
  return ask(<u64>match, isKnown() ? REASON_NO_PAYLOAD : REASON_NOT_MODELLED, rule);
}

/** The packet's length is known, and so are its bytes but for those beyond the capture's end. */
export function hasBytes(): bool {
  return walk.packet.network != 0 && (walk.known & KNOWN_IP_LENGTH) != 0 && isKnown();
}

// No target rewrote them, and NAT no header that an ICMP error quotes.
function isKnown(): bool {
  if (walk.rewritten || walk.sportDrawn) return false;
  if (walk.protocol != 1 && walk.protocol != 58) return true;
  return (walk.ctState & CT_RELATED) == 0 || (walk.ctState & (CT_SNAT | CT_DNAT)) == 0;
}

/** Address of the IP header, with `capturedLength` bytes. Precondition: `hasBytes`. */
export function currentBytes(): usize {
  const packet = walk.packet;
  const six = walk.family == 6;
  const captured = capturedLength();
  if (captured < <u32>(six ? 40 : 20) || captured > <u32>FRAME_MAX) return packet.network;
  const unchanged =
    walk.changedSize == 0 &&
    walk.ttl == packet.ttl &&
    walk.tos == packet.tos &&
    walk.sport == packet.sport &&
    walk.dport == packet.dport &&
    walk.src0 == packet.src0 &&
    walk.src1 == packet.src1 &&
    walk.src2 == packet.src2 &&
    walk.src3 == packet.src3 &&
    walk.dst0 == packet.dst0 &&
    walk.dst1 == packet.dst1 &&
    walk.dst2 == packet.dst2 &&
    walk.dst3 == packet.dst3;
  if (unchanged) return packet.network;
  memory.copy(copy, packet.network, captured);
  const transport = packet.transport == 0 ? captured : packet.transport - packet.network;
  if (walk.changedSize != 0) memory.copy(copy + transport, changedHeader, walk.changedSize);
  const checksum = transportChecksum(transport, captured);
  if (six) {
    store<u8>(copy, <u8>(0x60 | (walk.tos >> 4)));
    store<u8>(copy, (load<u8>(copy, 1) & 0xf) | (<u8>(walk.tos << 4)), 1);
    store<u8>(copy, <u8>walk.ttl, 7);
    writeAddress(8, walk.src0, walk.src1, walk.src2, walk.src3, checksum);
    writeAddress(24, walk.dst0, walk.dst1, walk.dst2, walk.dst3, checksum);
  } else {
    writeHalf(0, (load<u8>(copy) << 8) | walk.tos, 10, 0);
    writeHalf(8, (walk.ttl << 8) | load<u8>(copy, 9), 10, 0);
    writeHalf(12, walk.src0 >> 16, 10, checksum);
    writeHalf(14, walk.src0 & 0xffff, 10, checksum);
    writeHalf(16, walk.dst0 >> 16, 10, checksum);
    writeHalf(18, walk.dst0 & 0xffff, 10, checksum);
  }
  if (walk.sport != packet.sport && transport + 2 <= captured) {
    writeHalf(transport, walk.sport, 0, checksum);
  }
  if (walk.dport != packet.dport && transport + 4 <= captured) {
    writeHalf(transport + 2, walk.dport, 0, checksum);
  }
  return copy;
}

/** 32 bits in network order. Precondition: they are there. */
export function wordAt(address: usize): u32 {
  return bswap(load<u32>(address));
}

function writeAddress(
  offset: u32,
  word0: u32,
  word1: u32,
  word2: u32,
  word3: u32,
  checksum: u32,
): void {
  writeWord(offset, word0, checksum);
  writeWord(offset + 4, word1, checksum);
  writeWord(offset + 8, word2, checksum);
  writeWord(offset + 12, word3, checksum);
}

function writeWord(offset: u32, word: u32, checksum: u32): void {
  writeHalf(offset, word >> 16, 0, checksum);
  writeHalf(offset + 2, word & 0xffff, 0, checksum);
}

// Writes 16 bits and keeps the checksums at these offsets right; 0: there is none.
function writeHalf(offset: u32, value: u32, checksum: u32, other: u32): void {
  const old: u32 = bswap(load<u16>(copy + offset));
  if (old == value) return;
  store<u16>(copy + offset, bswap(<u16>value));
  if (checksum != 0) adjust(checksum, old, value);
  if (other != 0) adjust(other, old, value);
}

function adjust(offset: u32, old: u32, value: u32): void {
  const before: u32 = bswap(load<u16>(copy + offset));
  store<u16>(copy + offset, bswap(<u16>adjusted(before, old, value)));
}

// Offset of the checksum that covers addresses and ports; 0 without one.
function transportChecksum(transport: u32, captured: u32): u32 {
  let offset = transport;
  if (walk.protocol == 6) offset += TCP_CHECKSUM;
  else if (walk.protocol == 17 || walk.protocol == 136) offset += UDP_CHECKSUM;
  else if (walk.protocol == 58) offset += 2;
  else return 0;
  if (offset + 2 > captured) return 0;
  // > UDP without a checksum stays without one.
  return walk.protocol == 17 && load<u16>(copy + offset) == 0 ? 0 : offset;
}
