// Where the transport header lies in the packet that an ICMP error quotes.
import { chainOffset, walkQuote } from "./decode-extension";
import { Packet } from "./records";

/** Bytes in front of the quote. */
export const ICMP_HEADER: u32 = 8;

const IPV4_HEADER: u32 = 20;
const IPV6_HEADER: u32 = 40;
const IPV6_NEXT_HEADER: usize = 6;

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
