// What connection tracking reads of SCTP: the first chunk. Source: RFC 9260, section 3.2.
import { Packet } from "./records";

const HEADER_SIZE: u32 = 12;

export const SCTP_INIT: i32 = 1;
export const SCTP_HEARTBEAT: i32 = 4;

/** Type of the first chunk; -1 when it was not captured. */
export function firstSctpChunk(packet: Packet): i32 {
  const transport = packet.transport;
  if (transport == 0 || transport > packet.end) return -1;
  if (packet.end - transport <= HEADER_SIZE) return -1;
  return load<u8>(transport, HEADER_SIZE);
}
