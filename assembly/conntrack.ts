// Connection tracking: which entry a packet belongs to and which state its rules see. Confirmed entries
// change when they are looked up, before any rule; a new entry enters the table only when the packet got
// through its last hook. The clock is packet time.
// Source: Linux, net/netfilter/nf_conntrack_core.c; semantics.md section 9.
import {
  addEntry,
  Entry,
  ENTRY_CLOSING,
  ENTRY_DNAT,
  ENTRY_GUESSED,
  ENTRY_MASQUERADED,
  ENTRY_MIDSTREAM,
  ENTRY_SEEN_REPLY,
  ENTRY_UNDECIDED,
  entryAt,
  entryCount,
  entryLimit,
  entryLinked,
  findNode,
  inverseIcmp,
  key,
  linkNode,
  NODE_BACKEND,
  NODE_CLIENT,
  NODE_ORIGINAL,
  NODE_ORIGINAL_SEEN,
  NODE_REPLY,
  NODE_REPLY_SEEN,
  nodeEntry,
  nodeKind,
  removeEntry,
  unlinkNode,
} from "./flow-table";
import {
  CT_DNAT,
  CT_ESTABLISHED,
  CT_INVALID,
  CT_NEW,
  CT_RELATED,
  CT_UNTRACKED,
  KNOWN_ICMP,
  KNOWN_ICMP_ID,
  KNOWN_PORTS,
  KNOWN_QUOTE,
  KNOWN_TCP_FLAGS,
  MALFORMED_NONE,
  PACKET_DST,
  PACKET_QUOTED_SRC,
  PACKET_SRC,
} from "./layout";
import { Packet } from "./records";
import { firstSctpChunk, SCTP_HEARTBEAT, SCTP_INIT } from "./sctp";
import { lookup } from "./set";
import {
  CLASS_ACK,
  CLASS_FIN,
  CLASS_RST,
  CLASS_SYN,
  CLASS_SYNACK,
  TCP_CLOSE,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT,
  TCP_IGNORE,
  TCP_INVALID,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
  TCP_TIME_WAIT,
  TCP_UNACKNOWLEDGED_SECONDS,
  tcpClass,
  tcpFlagsValid,
  tcpNext,
  tcpTimeoutSeconds,
} from "./tcp";
import { hasPorts } from "./match";
import { Walk } from "./walk";

const SECOND: u64 = 1000000000;
const DIRECTION_ORIGINAL: u32 = 0;
/** From the side that was asked. */
export const DIRECTION_REPLY: u32 = 1;
/** No entry. */
export const ENTRY_NONE: u32 = 0xffffffff;
// Linux's ephemeral ports begin here; what answers to them from a low port is an answer.
const EPHEMERAL_PORT_MIN: u32 = 32768;
const SERVICE_PORT_MAX: u32 = 1023;
const UDP_STREAM_SECONDS: u64 = 120;

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
  tcpState: u32;
}

/** Tracking of the packet under way. */
export const tracking: Tracking = changetype<Tracking>(memory.data(offsetof<Tracking>()));

let clock: u64 = 0;
let started: bool = false;
let startedAt: u64 = 0;
let assumeMidstream: bool = false;
let entriesMax: u32 = 0;
let sweptAt: u64 = 0;
// Table of the addresses and ports that DNAT rules lead to.
let backends: usize = 0;

/** Sets what is done with flows that were under way, the most entries, and the backends' table. */
export function setUpConntrack(assume: bool, max: u32, backendTable: usize): void {
  assumeMidstream = assume;
  entriesMax = max;
  backends = backendTable;
}

/** Advances the clock; a timestamp that goes backwards never rewinds it. */
export function advanceClock(timestamp: u64): void {
  if (!started) {
    started = true;
    startedAt = timestamp;
  }
  if (timestamp > clock) clock = timestamp;
}

/**
 * Finds the packet's entry and state. Preconditions: addresses, protocol, and ports where the protocol
 * has them, are known.
 *
 * @param seenBefore the capture has shown packets of this flow before
 */
export function track(packet: Packet, seenBefore: bool): void {
  tracking.state = CT_INVALID;
  tracking.direction = DIRECTION_ORIGINAL;
  tracking.entry = ENTRY_NONE;
  tracking.fresh = false;
  tracking.seenAfter = false;
  tracking.midstream = false;
  tracking.ambiguous = false;
  tracking.quoteMissing = false;
  tracking.tcpState = 0;
  if (isNeighbourDiscovery(packet)) {
    tracking.state = CT_UNTRACKED;
    return;
  }
  if (packet.malformed != MALFORMED_NONE) return;
  if (isIcmpError(packet)) {
    trackError(packet);
    return;
  }
  keyOfPacket(packet);
  const node = findLive();
  if (node >= 0) {
    trackKnown(packet, node, seenBefore);
    return;
  }
  trackFirst(packet, seenBefore);
}

/** Number of the entry that a packet belongs to, without touching it; ENTRY_NONE without one. */
export function entryOfPacket(packet: Packet): u32 {
  keyOfPacket(packet);
  const node = findLive();
  return node < 0 ? ENTRY_NONE : nodeEntry(node);
}

/** Takes up the entry for a new connection whose packet got through, or whose verdict is unknown. */
export function confirm(packet: Packet, walk: Walk, guessed: bool): bool {
  if (!tracking.fresh) return true;
  if (entryCount() >= entriesMax && !sweep()) return false;
  keyOfPacket(packet);
  const number = addEntry();
  const entry = entryAt(number);
  entry.started = clock;
  if (walk.translated) {
    entry.flags |= ENTRY_DNAT;
    entry.to0 = walk.dst0;
    entry.to1 = walk.dst1;
    entry.to2 = walk.dst2;
    entry.to3 = walk.dst3;
    if (hasPorts(entry.protocol)) entry.toPort = <u16>walk.dport;
  }
  if (guessed) entry.flags |= ENTRY_GUESSED;
  if (walk.masqueraded) entry.flags |= ENTRY_MASQUERADED;
  entry.tcpState = <u8>tracking.tcpState;
  entry.lastClass = <u8>tcpClass(packet.tcpFlags);
  linkEntry(number);
  refresh(entry, seconds(entry));
  tracking.entry = number;
  return true;
}

/** Remembers that the flow of the packet under way has no verdict, and why. */
export function leaveUndecided(packet: Packet, walk: Walk, reason: u32, rule: i32): void {
  if (tracking.entry == ENTRY_NONE && !confirm(packet, walk, false)) return;
  if (tracking.entry == ENTRY_NONE) return;
  const entry = entryAt(tracking.entry);
  entry.flags |= ENTRY_UNDECIDED;
  entry.reason = <u8>reason;
  entry.undecidedRule = rule;
}

// > ICMPv6 130 to 136 and 143 are never tracked. Source: nf_conntrack_proto_icmpv6.c.
function isNeighbourDiscovery(packet: Packet): bool {
  if (packet.protocol != 58 || (packet.known & KNOWN_ICMP) == 0) return false;
  return (packet.icmpType >= 130 && packet.icmpType <= 136) || packet.icmpType == 143;
}

function isIcmpError(packet: Packet): bool {
  if ((packet.known & KNOWN_ICMP) == 0) return false;
  const type = packet.icmpType;
  if (packet.protocol == 1) return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
  return packet.protocol == 58 && ((type >= 1 && type <= 4) || type == 137);
}

function keyOfPacket(packet: Packet): void {
  memory.copy(changetype<usize>(key), changetype<usize>(packet) + PACKET_SRC, 32);
  key.family = packet.family;
  key.protocol = packet.protocol;
  key.sport = 0;
  key.dport = 0;
  key.unused = 0;
  if ((packet.known & KNOWN_PORTS) != 0 && hasPorts(packet.protocol)) {
    key.sport = packet.sport;
    key.dport = packet.dport;
  } else if (packet.protocol == 1 || packet.protocol == 58) {
    key.sport = packet.icmpId;
    key.dport = ((<u16>packet.icmpType) << 8) | packet.icmpCode;
  }
}

// Looks `key` up, the kernel's own tuples first; expired entries are removed on the way.
function findLive(): i64 {
  const kinds: u32 =
    (1 << NODE_ORIGINAL) | (1 << NODE_REPLY) | (1 << NODE_ORIGINAL_SEEN) | (1 << NODE_REPLY_SEEN);
  while (true) {
    const node = findNode(kinds);
    if (node < 0) return findHalfKnown();
    if (entryAt(nodeEntry(node)).deadline > clock) return node;
    removeEntry(nodeEntry(node));
  }
}

// Flows of which one side is not known yet: a backend chosen at random, a source that was masqueraded.
// The packet that shows it fixes it.
function findHalfKnown(): i64 {
  const sport = key.sport;
  const dport = key.dport;
  if (isBackend(key.dst0, key.dst1, key.dst2, key.dst3, dport)) {
    // Original direction, seen after the translation.
    const entry = findSide(NODE_CLIENT, false);
    if (entry != ENTRY_NONE) return fixBackend(entry, NODE_ORIGINAL_SEEN, false);
  }
  if (isBackend(key.src0, key.src1, key.src2, key.src3, sport)) {
    const entry = findSide(NODE_CLIENT, true);
    if (entry != ENTRY_NONE) return fixBackend(entry, NODE_REPLY, true);
    // The answer of a backend to the address that stands for the masqueraded source.
    const masqueraded = findSide(NODE_BACKEND, false);
    if (masqueraded != ENTRY_NONE && !entryAnswered(masqueraded)) {
      return <i64>masqueraded * 6 + NODE_REPLY;
    }
  }
  return -1;
}

function isBackend(word0: u32, word1: u32, word2: u32, word3: u32, port: u16): bool {
  return lookup(backends, word0, word1, word2, word3, key.protocol, port) >= 0;
}

function entryAnswered(number: u32): bool {
  const entry = entryAt(number);
  // The answer goes to an address that is not the client's own.
  return (
    entry.src0 == key.dst0 &&
    entry.src1 == key.dst1 &&
    entry.src2 == key.dst2 &&
    entry.src3 == key.dst3
  );
}

// Finds the entry that hangs under one side of `key` only; `key` is as before afterwards.
function findSide(kind: u32, destination: bool): u32 {
  const saved = changetype<usize>(savedKey);
  memory.copy(saved, changetype<usize>(key), offsetof<SavedKey>());
  if (destination) {
    memory.copy(changetype<usize>(key), changetype<usize>(key) + 16, 16);
    key.sport = key.dport;
  }
  memory.fill(changetype<usize>(key) + 16, 0, 16);
  key.dport = 0;
  const node = findNode(1 << kind);
  memory.copy(changetype<usize>(key), saved, offsetof<SavedKey>());
  if (node < 0) return ENTRY_NONE;
  const number = nodeEntry(node);
  if (entryAt(number).deadline > clock) return number;
  removeEntry(number);
  return ENTRY_NONE;
}

@unmanaged
class SavedKey {
  words0: v128;
  words1: v128;
  rest: u64;
}
const savedKey: SavedKey = changetype<SavedKey>(memory.data(offsetof<SavedKey>(), 16));

// Hangs a guessed entry up under the backend that the packet shows.
function fixBackend(number: u32, kind: u32, fromBackend: bool): i64 {
  const entry = entryAt(number);
  unlinkNode(number, NODE_REPLY);
  unlinkNode(number, NODE_ORIGINAL_SEEN);
  unlinkNode(number, NODE_CLIENT);
  entry.to0 = fromBackend ? key.src0 : key.dst0;
  entry.to1 = fromBackend ? key.src1 : key.dst1;
  entry.to2 = fromBackend ? key.src2 : key.dst2;
  entry.to3 = fromBackend ? key.src3 : key.dst3;
  entry.toPort = fromBackend ? key.sport : key.dport;
  entry.flags &= ~ENTRY_GUESSED;
  linkNode(number, NODE_REPLY);
  linkNode(number, NODE_ORIGINAL_SEEN);
  return <i64>number * 6 + kind;
}

function linkEntry(number: u32): void {
  const entry = entryAt(number);
  linkNode(number, NODE_ORIGINAL);
  linkNode(number, NODE_REPLY);
  if ((entry.flags & ENTRY_DNAT) == 0) return;
  linkNode(number, NODE_ORIGINAL_SEEN);
  linkNode(number, NODE_REPLY_SEEN);
  if ((entry.flags & ENTRY_GUESSED) != 0) linkNode(number, NODE_CLIENT);
  if ((entry.flags & ENTRY_MASQUERADED) != 0) linkNode(number, NODE_BACKEND);
}

function trackKnown(packet: Packet, node: i64, seenBefore: bool): void {
  const number = nodeEntry(node);
  const kind = nodeKind(node);
  const entry = entryAt(number);
  const direction =
    kind == NODE_REPLY || kind == NODE_REPLY_SEEN ? DIRECTION_REPLY : DIRECTION_ORIGINAL;
  tracking.direction = direction;
  if (entry.protocol == 6) {
    if ((packet.known & KNOWN_TCP_FLAGS) != 0 && !trackTcp(packet, number, direction)) {
      if (tracking.entry == ENTRY_NONE && tracking.fresh) trackFirst(packet, seenBefore);
      return;
    }
  }
  tracking.entry = number;
  tracking.seenAfter = kind == NODE_ORIGINAL_SEEN || kind == NODE_REPLY_SEEN;
  tracking.midstream = (entry.flags & ENTRY_MIDSTREAM) != 0;
  if (!entryLinked(entry)) {
    // A reset before any answer ends the entry at once; the packet itself still belongs to it.
    tracking.state = direction == DIRECTION_REPLY ? CT_ESTABLISHED : CT_NEW;
    tracking.entry = ENTRY_NONE;
    return;
  }
  if (direction == DIRECTION_REPLY) entry.flags |= ENTRY_SEEN_REPLY;
  const answered = (entry.flags & ENTRY_SEEN_REPLY) != 0;
  tracking.state = answered ? CT_ESTABLISHED : CT_NEW;
  if ((entry.flags & ENTRY_DNAT) != 0) tracking.state |= CT_DNAT;
  if (entry.protocol != 6) refresh(entry, seconds(entry));
}

// Moves a TCP entry on. False when the packet is not (or no longer) the entry's: INVALID, or the first
// packet of a new connection with the same tuple (`fresh` is set).
function trackTcp(packet: Packet, number: u32, direction: u32): bool {
  if (!tcpFlagsValid(packet.tcpFlags)) return false;
  const entry = entryAt(number);
  const packetClass = tcpClass(packet.tcpFlags);
  const old: u32 = entry.tcpState;
  let next = tcpNext(direction, packetClass, old);
  if (next == TCP_INVALID) return false;
  if (next == TCP_SYN_SENT && (old == TCP_TIME_WAIT || old == TCP_CLOSE)) {
    // > A SYN after a close, or behind a reset from the same side, starts a new connection.
    const resetHere = entry.lastClass == CLASS_RST && entry.lastDirection == direction;
    if ((entry.flags & ENTRY_CLOSING) != 0 || resetHere) {
      removeEntry(number);
      tracking.fresh = true;
      return false;
    }
    next = TCP_IGNORE;
  }
  entry.lastClass = <u8>packetClass;
  entry.lastDirection = <u8>direction;
  if (next == TCP_IGNORE) return true;
  const answered = (entry.flags & ENTRY_SEEN_REPLY) != 0;
  if (packetClass == CLASS_RST && !answered) {
    removeEntry(number);
    return true;
  }
  if (next != old && next == TCP_FIN_WAIT) entry.flags |= ENTRY_CLOSING;
  entry.tcpState = <u8>next;
  // > Without an answer a repeated SYN does not renew the timer.
  if (!answered && direction == DIRECTION_ORIGINAL && old == TCP_SYN_SENT) return true;
  refresh(entry, seconds(entry));
  return true;
}

// No entry: does the packet start one, and was its flow under way before the capture began?
function trackFirst(packet: Packet, seenBefore: bool): void {
  tracking.fresh = false;
  const mayBeMidstream = assumeMidstream && !seenBefore;
  const protocol: u32 = packet.protocol;
  if (protocol == 6) {
    trackFirstTcp(packet, mayBeMidstream);
  } else if (protocol == 17) {
    const answer = packet.sport <= SERVICE_PORT_MAX && packet.dport >= EPHEMERAL_PORT_MIN;
    if (mayBeMidstream && answer && clock - startedAt < UDP_STREAM_SECONDS * SECOND) {
      assumeEntry(packet, true, 0);
    } else {
      startEntry(0);
    }
  } else if (protocol == 1 || protocol == 58) {
    trackFirstIcmp(packet, mayBeMidstream);
  } else if (protocol == 132) {
    const chunk = firstSctpChunk(packet);
    if (chunk < 0 && (packet.known & KNOWN_PORTS) != 0) tracking.ambiguous = true;
    if (chunk == SCTP_INIT || chunk == SCTP_HEARTBEAT || chunk < 0) {
      startEntry(0);
    } else if (mayBeMidstream) {
      assumeEntry(packet, packet.sport < packet.dport, 0);
    }
  } else {
    startEntry(0);
  }
}

function trackFirstTcp(packet: Packet, mayBeMidstream: bool): void {
  if ((packet.known & KNOWN_TCP_FLAGS) == 0) {
    tracking.ambiguous = true;
    startEntry(TCP_ESTABLISHED);
    return;
  }
  if (!tcpFlagsValid(packet.tcpFlags)) return;
  const packetClass = tcpClass(packet.tcpFlags);
  if (packetClass == CLASS_SYN) {
    startEntry(TCP_SYN_SENT);
    return;
  }
  const window = <u64>tcpTimeoutSeconds(TCP_ESTABLISHED) * SECOND;
  if (mayBeMidstream && clock - startedAt < window) {
    const answer = packetClass == CLASS_SYNACK || packet.sport < packet.dport;
    let state = TCP_ESTABLISHED;
    if (packetClass == CLASS_SYNACK) state = TCP_SYN_RECV;
    if (packetClass == CLASS_FIN) state = TCP_FIN_WAIT;
    if (packetClass == CLASS_RST) state = TCP_CLOSE;
    assumeEntry(packet, answer, state);
    return;
  }
  // > tcp_loose: a connection may be picked up at an ACK, with or without data, and at nothing else.
  if (packetClass == CLASS_ACK) startEntry(TCP_ESTABLISHED);
}

// Source: nf_conntrack_proto_icmp.c and nf_conntrack_proto_icmpv6.c: only queries start an entry.
function trackFirstIcmp(packet: Packet, mayBeMidstream: bool): void {
  const type = packet.icmpType;
  if ((packet.known & KNOWN_ICMP) == 0) {
    tracking.ambiguous = true;
    startEntry(0);
    return;
  }
  const four = packet.protocol == 1;
  const query = four
    ? type == 8 || type == 13 || type == 15 || type == 17
    : type == 128 || type == 139;
  if (query) {
    startEntry(0);
    return;
  }
  const answer = four
    ? type == 0 || type == 14 || type == 16 || type == 18
    : type == 129 || type == 140;
  const known = (packet.known & KNOWN_ICMP_ID) != 0;
  if (answer && known && mayBeMidstream && clock - startedAt < 30 * SECOND) {
    assumeEntry(packet, true, 0);
  }
}

function startEntry(tcpState: u32): void {
  tracking.state = CT_NEW;
  tracking.fresh = true;
  tracking.tcpState = tcpState;
}

// Makes the entry that the kernel had when the capture began.
function assumeEntry(packet: Packet, answer: bool, tcpState: u32): void {
  if (entryCount() >= entriesMax && !sweep()) {
    startEntry(tcpState);
    return;
  }
  keyOfPacket(packet);
  if (answer) {
    memory.copy(changetype<usize>(key), changetype<usize>(packet) + PACKET_DST, 16);
    memory.copy(changetype<usize>(key) + 16, changetype<usize>(packet) + PACKET_SRC, 16);
    if (hasPorts(packet.protocol)) {
      key.sport = packet.dport;
      key.dport = packet.sport;
    } else {
      key.dport = inverseIcmp(packet.protocol, key.dport);
    }
  }
  const number = addEntry();
  const entry = entryAt(number);
  entry.started = clock;
  entry.flags = ENTRY_SEEN_REPLY | ENTRY_MIDSTREAM;
  entry.tcpState = <u8>tcpState;
  entry.lastClass = <u8>tcpClass(packet.tcpFlags);
  linkEntry(number);
  refresh(entry, seconds(entry));
  tracking.state = CT_ESTABLISHED;
  tracking.entry = number;
  tracking.midstream = true;
  tracking.direction = answer ? DIRECTION_REPLY : DIRECTION_ORIGINAL;
}

// > An error is RELATED when it quotes a known connection and goes to the quoted source.
// Source: nf_conntrack_proto_icmp.c, nf_conntrack_inet_error().
function trackError(packet: Packet): void {
  if ((packet.known & KNOWN_QUOTE) == 0) {
    tracking.quoteMissing = true;
    return;
  }
  memory.copy(changetype<usize>(key), changetype<usize>(packet) + PACKET_QUOTED_SRC, 32);
  key.family = packet.family;
  key.protocol = packet.quotedProtocol;
  key.unused = 0;
  if (hasPorts(packet.quotedProtocol)) {
    key.sport = packet.quotedSport;
    key.dport = packet.quotedDport;
  } else if (packet.quotedProtocol == 1 || packet.quotedProtocol == 58) {
    key.sport = packet.quotedIcmpId;
    key.dport = (<u16>packet.quotedIcmpType) << 8;
  } else {
    key.sport = 0;
    key.dport = 0;
  }
  const node = findLive();
  if (node < 0) return;
  const toQuotedSource =
    memory.compare(
      changetype<usize>(packet) + PACKET_DST,
      changetype<usize>(packet) + PACKET_QUOTED_SRC,
      16,
    ) == 0;
  if (!toQuotedSource) return;
  const kind = nodeKind(node);
  tracking.entry = nodeEntry(node);
  tracking.state = CT_RELATED;
  const entry = entryAt(tracking.entry);
  tracking.midstream = (entry.flags & ENTRY_MIDSTREAM) != 0;
  tracking.direction =
    kind == NODE_REPLY || kind == NODE_REPLY_SEEN ? DIRECTION_ORIGINAL : DIRECTION_REPLY;
}

// Seconds that an entry lives after this packet. Source: semantics.md CT-9.
function seconds(entry: Entry): u32 {
  const answered = (entry.flags & ENTRY_SEEN_REPLY) != 0;
  switch (<i32>entry.protocol) {
    case 6: {
      const timeout = tcpTimeoutSeconds(entry.tcpState);
      const pickedUp = !answered && entry.tcpState == TCP_ESTABLISHED;
      return pickedUp && timeout > TCP_UNACKNOWLEDGED_SECONDS
        ? TCP_UNACKNOWLEDGED_SECONDS
        : timeout;
    }
    case 17:
    case 136:
      return answered && clock > entry.started + 2 * SECOND ? <u32>UDP_STREAM_SECONDS : 30;
    case 1:
    case 58:
      return 30;
    case 132:
      return answered ? 210 : 30;
    case 47:
      return answered ? 180 : 30;
    default:
      return 600;
  }
}

function refresh(entry: Entry, timeoutSeconds: u32): void {
  entry.deadline = clock + <u64>timeoutSeconds * SECOND;
}

// Removes what has expired; true when that made room. At most once a second of packet time.
function sweep(): bool {
  if (sweptAt != 0 && clock < sweptAt + SECOND) return false;
  sweptAt = clock;
  const before = entryCount();
  for (let number: u32 = 0; number < entryLimit(); number++) {
    const entry = entryAt(number);
    if (entryLinked(entry) && entry.deadline <= clock) removeEntry(number);
  }
  return entryCount() < before;
}
