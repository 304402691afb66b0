/**
 * Protocol numbers and the names iptables and tcpdump print for them.
 * Source: IANA protocol numbers; Debian's /etc/protocols for the spelling.
 */

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMPV6 = 58;
export const PROTOCOL_SCTP = 132;
export const PROTOCOL_DCCP = 33;
export const PROTOCOL_UDPLITE = 136;

const NAMES: readonly (readonly [number: number, name: string])[] = [
  [1, "icmp"],
  [2, "igmp"],
  [4, "ipencap"],
  [6, "tcp"],
  [17, "udp"],
  [33, "dccp"],
  [41, "ipv6"],
  [47, "gre"],
  [50, "esp"],
  [51, "ah"],
  [58, "ipv6-icmp"],
  [88, "eigrp"],
  [89, "ospf"],
  [103, "pim"],
  [108, "ipcomp"],
  [112, "vrrp"],
  [132, "sctp"],
  [136, "udplite"],
];

const nameByNumber = new Map(NAMES);
const numberByName = new Map(NAMES.map(([number, name]) => [name, number]));

/** The name iptables-save prints for a protocol; the number itself when it has none. */
export function protocolName(protocol: number): string {
  return nameByNumber.get(protocol) ?? `${protocol}`;
}

/** The number of a protocol given by name (any case) or number; undefined when there is none. */
export function protocolNumber(text: string): number | undefined {
  if (/^\d{1,3}$/.test(text)) return Number(text) <= 255 ? Number(text) : undefined;
  return numberByName.get(text.toLowerCase());
}
