// A conntrack entry: what is kept of a tracked connection. What few of them need besides is tuples.ts's; where they are,
// entry-list.ts's; by which tuples packets meet them, entry-tuples.ts's; where these are looked up, flow-table.ts's.
import { CT_DNAT, CT_SNAT } from "./layout";

/**
 * One tracked connection: what every packet of it needs. Two lie in three cache lines, each in two of them. Times are
 * nanoseconds of packet time.
 */
@unmanaged
export class Entry {
  /** Of IPv4 the original tuple's source address, destination << 32; with APART_TUPLES the address of its Tuples. */
  ends: u64;
  /** Source port, destination port << 16; with APART_TUPLES nothing. */
  ports: u32;
  /** Address of a row with the hash of the original tuple, to which the slot leads by the entry; 0: to none. */
  row: u32;
  /** Addresses of what was said last of its packets (heard.ts), of the original direction and of the reply's; or 0. */
  said0: u32;
  said1: u32;
  /** What the row does not count yet (heard.ts). */
  counted: u32;
  /** Bit per kind of node that is linked, and REPLY_TURNED. */
  linked: u8;
  /** APART_* bits. */
  apart: u8;
  protocol: u8;
  /** REASON_* of an undecided entry. What a try changes and takes back begins here, and is all that follows. */
  reason: u8;
  /** When its time is up at the earliest, and how much later it may be (deadline.ts). */
  deadline: u64;
  /** TCP: the last acknowledgement or ignored segment, and SIDE_* and LAST_* bits of the latter. */
  lastSeq: u32;
  lastAck: u32;
  lastEnd: u32;
  lastWindow: u16;
  lastFlags: u8;
  tcpState: u8;
  /** TCP: two TcpSide records (tcp-side.ts): original, reply. UDP: when it began. */
  side0: u64;
  side0b: u64;
  side0c: u16;
  side1: u16;
  side1b: u32;
  side1c: u64;
  side1d: u32;
  /** ENTRY_* bits. */
  flags: u16;
  /** Direction of the last segment that was accepted or ignored, and CLASS_* << 1 of it. */
  last: u8;
  retransmissions: u8;
}

if (offsetof<Entry>() != 96) ERROR("an Entry has one and a half cache lines");

/** It has Tuples; each of the others says so, too. */
export const APART_TUPLES: u8 = 1 << 0;
/** Its addresses are those of IPv6, in its Tuples. */
export const APART_IPV6: u8 = 1 << 1;
/** Another row than `row` counts its packets of the original direction (<< 1: the reply's): its Tuples tell which. */
export const APART_ROW: u8 = 1 << 2;

export const ENTRY_SEEN_REPLY: u16 = 1 << 0;
/** Seen as one, the cluster's nodes may have sent it to any backend, with an address of any of them. */
export const ENTRY_OPEN: u16 = 1 << 1;
export const ENTRY_MIDSTREAM: u16 = 1 << 2;
export const ENTRY_DNAT: u16 = 1 << 3;
/** The backend is one of several that are judged alike; which one, is not known. */
export const ENTRY_GUESSED: u16 = 1 << 4;
/** The source was translated to an address that is not known. */
export const ENTRY_MASQUERADED: u16 = 1 << 5;
/** The flow's first packet got no verdict, so no packet of it does. */
export const ENTRY_UNDECIDED: u16 = 1 << 6;
export const ENTRY_SNAT: u16 = 1 << 7;
/** The node chose the port of the translated source itself. */
export const ENTRY_PORT_UNKNOWN: u16 = 1 << 8;
export const ENTRY_ASSURED: u16 = 1 << 9;
/** Only some tries of an earlier packet made it, or kept it. */
export const ENTRY_PERHAPS: u16 = 1 << 10;
/** It began when the node had no nat table: none is ever asked for its translation. */
export const ENTRY_UNBOUND: u16 = 1 << 11;
/** It began when no rule made the kernel count what connections carry: perhaps nothing counts this one. */
export const ENTRY_UNCOUNTED: u16 = 1 << 12;
/** Tries left it in different states. */
export const ENTRY_STATE_DOUBTED: u16 = 1 << 13;
/** Its mark is not known. */
export const ENTRY_MARK_DOUBTED: u16 = 1 << 14;

/** Says that its mark is not known, or is again. */
export function doubtMark(entry: Entry, doubted: bool): void {
  if (doubted) entry.flags |= ENTRY_MARK_DOUBTED;
  else entry.flags &= ~ENTRY_MARK_DOUBTED;
}

/** Its addresses': 4 or 6. */
export function familyOf(entry: Entry): u32 {
  return (entry.apart & APART_IPV6) != 0 ? 6 : 4;
}

/** When a UDP flow began at the earliest; of others it is not kept. */
export function firstStartOf(entry: Entry): u64 {
  return isUdp(entry) ? entry.side0 : 0;
}

/** And at the latest. */
export function lastStartOf(entry: Entry): u64 {
  return isUdp(entry) ? entry.side0b : 0;
}

export function setStarted(entry: Entry, first: u64, last: u64): void {
  if (!isUdp(entry)) return;
  entry.side0 = first;
  entry.side0b = last;
}

/** It is UDP's, or UDP-Lite's. */
export function isUdp(entry: Entry): bool {
  return entry.protocol == 17 || entry.protocol == 136;
}

/** Says what the last segment was: its direction, and its CLASS_*. */
export function setLast(entry: Entry, direction: u32, packetClass: u32): void {
  entry.last = <u8>((packetClass << 1) | direction);
}

/** Its direction. */
export function lastDirectionOf(entry: Entry): u32 {
  return entry.last & 1;
}

/** And its CLASS_*. */
export function lastClassOf(entry: Entry): u32 {
  return entry.last >> 1;
}

/** Its ports are what ICMP has instead. */
export function isIcmp(entry: Entry): bool {
  return entry.protocol == 1 || entry.protocol == 58;
}

/**
 * CT_* bits of a connection's translation.
 * > `--ctstate SNAT` and `DNAT` look at the connection, of which errors about it are, too.
 */
export function translationBits(entry: Entry): u32 {
  const dnat: u32 = (entry.flags & ENTRY_DNAT) != 0 ? CT_DNAT : 0;
  const snat: u32 = (entry.flags & ENTRY_SNAT) != 0 ? CT_SNAT : 0;
  return dnat | snat;
}

/** Where what of an entry changes begins, and how much it is. */
export const ENTRY_STATE: usize = offsetof<Entry>("reason");
export const ENTRY_STATE_SIZE: usize = offsetof<Entry>() - ENTRY_STATE;

/** Tells whether the entry is in the table (removed entries keep their place for reuse). */
export function entryLinked(entry: Entry): bool {
  return entry.linked != 0;
}
