// One direction of a TCP connection, as conntrack follows it: how far data was sent, how far it may be sent, and the
// largest window that was offered; and the last segment of either.
// Source: Linux, nf_conntrack_proto_tcp.c, tcp_in_window(); van Rooij, "Real stateful TCP packet
// filtering in IP Filter"; semantics.md CT-T8.
import { Entry, lastDirectionOf, setLast } from "./entry";
import { CLASS_ACK, TCP_ACK, TCP_SYN } from "./tcp";

export const SIDE_WINDOW_SCALE: u8 = 1 << 0;
export const SIDE_SACK: u8 = 1 << 1;
/** Windows are not checked. */
export const SIDE_LIBERAL: u8 = 1 << 2;
/** A close was begun here. */
export const SIDE_CLOSE_INIT: u8 = 1 << 3;
export const SIDE_UNACKNOWLEDGED: u8 = 1 << 4;
export const SIDE_MAX_ACK: u8 = 1 << 5;
/** The connection is of the node's dump: what the side sent and offered before is not known. */
export const SIDE_UNTOLD: u8 = 1 << 6;
/** It asked for segments that fit each of the node's ways out. */
export const SIDE_SEGMENTS_FIT: u8 = 1 << 7;

// > An acknowledgement may be this far behind.
const ACK_WINDOW: u32 = 66000;

/** What is known of one direction. Sequence numbers are compared modulo 2^32. */
@unmanaged
export class TcpSide {
  /** Behind the last byte sent. */
  end: u32;
  /** Behind the last byte that may be sent. */
  maxEnd: u32;
  /** The largest window offered; 0: nothing of this side was seen. */
  maxWindow: u32;
  maxAck: u32;
  /** Shift of the windows that this side offers. */
  scale: u8;
  /** SIDE_* bits. */
  flags: u8;

  /** A segment from this side is neither beyond the windows nor too far behind. */
  @inline
  fits(receiver: TcpSide, seq: u32, end: u32, sack: u32): bool {
    const beyond = (this.maxEnd - seq) | (receiver.end - sack);
    const behind = end - (this.end - receiver.maxWindow);
    const late = select<u32>(0, behind, receiver.maxWindow == 0);
    const lateAck = sack - (receiver.end - ackWindow(this));
    // As signed numbers those that do not fit are negative: one branch for all.
    return <i32>(beyond | late | lateAck) >= 0;
  }

  /**
   * Follows a segment from this side that fits. What is taken over hangs on which side has spoken last, as often as
   * not: it is chosen without branches, which nobody could foretell.
   *
   * @param told the window as it is in the header
   */
  @inline
  follow(receiver: TcpSide, ack: u32, sack: u32, end: u32, told: u32, flags: u32): void {
    const window = select<u32>(told, told << this.scale, (flags & TCP_SYN) != 0);
    this.maxWindow = max(this.maxWindow, window + (sack - ack));
    const sends = isAfter(end, this.end);
    this.end = select<u32>(end, this.end, sends);
    const first = (this.flags & SIDE_MAX_ACK) == 0;
    const newer = select<bool>(true, isAfter(ack, this.maxAck), first);
    const acks = select<bool>(newer, false, (flags & TCP_ACK) != 0);
    this.maxAck = select<u32>(ack, this.maxAck, acks);
    const sent = select<u32>(SIDE_UNACKNOWLEDGED, 0, sends);
    const acked = select<u32>(SIDE_MAX_ACK, 0, acks);
    this.flags |= <u8>(sent | acked);
    const exceeds = select<u32>(end - this.maxEnd, 0, isAfter(end, this.maxEnd));
    receiver.maxWindow += select<u32>(exceeds, 0, receiver.maxWindow != 0);
    const offered = sack + window;
    const opens = isAfter(offered, receiver.maxEnd - 1);
    receiver.maxEnd = select<u32>(offered + select<u32>(1, 0, window == 0), receiver.maxEnd, opens);
    const all = select<u32>(SIDE_UNACKNOWLEDGED, 0, ack == receiver.end);
    receiver.flags &= <u8>~all;
  }
}

if (offsetof<TcpSide>() != 18) ERROR("two TcpSide records have 36 bytes in Entry");
if (offsetof<Entry>("side1") != offsetof<Entry>("side0") + 18) ERROR("side1");

export function sideOf(entry: Entry, direction: u32): TcpSide {
  const first = changetype<usize>(entry) + offsetof<Entry>("side0");
  return changetype<TcpSide>(first + <usize>direction * offsetof<TcpSide>());
}

/** Sequence numbers wrap: `one` is the later one when it is less than half the circle ahead. */
export function isAfter(one: u32, other: u32): bool {
  return <i32>(other - one) < 0;
}

/** How far behind an acknowledgement of what the other side sent may be. */
export function ackWindow(sender: TcpSide): u32 {
  return sender.maxWindow > ACK_WINDOW ? sender.maxWindow : ACK_WINDOW;
}

/** The last segment that was accepted or ignored: a part of Entry. */
@unmanaged
class LastSegment {
  seq: u32;
  ack: u32;
  end: u32;
  window: u16;

  /** Takes over an acknowledgement. The same again and again is a retransmission that nobody answers. */
  @inline
  follow(entry: Entry, direction: u32, seq: u32, ack: u32, end: u32, window: u32): void {
    const differs =
      (lastDirectionOf(entry) ^ direction) |
      (this.seq ^ seq) |
      (this.ack ^ ack) |
      (this.end ^ end) |
      (this.window ^ (<u16>window));
    const again = min<u32>(<u32>entry.retransmissions + 1, 255);
    entry.retransmissions = <u8>select<u32>(again, 0, differs == 0);
    setLast(entry, direction, CLASS_ACK);
    this.seq = seq;
    this.ack = ack;
    this.end = end;
    this.window = <u16>window;
  }
}

if (offsetof<Entry>("lastWindow") - offsetof<Entry>("lastSeq") != offsetof<LastSegment>("window"))
  ERROR("LastSegment is a part of Entry");

export function lastSegmentOf(entry: Entry): LastSegment {
  return changetype<LastSegment>(changetype<usize>(entry) + offsetof<Entry>("lastSeq"));
}
