// A TCP packet and its connection: the state table, what windows allow, and the special cases that the
// kernel knows of resets and of SYNs that come out of turn.
// Source: Linux, nf_conntrack_proto_tcp.c, nf_conntrack_tcp_packet(); semantics.md CT-T4 to CT-T10.
import { now, SECOND } from "./clock";
import { deadlineIn, deadlineOfBoth, latestOf } from "./deadline";
import {
  Entry,
  ENTRY_ASSURED,
  ENTRY_SEEN_REPLY,
  lastClassOf,
  lastDirectionOf,
  setLast,
} from "./entry";
import { refreshFor } from "./entry-life";
import { entryAt } from "./entry-list";
import { TICK_SLACK } from "./match/bucket";
import { Packet } from "./records";
import {
  CLASS_ACK,
  CLASS_FIN,
  CLASS_NONE,
  CLASS_RST,
  CLASS_SYN,
  CLASS_SYNACK,
  TCP_ACK,
  TCP_CLOSE,
  TCP_ESTABLISHED,
  TCP_FIN,
  TCP_FIN_WAIT,
  TCP_IGNORE,
  TCP_INVALID,
  TCP_LAST_ACK,
  TCP_RST,
  TCP_SYN,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
  TCP_SYN_SENT2,
  TCP_TIME_WAIT,
  tcpClass,
  tcpFlagsValid,
  tcpNext,
} from "./tcp";
import {
  lifetimesOf,
  setRetransmissionsMax,
  tcpTimeoutSeconds,
  TIMEOUT_UNACKNOWLEDGED,
} from "./tcp-lifetime";
import {
  isAfter,
  lastSegmentOf,
  SIDE_CLOSE_INIT,
  SIDE_LIBERAL,
  SIDE_MAX_ACK,
  SIDE_SACK,
  SIDE_UNTOLD,
  SIDE_WINDOW_SCALE,
  sideOf,
  TcpSide,
} from "./tcp-side";
import {
  beLiberal,
  hasWindowFacts,
  inWindow,
  leaveUntold,
  readOptions,
  segmentEnd,
  startWindows,
  WINDOW_ACCEPT,
  WINDOW_DOUBTFUL,
  WINDOW_INVALID,
} from "./tcp-window";
import { touchEntry } from "./worlds";

/** The packet belongs to its connection. */
export const TCP_BELONGS: u32 = 0;
export const TCP_IS_INVALID: u32 = 1;
/** The connection is over; the packet begins another with the same tuple. */
export const TCP_REOPENS: u32 = 2;
/** It belongs to its connection or is invalid: what of the connection is not known, decides. */
export const TCP_MAY_BE_INVALID: u32 = 3;
/** What becomes of the connection depends on what of it is not known. */
export const TCP_IS_LOST: u32 = 4;

// Entry.lastFlags, besides SIDE_WINDOW_SCALE and SIDE_SACK of an ignored SYN: the scale that it offered, at most 14,
// and what it and others mean.
const LAST_SCALE: u8 = 15 << 2;
const LAST_SCALE_SHIFT: u8 = 2;
const LAST_CHALLENGE: u8 = 1 << 6;
const LAST_SIMULTANEOUS: u8 = 1 << 7;

let ignoreInvalidResets: bool = false;

/** Sets net.netfilter.nf_conntrack_tcp_ignore_invalid_rst and nf_conntrack_tcp_max_retrans. */
export function setUpTcp(ignoreInvalid: bool, retransmissions: u32): void {
  ignoreInvalidResets = ignoreInvalid;
  setRetransmissionsMax(retransmissions);
}

/** Makes a new connection of its first packet, which is valid as such. */
export function startTcp(entry: Entry, packet: Packet): void {
  setLast(entry, 0, CLASS_NONE);
  startWindows(entry, packet);
  moveTcp(entry, packet, 0);
}

/** Takes a connection as the kernel had it when the capture began: nothing is known of its windows. */
export function assumeTcp(entry: Entry, state: u32): void {
  entry.tcpState = <u8>state;
  setLast(entry, 0, CLASS_NONE);
  entry.flags |= ENTRY_ASSURED;
  beLiberal(entry);
  refreshFor(entry, tcpTimeoutSeconds(state));
}

/** Takes a connection that the node's dump has: its state is known, its windows are not. */
export function recallTcp(entry: Entry, state: u32): void {
  entry.tcpState = <u8>state;
  setLast(entry, 0, CLASS_NONE);
  leaveUntold(entry);
  // > These states lie behind a FIN.
  if (state >= TCP_FIN_WAIT && state <= TCP_TIME_WAIT) sideOf(entry, 0).flags |= SIDE_CLOSE_INIT;
}

/**
 * Closes a connection whose packet is answered with a reset; a reset is not.
 * Source: Linux, nf_reject_ipv4.c, nf_send_reset(); nf_conntrack_tcp_set_closing().
 */
export function closeTcp(number: u32, packet: Packet): void {
  const entry = entryAt(number);
  if (entry.protocol != 6 || tcpClass(packet.tcpFlags) == CLASS_RST) return;
  // > What is closed already does not live longer for it.
  if (entry.tcpState == TCP_CLOSE) return;
  touchEntry(number);
  entry.tcpState = <u8>TCP_CLOSE;
  refreshFor(entry, tcpTimeoutSeconds(TCP_CLOSE));
}

/** Moves a connection on by a packet. @returns one of TCP_* above */
export function moveTcp(entry: Entry, packet: Packet, direction: u32): u32 {
  if (!tcpFlagsValid(packet.tcpFlags)) return TCP_IS_INVALID;
  const packetClass = tcpClass(packet.tcpFlags);
  let old: u32 = entry.tcpState;
  let next = tcpNext(direction, packetClass, old);
  let checked = true;
  if (next == TCP_INVALID) return TCP_IS_INVALID;
  if (next == TCP_SYN_SENT && (old == TCP_TIME_WAIT || old == TCP_CLOSE)) {
    // > A SYN after a close, or behind a reset from the same side, starts a new connection.
    const closed = ((sideOf(entry, 0).flags | sideOf(entry, 1).flags) & SIDE_CLOSE_INIT) != 0;
    const resetHere = lastDirectionOf(entry) == direction && lastClassOf(entry) == CLASS_RST;
    if (closed || resetHere) {
      entry.deadline = 0;
      return TCP_REOPENS;
    }
    if (isUntold(entry)) return TCP_IS_LOST;
    next = TCP_IGNORE;
  }
  if (next == TCP_IGNORE) {
    // An ignored SYN of before may be what it answers.
    const answer = packetClass == CLASS_SYNACK && lastClassOf(entry) == CLASS_NONE;
    if (answer && isUntold(entry)) return TCP_IS_LOST;
    if (!answersIgnored(entry, packet, direction, packetClass)) {
      rememberIgnored(entry, packet, direction, packetClass, old);
      return TCP_BELONGS;
    }
    resynchronise(entry, direction);
    old = TCP_SYN_SENT;
    next = TCP_SYN_RECV;
  } else if (next == TCP_TIME_WAIT) {
    if (isChallenge(entry, direction, packetClass, old)) {
      entry.lastFlags &= ~LAST_CHALLENGE;
      return TCP_BELONGS;
    }
  } else if (next == TCP_SYN_SENT2) {
    entry.lastFlags |= LAST_SIMULTANEOUS;
  } else if (next == TCP_SYN_RECV) {
    const simultaneous = (entry.lastFlags & LAST_SIMULTANEOUS) != 0;
    if (direction == 1 && packetClass == CLASS_ACK && simultaneous) next = TCP_ESTABLISHED;
  } else if (next == TCP_CLOSE && packetClass == CLASS_RST) {
    const word = isClosing(old) ? RESET_ACCEPTED : judgeReset(entry, packet, direction, old);
    const untold = (sideOf(entry, direction ^ 1).flags & SIDE_UNTOLD) != 0;
    if (untold && word != RESET_ACCEPTED && word != RESET_CHECKED) return TCP_IS_LOST;
    if (word == RESET_INVALID) return TCP_IS_INVALID;
    if (word == RESET_KEEPS) next = old;
    const open = word == RESET_KEEPS || word == RESET_UNJUDGED;
    if (word == RESET_ACCEPTED || (open && answersLast(entry, packet, direction, old)))
      checked = false;
  }
  if (checked) {
    const fits = inWindow(entry, packet, direction, packetClass);
    if (fits == WINDOW_INVALID) {
      rememberInvalid(entry, direction, packetClass);
      return TCP_IS_INVALID;
    }
    if (fits == WINDOW_DOUBTFUL) return next == old ? TCP_MAY_BE_INVALID : TCP_IS_LOST;
    if (fits != WINDOW_ACCEPT) return TCP_BELONGS;
  }
  settle(entry, direction, packetClass, old, next);
  return TCP_BELONGS;
}

/**
 * The same for an ACK without options on a connection that is established, where it surely fits; false: it may not,
 * and nothing has changed.
 *
 * @param end behind its last byte
 */
export function moveEstablished(
  entry: Entry,
  direction: u32,
  flags: u32,
  seq: u32,
  ack: u32,
  end: u32,
  window: u32,
): bool {
  if (entry.tcpState != <u8>TCP_ESTABLISHED) return false;
  if ((flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK) return false;
  const sender = sideOf(entry, direction);
  const receiver = sideOf(entry, direction ^ 1);
  if (sender.maxWindow == 0 || receiver.maxWindow == 0) return false;
  if (!sender.fits(receiver, seq, end, ack)) return false;
  sender.follow(receiver, ack, ack, end, window, TCP_ACK);
  lastSegmentOf(entry).follow(entry, direction, seq, ack, end, window);
  const answered = (entry.flags & ENTRY_SEEN_REPLY) != 0;
  const lives = lifetimesOf(TCP_ESTABLISHED);
  const seconds = lives.after(entry.retransmissions, sender.flags | receiver.flags, window);
  entry.flags |= select<u16>(ENTRY_ASSURED, 0, answered);
  refreshFor(entry, select<u32>(seconds, min(seconds, lives.unacknowledged), answered));
  return true;
}

function isUntold(entry: Entry): bool {
  return ((sideOf(entry, 0).flags | sideOf(entry, 1).flags) & SIDE_UNTOLD) != 0;
}

// The packet is in its window: the connection takes its new state and time.
function settle(entry: Entry, direction: u32, packetClass: u32, old: u32, next: u32): void {
  setLast(entry, direction, packetClass);
  entry.tcpState = <u8>next;
  const sender = sideOf(entry, direction);
  if (old != next && next == TCP_FIN_WAIT) sender.flags |= SIDE_CLOSE_INIT;
  const answered = (entry.flags & ENTRY_SEEN_REPLY) != 0;
  let seconds = secondsAfter(entry, packetClass, next);
  if (!answered) {
    // > A reset before any answer ends the connection at once.
    if (packetClass == CLASS_RST) {
      entry.deadline = 0;
      return;
    }
    // > A repeated SYN does not renew the timer.
    if (packetClass == CLASS_SYN && old == TCP_SYN_SENT) return;
    const unacknowledged = tcpTimeoutSeconds(TIMEOUT_UNACKNOWLEDGED);
    if (next == TCP_ESTABLISHED && seconds > unacknowledged) seconds = unacknowledged;
  } else if ((old == TCP_SYN_RECV || old == TCP_ESTABLISHED) && next == TCP_ESTABLISHED) {
    entry.flags |= ENTRY_ASSURED;
  }
  refreshFor(entry, seconds);
}

function secondsAfter(entry: Entry, packetClass: u32, next: u32): u32 {
  const lives = lifetimesOf(next);
  if (packetClass == CLASS_RST && entry.retransmissions < lives.shortenedFrom)
    return tcpTimeoutSeconds(TCP_CLOSE);
  const flags = sideOf(entry, 0).flags | sideOf(entry, 1).flags;
  return lives.after(entry.retransmissions, flags, entry.lastWindow);
}

// > A SYN-ACK that acknowledges a SYN which was ignored: both ends are in step, and now we are.
function answersIgnored(entry: Entry, packet: Packet, direction: u32, packetClass: u32): bool {
  return (
    packetClass == CLASS_SYNACK &&
    lastClassOf(entry) == CLASS_SYN &&
    lastDirectionOf(entry) != direction &&
    hasWindowFacts(packet) &&
    packet.tcpAck == entry.lastEnd
  );
}

function resynchronise(entry: Entry, direction: u32): void {
  const other = sideOf(entry, lastDirectionOf(entry));
  other.end = entry.lastEnd;
  other.maxEnd = entry.lastEnd;
  other.maxWindow = entry.lastWindow == 0 ? 1 : entry.lastWindow;
  other.scale = (entry.lastFlags & LAST_SCALE) >> LAST_SCALE_SHIFT;
  entry.lastFlags &= ~LAST_CHALLENGE;
  other.flags = entry.lastFlags & (SIDE_WINDOW_SCALE | SIDE_SACK);
  // > A connection picked up in its midst stays liberal on the side that answers.
  const answering = sideOf(entry, direction);
  const kept = answering.flags & SIDE_LIBERAL;
  memory.fill(changetype<usize>(answering), 0, offsetof<TcpSide>());
  answering.flags = kept;
}

function rememberIgnored(
  entry: Entry,
  packet: Packet,
  direction: u32,
  packetClass: u32,
  old: u32,
): void {
  setLast(entry, direction, packetClass);
  if (!hasWindowFacts(packet)) {
    beLiberal(entry);
    return;
  }
  entry.lastSeq = packet.tcpSeq;
  entry.lastEnd = segmentEnd(packet);
  entry.lastWindow = packet.tcpWindow;
  if (packetClass == CLASS_SYN && direction == 0) {
    const side = scratch;
    memory.fill(changetype<usize>(side), 0, offsetof<TcpSide>());
    readOptions(packet, side);
    const offered = side.flags & (SIDE_WINDOW_SCALE | SIDE_SACK);
    entry.lastFlags = offered | (side.scale << LAST_SCALE_SHIFT);
    // > The answer may be a challenge, which acknowledges no FIN.
    if (old == TCP_LAST_ACK) entry.lastFlags |= LAST_CHALLENGE;
  }
  if (old == TCP_SYN_SENT && packetClass == CLASS_ACK && direction == 1) {
    entry.lastAck = packet.tcpAck;
  }
}

const scratch: TcpSide = changetype<TcpSide>(memory.data(offsetof<TcpSide>()));

function isChallenge(entry: Entry, direction: u32, packetClass: u32, old: u32): bool {
  return (
    old == TCP_LAST_ACK &&
    packetClass == CLASS_ACK &&
    lastDirectionOf(entry) != direction &&
    lastClassOf(entry) == CLASS_SYN &&
    (entry.lastFlags & LAST_CHALLENGE) != 0
  );
}

// What is known of a reset before its window is looked at.
const RESET_UNJUDGED: u32 = 0;
const RESET_INVALID: u32 = 1;
/** The window decides. */
const RESET_CHECKED: u32 = 2;
/** It belongs to the connection, whose state stays: a challenge may follow. */
const RESET_KEEPS: u32 = 3;
const RESET_ACCEPTED: u32 = 4;

function judgeReset(entry: Entry, packet: Packet, direction: u32, old: u32): u32 {
  const receiver = sideOf(entry, direction ^ 1);
  if (!hasWindowFacts(packet)) return RESET_CHECKED;
  if ((receiver.flags & SIDE_MAX_ACK) == 0 || lastClassOf(entry) == CLASS_SYN)
    return RESET_UNJUDGED;
  const seq = packet.tcpSeq;
  const established = old == TCP_ESTABLISHED && (entry.flags & ENTRY_ASSURED) != 0;
  if (seq == 0 && !established) return RESET_CHECKED;
  if (isAfter(receiver.maxAck, seq) && !ignoreInvalidResets) return RESET_INVALID;
  if (!established || seq == receiver.maxAck) return RESET_CHECKED;
  // > Part of a train: directly behind the same side's data.
  const train =
    lastClassOf(entry) == CLASS_ACK && lastDirectionOf(entry) == direction && seq == entry.lastEnd;
  return train ? RESET_CHECKED : RESET_KEEPS;
}

// > The answer to a SYN of the other side, or to an ACK, that was let through though it was out of step.
function answersLast(entry: Entry, packet: Packet, direction: u32, old: u32): bool {
  const answered = (entry.flags & ENTRY_SEEN_REPLY) != 0;
  const assured = (entry.flags & ENTRY_ASSURED) != 0;
  const toSyn = answered && lastClassOf(entry) == CLASS_SYN && lastDirectionOf(entry) != direction;
  const toIgnored = toSyn || (!assured && lastClassOf(entry) == CLASS_ACK);
  if (toIgnored && packet.tcpAck == entry.lastEnd) return true;
  return (
    old == TCP_SYN_SENT &&
    lastClassOf(entry) == CLASS_ACK &&
    lastDirectionOf(entry) == 1 &&
    packet.tcpSeq == entry.lastAck
  );
}

// > Such connections may be dropped early; their numbers may be outdated.
function isClosing(state: u32): bool {
  return state >= TCP_FIN_WAIT && state <= TCP_CLOSE;
}

// > Seconds that are not worth cutting short.
const LINGERS: u32 = 120;

// > Connections do not linger for days because a FIN or reset was out of its window.
function rememberInvalid(entry: Entry, direction: u32, packetClass: u32): void {
  if ((entry.flags & ENTRY_ASSURED) == 0) return;
  if (packetClass != CLASS_RST && packetClass != CLASS_FIN) return;
  const ended = lastClassOf(entry) == CLASS_FIN || lastClassOf(entry) == CLASS_RST;
  if (lastDirectionOf(entry) != direction && ended) {
    const seconds = tcpTimeoutSeconds(TIMEOUT_UNACKNOWLEDGED);
    const longer: u64 = seconds > LINGERS ? seconds : LINGERS;
    const limit = now() + longer * SECOND;
    if (entry.deadline > limit + TICK_SLACK) refreshFor(entry, seconds);
    else if (latestOf(entry.deadline) + TICK_SLACK > limit)
      entry.deadline = deadlineOfBoth(entry.deadline, deadlineIn(seconds));
    return;
  }
  setLast(entry, direction, packetClass);
}
