// A packet without an entry: does it start a connection, and was its flow under way before the capture
// began? Source: semantics.md CT-T3, CT-I1, M-1.
import { clearBytes } from "./bytes";
import { now, SECOND, sinceStart } from "./clock";
import { Entry, ENTRY_MIDSTREAM, ENTRY_SEEN_REPLY, setStarted } from "./entry";
import { hasRoom, linkEntry, refresh, streamSeconds, timeoutOf } from "./entry-life";
import { addEntry, entryAt } from "./entry-list";
import { inverseIcmp } from "./entry-tuples";
import { key } from "./key";
import {
  CT_ESTABLISHED,
  CT_NEW,
  KNOWN_ICMP,
  KNOWN_ICMP_ID,
  KNOWN_TCP_FLAGS,
  PACKET_DST,
  PACKET_SRC,
} from "./layout";
import { hasPorts } from "./protocol";
import { Packet } from "./records";
import { assumeSctp, moveSctp, SCTP_IS_INVALID, SCTP_UNKNOWN } from "./sctp";
import { sctpTimeout } from "./sctp-lifetime";
import {
  CLASS_ACK,
  CLASS_FIN,
  CLASS_RST,
  CLASS_SYN,
  CLASS_SYNACK,
  TCP_CLOSE,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
  tcpClass,
  tcpFlagsValid,
} from "./tcp";
import { tcpTimeoutSeconds } from "./tcp-lifetime";
import { assumeTcp, startTcp } from "./tcp-track";
import { DIRECTION_ORIGINAL, DIRECTION_REPLY, keyOfPacket, tracking } from "./tracking";
import { walk } from "./walk";
import { refusesAny } from "./worlds";

// Linux's ephemeral ports begin here; what answers to them from a low port is an answer.
const EPHEMERAL_PORT_MIN: u32 = 32768;
const SERVICE_PORT_MAX: u32 = 1023;

let assumeMidstream: bool = false;
let loose: bool = true;

/** Sets net.netfilter.nf_conntrack_tcp_loose. */
export function setUpPickUp(tcpLoose: bool): void {
  loose = tcpLoose;
}

/** Sets whether flows that were under way when the capture began are taken as established. */
export function setUpMidstream(assume: bool): void {
  assumeMidstream = assume;
}

/** Flows may have been under way when the capture began. */
export function assumesMidstream(): bool {
  return assumeMidstream;
}

/**
 * A TCP or UDP packet that no entry knows begins a connection, whatever the capture has shown before; its flags are
 * known.
 */
export function beginsPlainly(packet: Packet): bool {
  if (packet.protocol == 17) return !looksLikeAnswer(packet);
  return tcpFlagsValid(packet.tcpFlags) && tcpClass(packet.tcpFlags) == CLASS_SYN;
}

// Of UDP.
function looksLikeAnswer(packet: Packet): bool {
  return packet.sport <= SERVICE_PORT_MAX && packet.dport >= EPHEMERAL_PORT_MIN;
}

/** Tracks a packet that no entry knows. `seenBefore`: the capture has shown its flow already. */
export function trackFirst(packet: Packet, seenBefore: bool): void {
  tracking.fresh = false;
  // Behind a connection that is over there is none from before the capture.
  const mayBeMidstream = assumeMidstream && !seenBefore && !refusesAny();
  const protocol: u32 = packet.protocol;
  if (protocol == 6) {
    trackFirstTcp(packet, mayBeMidstream);
  } else if (protocol == 17) {
    if (mayBeMidstream && looksLikeAnswer(packet) && sinceStart() < streamSeconds() * SECOND) {
      assumeEntry(packet, true, 0);
    } else {
      startEntry(0);
    }
  } else if (protocol == 1 || protocol == 58) {
    trackFirstIcmp(packet, mayBeMidstream);
  } else if (protocol == 132) {
    clearBytes(changetype<usize>(trial), offsetof<Entry>());
    const word = moveSctp(trial, packet, DIRECTION_ORIGINAL, true);
    if (word == SCTP_UNKNOWN) tracking.ambiguous = true;
    if (word != SCTP_IS_INVALID) {
      startEntry(0);
    } else if (mayBeMidstream) {
      assumeEntry(packet, packet.sport < packet.dport, 0);
    }
  } else {
    startEntry(0);
  }
}

// A connection that is made to see whether its first packet is one.
const trial: Entry = changetype<Entry>(memory.data(offsetof<Entry>(), 8));

/** Seconds that a connection lives after its first packet. */
export function firstTimeout(): u32 {
  if (walk.protocol == 132) return sctpTimeout(trial.tcpState);
  clearBytes(changetype<usize>(trial), offsetof<Entry>());
  trial.protocol = <u8>walk.protocol;
  if (walk.protocol != 6) return timeoutOf(trial, false);
  if ((walk.packet.known & KNOWN_TCP_FLAGS) != 0) startTcp(trial, walk.packet);
  else assumeTcp(trial, tracking.tcpState);
  return <u32>((trial.deadline - now()) / SECOND);
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
  if (mayBeMidstream && sinceStart() < window) {
    const answer = packetClass == CLASS_SYNACK || packet.sport < packet.dport;
    let state = TCP_ESTABLISHED;
    if (packetClass == CLASS_SYNACK) state = TCP_SYN_RECV;
    if (packetClass == CLASS_FIN) state = TCP_FIN_WAIT;
    if (packetClass == CLASS_RST) state = TCP_CLOSE;
    assumeEntry(packet, answer, state);
    return;
  }
  // > tcp_loose: a connection may be picked up at an ACK, with or without data, and at nothing else.
  if (packetClass == CLASS_ACK && loose) startEntry(TCP_ESTABLISHED);
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
  if (answer && known && mayBeMidstream && sinceStart() < 30 * SECOND) {
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
  if (!hasRoom()) {
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
  setStarted(entry, now(), now());
  entry.flags = ENTRY_SEEN_REPLY | ENTRY_MIDSTREAM;
  linkEntry(number);
  if (entry.protocol == 6) assumeTcp(entry, tcpState);
  else {
    if (entry.protocol == 132) assumeSctp(entry);
    refresh(entry);
  }
  tracking.state = CT_ESTABLISHED;
  tracking.entry = number;
  tracking.midstream = true;
  tracking.direction = answer ? DIRECTION_REPLY : DIRECTION_ORIGINAL;
}
