/** IP packets taken apart and put together otherwise: numbers, fragments, extension headers, cut tails. */
import ipaddr from "ipaddr.js";

import type { Family } from "../../src/net/address.ts";
import { concat, internetChecksum } from "../frames.ts";

/** Where a packet comes from and goes to, as somebody saw it. */
export interface View {
  readonly source: string;
  readonly destination: string;
  /** The first two words behind the IP header: ports where the protocol has them. */
  readonly sourcePort: number;
  readonly destinationPort: number;
}

const HEADER6 = 40;
const FRAGMENT_HEADER = 44;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function familyOf(packet: Uint8Array): Family {
  return packet[0]! >> 4 === 4 ? 4 : 6;
}

function headerLength(packet: Uint8Array): number {
  return familyOf(packet) === 4 ? (packet[0]! & 15) * 4 : HEADER6;
}

/** Reads the ends of a packet without extension headers. */
export function readView(packet: Uint8Array): View {
  const four = familyOf(packet) === 4;
  const address = (at: number): string =>
    ipaddr.fromByteArray([...packet.subarray(at, at + (four ? 4 : 16))]).toString();
  const view = viewOf(packet);
  const start = headerLength(packet);
  const port = (at: number): number => (packet.length >= at + 2 ? view.getUint16(at) : 0);
  return {
    source: address(four ? 12 : 8),
    destination: address(four ? 16 : 24),
    sourcePort: port(start),
    destinationPort: port(start + 2),
  };
}

/** What no rule changes: the IPv4 identification or the IPv6 flow label. 0: not one of ours. */
export function numberOf(packet: Uint8Array): number {
  const view = viewOf(packet);
  return familyOf(packet) === 4 ? view.getUint16(4) : view.getUint32(0) & 0xfffff;
}

/** A copy with this number. */
export function withNumber(packet: Uint8Array, number: number): Uint8Array {
  const copy = packet.slice();
  const view = viewOf(copy);
  if (familyOf(copy) === 6) view.setUint32(0, ((view.getUint32(0) & 0xfff00000) | number) >>> 0);
  else {
    view.setUint16(4, number);
    fixHeader(copy);
  }
  return copy;
}

function fixHeader(packet: Uint8Array): void {
  const view = viewOf(packet);
  view.setUint16(10, 0);
  view.setUint16(10, internetChecksum(packet.subarray(0, headerLength(packet))));
}

function withBody(packet: Uint8Array, body: Uint8Array): Uint8Array {
  const start = headerLength(packet);
  const whole = concat(packet.subarray(0, start), body);
  const view = viewOf(whole);
  if (familyOf(whole) === 4) {
    view.setUint16(2, whole.length);
    fixHeader(whole);
  } else view.setUint16(4, whole.length - HEADER6);
  return whole;
}

/** The packet with only so many bytes behind its IP header; its lengths say so. */
export function cutBody(packet: Uint8Array, length: number): Uint8Array {
  const start = headerLength(packet);
  return withBody(packet, packet.subarray(start, start + length));
}

/** IPv4 options behind the header: whole words. */
export function withOptions(packet: Uint8Array, options: Uint8Array): Uint8Array {
  const whole = concat(packet.subarray(0, 20), options, packet.subarray(20));
  whole[0] = 0x45 + options.length / 4;
  const view = viewOf(whole);
  view.setUint16(2, whole.length);
  fixHeader(whole);
  return whole;
}

/** What one holds behind its first byte. */
function extensionBody(kind: number): readonly number[] {
  // Routing: type 2, nothing left to visit. Authentication: twelve bytes and four.
  if (kind === 43) return [0, 2, 0, 0, 0, 0, 0];
  if (kind === 51) return [2, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0];
  // Hop-by-hop and destination options: padding.
  return [0, 1, 4, 0, 0, 0, 0];
}

/** IPv6 extension headers of eight or sixteen bytes each before the transport header, in this order. */
export function withExtensions(packet: Uint8Array, kinds: readonly number[]): Uint8Array {
  const next = [...kinds.slice(1), packet[6]!];
  const headers = kinds.map((kind, index) =>
    Uint8Array.from([next[index]!, ...extensionBody(kind)]),
  );
  const whole = withBody(packet, concat(...headers, packet.subarray(HEADER6)));
  whole[6] = kinds[0] ?? packet[6]!;
  return whole;
}

/** An IPv6 hop-by-hop options header with these options: eight bytes or a multiple, but for the first two. */
export function withHopByHop(packet: Uint8Array, options: Uint8Array): Uint8Array {
  const header = concat(Uint8Array.of(packet[6]!, (options.length + 2) / 8 - 1), options);
  const whole = withBody(packet, concat(header, packet.subarray(HEADER6)));
  whole[6] = 0;
  return whole;
}

/** An IPv4 packet that may be cut into fragments on its way. */
export function withoutDontFragment(packet: Uint8Array): Uint8Array {
  const copy = packet.slice();
  viewOf(copy).setUint16(6, 0);
  fixHeader(copy);
  return copy;
}

/** Which bytes of its datagram a packet carries; a whole one carries all. */
export interface Extent {
  readonly from: number;
  readonly to: number;
  /** The datagram goes on behind it. */
  readonly more: boolean;
}

/** Reads it; an IPv6 fragment header is looked for right behind the IP header. */
export function extentOf(packet: Uint8Array): Extent {
  const view = viewOf(packet);
  const start = headerLength(packet);
  const six = familyOf(packet) === 6;
  if (six && packet[6] !== FRAGMENT_HEADER) {
    return { from: 0, to: packet.length - start, more: false };
  }
  const word = view.getUint16(six ? start + 2 : 6);
  const from = six ? word & 0xfff8 : (word & 0x1fff) * 8;
  const more = (word & (six ? 1 : 0x2000)) !== 0;
  return { from, to: from + packet.length - start - (six ? 8 : 0), more };
}

/** One piece of a datagram: a range of the bytes behind the IP header, in units of eight. */
export interface Piece {
  readonly from: number;
  /** Undefined: to the end. */
  readonly to: number | undefined;
}

/** Cuts a packet into fragments. */
export function fragmentsOf(
  packet: Uint8Array,
  pieces: readonly Piece[],
  identification: number,
): Uint8Array[] {
  const start = headerLength(packet);
  const body = packet.subarray(start);
  return pieces.map(({ from, to }) => {
    const part = body.subarray(from * 8, to === undefined ? undefined : to * 8);
    const more = to !== undefined && to * 8 < body.length ? 1 : 0;
    if (familyOf(packet) === 4) {
      const whole = withBody(packet, part);
      viewOf(whole).setUint16(6, (more << 13) | from);
      fixHeader(whole);
      return whole;
    }
    const header = new Uint8Array(8);
    header[0] = packet[6]!;
    viewOf(header).setUint16(2, (from << 3) | more);
    viewOf(header).setUint32(4, identification);
    const whole = withBody(packet, concat(header, part));
    whole[6] = FRAGMENT_HEADER;
    return whole;
  });
}
