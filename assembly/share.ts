// Which packets are this worker's own, where several decide one capture: each sees all of it, and decides the
// packets whose connections no other worker's can meet. All tuples of a connection have the same share.
// Source: docs/architecture.md, "Several workers".
import {
  KNOWN_PORTS,
  KNOWN_QUOTE,
  PACKET_DST,
  PACKET_QUOTED_DST,
  PACKET_QUOTED_SRC,
  PACKET_SRC,
  SHARE_WHOLE,
} from "./layout";
import { hasPorts, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from "./protocol";
import { isIcmpError } from "./quote";
import { Packet } from "./records";

let workers: u32 = 1;
let own: u32 = 0;
// SHARE_* of what no share can decide; SHARE_WHOLE: nothing so far.
let obstacle: u32 = SHARE_WHOLE;

// A bit for each protocol and port that destinations are translated from or to, at whatever address.
const PORTS: u32 = 1 << 16;
const ports: usize = memory.data(4 * (65536 / 8));
let anyPorts: bool = false;

/** Says that this worker is one of several. */
export function setShare(index: u32, count: u32): void {
  own = index;
  workers = count;
}

// All of them are told.
let portsKnown: bool = false;

/** Says whether all ports are told at which destinations are translated, or to which. */
export function setPortsKnown(known: bool): void {
  portsKnown = known;
}

/** Rules may translate what is for this port. */
export function isTranslatedPort(protocol: u32, port: u32): bool {
  return !portsKnown || isTranslated(protocol, port);
}

/** Says that destinations with this port may be translated, or that it is what they are translated to. */
export function addTranslatedPort(protocol: u32, port: u32): void {
  const bit = bitOf(protocol, port);
  const at = ports + (bit >> 3);
  store<u8>(at, <u8>((<u32>load<u8>(at)) | (1 << (bit & 7))));
  anyPorts = true;
}

/** Other workers decide packets, too. */
export function isShared(): bool {
  return workers > 1;
}

/** What has come up that no share can decide: the capture has to be decided as a whole. */
export function shareObstacle(): u32 {
  return obstacle;
}

/** Notes that what just came up hangs on packets of all workers. */
export function needWhole(reason: u32): void {
  if (workers > 1 && obstacle == SHARE_WHOLE) obstacle = reason;
}

/** A decoded packet is for this worker to decide. An error is its connection's. */
export function isOwn(packet: Packet): bool {
  if (workers == 1) return true;
  const at = changetype<usize>(packet);
  if ((packet.known & KNOWN_QUOTE) != 0 && isIcmpError(packet)) {
    const ported = hasPorts(packet.quotedProtocol);
    const sport: u32 = ported ? packet.quotedSport : 0;
    const dport: u32 = ported ? packet.quotedDport : 0;
    const src = foldAt(at + PACKET_QUOTED_SRC);
    return isOwnPair(src, foldAt(at + PACKET_QUOTED_DST), packet.quotedProtocol, sport, dport);
  }
  const ported = (packet.known & KNOWN_PORTS) != 0 && hasPorts(packet.protocol);
  const sport: u32 = ported ? packet.sport : 0;
  const dport: u32 = ported ? packet.dport : 0;
  return isOwnPair(foldAt(at + PACKET_SRC), foldAt(at + PACKET_DST), packet.protocol, sport, dport);
}

/**
 * The same of a packet with these ends. A connection is where its two addresses are. If its destination may be
 * translated it is where its client is, who is the same on both sides of the translation; of two ends that may
 * be, nobody knows which is the client.
 */
export function isOwnPair(src: u32, dst: u32, protocol: u32, sport: u32, dport: u32): bool {
  let hash = scramble(src) + scramble(dst);
  if (anyPorts) {
    const from = isTranslated(protocol, sport);
    const to = isTranslated(protocol, dport);
    if (from && to) return own == 0;
    if (from) hash = scramble(dst);
    else if (to) hash = scramble(src);
  }
  return <u32>((<u64>(hash * 0x85ebca6b) * workers) >> 32) == own;
}

function isTranslated(protocol: u32, port: u32): bool {
  const bit = bitOf(protocol, port);
  return (((<u32>load<u8>(ports + (bit >> 3))) >> (bit & 7)) & 1) != 0;
}

function bitOf(protocol: u32, port: u32): u32 {
  if (protocol == PROTOCOL_TCP) return port;
  if (protocol == PROTOCOL_UDP) return PORTS + port;
  return (protocol == PROTOCOL_SCTP ? 2 * PORTS : 3 * PORTS) + port;
}

function scramble(word: u32): u32 {
  const mixed = (word ^ (word >> 16)) * 0x7feb352d;
  return mixed ^ (mixed >> 15);
}

function foldAt(at: usize): u32 {
  return fold(load<u32>(at), load<u32>(at, 4), load<u32>(at, 8), load<u32>(at, 12));
}

// An address as one word; of IPv4 the address itself.
function fold(word0: u32, word1: u32, word2: u32, word3: u32): u32 {
  return word0 ^ (word1 * 0x9e3779b1) ^ (word2 * 0x85ebca6b) ^ (word3 * 0xc2b2ae35);
}
