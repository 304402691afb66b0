/** How long a packet is where its IP header is not printed, by what the rest of the words says. */
import type { Chain } from "./tcpdump-extension.ts";
import type { TextPacket } from "./tcpdump-packet.ts";
import { isDnsMessage } from "./tcpdump-transport.ts";
import { matchAt, matchWords, numberIn, type Words } from "./tcpdump-words.ts";

/** A length that other words than the header's make. */
export interface ToldLength {
  readonly bytes: number;
  /** The packet has as many, and maybe more for what is never printed. */
  readonly sure: boolean;
}

const IPV4_HEADER = 20;
export const IPV6_HEADER = 40;
/** The least that an extension header has. */
export const EXTENSION = 8;
const TCP_HEADER = 20;
const TCP_OPTIONS_MAX = 40;
const UDP_HEADER = 8;
const ICMP_HEADER = 8;
/** A query, or a report of one group. */
const MULTICAST_LISTENER = 24;
const MULTICAST_RECORD = 20;
const ETHERNET_HEADER = 14;
const COOKED_HEADER = 16;
const VLAN_TAG = 4;

/** Tells the length; undefined where nothing does. IPv4 options are not thought of. */
export function tellLength(chain: Chain, words: Words, packet: TextPacket): ToldLength | undefined {
  const headers = packet.family === 4 ? IPV4_HEADER : IPV6_HEADER + EXTENSION * chain.count;
  const behind =
    chain.fragment === undefined
      ? transportLength(words, packet)
      : { bytes: chain.fragment, sure: true };
  const told = behind && { bytes: headers + behind.bytes, sure: behind.sure };
  const most = mostByFrame(packet);
  // > A first fragment's line has the length of the datagram; a frame may be longer than its packet.
  if (most === undefined || (told !== undefined && told.bytes <= most)) return told;
  return { bytes: most, sure: false };
}

function mostByFrame({ frameLength, srcMac, vlan }: TextPacket): number | undefined {
  if (frameLength === undefined) return undefined;
  const header = srcMac === undefined ? COOKED_HEADER : ETHERNET_HEADER;
  return Math.max(0, frameLength - header - (vlan === undefined ? 0 : VLAN_TAG));
}

function transportLength(words: Words, packet: TextPacket): ToldLength | undefined {
  const least = leastTransport(words, packet);
  if (least === undefined) return packet.protocol === 17 ? lengthAtEnd(words) : undefined;
  if (packet.protocol !== 6) return { bytes: least, sure: true };
  const options = optionsLength(words);
  return { bytes: least + (options ?? TCP_OPTIONS_MAX), sure: options !== undefined };
}

/** Other messages in UDP, of which many end in their length. */
function lengthAtEnd(words: Words): ToldLength | undefined {
  const payload = numberIn(words.text.slice(-16), /, length (\d{1,5})$/);
  return payload === undefined ? undefined : { bytes: UDP_HEADER + payload, sure: false };
}

/** Bytes behind the IP headers, at least; undefined where nothing is told, and of later fragments. */
export function leastTransport(words: Words, packet: TextPacket): number | undefined {
  const { protocol, payloadLength, fragmentOffset = 0, moreFragments, laterFragment } = packet;
  if (fragmentOffset > 0 || moreFragments === true || laterFragment === true) return undefined;
  if (protocol === 6) return payloadLength === undefined ? undefined : TCP_HEADER + payloadLength;
  if (protocol === 17) {
    const payload = payloadLength ?? messageLength(words);
    return payload === undefined ? undefined : UDP_HEADER + payload;
  }
  if (protocol === 1 || protocol === 58)
    return (
      numberIn(words.text.slice(words.at), /, length (\d{1,5})(?: *$|: )/) ??
      leastIcmp(words, packet)
    );
  const [, named, raw] = matchWords(OTHERS, words) ?? [];
  const told = named ?? raw;
  return told === undefined ? undefined : Number(told);
}

/** Protocols of which tcpdump prints how much of them is there. */
const OTHERS =
  /(?:ESP\([^)]{1,60}\)|GREv\d(?:, [^,:]{1,40}){0,6}?), length (\d{1,5})(?=:|$)|ip-proto-\d{1,3} (\d{1,5})$/y;

/** A message of DNS ends in its length. */
function messageLength(words: Words): number | undefined {
  if (!isDnsMessage(words)) return undefined;
  return numberIn(words.text.slice(-8), / \((\d{1,5})\)$/);
}

// > ICMPv6's length is not printed with -v.
function leastIcmp(words: Words, { protocol, icmpType }: TextPacket): number {
  if (protocol !== 58 || icmpType === undefined) return ICMP_HEADER;
  if (icmpType >= 130 && icmpType <= 132) return MULTICAST_LISTENER;
  const records = icmpType === 143 ? numberIn(words.text, /, (\d{1,4}) group record/) : undefined;
  return ICMP_HEADER + (records ?? 0) * MULTICAST_RECORD;
}

const OPTIONS = ", options [";
/** What most segments have. */
const STAMPS = /nop,nop,TS val \d{1,10} ecr \d{1,10}\], length \d/y;
const STAMPS_SIZE = 12;
const OTHER_OPTIONS = /([^\]]{0,500})\], length \d/y;

/** Bytes of TCP's options; undefined where one is not known by its name. */
function optionsLength(words: Words): number | undefined {
  const { text } = words;
  const found = text.indexOf(OPTIONS, words.at);
  if (found < 0) return 0;
  const at = found + OPTIONS.length;
  if (matchAt(STAMPS, text, at) !== undefined) return STAMPS_SIZE;
  const options = matchAt(OTHER_OPTIONS, text, at)?.[1];
  if (options === undefined) return undefined;
  let bytes = 0;
  for (const option of options.split(",")) {
    const size = optionLength(option);
    if (size === undefined) return undefined;
    bytes += size;
  }
  return Math.min(TCP_OPTIONS_MAX, (bytes + 3) & ~3);
}

function optionLength(option: string): number | undefined {
  if (option === "nop") return 1;
  if (option === "sackOK") return 2;
  if (/^wscale \d{1,3}$/.test(option)) return 3;
  if (/^mss \d{1,5}$/.test(option)) return 4;
  if (/^TS val \d{1,10} ecr \d{1,10}$/.test(option)) return 10;
  const blocks = /^sack \d ((?:\{\d{1,10}:\d{1,10}\}){0,4})$/.exec(option)?.[1];
  return blocks === undefined ? undefined : 2 + 8 * (blocks.split("{").length - 1);
}
