// Which packets of GRE belong to no connection. Source: Linux, nf_conntrack_proto_gre.c, gre_pkt_to_tuple().
import { ICMP_HEADER, quotedHeader } from "./quote";
import { Packet } from "./records";

/** > GRE of version 1 that carries no PPP has no tuple. */
export function isOddGre(packet: Packet): bool {
  const header: usize = packet.transport;
  if (packet.protocol != 47 || header == 0 || packet.end - packet.transport < 8) return false;
  const version = load<u8>(header, 1) & 7;
  return version == 1 && bswap<u16>(load<u16>(header, 2)) != GRE_PPP;
}

const GRE_PPP: u16 = 0x880b;

/** Tells the same of the header that an error quotes, where that was captured. */
export function quotesOddGre(packet: Packet): bool {
  if (packet.transport == 0) return false;
  const header: usize = packet.transport + ICMP_HEADER + quotedHeader(packet);
  if (<usize>packet.end < header + 8) return false;
  const version = load<u8>(header, 1) & 7;
  return version == 1 && bswap<u16>(load<u16>(header, 2)) != GRE_PPP;
}
