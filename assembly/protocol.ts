// IP protocol numbers that the matcher treats by name (IANA, "Assigned Internet Protocol Numbers").
export const PROTOCOL_ICMP: u32 = 1;
export const PROTOCOL_IGMP: u32 = 2;
export const PROTOCOL_IPIP: u32 = 4;
export const PROTOCOL_TCP: u32 = 6;
export const PROTOCOL_UDP: u32 = 17;
export const PROTOCOL_DCCP: u32 = 33;
export const PROTOCOL_IPV6: u32 = 41;
export const PROTOCOL_GRE: u32 = 47;
export const PROTOCOL_ICMPV6: u32 = 58;
export const PROTOCOL_SCTP: u32 = 132;
export const PROTOCOL_UDPLITE: u32 = 136;

/**
 * Tells whether a protocol's connections have ports.
 * > DCCP is followed like a protocol that nobody knows. Before Linux 6.17 it was not.
 */
export function hasPorts(protocol: u32): bool {
  return (
    protocol == PROTOCOL_TCP ||
    protocol == PROTOCOL_UDP ||
    protocol == PROTOCOL_SCTP ||
    protocol == PROTOCOL_UDPLITE
  );
}
