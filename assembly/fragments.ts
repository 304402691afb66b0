// Later fragments get the verdict of their datagram, which is decided at its first fragment: the kernel
// reassembles before any rule. Source: Linux, nf_defrag_ipv4; semantics.md F-1.
import { KNOWN_IP_ID, PACKET_SRC, VERDICT_SIZE } from "./layout";
import { Packet } from "./records";
import { mix } from "./set";
import { Verdict } from "./verdict";

/** A datagram whose first fragment was judged. The verdict record lies behind. */
@unmanaged
class Datagram {
  src: v128;
  dst: v128;
  ipId: u32;
  family: u8;
  protocol: u8;
  filled: u16;
  timestamp: u64;
}

const SLOTS: u32 = 1024;
const SLOT_SIZE: usize = offsetof<Datagram>() + VERDICT_SIZE;
// > ip_frag_time: 30 seconds; 60 for IPv6.
const LIFETIME: u64 = 60000000000;

let slots: usize = 0;

/** Prepares an empty table. */
export function setUpFragments(): void {
  slots = heap.alloc(<usize>SLOTS * SLOT_SIZE);
  memory.fill(slots, 0, <usize>SLOTS * SLOT_SIZE);
}

/** Remembers the verdict on a first fragment; an older datagram with the same slot is forgotten. */
export function rememberFirst(packet: Packet, verdict: Verdict): void {
  if ((packet.known & KNOWN_IP_ID) == 0) return;
  const at = slotOf(packet);
  const datagram = changetype<Datagram>(at);
  memory.copy(at, changetype<usize>(packet) + PACKET_SRC, 32);
  datagram.ipId = packet.ipId;
  datagram.family = packet.family;
  datagram.protocol = packet.protocol;
  datagram.filled = 1;
  datagram.timestamp = packet.timestamp;
  memory.copy(at + offsetof<Datagram>(), changetype<usize>(verdict), VERDICT_SIZE);
}

/** Copies the verdict of a later fragment's datagram; false when its first fragment was not seen. */
export function recallFirst(packet: Packet, verdict: Verdict): bool {
  if ((packet.known & KNOWN_IP_ID) == 0) return false;
  const at = slotOf(packet);
  const datagram = changetype<Datagram>(at);
  const found =
    datagram.filled != 0 &&
    datagram.ipId == packet.ipId &&
    datagram.family == packet.family &&
    (packet.family == 6 || datagram.protocol == packet.protocol) &&
    packet.timestamp <= datagram.timestamp + LIFETIME &&
    memory.compare(at, changetype<usize>(packet) + PACKET_SRC, 32) == 0;
  if (found) memory.copy(changetype<usize>(verdict), at + offsetof<Datagram>(), VERDICT_SIZE);
  return found;
}

// > IPv6 reassembly does not look at the protocol.
function slotOf(packet: Packet): usize {
  const protocol: u32 = packet.family == 6 ? 0 : packet.protocol;
  let hash = mix(packet.ipId, protocol);
  hash = mix(hash, packet.src0 ^ packet.src3);
  hash = mix(hash, packet.dst0 ^ packet.dst3);
  return slots + <usize>(hash % SLOTS) * SLOT_SIZE;
}
