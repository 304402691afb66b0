/**
 * What a record says behind its two ends: the transport protocol, as far as the words prove it, and the
 * fields of TCP. tcpdump names TCP only by `Flags [`, so UDP has to be told by its payload's words.
 */
import type { Family } from "../net/address.ts";
import { parseIcmp } from "./tcpdump-icmp.ts";
import type { TextPacket } from "./tcpdump-packet.ts";
import { headEnd, matchWords, numberIn, type Words } from "./tcpdump-words.ts";

const TCP =
  /(?:(?:\[bad hdr length|Flags) ?\[|tcp \d|\[\|tcp\]|\[tcp|[SFPRWEU.]{1,8} (?:\d+:\d+\(\d+\)|ack \d))/y;
const UDP_SUM = /(?:\[(?:udp sum ok|bad udp cksum|no cksum|\|udp)|UDP[, ]|udp \d|\[udp)/y;
/** A DNS message: id, flags, then counts, a question or a response code. */
const DNS =
  /(?:\d{1,5}[-+*%|$]*(?: (?:\[[^\]]{1,40}\]|[A-Z][A-Za-z0-9]{1,20}[-+*%|$]*|q:|updateM?A?D?|notify|stat|inv_q|op\d+)[-+*%|$]*){0,4} (?:\d+\/\d+\/\d+|[A-Za-z0-9-]{1,20}\??(?: \([A-Z]+\))?\? )|domain \[length)/y;
/** First words of what tcpdump decodes in UDP and nowhere else without `Flags [`. */
const UDP_PAYLOAD =
  /(?:NTPv\d|BOOTP\/DHCP|dhcp6|SNMP|\{ ?SNMPv|C="|GetRequest|GetNextRequest|TFTP, length|BFDv\d|BFD,|LISP-|LMPv\d|LSP-PING|LDP, |RIPv\d|RIPng|ripng|HSRPv\d|VXLAN|OTV,|Geneve|GTP|l2tp:|RADIUS|sFlow|OLSRv\d|babel|hncp|AHCP|SIP|SYSLOG|NBT UDP|NetBIOS|isakmp|NONESP-encap|UDP-encap|isakmp-nat-keep-alive|auto-rp|aodv|lwres|kerberos|rx |TSP_|\(tsp_type|MPLS \(|BCM-LI|LWAPP|CAPWAP|PTPv\d|SOMEIP|zephyr|ZMTP|zmtp|NetFlow|RTP|rtp|rtcp|rtsp|quic|udp\/|sr |rr |wb-|vat|cnfp|Teredo|ESP\(spi|LANE|PGM|OpenVPN|MSDPv?|XDMCP|CUPS|NSH|ISO-TSAP|coap|DTLS|\[!|\[\|(?:snmp|isakmp|domain|ntp|bootp|dhcp6|rip|tftp|radius|kerberos|l2tp|bfd|lisp|hsrp|vxlan|otv|sflow|ptp|lwres|babel|aodv|olsr|rx|zephyr|ldp|lspping|lmp|cnfp|nfs|syslog|sip|geneve|gtp|mpls|lwapp))/y;
const NFS =
  /(?:\d{1,9} (?:null|getattr|setattr|root|lookup|readlink|read|writecache|write|create|remove|rename|link|symlink|mkdir|rmdir|readdir|readdirplus|fsstat|fsinfo|statfs|access|mknod|pathconf|commit|proc)\b|reply (?:ok|ERR|Unknown))/y;

/** First words by protocol, for packets without ports. */
const NAMES: readonly (readonly [words: RegExp, protocol: number])[] = [
  [/(?:\[[^\]]{1,80}\] ?)?ICMP6\b/y, 58],
  [/(?:\[[^\]]{1,80}\] ?)?ICMP\b/y, 1],
  [/igmp\b/y, 2],
  [/GREv\d|gre-proto-|gre \[/y, 47],
  [/ESP\(spi/y, 50],
  [/AH\(/y, 51],
  [/IPComp\(/y, 108],
  [/OSPFv\d/y, 89],
  [/PIMv\d/y, 103],
  [/VRRPv\d|CARPv\d/y, 112],
  [/RSVPv\d/y, 46],
  [/EIGRP\b/y, 88],
  [/egp: /y, 8],
  [/igrp: /y, 9],
  [/no next header/y, 59],
  [/sctp/y, 132],
  [/DCCP /y, 33],
];

/** The protocol that the words prove; undefined when they leave a choice. */
export function protocolOf(
  words: Words,
  family: Family | undefined,
  ported: boolean,
): number | undefined {
  if (starts(TCP, words)) return 6;
  if (starts(/sctp[ [(]/y, words)) return 132;
  if (starts(/DCCP[ (]/y, words)) return 33;
  // NFS is printed alike for UDP and, by older versions, for TCP.
  if (starts(NFS, words)) return undefined;
  if (starts(UDP_SUM, words)) return 17;
  if (ported || words.chained) {
    const udp = starts(DNS, words) || starts(UDP_PAYLOAD, words);
    if (udp && ported) return 17;
  }
  if (ported) return undefined;
  const raw = matchWords(/ip-proto-(\d{1,3})\b/y, words)?.[1];
  if (raw !== undefined) return Number(raw);
  // Behind IPv6 an Ethernet frame (143) is printed alike, so there the words prove nothing.
  const inner = family === 4 ? matchWords(/IP(6?) /y, words)?.[1] : undefined;
  if (inner !== undefined) return inner === "6" ? 41 : 4;
  if (starts(/[\d.]+ > [\d.]+: PGM/y, words)) return 113;
  // With -e the inner packet of a tunnel comes without its `IP`.
  if (family === 4 && starts(/[\d.]{7,15}(?:\.[\w-]+)? > /y, words)) return 4;
  if (family === 4 && starts(/[0-9a-f]{0,4}:[0-9a-f:.]+(?:\.[\w-]+)? > /y, words)) return 41;
  // The name of the protocol alone: a later fragment, printed without -n.
  const alone = matchWords(/(tcp|udp|icmp|sctp|dccp)(?=\s*$)/y, words)?.[1];
  if (alone !== undefined) return { tcp: 6, udp: 17, icmp: 1, sctp: 132, dccp: 33 }[alone];
  return NAMES.find(([name]) => starts(name, words))?.[1];
}

/** Payloads that are printed behind ends without ports, too. */
const BOTH = /ESP\(|MPLS|NSH|PGM|LANE|\[!|\[\|mpls/y;

/** Tells whether the words are a UDP payload's, so that names in front of them end in ports. */
export function isUdpPayload(words: Words): boolean {
  return (
    !starts(BOTH, words) &&
    !starts(NFS, words) &&
    (starts(DNS, words) || starts(UDP_PAYLOAD, words))
  );
}

/** Tells whether the words are a DNS message. */
export function isDnsMessage(words: Words): boolean {
  return starts(DNS, words);
}

/** Fills what the words tell of the transport header. */
export function parseTransport(words: Words, packet: TextPacket): void {
  markLaterFragment(words, packet);
  if ((packet.fragmentOffset ?? 0) > 0) return;
  if (packet.protocol === 6) parseTcp(words, packet);
  else if (packet.protocol === 17) {
    const length = matchWords(
      /(?:\[[^\]]{1,60}\] )?(?:UDP, length|udp) (\d{1,5})(?!\d| \d)/y,
      words,
    )?.[1];
    if (length !== undefined) packet.payloadLength = Number(length);
  } else if (packet.protocol === 1 || packet.protocol === 58) parseIcmp(words, packet);
}

/**
 * > if this isn't the first frag, we're missing the next level protocol header. print the ip addr and
 * > the protocol: `ip-proto-17`, or its name, for a protocol that tcpdump otherwise decodes.
 */
function markLaterFragment(words: Words, packet: TextPacket): void {
  if (packet.family !== 4 || packet.fragmentOffset !== undefined) return;
  if (
    starts(
      /(?:ip-proto-(?:1|2|4|6|8|17|33|41|46|47|50|51|88|89|103|108|112|113|132)|tcp|udp|icmp|sctp|dccp)\s*$/y,
      words,
    )
  )
    packet.laterFragment = true;
}

const FLAG_BITS: Readonly<Record<string, number>> = {
  F: 0x01,
  S: 0x02,
  R: 0x04,
  P: 0x08,
  ".": 0x10,
  U: 0x20,
  E: 0x40,
  W: 0x80,
};

function parseTcp(words: Words, packet: TextPacket): void {
  const flags = matchWords(/Flags \[(none|[FSRP.UEWe]{1,9})\]/y, words);
  if (flags === undefined) return parseOldTcp(words, packet);
  packet.tcpFlags = flagBits(flags[1] ?? "");
  const behind = words.at + flags[0].length;
  const end = headEnd(words.text, behind);
  // With the comma, by which a number is whole.
  const rest = words.text.slice(behind, end === undefined ? words.at + 4000 : end + 1);
  packet.tcpSeq = numberIn(rest, /^(?:, cksum [^,]{1,60})?, seq (\d{1,10})(?=[:,])/);
  packet.tcpWindow = numberIn(rest, /, win (\d{1,5})(?=,)/);
  const acked = (packet.tcpFlags & 0x10) !== 0;
  packet.tcpAck = numberIn(rest, /, ack (\d{1,10})(?=,)/) ?? (acked ? undefined : 0);
  if (end !== undefined)
    packet.payloadLength = numberIn(
      words.text.slice(end, end + 24),
      /^, length (\d{1,5})(?![\d]| \d)/,
    );
  if ((packet.tcpFlags & 0x02) !== 0) packet.tcpSegment = segmentSize(rest);
}

/** The largest, as each may be the one that counts. */
function segmentSize(text: string): number | undefined {
  const sizes = [...text.matchAll(/[[,]mss (\d{1,5})(?=[,\]])/g)].map(([, size]) => Number(size));
  return sizes.length === 0 ? undefined : Math.max(...sizes);
}

/** tcpdump before 4.0: `P 1:5(4) ack 1 win 65535`. */
function parseOldTcp(words: Words, packet: TextPacket): void {
  const old = matchWords(
    /(?:\[[^\]]{1,60}\] )?([SFPRWEU.]{1,8})(?: \[[^\]]{1,60}\])? (?:(\d{1,10}):\d{1,10}\((\d{1,5})\)|(?=ack))/y,
    words,
  );
  if (old === undefined) {
    packet.payloadLength =
      matchWords(/tcp (\d{1,5})(?!\d| \d)/y, words)?.[1] === undefined
        ? undefined
        : Number(matchWords(/tcp (\d{1,5})(?!\d| \d)/y, words)?.[1]);
    return;
  }
  const rest = words.text.slice(words.at + old[0].length, words.at + 4000);
  const ack = numberIn(rest, /^ ?ack (\d{1,10})\b/);
  // The old format spells ACK by its number; the letter is there only when no other flag is.
  packet.tcpFlags = flagBits(old[1] ?? "") | (ack === undefined ? 0 : 0x10);
  packet.tcpSeq = old[2] === undefined ? undefined : Number(old[2]);
  packet.tcpAck = ack ?? 0;
  packet.tcpWindow = numberIn(rest, /\bwin (\d{1,5})\b/);
  packet.payloadLength = old[3] === undefined ? undefined : Number(old[3]);
}

function flagBits(letters: string): number {
  if (letters === "none") return 0;
  return [...letters].reduce((bits, letter) => bits | (FLAG_BITS[letter] ?? 0), 0);
}

function starts(expression: RegExp, words: Words): boolean {
  return matchWords(expression, words) !== undefined;
}
