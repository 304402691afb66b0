// Second sights: a capture on several interfaces (or on `any`) shows a packet once where it arrives and
// once where it leaves. Only where the capture itself tells interfaces or directions apart.
// Source: semantics.md C-8 and C-9.
import { copyAddresses, copyBytes, sameAddress } from "./bytes";
import {
  CAPTURE_INTERFACE_NONE,
  KNOWN_TCP_SEQ,
  PACKET_DST,
  PACKET_INBOUND,
  PACKET_OUTBOUND,
  PACKET_SRC,
  VERDICT_SIZE,
} from "./layout";
import { captureInterfaceNumber } from "./interface";
import { Packet } from "./records";
import { isRealNode } from "./route";
import { Verdict } from "./verdict";
import { ENTRY_NONE } from "./tracking";

/** A packet that was judged. Its verdict record lies behind. */
@unmanaged
class Sight {
  src: v128;
  dst: v128;
  timestamp: u64;
  number: u64;
  ipId: u32;
  ipLength: u32;
  tcpSeq: u32;
  tcpAck: u32;
  entry: u32;
  sport: u16;
  dport: u16;
  captureInterface: u16;
  icmp: u16;
  icmpId: u16;
  family: u8;
  protocol: u8;
  direction: u8;
  tcpFlags: u8;
  ttl: u8;
  used: u8;
}

const SIGHTS: u32 = 64;
const SIGHT_SIZE: usize = offsetof<Sight>() + VERDICT_SIZE;
/** Longest time between two sights of one packet: 10 ms. */
const APART: u64 = 10000000;

let sights: usize = 0;
let next: u32 = 0;
let several: bool = false;
let firstInterface: u32 = 0xffffffff;

/** Prepares an empty memory. */
export function setUpSights(): void {
  sights = heap.alloc(<usize>SIGHTS * SIGHT_SIZE);
  memory.fill(sights, 0, <usize>SIGHTS * SIGHT_SIZE);
}

/** Tells whether the capture has shown that it holds more than one interface or direction. */
export function severalSights(packet: Packet): bool {
  if (several) return true;
  const direction = directionOf(packet);
  if (firstInterface == 0xffffffff) {
    firstInterface = ((<u32>packet.captureInterface) << 8) | direction;
  }
  several = firstInterface != (((<u32>packet.captureInterface) << 8) | direction);
  return several;
}

/** Remembers a packet and its verdict. */
export function rememberSight(packet: Packet, verdict: Verdict, entry: u32): void {
  const at = sights + <usize>next * SIGHT_SIZE;
  next = (next + 1) % SIGHTS;
  const sight = changetype<Sight>(at);
  copyAddresses(at, changetype<usize>(packet) + PACKET_SRC);
  sight.timestamp = packet.timestamp;
  sight.number = packet.number;
  sight.ipId = packet.ipId;
  sight.ipLength = packet.ipLength;
  sight.tcpSeq = packet.tcpSeq;
  sight.tcpAck = packet.tcpAck;
  sight.entry = entry;
  sight.sport = packet.sport;
  sight.dport = packet.dport;
  sight.captureInterface = packet.captureInterface;
  sight.icmp = ((<u16>packet.icmpType) << 8) | packet.icmpCode;
  sight.icmpId = packet.icmpId;
  sight.family = packet.family;
  sight.protocol = packet.protocol;
  sight.direction = <u8>directionOf(packet);
  sight.tcpFlags = packet.tcpFlags;
  sight.ttl = packet.ttl;
  sight.used = 1;
  copyBytes(at + offsetof<Sight>(), changetype<usize>(verdict), VERDICT_SIZE);
}

/**
 * Finds an earlier sight of this packet and copies its verdict. `entry` is the packet's conntrack entry,
 * by which a translated packet is known again.
 */
export function recallSight(packet: Packet, entry: u32, verdict: Verdict): bool {
  for (let index: u32 = 0; index < SIGHTS; index++) {
    const at = sights + <usize>index * SIGHT_SIZE;
    const sight = changetype<Sight>(at);
    if (sight.used == 0 || !sameContent(sight, packet) || !elsewhere(sight, packet)) continue;
    const sameTuple =
      sameAddress(at, changetype<usize>(packet) + PACKET_SRC) &&
      sameAddress(at + 16, changetype<usize>(packet) + PACKET_DST) &&
      sight.sport == packet.sport &&
      sight.dport == packet.dport;
    if (!sameTuple && (entry == ENTRY_NONE || sight.entry != entry)) continue;
    copyBytes(changetype<usize>(verdict), at + offsetof<Sight>(), VERDICT_SIZE);
    verdict.duplicateOf = sight.number;
    return true;
  }
  return false;
}

function sameContent(sight: Sight, packet: Packet): bool {
  const withSeq = (packet.known & KNOWN_TCP_SEQ) != 0;
  return (
    sight.family == packet.family &&
    sight.protocol == packet.protocol &&
    sight.ipId == packet.ipId &&
    sight.ipLength == packet.ipLength &&
    sight.tcpFlags == packet.tcpFlags &&
    (!withSeq || (sight.tcpSeq == packet.tcpSeq && sight.tcpAck == packet.tcpAck)) &&
    sight.icmp == (((<u16>packet.icmpType) << 8) | packet.icmpCode) &&
    sight.icmpId == packet.icmpId &&
    packet.timestamp >= sight.timestamp &&
    packet.timestamp - sight.timestamp <= APART
  );
}

// Another interface, or arrived before and leaving now; and the TTL did not rise.
function elsewhere(sight: Sight, packet: Packet): bool {
  if (packet.ttl > sight.ttl) return false;
  if (isRealNode()) return leavesThere(sight, packet);
  const direction = directionOf(packet);
  if (sight.direction == 1 && direction == 2) return true;
  return (
    sight.captureInterface != packet.captureInterface &&
    sight.captureInterface != CAPTURE_INTERFACE_NONE &&
    packet.captureInterface != CAPTURE_INTERFACE_NONE
  );
}

// On a real node the first sight's verdict says by which interface the packet leaves.
function leavesThere(sight: Sight, packet: Packet): bool {
  const verdict = changetype<Verdict>(changetype<usize>(sight) + offsetof<Sight>());
  const number = captureInterfaceNumber(packet.captureInterface);
  return number != 0 && verdict.outInterface == number && packet.ttl + 1 == sight.ttl;
}

function directionOf(packet: Packet): u32 {
  if ((packet.flags & PACKET_INBOUND) != 0) return 1;
  return (packet.flags & PACKET_OUTBOUND) != 0 ? 2 : 0;
}
