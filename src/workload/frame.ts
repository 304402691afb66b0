/**
 * Writes one Ethernet frame: IPv4 or IPv6, TCP, UDP, an ICMP echo, or a bare header of another protocol, with
 * valid checksums. Payloads are zeros.
 */
import type { Address } from "../net/address.ts";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP } from "../net/protocol.ts";

/** One packet in words. */
export interface FrameSpec {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: number;
  /** ICMP: the identifier of an echo. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** TCP; ICMP has `answers` only. */
  readonly flags: number;
  readonly sequence: number;
  readonly acknowledged: number;
  /** It goes against the flow's first packet. */
  readonly answers: boolean;
  readonly payload: number;
  /** Six bytes each; made up where absent. */
  readonly sourceMac?: readonly number[] | undefined;
  readonly destinationMac?: readonly number[] | undefined;
}

/** Bytes of the largest header this writes: Ethernet, IPv6 and TCP. */
export const HEADERS_MAX = 74;

const ETHERNET = 14;
const IPV4 = 20;
const IPV6 = 40;
const WINDOW = 65_535;
const TTL = 64;
/** As Calico's interfaces have it. */
const MAC_TO = [0xee, 0xee, 0xee, 0xee, 0xee, 0xee];
const MAC_FROM = [2, 0, 0, 0, 0, 1];

/** Bytes of a packet's headers, the Ethernet header included. */
export function headerBytes({ source, protocol }: FrameSpec): number {
  return ETHERNET + (source.family === 4 ? IPV4 : IPV6) + transportBytes(protocol);
}

/** Writes the headers; all bytes behind them are left as they are. */
export function writeHeaders(view: DataView, at: number, spec: FrameSpec): void {
  const { source, destination, protocol, payload } = spec;
  const six = source.family === 6;
  const { sourceMac = MAC_FROM, destinationMac = MAC_TO } = spec;
  for (let byte = 0; byte < 6; byte++) {
    view.setUint8(at + byte, destinationMac[byte] ?? 0);
    view.setUint8(at + 6 + byte, sourceMac[byte] ?? 0);
  }
  view.setUint16(at + 12, six ? 0x86dd : 0x0800);
  const ip = at + ETHERNET;
  const length = transportBytes(protocol) + payload;
  let sum = protocol + length;
  const count = six ? 4 : 1;
  for (let word = 0; word < count; word++) {
    sum += halves(source.words[word] ?? 0) + halves(destination.words[word] ?? 0);
    view.setUint32(ip + (six ? 8 : 12) + word * 4, source.words[word] ?? 0);
    view.setUint32(ip + (six ? 24 : 16) + word * 4, destination.words[word] ?? 0);
  }
  if (six) {
    view.setUint32(ip, 0x60000000);
    view.setUint32(ip + 4, ((length << 16) | (protocol << 8) | TTL) >>> 0);
  } else {
    view.setUint32(ip, 0x45000000 + IPV4 + length);
    view.setUint32(ip + 4, 0x00004000);
    view.setUint32(ip + 8, (TTL << 24) | (protocol << 16));
    view.setUint16(ip + 10, checksum(view, ip, IPV4, 0));
  }
  writeTransport(view, ip + (six ? IPV6 : IPV4), spec, sum);
}

function writeTransport(view: DataView, at: number, spec: FrameSpec, pseudo: number): void {
  const { protocol, payload, sourcePort, destinationPort, answers } = spec;
  switch (protocol) {
    case PROTOCOL_TCP:
      view.setUint16(at, sourcePort);
      view.setUint16(at + 2, destinationPort);
      view.setUint32(at + 4, spec.sequence);
      view.setUint32(at + 8, spec.acknowledged);
      view.setUint32(at + 12, (0x50000000 | (spec.flags << 16) | WINDOW) >>> 0);
      view.setUint32(at + 16, 0);
      view.setUint16(at + 16, checksum(view, at, 20, pseudo));
      return;
    case PROTOCOL_UDP: {
      view.setUint16(at, sourcePort);
      view.setUint16(at + 2, destinationPort);
      view.setUint32(at + 4, (8 + payload) << 16);
      const sum = checksum(view, at, 8, pseudo);
      // > If the computed checksum is zero, it is transmitted as all ones (RFC 768).
      view.setUint16(at + 6, sum === 0 ? 0xffff : sum);
      return;
    }
    case PROTOCOL_ICMP:
    case PROTOCOL_ICMPV6: {
      const six = protocol === PROTOCOL_ICMPV6;
      const type = six ? (answers ? 129 : 128) : answers ? 0 : 8;
      view.setUint32(at, (type << 24) >>> 0);
      view.setUint32(at + 4, sourcePort << 16);
      view.setUint16(at + 2, checksum(view, at, 8, six ? pseudo : 0));
      return;
    }
    default:
      view.setUint32(at, 0);
      view.setUint32(at + 4, 0);
  }
}

function transportBytes(protocol: number): number {
  return protocol === PROTOCOL_TCP ? 20 : 8;
}

function halves(word: number): number {
  return (word >>> 16) + (word & 0xffff);
}

function checksum(view: DataView, at: number, size: number, start: number): number {
  let sum = start;
  for (let offset = 0; offset < size; offset += 2) sum += view.getUint16(at + offset);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~(sum + (sum >>> 16)) & 0xffff;
}
