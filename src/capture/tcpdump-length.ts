/** How long a packet is where its IP header is not printed, by what the rest of the words says. */
import type { Chain } from "./tcpdump-extension.ts";
import type { TextPacket } from "./tcpdump-packet.ts";
import { isDnsMessage } from "./tcpdump-transport.ts";
import { headEnd, matchAt, matchWords, numberIn, type Words } from "./tcpdump-words.ts";

/** A length that other words than the header's make. */
export interface ToldLength {
  readonly bytes: number;
  /** The packet has as many, and maybe more for what is never printed. */
  readonly sure: boolean;
}

/** With words that say only how much there is at least. */
interface ShownLength extends ToldLength {
  readonly short: boolean;
}

const IPV4_HEADER = 20;
export const IPV6_HEADER = 40;
const TCP_HEADER = 20;
const TCP_OPTIONS_MAX = 40;
const UDP_HEADER = 8;
const ICMP_HEADER = 8;
/** A query, or a report of one group. */
const MULTICAST_LISTENER = 24;
const MULTICAST_RECORD = 20;

/** Tells the length; undefined where nothing does. IPv4 options are not thought of. */
export function tellLength(chain: Chain, words: Words, packet: TextPacket): ToldLength | undefined {
  const headers = packet.family === 4 ? IPV4_HEADER : IPV6_HEADER + chain.bytes;
  const behind =
    chain.fragment === undefined
      ? transportLength(words, packet)
      : { bytes: chain.fragment, sure: true, short: false };
  const told = behind && { bytes: headers + behind.bytes, sure: behind.sure };
  const most = mostByFrame(packet);
  if (most === undefined) return told;
  // > A first fragment's line has the length of the datagram; a frame may be longer than its packet.
  const short = chain.short || behind?.short !== false;
  return told === undefined || short || told.bytes > most ? { bytes: most, sure: false } : told;
}

function mostByFrame({ frameLength, linkLength }: TextPacket): number | undefined {
  if (frameLength === undefined || linkLength === undefined) return undefined;
  return Math.max(0, frameLength - linkLength);
}

function transportLength(words: Words, packet: TextPacket): ShownLength | undefined {
  const { protocol } = packet;
  const least = leastTransport(words, packet);
  if (least === undefined) return protocol === 17 ? lengthAtEnd(words) : undefined;
  if (protocol === 6) {
    const options = optionsLength(words);
    const sure = options !== undefined;
    return { bytes: least + (options ?? TCP_OPTIONS_MAX), sure, short: false };
  }
  const short = (protocol === 1 || protocol === 58) && icmpLength(words) === undefined;
  return { bytes: least, sure: !short, short };
}

/** Other messages in UDP, of which many end in their length. */
function lengthAtEnd(words: Words): ShownLength | undefined {
  const payload = numberIn(words.text.slice(-16), /, length (\d{1,5})$/);
  if (payload === undefined) return undefined;
  return { bytes: UDP_HEADER + payload, sure: false, short: true };
}

/** Bytes behind the IP headers, at least; undefined where nothing is told, and of later fragments. */
export function leastTransport(words: Words, packet: TextPacket): number | undefined {
  const { protocol, payloadLength, fragmentOffset = 0, moreFragments, laterFragment } = packet;
  if (fragmentOffset > 0 || moreFragments === true || laterFragment === true) return undefined;
  if (protocol === 6) {
    const payload = payloadLength ?? rangeOfNumbers(words);
    return payload === undefined ? undefined : TCP_HEADER + payload;
  }
  if (protocol === 17) {
    const payload = payloadLength ?? messageLength(words);
    return payload === undefined ? undefined : UDP_HEADER + payload;
  }
  if (protocol === 1 || protocol === 58) return icmpLength(words) ?? leastIcmp(words, packet);
  const [, named, raw] = matchWords(OTHERS, words) ?? [];
  const told = named ?? raw;
  return told === undefined ? undefined : Number(told);
}

/** Protocols of which tcpdump prints how much of them is there. */
const OTHERS =
  /(?:ESP\([^)]{1,60}\)|GREv\d(?:, [^,:]{1,40}){0,6}?), length (\d{1,5})(?=:|$)|ip-proto-\d{1,3} (\d{1,5})$/y;

const RANGE = /Flags \[[^\]]{1,9}\](?:, cksum [^,]{1,60})?, seq (\d{1,10}):(\d{1,10})(?=,)/y;

/** The payload that sequence numbers tell, where the snap length cut the length that follows. */
function rangeOfNumbers(words: Words): number | undefined {
  const [, first, last] = matchWords(RANGE, words) ?? [];
  return first === undefined ? undefined : (Number(last) - Number(first)) >>> 0;
}

function icmpLength(words: Words): number | undefined {
  return numberIn(words.text.slice(words.at), /, length (\d{1,5})(?: *$|: )/);
}

/** A message of DNS ends in its length. */
function messageLength(words: Words): number | undefined {
  if (!isDnsMessage(words)) return undefined;
  return numberIn(words.text.slice(-8), / \((\d{1,5})\)$/);
}

// > ICMPv6's length is not printed with -v.
function leastIcmp(words: Words, { protocol, icmpType }: TextPacket): number {
  if (protocol !== 58 || icmpType === undefined) return ICMP_HEADER;
  if (icmpType >= 130 && icmpType <= 132) return MULTICAST_LISTENER;
  // > How many groups there are is what the message says; those that are there are printed.
  const records = icmpType === 143 ? words.text.slice(words.at).split("[gaddr ").length - 1 : 0;
  return ICMP_HEADER + records * MULTICAST_RECORD;
}

const OPTIONS = ", options [";
/** What most segments have. */
const STAMPS = /nop,nop,TS val \d{1,10} ecr \d{1,10}\], length \d/y;
const STAMPS_SIZE = 12;
const OTHER_OPTIONS = /([^\]]{0,500})\], length \d/y;
/** What stands between the window and the payload before tcpdump 4.0. */
const OLD_OPTIONS = /\bwin \d{1,5}(?: urg \d{1,5})?(?: <([^>]{1,500})>| \(DF\)$|$)/;
const OLD_STAMPS = /^timestamp (?=\d{1,10} \d{1,10}$)(\d+) /;

/** Bytes of TCP's options; undefined where one is not known by its name, and where none would be printed (`-q`). */
function optionsLength(words: Words): number | undefined {
  const { text } = words;
  if (matchWords(FLAGS, words) === undefined) return oldOptionsLength(words);
  const end = headEnd(text, words.at);
  if (end === undefined) return undefined;
  const found = text.indexOf(OPTIONS, words.at);
  if (found < 0 || found > end) return 0;
  const at = found + OPTIONS.length;
  if (matchAt(STAMPS, text, at) !== undefined) return STAMPS_SIZE;
  const options = matchAt(OTHER_OPTIONS, text, at)?.[1];
  return options === undefined ? undefined : sumOptions(options.split(","));
}

const FLAGS = /Flags \[/y;

function oldOptionsLength(words: Words): number | undefined {
  const found = OLD_OPTIONS.exec(words.text.slice(words.at, words.at + 1000));
  if (found === null) return undefined;
  const options = found[1]?.split(",") ?? [];
  return sumOptions(options.map((option) => option.replace(OLD_STAMPS, "TS val $1 ecr ")));
}

function sumOptions(options: readonly string[]): number | undefined {
  let bytes = 0;
  for (const option of options) {
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
