// ICMP errors, and where the transport header lies in the packet that one quotes.
import { chainOffset, walkQuote } from "./decode-extension";
import { KNOWN_ICMP } from "./layout";
import { Packet } from "./records";

/** Bytes in front of the quote. */
export const ICMP_HEADER: u32 = 8;

const IPV4_HEADER: u32 = 20;
const IPV6_HEADER: u32 = 40;
const IPV6_NEXT_HEADER: usize = 6;

/** Tells whether a packet is an ICMP error, which belongs to the connection that it quotes. */
export function isIcmpError(packet: Packet): bool {
  if ((packet.known & KNOWN_ICMP) == 0) return false;
  const type = packet.icmpType;
  if (packet.protocol == 1) return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
  return packet.protocol == 58 && ((type >= 1 && type <= 4) || type == 137);
}

/**
 * Length of the IP header that an error quotes, with what extends it; it was captured, or nothing would be
 * known of it.
 */
export function quotedHeader(packet: Packet): u32 {
  const at: usize = packet.transport + ICMP_HEADER;
  const plain: u32 = packet.family == 4 ? IPV4_HEADER : IPV6_HEADER;
  if (packet.transport == 0 || packet.end < <u32>at + plain) return plain;
  if (packet.family == 4) return ((<u32>load<u8>(at)) & 15) << 2;
  const behind = packet.end - <u32>at - IPV6_HEADER;
  walkQuote(load<u8>(at, IPV6_NEXT_HEADER), at + IPV6_HEADER, behind);
  return IPV6_HEADER + chainOffset;
}
