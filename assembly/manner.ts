// The manner in which a packet is seen: all that rules look at in its headers besides addresses and ports,
// and where the capture saw it. Packets of one manner and tuple are told apart by their connection only.
import { zeros } from "./bytes";
import { captureInterfaceNumber } from "./interface";
import { LINK_ETHERNET, PACKET_TRUNCATED } from "./layout";
import { Packet } from "./records";
import { isRealNode } from "./route";

@unmanaged
class Manner {
  /**
   * PACKET_* and KNOWN_* bits, and the capture's interface. What looks at a payload that was cut off makes
   * its rule volatile.
   */
  bits: u64;
  /** The node's interface, link type, family, protocol, and what the MAC addresses say. */
  rest: u64;
  /** 0, or less than `first`: nothing. */
  number: u32;
  unused: u32;
}

// A node's pods have an interface each, by which packets come and go.
const MANNERS_LOG: u32 = 13;
const MANNERS: u32 = 1 << MANNERS_LOG;
const MANNER_SIZE: usize = offsetof<Manner>();
/** Numbers are below this. */
export const MANNERS_MAX: u32 = 1 << 30;

let manners: usize = 0;
let last: Manner = changetype<Manner>(0);
// The least number that counts, and the next one; none is given twice.
let first: u32 = 1;
let next: u32 = 1;

/** Prepares an empty list. */
export function setUpManners(): void {
  manners = zeros(<usize>MANNERS * MANNER_SIZE);
  last = changetype<Manner>(manners);
}

/** Gives all manners new numbers: what was said by the old ones does not hold any more. */
export function forgetManners(): void {
  first = next;
}

/** The least number that counts: it is another one after numbers that were given have been forgotten. */
export function firstManner(): u32 {
  return first;
}

/** The number is one of those that count. */
export function isMannerValid(number: u32): bool {
  return number >= first;
}

/** Number of a packet's manner; 0 where there are no more. `seen`: one of SEEN_*. */
export function mannerOf(packet: Packet, seen: u32): u32 {
  const captured: u32 = packet.captureInterface;
  const number = captureInterfaceNumber(captured);
  const flags = packet.flags & ~(<u32>PACKET_TRUNCATED);
  const bits = (<u64>flags) | ((<u64>packet.known) << 32) | ((<u64>captured) << 48);
  const rest =
    (<u64>number) |
    ((<u64>packet.linkType) << 32) |
    ((<u64>packet.protocol) << 48) |
    ((<u64>packet.family) << 56) |
    ((<u64>sideOf(packet, seen)) << 60);
  // Often it is that of the last packet.
  if (bits == last.bits && rest == last.rest && last.number >= first) return last.number;
  const hash = (bits * 0x9e3779b97f4a7c15) ^ (rest * 0xbf58476d1ce4e5b9);
  let slot = <u32>(hash >> (64 - MANNERS_LOG));
  while (true) {
    const manner = changetype<Manner>(manners + <usize>(slot & (MANNERS - 1)) * MANNER_SIZE);
    if (manner.number < first) {
      if (next == MANNERS_MAX) return 0;
      // Half of the list stays free, so that the search ends.
      if (next - first == MANNERS / 2) forgetManners();
      manner.bits = bits;
      manner.rest = rest;
      manner.number = next;
      next++;
      last = manner;
      return manner.number;
    }
    if (manner.bits == bits && manner.rest == rest) {
      last = manner;
      return manner.number;
    }
    slot++;
  }
}

// > Which side of the node a frame was seen on, and whether it went to a group of hosts.
function sideOf(packet: Packet, seen: u32): u32 {
  if (!isRealNode()) return 0;
  const group: u32 = packet.linkType == LINK_ETHERNET ? packet.dstMac & 1 : 0;
  return (seen << 1) | group;
}
