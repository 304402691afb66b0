/**
 * Builds packets for tests: Ethernet frames with IPv4 or IPv6 and TCP, UDP, SCTP, ICMP, ICMPv6 or any
 * other protocol, all checksums valid, and pcap and pcapng files of them in memory. Shares no code with
 * the readers and the decoder it feeds.
 */
import ipaddr from "ipaddr.js";

/** One packet in words. Both addresses have one family. */
export interface PacketSpec {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** TCP, UDP and SCTP. */
  readonly sourcePort?: number | undefined;
  readonly destinationPort?: number | undefined;
  /** TCP flags in tcpdump's letters (S F R P . U E W); `S` when absent. */
  readonly flags?: string | undefined;
  readonly seq?: number | undefined;
  readonly ack?: number | undefined;
  readonly window?: number | undefined;
  /** TCP options, padded to whole words. */
  readonly tcpOptions?: Uint8Array | undefined;
  /** ICMP and ICMPv6; echo request when absent. `body` replaces identifier, sequence and payload. */
  readonly icmp?:
    | {
        readonly type: number;
        readonly code?: number;
        readonly id?: number;
        readonly seq?: number;
        /** An error's quoted packet: the IP packet, without its Ethernet header. */
        readonly quote?: Uint8Array;
      }
    | undefined;
  /** SCTP chunk type; INIT (1) when absent. */
  readonly chunk?: number | undefined;
  /** SCTP verification tag; 0 for INIT, else 1, when absent. */
  readonly tag?: number | undefined;
  /** What INIT and INIT_ACK ask for as the other side's tag; 1 when absent. */
  readonly initTag?: number | undefined;
  readonly payload?: Uint8Array | undefined;
  readonly ttl?: number | undefined;
  /** Type of service or traffic class: DSCP and ECN. */
  readonly tos?: number | undefined;
  /** IPv4 identification, or IPv6 flow label. */
  readonly id?: number | undefined;
  readonly sourceMac?: string | undefined;
  readonly destinationMac?: string | undefined;
  /** Adds one to the transport checksum. */
  readonly badChecksum?: boolean | undefined;
}

/** A frame and when it was seen. */
export interface TimedFrame {
  readonly bytes: Uint8Array;
  readonly timestampNs: bigint;
  /** Of these bytes only so many are in the file. */
  readonly captured?: number | undefined;
  /** Index of the interface in a pcapng file. */
  readonly captureInterface?: number;
}

export const TCP = 6;
export const UDP = 17;
export const SCTP = 132;
export const ICMP = 1;
export const ICMPV6 = 58;

const EMPTY = new Uint8Array(0);

/** Builds the Ethernet frame. */
export function buildFrame(spec: PacketSpec): Uint8Array {
  return wrapPacket(buildPacket(spec), spec);
}

/** An IP packet in an Ethernet frame. */
export function wrapPacket(
  packet: Uint8Array,
  macs: Pick<PacketSpec, "sourceMac" | "destinationMac">,
): Uint8Array {
  const frame = new Uint8Array(14 + packet.length);
  frame.set(macBytes(macs.destinationMac ?? "ee:ee:ee:ee:ee:ee"), 0);
  frame.set(macBytes(macs.sourceMac ?? "02:00:00:00:00:01"), 6);
  new DataView(frame.buffer).setUint16(12, packet[0]! >> 4 === 6 ? 0x86dd : 0x0800);
  frame.set(packet, 14);
  return frame;
}

/** Builds the IP packet, without a link header. */
export function buildPacket(spec: PacketSpec): Uint8Array {
  const source = addressBytes(spec.source);
  const destination = addressBytes(spec.destination);
  const segment = buildSegment(spec, source, destination);
  const six = isIpv6(spec);
  const headerLength = six ? 40 : 20;
  const packet = new Uint8Array(headerLength + segment.length);
  const view = new DataView(packet.buffer);
  if (six) {
    view.setUint32(0, 0x60000000 | ((spec.tos ?? 0) << 20) | ((spec.id ?? 0) & 0xfffff));
    view.setUint16(4, segment.length);
    view.setUint8(6, spec.protocol);
    view.setUint8(7, spec.ttl ?? 64);
    packet.set(source, 8);
    packet.set(destination, 24);
  } else {
    view.setUint8(0, 0x45);
    view.setUint8(1, spec.tos ?? 0);
    view.setUint16(2, packet.length);
    view.setUint16(4, spec.id ?? 0);
    view.setUint16(6, 0x4000);
    view.setUint8(8, spec.ttl ?? 64);
    view.setUint8(9, spec.protocol);
    packet.set(source, 12);
    packet.set(destination, 16);
    view.setUint16(10, internetChecksum(packet.subarray(0, 20)));
  }
  packet.set(segment, headerLength);
  return packet;
}

function buildSegment(spec: PacketSpec, source: Uint8Array, destination: Uint8Array): Uint8Array {
  const payload = spec.payload ?? EMPTY;
  const ports = (view: DataView): void => {
    view.setUint16(0, spec.sourcePort ?? 40000);
    view.setUint16(2, spec.destinationPort ?? 0);
  };
  const finish = (segment: Uint8Array, at: number, pseudo: boolean): Uint8Array => {
    const view = new DataView(segment.buffer);
    const header = pseudo
      ? pseudoHeader(spec.protocol, segment.length, source, destination)
      : EMPTY;
    let sum = internetChecksum(concat(header, segment));
    if (spec.badChecksum === true) sum = (sum % 0xfffe) + 1;
    // > If the computed checksum is zero, it is transmitted as all ones (RFC 768).
    view.setUint16(at, sum === 0 && spec.protocol === UDP ? 0xffff : sum);
    return segment;
  };
  switch (spec.protocol) {
    case TCP: {
      const options = spec.tcpOptions ?? EMPTY;
      const segment = concat(new Uint8Array(20), options, payload);
      const view = new DataView(segment.buffer);
      ports(view);
      view.setUint32(4, spec.seq ?? 0);
      view.setUint32(8, spec.ack ?? 0);
      view.setUint8(12, 0x50 + options.length * 4);
      view.setUint8(13, flagBits(spec.flags ?? "S"));
      view.setUint16(14, spec.window ?? 65535);
      return finish(segment, 16, true);
    }
    case UDP: {
      const segment = concat(new Uint8Array(8), payload);
      const view = new DataView(segment.buffer);
      ports(view);
      view.setUint16(4, segment.length);
      return finish(segment, 6, true);
    }
    case SCTP: {
      const chunk = spec.chunk ?? 1;
      const init = chunk === 1 || chunk === 2;
      const body = concat(new Uint8Array(init ? 16 : 0), payload);
      const padded = concat(body, new Uint8Array((4 - (body.length % 4)) % 4));
      const segment = concat(new Uint8Array(16), padded);
      const view = new DataView(segment.buffer);
      ports(view);
      view.setUint32(4, spec.tag ?? (chunk === 1 ? 0 : 1));
      view.setUint8(12, chunk);
      view.setUint16(14, 4 + body.length);
      if (init) {
        view.setUint32(16, spec.initTag ?? 1);
        view.setUint32(20, 65536);
        view.setUint16(24, 1);
        view.setUint16(26, 1);
      }
      view.setUint32(8, crc32c(segment), true);
      return segment;
    }
    case ICMP:
    case ICMPV6: {
      const six = spec.protocol === ICMPV6;
      const icmp = spec.icmp ?? { type: six ? 128 : 8 };
      const segment = concat(new Uint8Array(8), icmp.quote ?? EMPTY, payload);
      const view = new DataView(segment.buffer);
      view.setUint8(0, icmp.type);
      view.setUint8(1, icmp.code ?? 0);
      if (icmp.quote === undefined) {
        view.setUint16(4, icmp.id ?? 1);
        view.setUint16(6, icmp.seq ?? 1);
      }
      return finish(segment, 2, six);
    }
    default:
      return spec.payload ?? new Uint8Array(8);
  }
}

const FLAG_BITS: Readonly<Record<string, number>> = {
  F: 1,
  S: 2,
  R: 4,
  P: 8,
  ".": 16,
  U: 32,
  E: 64,
  W: 128,
};

function flagBits(letters: string): number {
  return [...letters].reduce((sum, letter) => sum | (FLAG_BITS[letter] ?? 0), 0);
}

function isIpv6(spec: PacketSpec): boolean {
  return spec.source.includes(":");
}

function pseudoHeader(
  protocol: number,
  length: number,
  source: Uint8Array,
  destination: Uint8Array,
): Uint8Array {
  // The two pseudo-headers differ in layout but not in their sum.
  return concat(source, destination, Uint8Array.of(length >> 8, length & 0xff, 0, protocol));
}

/** The checksum of RFC 1071, as it stands in a header. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

const CRC32C = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

function crc32c(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = (value >>> 8) ^ CRC32C[(value ^ byte) & 0xff]!;
  return ~value >>> 0;
}

const bytesByAddress = new Map<string, Uint8Array>();

function addressBytes(text: string): Uint8Array {
  let bytes = bytesByAddress.get(text);
  if (bytes === undefined) {
    bytes = Uint8Array.from(ipaddr.parse(text).toByteArray());
    bytesByAddress.set(text, bytes);
  }
  return bytes;
}

function macBytes(text: string): number[] {
  return text.split(":").map((part) => Number.parseInt(part, 16));
}

/** One array of several. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

// ── Files ─────────────────────────────────────────────────────────────────────────────────────────────

export const START_NS = 1_700_000_000_000_000_000n;

/** Gives frames times, one millisecond apart. */
export function timed(frames: readonly Uint8Array[]): TimedFrame[] {
  return frames.map((bytes, index) => ({
    bytes,
    timestampNs: START_NS + BigInt(index) * 1_000_000n,
  }));
}

/** Builds a pcap file with nanosecond times. */
export function buildPcap(frames: readonly TimedFrame[], linkType = 1): Uint8Array {
  const length = frames.reduce((sum, frame) => sum + 16 + frame.bytes.length, 24);
  const file = new Uint8Array(length);
  const view = new DataView(file.buffer);
  view.setUint32(0, 0xa1b23c4d, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, 262144, true);
  view.setUint32(20, linkType, true);
  let at = 24;
  for (const { bytes, timestampNs, captured = bytes.length } of frames) {
    view.setUint32(at, Number(timestampNs / 1_000_000_000n), true);
    view.setUint32(at + 4, Number(timestampNs % 1_000_000_000n), true);
    view.setUint32(at + 8, captured, true);
    view.setUint32(at + 12, bytes.length, true);
    file.set(bytes.subarray(0, captured), at + 16);
    at += 16 + captured;
  }
  return file.subarray(0, at);
}

/** Builds a pcapng file of one section, with nanosecond times and interfaces of these names and link types. */
export function buildPcapng(
  frames: readonly TimedFrame[],
  interfaces: readonly (string | undefined)[] = [undefined],
  linkTypes: number | readonly number[] = 1,
): Uint8Array {
  const section = new Uint8Array(16);
  const sectionView = new DataView(section.buffer);
  sectionView.setUint32(0, 0x1a2b3c4d, true);
  sectionView.setUint16(4, 1, true);
  sectionView.setBigInt64(8, -1n, true);
  const blocks = [block(0x0a0d0d0a, section)];
  for (const [index, name] of interfaces.entries()) {
    const head = new Uint8Array(8);
    const view = new DataView(head.buffer);
    const linkType = typeof linkTypes === "number" ? linkTypes : (linkTypes[index] ?? 1);
    view.setUint16(0, linkType, true);
    view.setUint32(4, 262144, true);
    const nameOption = name === undefined ? EMPTY : option(2, new TextEncoder().encode(name));
    blocks.push(block(1, concat(head, nameOption, option(9, Uint8Array.of(9)), option(0, EMPTY))));
  }
  for (const { bytes, timestampNs, captured, captureInterface = 0 } of frames) {
    const shown = bytes.subarray(0, captured);
    const head = new Uint8Array(20);
    const view = new DataView(head.buffer);
    view.setUint32(0, captureInterface, true);
    view.setUint32(4, Number(timestampNs >> 32n), true);
    view.setUint32(8, Number(timestampNs & 0xffffffffn), true);
    view.setUint32(12, shown.length, true);
    view.setUint32(16, bytes.length, true);
    blocks.push(block(6, concat(head, shown, new Uint8Array((4 - (shown.length % 4)) % 4))));
  }
  return concat(...blocks);
}

function option(code: number, value: Uint8Array): Uint8Array {
  const head = new Uint8Array(4);
  const view = new DataView(head.buffer);
  view.setUint16(0, code, true);
  view.setUint16(2, value.length, true);
  return concat(head, value, new Uint8Array((4 - (value.length % 4)) % 4));
}

function block(type: number, body: Uint8Array): Uint8Array {
  const whole = new Uint8Array(12 + body.length);
  const view = new DataView(whole.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, whole.length, true);
  whole.set(body, 8);
  view.setUint32(whole.length - 4, whole.length, true);
  return whole;
}
