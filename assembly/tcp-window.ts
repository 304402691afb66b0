// TCP windows as conntrack follows them: says whether a segment fits.
// Source: Linux, nf_conntrack_proto_tcp.c, tcp_in_window(); van Rooij, "Real stateful TCP packet
// filtering in IP Filter"; semantics.md CT-T8.
import { Entry } from "./entry";
import { KNOWN_PAYLOAD_LENGTH, KNOWN_TCP_SEQ } from "./layout";
import { isPerhapsTooLong } from "./node-interface";
import { Packet } from "./records";
import { CLASS_ACK, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TCP_SYN_RECV, TCP_SYN_SENT } from "./tcp";
import {
  ackWindow,
  isAfter,
  lastSegmentOf,
  SIDE_LIBERAL,
  SIDE_SACK,
  SIDE_SEGMENTS_FIT,
  SIDE_UNACKNOWLEDGED,
  SIDE_UNTOLD,
  SIDE_WINDOW_SCALE,
  sideOf,
  TcpSide,
} from "./tcp-side";

export const WINDOW_ACCEPT: u32 = 0;
/** The packet keeps its connection, which stays as it is. */
export const WINDOW_IGNORE: u32 = 1;
export const WINDOW_INVALID: u32 = 2;
/** It does not fit what is known of the windows, which is not all. */
export const WINDOW_DOUBTFUL: u32 = 3;

const SCALE_MAX: u8 = 14;
const HEADER: u32 = 20;

// Behind them a segment has what it was asked for, less its options (RFC 6691).
const HEADERS_IPV4: u32 = 40;
const HEADERS_IPV6: u32 = 60;

const OPTION_END: u32 = 0;
const OPTION_NOP: u32 = 1;
const OPTION_SEGMENT: u32 = 2;
const OPTION_SCALE: u32 = 3;
const OPTION_SACK_PERMITTED: u32 = 4;
const OPTION_SACK: u32 = 5;

let liberal: bool = false;

/** Sets whether windows are checked at all (net.netfilter.nf_conntrack_tcp_be_liberal). */
export function setUpWindows(beLiberal: bool): void {
  liberal = beLiberal;
}

/** Behind the segment's last byte; SYN and FIN count as one each. */
export function segmentEnd(packet: Packet): u32 {
  const flags: u32 = packet.tcpFlags;
  let end = packet.tcpSeq + packet.payloadLength;
  if ((flags & TCP_SYN) != 0) end++;
  if ((flags & TCP_FIN) != 0) end++;
  return end;
}

/** The capture shows what windows need: numbers as on the wire, the length, and the options. */
export function hasWindowFacts(packet: Packet): bool {
  const needed = KNOWN_TCP_SEQ | KNOWN_PAYLOAD_LENGTH;
  return (packet.known & needed) == needed && packet.network != 0 && hasOptions(packet);
}

/** Begins with a connection's first packet: a SYN, or one of a connection under way. */
export function startWindows(entry: Entry, packet: Packet): void {
  const sender = sideOf(entry, 0);
  const receiver = sideOf(entry, 1);
  if (!hasWindowFacts(packet)) {
    beLiberal(entry);
    noteSegment(packet, sender);
    return;
  }
  sender.end = segmentEnd(packet);
  sender.maxWindow = atLeastOne(packet.tcpWindow);
  if ((packet.tcpFlags & TCP_SYN) != 0) {
    sender.maxEnd = sender.end;
    readOptions(packet, sender);
    return;
  }
  sender.maxEnd = sender.end + sender.maxWindow;
  sender.flags = SIDE_SACK | SIDE_LIBERAL;
  receiver.flags = SIDE_SACK | SIDE_LIBERAL;
}

/** Gives up on a connection's windows: the capture does not show enough of them. */
export function beLiberal(entry: Entry): void {
  sideOf(entry, 0).flags |= SIDE_LIBERAL;
  sideOf(entry, 1).flags |= SIDE_LIBERAL;
}

/**
 * Begins with a connection that was there before the capture. Each side's first segment is taken to fit.
 * The scale was negotiated before, so windows are taken as large as they can be: what does not even fit
 * these is doubtful.
 */
export function leaveUntold(entry: Entry): void {
  for (let direction: u32 = 0; direction < 2; direction++) {
    const side = sideOf(entry, direction);
    side.scale = SCALE_MAX;
    side.flags |= SIDE_SACK | SIDE_UNTOLD;
  }
}

// A side's first segment, beyond all that the other side's segments offered.
function isBeyondUntold(sender: TcpSide, seq: u32): bool {
  if ((sender.flags & SIDE_UNTOLD) == 0 || (sender.end | sender.maxEnd) == 0) return false;
  return isAfter(seq, sender.maxEnd);
}

/** Reads the options that a SYN negotiates. > A SYN without any leaves what was negotiated before. */
export function readOptions(packet: Packet, side: TcpSide): void {
  let at: u32 = HEADER;
  const length = optionsEnd(packet);
  if (length == HEADER) return;
  side.scale = 0;
  side.flags &= SIDE_LIBERAL;
  const header: usize = packet.transport;
  while (at < length) {
    const kind: u32 = load<u8>(header + at);
    if (kind == OPTION_END) return;
    if (kind == OPTION_NOP) {
      at++;
      continue;
    }
    if (at + 1 >= length) return;
    const size: u32 = load<u8>(header + at + 1);
    if (size < 2 || at + size > length) return;
    if (kind == OPTION_SACK_PERMITTED && size == 2) {
      side.flags |= SIDE_SACK;
    } else if (kind == OPTION_SEGMENT && size == 4) {
      const segment = <u32>bswap(load<u16>(header + at + 2));
      if (doSegmentsFit(packet, segment)) side.flags |= SIDE_SEGMENTS_FIT;
    } else if (kind == OPTION_SCALE && size == 3) {
      side.scale = load<u8>(header + at + 2);
      if (side.scale > SCALE_MAX) side.scale = SCALE_MAX;
      side.flags |= SIDE_WINDOW_SCALE;
    }
    at += size;
  }
}

function doSegmentsFit(packet: Packet, segment: u32): bool {
  const headers: u32 = packet.family == 4 ? HEADERS_IPV4 : HEADERS_IPV6;
  return !isPerhapsTooLong(segment + headers);
}

// What a text tells of the options of a SYN. Of several only the first may promise anything.
function noteSegment(packet: Packet, side: TcpSide): void {
  if ((packet.tcpFlags & TCP_SYN) == 0) return;
  const fits = packet.tcpSegment != 0 && doSegmentsFit(packet, packet.tcpSegment);
  if (!fits) side.flags &= ~SIDE_SEGMENTS_FIT;
  else if (side.maxWindow == 0) side.flags |= SIDE_SEGMENTS_FIT;
  side.maxWindow = max(side.maxWindow, 1);
}

/**
 * Tells whether a segment fits its connection's windows, and follows them.
 *
 * @param packetClass CLASS_* of the segment
 * @returns one of WINDOW_*
 */
export function inWindow(entry: Entry, packet: Packet, direction: u32, packetClass: u32): u32 {
  const sender = sideOf(entry, direction);
  if (!hasWindowFacts(packet)) {
    beLiberal(entry);
    noteSegment(packet, sender);
    return WINDOW_ACCEPT;
  }
  const receiver = sideOf(entry, direction ^ 1);
  const flags: u32 = packet.tcpFlags;
  const syn = (flags & TCP_SYN) != 0;
  const acks = (flags & TCP_ACK) != 0;
  const opening: bool = entry.tcpState == TCP_SYN_SENT || entry.tcpState == TCP_SYN_RECV;
  let seq = packet.tcpSeq;
  let ack = packet.tcpAck;
  let sack = ack;
  let end = segmentEnd(packet);
  const window: u32 = packet.tcpWindow;
  if ((receiver.flags & SIDE_SACK) != 0) sack = highestSack(packet, sack);
  if ((receiver.flags & SIDE_UNTOLD) != 0 && receiver.maxWindow == 0 && acks) {
    receiver.end = sack;
    receiver.maxEnd = sack;
  }

  if (sender.maxWindow == 0) {
    if (syn) {
      startSide(packet, sender, receiver, end, direction);
      // > Simultaneous open.
      if (!acks) return WINDOW_ACCEPT;
    } else {
      if (isBeyondUntold(sender, seq)) return unlessLiberal(sender, receiver, WINDOW_INVALID);
      sender.end = end;
      sender.maxWindow = atLeastOne(window << sender.scale);
      sender.maxEnd = end + sender.maxWindow;
      if (receiver.maxWindow == 0) {
        receiver.end = sack;
        receiver.maxEnd = sack;
      } else if (sack == receiver.end + 1) {
        // > Likely a reply to a keepalive.
        receiver.end++;
      }
    }
  } else if (syn && isAfter(end, sender.end) && opening) {
    startSide(packet, sender, receiver, end, direction);
    if (direction == 1 && !acks) return WINDOW_ACCEPT;
  }
  if (!acks || ((flags & TCP_RST) != 0 && ack == 0)) {
    ack = receiver.end;
    sack = ack;
  }
  // > A reset that answers a SYN.
  if ((flags & TCP_RST) != 0 && seq == 0 && entry.tcpState == TCP_SYN_SENT) {
    seq = sender.end;
    end = seq;
  }
  if (sender.fits(receiver, seq, end, sack)) {
    sender.follow(receiver, ack, sack, end, window, flags);
    const acknowledges = packetClass == CLASS_ACK;
    if (acknowledges) lastSegmentOf(entry).follow(entry, direction, seq, ack, end, window);
    return WINDOW_ACCEPT;
  }
  if (isAfter(seq, sender.maxEnd)) {
    const overshot = end - sender.maxEnd + 1;
    const inReceiver = receiver.maxWindow != 0 && isAfter(end, sender.end - receiver.maxWindow - 1);
    const ackFits =
      isAfter(sack, receiver.end - ackWindow(sender) - 1) && !isAfter(sack, receiver.end);
    if (inReceiver && ackFits && overshot <= receiver.maxWindow) {
      sender.end = end;
      sender.flags |= SIDE_UNACKNOWLEDGED;
      return unlessLiberal(sender, receiver, WINDOW_IGNORE);
    }
    return unlessLiberal(sender, receiver, WINDOW_INVALID);
  }
  if (isAfter(sack, receiver.end)) return unlessLiberal(sender, receiver, WINDOW_INVALID);
  return unlessLiberal(sender, receiver, WINDOW_IGNORE);
}

// A SYN or SYN-ACK begins its direction anew. > Both sides must scale windows, or none does.
function startSide(
  packet: Packet,
  sender: TcpSide,
  receiver: TcpSide,
  end: u32,
  direction: u32,
): void {
  sender.end = end;
  sender.maxEnd = end;
  sender.maxWindow = atLeastOne(packet.tcpWindow);
  readOptions(packet, sender);
  if (direction == 0) return;
  if ((sender.flags & receiver.flags & SIDE_WINDOW_SCALE) == 0) {
    sender.scale = 0;
    receiver.scale = 0;
  }
}

function unlessLiberal(sender: TcpSide, receiver: TcpSide, outcome: u32): u32 {
  if (liberal || (sender.flags & SIDE_LIBERAL) != 0) return WINDOW_ACCEPT;
  if (((sender.flags | receiver.flags) & SIDE_UNTOLD) == 0) return outcome;
  return outcome == WINDOW_INVALID ? WINDOW_DOUBTFUL : WINDOW_ACCEPT;
}

// The highest edge that a selective acknowledgement names.
function highestSack(packet: Packet, ack: u32): u32 {
  let highest = ack;
  let at: u32 = HEADER;
  const length = optionsEnd(packet);
  const header: usize = packet.transport;
  while (at < length) {
    const kind: u32 = load<u8>(header + at);
    if (kind == OPTION_END) return highest;
    if (kind == OPTION_NOP) {
      at++;
      continue;
    }
    if (at + 1 >= length) return highest;
    const size: u32 = load<u8>(header + at + 1);
    if (size < 2 || at + size > length) return highest;
    if (kind == OPTION_SACK && size >= 10 && (size - 2) % 8 == 0) {
      for (let edge: u32 = 6; edge < size; edge += 8) {
        const value = bswap(load<u32>(header + at + edge));
        if (isAfter(value, highest)) highest = value;
      }
      return highest;
    }
    at += size;
  }
  return highest;
}

function hasOptions(packet: Packet): bool {
  const header = (<u32>packet.tcpOffset) << 2;
  if (packet.transport == 0 || packet.transport > packet.end) return false;
  return packet.end - packet.transport >= header;
}

function optionsEnd(packet: Packet): u32 {
  return (<u32>packet.tcpOffset) << 2;
}

function atLeastOne(window: u32): u32 {
  return window == 0 ? 1 : window;
}
