/**
 * One packet as the words of a record spell it, and its way into the batch. A field that the text does
 * not hold is undefined and its KNOWN bit stays clear: nothing is filled in from what is usual.
 */
import * as layout from "../../assembly/layout.ts";
import type { Address, Family } from "../net/address.ts";
import type { PacketBatch } from "./batch.ts";
import type { ToldLength } from "./tcpdump-length.ts";
import type { ShownOptions } from "./tcpdump-options.ts";

/** A source or destination: an address, or a host name. */
export type Host = Address | string;

/** The fields that the parsers fill. Emptied by `clearPacket`, so that one serves a whole capture. */
export interface TextPacket {
  family?: Family | undefined;
  /** The record shows a frame without IP in it. */
  notIp?: boolean | undefined;
  protocol?: number | undefined;
  src?: Host | undefined;
  dst?: Host | undefined;
  sport?: number | undefined;
  dport?: number | undefined;
  /** A port label that is no number and no known service. */
  unknownService?: string | undefined;
  tos?: number | undefined;
  ttl?: number | undefined;
  ipId?: number | undefined;
  ipLength?: number | undefined;
  /** What the rest of the words makes it, where the header's own is not shown. */
  toldLength?: ToldLength | undefined;
  payloadLength?: number | undefined;
  /** In bytes; defined where the text tells whether it is a fragment. */
  fragmentOffset?: number | undefined;
  moreFragments?: boolean | undefined;
  dontFragment?: boolean | undefined;
  /** Proven to be a later fragment by the words, though the offset is not shown. */
  laterFragment?: boolean | undefined;
  /** IPv6: there is a fragment header, be it a fragment or not. */
  fragmentHeader?: boolean | undefined;
  /** IPv4 options, or IPv6 hop-by-hop options; undefined where none are shown. */
  options?: ShownOptions | undefined;
  /** The IP header is impossible (tcpdump says `(invalid)`), or for its options Linux discards it before any hook. */
  malformed?: boolean | undefined;
  tcpFlags?: number | undefined;
  tcpSeq?: number | undefined;
  tcpAck?: number | undefined;
  tcpWindow?: number | undefined;
  /** The segment size that a SYN asks for. */
  tcpSegment?: number | undefined;
  icmpType?: number | undefined;
  icmpCode?: number | undefined;
  icmpId?: number | undefined;
  /** The header that an ICMP error quotes. */
  quote?: TextPacket | undefined;
  srcMac?: readonly number[] | undefined;
  dstMac?: readonly number[] | undefined;
  etherType?: number | undefined;
  vlan?: number | undefined;
  /** Length of the frame (`-e`). */
  frameLength?: number | undefined;
  /** Bytes of its link layer's header, VLAN tags included. */
  linkLength?: number | undefined;
}

/** Empties a packet. */
export function clearPacket(packet: TextPacket): void {
  for (const key of Object.keys(packet) as (keyof TextPacket)[]) delete packet[key];
}

/** Addresses of a packet's ends, and the number of a name that stands in for one. */
export interface Ends {
  readonly src: Address | undefined;
  readonly dst: Address | undefined;
  /** 1 + index into the reader's names; 0 without one. */
  readonly srcName: number;
  readonly dstName: number;
}

/** Writes a packet's words into the record at `at`. */
export function writePacket(batch: PacketBatch, at: number, packet: TextPacket, ends: Ends): void {
  const view = batch.view;
  let flags = layout.PACKET_DECODED;
  let known = 0;
  const link = packet.srcMac === undefined ? layout.LINK_RAW : layout.LINK_ETHERNET;
  view.setUint16(at + layout.PACKET_LINK_TYPE, link, true);
  flags |= writeLink(view, at, packet);
  if (packet.notIp === true) {
    orFlags(view, at, flags | layout.PACKET_NOT_IP);
    return;
  }
  view.setUint8(at + layout.PACKET_FAMILY, packet.family ?? 0);
  if (ends.src !== undefined) {
    batch.setAddress(at, layout.PACKET_SRC, ends.src);
    known |= layout.KNOWN_SRC;
  }
  if (ends.dst !== undefined) {
    batch.setAddress(at, layout.PACKET_DST, ends.dst);
    known |= layout.KNOWN_DST;
  }
  view.setUint16(at + layout.PACKET_SRC_NAME, ends.srcName, true);
  view.setUint16(at + layout.PACKET_DST_NAME, ends.dstName, true);
  if (packet.malformed === true) view.setUint8(at + layout.PACKET_MALFORMED, layout.MALFORMED_IP);
  if (packet.options !== undefined)
    view.setUint8(at + layout.PACKET_SHOWN_OPTIONS, SHOWN[packet.options]);
  flags |= fragmentFlags(packet);
  known |= writeNetwork(view, at, packet) | writeTransport(view, at, packet);
  if (packet.quote !== undefined) known |= writeQuote(batch, at, packet.quote);
  if (packet.tcpSeq !== undefined && isRelative(packet)) flags |= layout.PACKET_RELATIVE_SEQ;
  view.setUint32(at + layout.PACKET_KNOWN, known, true);
  orFlags(view, at, flags);
}

const SHOWN: Readonly<Record<ShownOptions, number>> = {
  sound: layout.SHOWN_OPTIONS_SOUND,
  bad: layout.SHOWN_OPTIONS_BAD,
  route: layout.SHOWN_OPTIONS_ROUTE,
  unknown: layout.SHOWN_OPTIONS_UNKNOWN,
};

/** Adds flags to those of the record. */
export function orFlags(view: DataView, at: number, flags: number): void {
  const before = view.getUint32(at + layout.PACKET_FLAGS, true);
  view.setUint32(at + layout.PACKET_FLAGS, before | flags, true);
}

function writeLink(view: DataView, at: number, packet: TextPacket): number {
  const { srcMac, dstMac, etherType, vlan, frameLength } = packet;
  if (etherType !== undefined) view.setUint16(at + layout.PACKET_ETHER_TYPE, etherType, true);
  if (vlan !== undefined) view.setUint16(at + layout.PACKET_VLAN, vlan + 1, true);
  const length = frameLength ?? packet.ipLength;
  if (length !== undefined) view.setUint32(at + layout.PACKET_ORIGINAL_LENGTH, length, true);
  if (srcMac === undefined || dstMac === undefined) return 0;
  srcMac.forEach((byte, index) => view.setUint8(at + layout.PACKET_SRC_MAC + index, byte));
  dstMac.forEach((byte, index) => view.setUint8(at + layout.PACKET_DST_MAC + index, byte));
  return layout.PACKET_HAS_MAC;
}

function fragmentFlags(packet: TextPacket): number {
  const more = packet.moreFragments === true ? layout.PACKET_MORE_FRAGMENTS : 0;
  const header = packet.fragmentHeader === true ? layout.PACKET_FRAGMENT_HEADER : 0;
  const whole = packet.dontFragment === true ? layout.PACKET_DONT_FRAGMENT : 0;
  const others = more | header | whole;
  const later = (packet.fragmentOffset ?? 0) > 0 || packet.laterFragment === true;
  if (later) return layout.PACKET_FRAGMENT | layout.PACKET_LATER_FRAGMENT | others;
  return more === 0 ? others : layout.PACKET_FRAGMENT | others;
}

function writeNetwork(view: DataView, at: number, packet: TextPacket): number {
  let known = 0;
  if (packet.protocol !== undefined) {
    view.setUint8(at + layout.PACKET_PROTOCOL, packet.protocol);
    known |= layout.KNOWN_PROTOCOL;
  }
  if (packet.ttl !== undefined) {
    view.setUint8(at + layout.PACKET_TTL, packet.ttl);
    known |= layout.KNOWN_TTL;
  }
  if (packet.tos !== undefined) {
    view.setUint8(at + layout.PACKET_TOS, packet.tos);
    known |= layout.KNOWN_TOS;
  }
  if (packet.ipLength !== undefined) {
    view.setUint32(at + layout.PACKET_IP_LENGTH, packet.ipLength, true);
    known |= layout.KNOWN_IP_LENGTH;
  } else if (packet.toldLength !== undefined) {
    const { bytes, sure } = packet.toldLength;
    view.setUint32(at + layout.PACKET_IP_LENGTH, bytes, true);
    if (sure && packet.family === 6) orFlags(view, at, layout.PACKET_LEAST_LENGTH);
  }
  if (packet.payloadLength !== undefined) {
    view.setUint32(at + layout.PACKET_PAYLOAD_LENGTH, packet.payloadLength, true);
    known |= layout.KNOWN_PAYLOAD_LENGTH;
  }
  if (packet.ipId !== undefined) {
    view.setUint32(at + layout.PACKET_IP_ID, packet.ipId, true);
    known |= layout.KNOWN_IP_ID;
  }
  const { family, fragmentOffset, moreFragments } = packet;
  // Of IPv6's flags nothing is printed.
  const told = moreFragments !== undefined || (family === 6 && (fragmentOffset ?? 0) > 0);
  if (fragmentOffset !== undefined && told) {
    view.setUint16(at + layout.PACKET_FRAGMENT_OFFSET, fragmentOffset, true);
    known |= layout.KNOWN_FRAGMENT;
  }
  return known;
}

function writeTransport(view: DataView, at: number, packet: TextPacket): number {
  let known = 0;
  if (packet.sport !== undefined && packet.dport !== undefined) {
    view.setUint16(at + layout.PACKET_SPORT, packet.sport, true);
    view.setUint16(at + layout.PACKET_DPORT, packet.dport, true);
    known |= layout.KNOWN_PORTS;
  }
  if (packet.tcpFlags !== undefined) {
    view.setUint8(at + layout.PACKET_TCP_FLAGS, packet.tcpFlags);
    known |= layout.KNOWN_TCP_FLAGS;
  }
  if (packet.tcpSegment !== undefined)
    view.setUint16(at + layout.PACKET_TCP_SEGMENT, packet.tcpSegment, true);
  const { tcpSeq, tcpAck, tcpWindow } = packet;
  if (tcpSeq !== undefined && tcpAck !== undefined && tcpWindow !== undefined) {
    view.setUint32(at + layout.PACKET_TCP_SEQ, tcpSeq, true);
    view.setUint32(at + layout.PACKET_TCP_ACK, tcpAck, true);
    view.setUint16(at + layout.PACKET_TCP_WINDOW, tcpWindow, true);
    known |= layout.KNOWN_TCP_SEQ;
  }
  if (packet.icmpType !== undefined && packet.icmpCode !== undefined) {
    view.setUint8(at + layout.PACKET_ICMP_TYPE, packet.icmpType);
    view.setUint8(at + layout.PACKET_ICMP_CODE, packet.icmpCode);
    known |= layout.KNOWN_ICMP;
  }
  if (packet.icmpId !== undefined) {
    view.setUint16(at + layout.PACKET_ICMP_ID, packet.icmpId, true);
    known |= layout.KNOWN_ICMP_ID;
  }
  return known;
}

/** Writes the quoted header where it is whole; a part of it is of no use to conntrack. */
function writeQuote(batch: PacketBatch, at: number, quote: TextPacket): number {
  const { src, dst, protocol } = quote;
  if (src === undefined || dst === undefined || protocol === undefined) return 0;
  if (typeof src === "string" || typeof dst === "string") return 0;
  const ends = tupleEnds(quote);
  if (ends === undefined) return 0;
  const view = batch.view;
  view.setUint8(at + layout.PACKET_QUOTED_PROTOCOL, protocol);
  batch.setAddress(at, layout.PACKET_QUOTED_SRC, src);
  batch.setAddress(at, layout.PACKET_QUOTED_DST, dst);
  view.setUint16(at + layout.PACKET_QUOTED_SPORT, ends[0], true);
  view.setUint16(at + layout.PACKET_QUOTED_DPORT, ends[1], true);
  return layout.KNOWN_QUOTE;
}

/** Ports, or what conntrack has in their place of ICMP. */
function tupleEnds(quote: TextPacket): readonly [number, number] | undefined {
  const { sport, dport, icmpId, icmpType, icmpCode } = quote;
  if (sport !== undefined && dport !== undefined) return [sport, dport];
  if (icmpId === undefined || icmpType === undefined || icmpCode === undefined) return undefined;
  return [icmpId, (icmpType << 8) | icmpCode];
}

const TCP_SYN = 0x02;
const TCP_ACK = 0x10;

/**
 * Without `-S` tcpdump subtracts the first sequence numbers it saw of a flow, in packets with ACK and
 * without SYN. Whether the first packet of this flow is in the text is unknown, so all such packets
 * count as relative.
 */
function isRelative(packet: TextPacket): boolean {
  const flags = packet.tcpFlags ?? 0;
  return (flags & TCP_ACK) !== 0 && (flags & TCP_SYN) === 0;
}
