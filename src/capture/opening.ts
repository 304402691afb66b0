/**
 * The packet that opens a connection, for questions that no capture answers: a TCP SYN, a UDP datagram,
 * an SCTP INIT or an ICMP echo request; or a later one of it. What the question leaves open is left unknown in the record.
 */
import * as layout from "../../assembly/layout.ts";
import type { Address } from "../net/address.ts";
import {
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../net/protocol.ts";
import type { PacketBatch } from "./batch.ts";

/** What is known of a connection before it exists. */
export interface Opening {
  readonly source: Address;
  readonly destination: Address;
  /** Undefined: any. */
  readonly protocol: number | undefined;
  /** Undefined: any, or the protocol has none. */
  readonly destinationPort: number | undefined;
  /** Of the client; where it is left out, the first that Linux hands out. */
  readonly sourcePort?: number;
  /** ICMP: the query's type, in place of an echo's, and its code, in place of 0. */
  readonly icmpType?: number;
  readonly icmpCode?: number;
  readonly icmpId?: number;
  /** The packet is a later one of the connection: TCP has these flags, and SCTP no chunk that is known. */
  readonly later?: { readonly tcpFlags: number };
  /** Undefined: the packet has no time. */
  readonly timestampNs?: bigint;
}

/** The first of the ports that Linux hands to clients (ip_local_port_range). */
export const CLIENT_PORT = 32_768;
const TTL = 64;
const TCP_SYN = 0x02;
const ECHO_REQUEST = 8;
const ECHO_REQUEST_V6 = 128;
const HEADER_SIZES: ReadonlyMap<number, number> = new Map([
  [PROTOCOL_TCP, 20],
  [PROTOCOL_UDP, 8],
  // The common header and an INIT chunk: RFC 9260, 3.3.2.
  [PROTOCOL_SCTP, 32],
  [PROTOCOL_ICMP, 8],
  [PROTOCOL_ICMPV6, 8],
]);

/** Appends the opening packet to a batch that has room. */
export function appendOpening(batch: PacketBatch, opening: Opening): void {
  const { source, destination, protocol, destinationPort, timestampNs } = opening;
  const at = batch.append();
  const view = batch.view;
  const family = source.family;
  const ipLength = (family === 4 ? 20 : 40) + (HEADER_SIZES.get(protocol ?? 0) ?? 0);
  let known = layout.KNOWN_SRC | layout.KNOWN_DST | layout.KNOWN_TTL | layout.KNOWN_FRAGMENT;
  const timed = timestampNs === undefined ? 0 : layout.PACKET_HAS_TIME;
  view.setUint32(at + layout.PACKET_FLAGS, layout.PACKET_DECODED | timed, true);
  if (timestampNs !== undefined) view.setBigUint64(at + layout.PACKET_TIMESTAMP, timestampNs, true);
  view.setUint32(at + layout.PACKET_CAPTURED_LENGTH, ipLength, true);
  view.setUint32(at + layout.PACKET_ORIGINAL_LENGTH, ipLength, true);
  view.setUint8(at + layout.PACKET_FAMILY, family);
  view.setUint8(at + layout.PACKET_TTL, TTL);
  batch.setAddress(at, layout.PACKET_SRC, source);
  batch.setAddress(at, layout.PACKET_DST, destination);
  if (protocol !== undefined) {
    known |= layout.KNOWN_PROTOCOL | layout.KNOWN_IP_LENGTH;
    known |= layout.KNOWN_PAYLOAD_LENGTH;
    view.setUint8(at + layout.PACKET_PROTOCOL, protocol);
    view.setUint32(at + layout.PACKET_IP_LENGTH, ipLength, true);
  }
  if (protocol === PROTOCOL_TCP) {
    const { later } = opening;
    known |= layout.KNOWN_TCP_FLAGS | (later === undefined ? layout.KNOWN_TCP_SEQ : 0);
    view.setUint8(at + layout.PACKET_TCP_FLAGS, later?.tcpFlags ?? TCP_SYN);
    view.setUint8(at + layout.PACKET_TCP_OFFSET, 5);
    view.setUint16(at + layout.PACKET_TCP_WINDOW, 65535, true);
  }
  if (protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6) {
    known |= layout.KNOWN_ICMP | layout.KNOWN_ICMP_ID;
    const echo = protocol === PROTOCOL_ICMP ? ECHO_REQUEST : ECHO_REQUEST_V6;
    view.setUint8(at + layout.PACKET_ICMP_TYPE, opening.icmpType ?? echo);
    view.setUint8(at + layout.PACKET_ICMP_CODE, opening.icmpCode ?? 0);
    view.setUint16(at + layout.PACKET_ICMP_ID, opening.icmpId ?? 0, true);
  }
  if (protocol !== undefined && destinationPort !== undefined) {
    known |= layout.KNOWN_PORTS;
    view.setUint16(at + layout.PACKET_SPORT, opening.sourcePort ?? CLIENT_PORT, true);
    view.setUint16(at + layout.PACKET_DPORT, destinationPort, true);
  }
  view.setUint32(at + layout.PACKET_KNOWN, known, true);
  if (opening.later !== undefined) return;
  if (protocol === PROTOCOL_SCTP && destinationPort !== undefined) {
    writeInit(batch, at, { ...opening, destinationPort });
  }
}

/** Where the fields of an INIT lie in an SCTP packet. */
const CHUNK = 12;
const INIT_SIZE = 20;

/** What the chunks of an SCTP packet are is told by its bytes alone: those of an INIT. */
function writeInit(
  batch: PacketBatch,
  at: number,
  { source, destination, destinationPort, sourcePort }: Opening & { destinationPort: number },
): void {
  const ip = source.family === 4 ? 20 : 40;
  const size = ip + CHUNK + INIT_SIZE;
  const base = batch.reserve(size);
  if (base === undefined) throw new Error("bug: a batch of openings fits into its arena");
  const { view } = batch;
  new Uint8Array(view.buffer, base, size).fill(0);
  if (ip === 20) {
    view.setUint32(base, 0x45000000 | size);
    view.setUint32(base + 4, 0x00004000);
    view.setUint16(base + 8, (TTL << 8) | PROTOCOL_SCTP);
    view.setUint32(base + 12, source.words[0]);
    view.setUint32(base + 16, destination.words[0]);
    let sum = 0;
    for (let half = 0; half < ip; half += 2) sum += view.getUint16(base + half);
    sum = (sum & 0xffff) + (sum >>> 16);
    view.setUint16(base + 10, ~(sum + (sum >>> 16)) & 0xffff);
  } else {
    view.setUint32(base, 0x60000000);
    view.setUint32(base + 4, ((size - ip) << 16) | (PROTOCOL_SCTP << 8) | TTL);
    source.words.forEach((word, index) => view.setUint32(base + 8 + 4 * index, word));
    destination.words.forEach((word, index) => view.setUint32(base + 24 + 4 * index, word));
  }
  const sctp = base + ip;
  view.setUint16(sctp, sourcePort ?? CLIENT_PORT);
  view.setUint16(sctp + 2, destinationPort);
  view.setUint32(sctp + CHUNK, (1 << 24) | INIT_SIZE);
  // Initiate tag, window, streams both ways, first sequence number: none may be zero.
  view.setUint32(sctp + CHUNK + 4, 1);
  view.setUint32(sctp + CHUNK + 8, 65_535);
  view.setUint32(sctp + CHUNK + 12, 0x00010001);
  view.setUint32(sctp + CHUNK + 16, 1);
  view.setUint32(at + layout.PACKET_NETWORK, base, true);
  view.setUint32(at + layout.PACKET_TRANSPORT, sctp, true);
  view.setUint32(at + layout.PACKET_END, base + size, true);
}
