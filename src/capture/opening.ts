/**
 * The packet that opens a connection, for questions that no capture answers: a TCP SYN, a UDP datagram,
 * an SCTP INIT or an ICMP echo request. What the question leaves open is left unknown in the record.
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
}

/** The first of the ports that Linux hands to clients (ip_local_port_range). */
const CLIENT_PORT = 32768;
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
  const { source, destination, protocol, destinationPort } = opening;
  const at = batch.append();
  const view = batch.view;
  const family = source.family;
  const ipLength = (family === 4 ? 20 : 40) + (HEADER_SIZES.get(protocol ?? 0) ?? 0);
  let known = layout.KNOWN_SRC | layout.KNOWN_DST | layout.KNOWN_TTL | layout.KNOWN_FRAGMENT;
  view.setUint32(at + layout.PACKET_FLAGS, layout.PACKET_DECODED, true);
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
    known |= layout.KNOWN_TCP_FLAGS | layout.KNOWN_TCP_SEQ;
    view.setUint8(at + layout.PACKET_TCP_FLAGS, TCP_SYN);
    view.setUint8(at + layout.PACKET_TCP_OFFSET, 5);
    view.setUint16(at + layout.PACKET_TCP_WINDOW, 65535, true);
  }
  if (protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6) {
    known |= layout.KNOWN_ICMP | layout.KNOWN_ICMP_ID;
    const type = protocol === PROTOCOL_ICMP ? ECHO_REQUEST : ECHO_REQUEST_V6;
    view.setUint8(at + layout.PACKET_ICMP_TYPE, type);
  }
  if (protocol !== undefined && destinationPort !== undefined) {
    known |= layout.KNOWN_PORTS;
    view.setUint16(at + layout.PACKET_SPORT, CLIENT_PORT, true);
    view.setUint16(at + layout.PACKET_DPORT, destinationPort, true);
  }
  view.setUint32(at + layout.PACKET_KNOWN, known, true);
}
