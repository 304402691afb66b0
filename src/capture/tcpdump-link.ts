/**
 * The link layer of a head line: MAC addresses, VLAN tags and the EtherType of `-e`, or the word that
 * tcpdump prints for what the frame holds. Decides if the network layer is IP, and which.
 */
import * as layout from "../../assembly/layout.ts";
import { skipBlanks } from "./tcpdump-line.ts";
import type { TextPacket } from "./tcpdump-packet.ts";
import { matchAt } from "./tcpdump-words.ts";

/** What the frame holds, by its link layer. */
export type LinkKind = "ipv4" | "ipv6" | "other" | "unreadable";

/** A link layer, and where the network layer starts. */
export interface Link {
  readonly link: LinkKind;
  readonly rest: number;
}

/**
 * Scans the link layer; undefined when none starts here.
 *
 * @param direction set behind the columns of `-i any`, where a lone MAC address may follow
 */
export function scanLink(
  text: string,
  at: number,
  packet: TextPacket,
  direction?: string,
): Link | undefined {
  const word = scanWord(text, at);
  if (word !== undefined) return word;
  const ethernet = scanEthernet(text, at, packet);
  if (ethernet !== undefined) return ethernet;
  if (direction !== undefined || text.startsWith("ifindex ", at)) {
    const cooked = matchAt(COOKED, text, at);
    if (cooked !== undefined) {
      packet.linkLength = cooked[1] === undefined ? COOKED_HEADER : COOKED2_HEADER;
      return scanEtherType(text, at + cooked[0].length, packet);
    }
  }
  return scanFamily(text, at) ?? scanTagged(text, at);
}

const IP =
  /IP(6?) +(?=\((?:tos|dscp|ttl|class|flowlabel|hlim) |\[(?:total|header|length)|truncated-ip|bad-h?len \d|[\w:.-]+ *(?:>|$))/y;
/** `IP` alone, or with what tcpdump says of a header that it cannot read. */
const BAD_IP = /IP(6?)(?= {1,2}\[|, wrong link-layer|$)| ?(?=\[\|ip(6?)\])/y;
const IN_FRONT =
  /(?:vlan \d+, p \d+, (?:DEI, )?|E?DSA [^,]{0,60}(?:, [^,]{1,60}){0,3}, VLAN \d+[a-z]+, |BRCM tag (?:[^,]{1,40}, ){1,8})(?=IP|ARP|STP)/y;

/** What tcpdump prints for frames that hold no IP, at the start of a record. */
const OTHER =
  /(?:(?:R?ARP|LLDP|CDPv\d|LACPv\d|MarkerV\d|OAM|STP|IS-IS|ES-IS|EAP|EAPOL|AoE|AARP|aarp|et1 AT|AT|PPPoE|PPPoED|LLC|LLDP|MPLS|NSH|Loopback|UDLDv\d|VTPv\d|DTPv\d|PTPv\d|SLARP|TIPC|CFMv\d|CALM|HomePlug|PAgP|802\.1|MACsec|Realtek|DEC|endnode-hello|lev-[12]-routing|rt-hello|IPX|NetBEUI|MS NLB|SNAP|GeoNetworking|IPCP|LCP|PAP|CHAP|VIRTIO|\d{1,2}\.\d{1,4} > \d{1,2}\.\d{1,4} \d+|UI [0-9a-f]{2}! (?:Pad! )?(?:IS-IS|ES-IS))(?=[ ,]|$))/y;

/** Those whose words no prose has: good for the start of a record without a time. */
const CERTAIN =
  /R?ARP, (?:Request|Reply|Reverse|Ethernet)|STP 802\.|LLDP, length|CDPv\d, |LACPv\d, length|IS-IS, L|[0-9a-f]{2}:/iy;

/** Tells whether a line with this link layer is a record even without a time. */
export function isCertain(text: string, link: Link, start: number): boolean {
  if (link.link === "unreadable") return false;
  if (link.link === "other") return matchAt(CERTAIN, text, start) !== undefined;
  const rest = text.slice(link.rest, link.rest + 400);
  return /^(?:\((?:tos|dscp|ttl|class|flowlabel|hlim) |\[|truncated-ip|bad-h?len \d|[\w:.-]+ >)/.test(
    rest,
  );
}

function scanWord(text: string, from: number): Link | undefined {
  const at = from + (matchAt(IN_FRONT, text, from)?.[0].length ?? 0);
  const ip = matchAt(IP, text, at) ?? matchAt(BAD_IP, text, at);
  if (ip !== undefined)
    return { link: (ip[1] ?? ip[2]) === "6" ? "ipv6" : "ipv4", rest: at + ip[0].length };
  return matchAt(OTHER, text, at) === undefined ? undefined : { link: "other", rest: at };
}

const MAC = /[0-9a-f]{2}(?::[0-9a-f]{2}){5}/iy;
/** The vendor of an address, printed without `-n`. */
const VENDOR = / \(oui [^)]{1,60}\)/y;
const COOKED =
  /(ifindex \d+ )?(?:[0-9a-f]{2}(?::[0-9a-f]{2}){0,7} )?(?:\(oui [^)]{1,60}\) )?(?=ethertype )/iy;

/** Bytes of the header, by link type; Linux cooked v2 alone prints the interface's number. */
const ETHERNET_HEADER = 14;
const COOKED_HEADER = 16;
const COOKED2_HEADER = 20;
const VLAN_TAG = 4;

function scanEthernet(text: string, from: number, packet: TextPacket): Link | undefined {
  const src = matchAt(MAC, text, from);
  if (src === undefined) return undefined;
  let at = from + src[0].length;
  at += matchAt(VENDOR, text, at)?.[0].length ?? 0;
  if (!text.startsWith(" > ", at)) return undefined;
  at += 3;
  const dst = matchAt(MAC, text, at);
  // Broadcast and vendors' multicast addresses are named without -n.
  const comma = text.indexOf(",", at);
  if (comma < 0) return undefined;
  packet.srcMac = bytesOfMac(src[0]);
  packet.dstMac = dst === undefined ? macOfName(text.slice(at, comma)) : bytesOfMac(dst[0]);
  if (packet.dstMac === undefined) delete packet.srcMac;
  const frame = / (?:802\.3|LLC)/y;
  const isOther = text.endsWith(" SNAP", comma) || matchAt(frame, text, comma + 1) !== undefined;
  if (isOther) return { link: "other", rest: comma };
  packet.linkLength = ETHERNET_HEADER;
  const quiet = matchAt(QUIET, text, comma + 2) !== undefined;
  const next = quiet ? comma + 2 : text.indexOf("ethertype ", comma);
  const typed = next < 0 ? undefined : scanEtherType(text, next, packet);
  return typed ?? { link: "unreadable", rest: comma };
}

function macOfName(name: string): readonly number[] | undefined {
  return name.startsWith("Broadcast") ? [255, 255, 255, 255, 255, 255] : undefined;
}

function bytesOfMac(text: string): readonly number[] {
  return text.split(":").map((pair) => parseInt(pair, 16));
}

const ETHER_TYPE = /ethertype ([^(,]{1,60})\(0x([0-9a-f]{4})\),? ?/iy;
/** `-q` has names alone. */
const QUIET_TYPE =
  /(?:(IPv[46]|(?:Reverse )?ARP|802\.1Q(?:-QinQ|-9[12]00)?|LLDP|EAPOL|PPPoE [DS]|MPLS (?:uni|multi)cast|Slow Protocols|Loopback|802\.1AE MACsec)|Unknown Ethertype \(0x([0-9a-f]{4})\)), /y;
const QUIET = /(?!ethertype )[^,:]{1,60}, length \d{1,6}:/y;
const TYPES: Readonly<Record<string, number>> = {
  IPv4: 0x0800,
  ARP: 0x0806,
  "Reverse ARP": 0x8035,
  "802.1Q": 0x8100,
  IPv6: 0x86dd,
  "Slow Protocols": 0x8809,
  "MPLS unicast": 0x8847,
  "MPLS multicast": 0x8848,
  "PPPoE D": 0x8863,
  "PPPoE S": 0x8864,
  EAPOL: 0x888e,
  "802.1Q-QinQ": 0x88a8,
  LLDP: 0x88cc,
  "802.1AE MACsec": 0x88e5,
  Loopback: 0x9000,
  "802.1Q-9100": 0x9100,
  "802.1Q-9200": 0x9200,
};
const LENGTH = /length (\d{1,6}): ?/y;
const TAG = /vlan (\d{1,4}), p \d, (?:DEI, )?/y;

/** `ethertype X (0xNNNN), length N: `, or `X, length N: `, with VLAN tags and their inner types behind. */
function scanEtherType(text: string, from: number, packet: TextPacket): Link | undefined {
  let at = from;
  for (let depth = 0; depth < 8; depth += 1) {
    const type = readEtherType(text, at);
    if (type === undefined) return depth === 0 ? undefined : { link: "unreadable", rest: at };
    packet.etherType = type.number;
    at = type.end;
    const length = matchAt(LENGTH, text, at);
    if (length !== undefined) {
      packet.frameLength = Number(length[1]);
      at += length[0].length;
    }
    at = skipBlanks(text, at);
    const tag = isTagType(packet.etherType) ? matchAt(TAG, text, at) : undefined;
    if (tag === undefined) return { link: kindOf(packet.etherType), rest: at };
    const known = depth === 0 && packet.etherType === 0x8100;
    packet.vlan = known ? Number(tag[1]) : OTHER_VLAN;
    at += tag[0].length;
    packet.linkLength = (packet.linkLength ?? 0) + VLAN_TAG;
  }
  return { link: "unreadable", rest: at };
}

function readEtherType(text: string, at: number): { number: number; end: number } | undefined {
  const spelt = matchAt(ETHER_TYPE, text, at);
  if (spelt !== undefined)
    return { number: parseInt(spelt[2] ?? "", 16), end: at + spelt[0].length };
  const quiet = matchAt(QUIET_TYPE, text, at);
  if (quiet === undefined) return undefined;
  const [all, name = "", number = ""] = quiet;
  return { number: TYPES[name] ?? parseInt(number, 16), end: at + all.length };
}

/** Of several tags, or another than one of 802.1Q. */
const OTHER_VLAN = layout.VLAN_OTHER - 1;

function isTagType(type: number): boolean {
  return type === 0x8100 || type === 0x88a8 || type === 0x9100 || type === 0x9200;
}

function kindOf(type: number): LinkKind {
  if (type === 0x0800) return "ipv4";
  if (type === 0x86dd) return "ipv6";
  // Below 0x600 the field is no type: tcpdump misread the header in front of it.
  return type < 0x600 || isTagType(type) ? "unreadable" : "other";
}

const FAMILY = /(?:[^,]{1,60}, ){0,3}(?:family|AF) (IPv[46]) \(\d+\), length \d+: /y;
const RAW = /(ip6?|IPv[46]): (?=\(|\[|[\w:.-]+ > )/y;

const IPV6 = /\((?:class|flowlabel|hlim) |[0-9a-f]{0,4}:/y;

/** The headers of NULL, LOOP, NFLOG and raw links with `-e`. */
function scanFamily(text: string, at: number): Link | undefined {
  const found = matchAt(FAMILY, text, at) ?? matchAt(RAW, text, at);
  if (found === undefined) return undefined;
  const rest = at + found[0].length;
  // Raw links print `ip: ` for both versions.
  if (found[1] === "ip" && matchAt(IPV6, text, rest) !== undefined) return { link: "ipv6", rest };
  return { link: found[1]?.endsWith("6") === true ? "ipv6" : "ipv4", rest };
}

const PPP = /(?:PPP[^:]{0,40}|IP6?) \(0x(0021|0057)\), length \d+: /y;

function scanTagged(text: string, at: number): Link | undefined {
  const ppp = matchAt(PPP, text, at);
  if (ppp === undefined) return undefined;
  return { link: ppp[1] === "0057" ? "ipv6" : "ipv4", rest: at + ppp[0].length };
}
