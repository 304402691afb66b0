// What connection tracking says of the packet under way, and the tuple it is looked up by.
import { copyAddresses } from "./bytes";
import { key } from "./key";
import { CT_INVALID, KNOWN_PORTS, PACKET_SRC } from "./layout";
import { hasPorts } from "./protocol";
import { Packet } from "./records";

/** From the side that asked first. */
export const DIRECTION_ORIGINAL: u32 = 0;
/** From the side that was asked. */
export const DIRECTION_REPLY: u32 = 1;
/** No entry. */
export const ENTRY_NONE: u32 = 0xffffffff;

/** What tracking says of the packet under way. */
@unmanaged
export class Tracking {
  /** CT_* bits that rules see. */
  state: u32;
  direction: u32;
  /** Entry number, or ENTRY_NONE. */
  entry: u32;
  /** The tuple starts a connection; `confirm` makes the entry. */
  fresh: bool;
  /** Seen after its last hook: the rules saw other addresses. */
  seenAfter: bool;
  midstream: bool;
  /** TCP without known flags: whether it starts a connection, is not known. */
  ambiguous: bool;
  /** The ICMP error quotes a header that the capture does not hold. */
  quoteMissing: bool;
  /** Of a connection whose windows are not known, and far from what is. */
  perhapsInvalid: bool;
  /** The table was full before: the connection may have had to go, or was never taken up. */
  crowded: bool;
  /** It answers one of several connections with masqueraded sources, or of one with several backends, or none. */
  answersSome: bool;
  /** Of several connections, of which one at least was answered: whether it was this one, nobody knows. */
  perhapsAnswered: bool;
  tcpState: u32;
  /** When the connection would have expired without this packet. */
  deadlineBefore: u64;
}

/** Tracking of the packet under way. */
export const tracking: Tracking = changetype<Tracking>(memory.data(offsetof<Tracking>()));

/** Begins with no connection: INVALID until one is found. */
export function trackNothing(): void {
  tracking.state = CT_INVALID;
  tracking.direction = DIRECTION_ORIGINAL;
  tracking.entry = ENTRY_NONE;
  tracking.fresh = false;
  tracking.seenAfter = false;
  tracking.midstream = false;
  tracking.ambiguous = false;
  tracking.quoteMissing = false;
  tracking.perhapsInvalid = false;
  tracking.crowded = false;
  tracking.answersSome = false;
  tracking.perhapsAnswered = false;
  tracking.tcpState = 0;
  tracking.deadlineBefore = 0;
}

let whenTried: bool = false;

/** Says whether the connection of the packet under way is looked for in each try, not before them. */
export function trackWhenTried(on: bool): void {
  whenTried = on;
}

export function isTrackedWhenTried(): bool {
  return whenTried;
}

/** Sets `key` to the tuple of a packet. */
export function keyOfPacket(packet: Packet): void {
  copyAddresses(changetype<usize>(key), changetype<usize>(packet) + PACKET_SRC);
  key.family = packet.family;
  key.protocol = packet.protocol;
  key.sport = 0;
  key.dport = 0;
  key.unused = 0;
  if ((packet.known & KNOWN_PORTS) != 0 && hasPorts(packet.protocol)) {
    key.sport = packet.sport;
    key.dport = packet.dport;
  } else if (packet.protocol == 47) {
    // > Only PPTP's calls (version 1) have a key.
    if (packet.transport != 0 && packet.end - packet.transport >= 8) {
      if ((load<u8>(packet.transport, 1) & 7) == 1)
        key.dport = bswap<u16>(load<u16>(packet.transport, 6));
    }
  } else if (packet.protocol == 1 || packet.protocol == 58) {
    key.sport = packet.icmpId;
    key.dport = ((<u16>packet.icmpType) << 8) | packet.icmpCode;
  }
}
