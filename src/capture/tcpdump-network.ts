/**
 * The network layer of a record: the IP header that `-v` spells out in parentheses, the two ends, and
 * IPv6 extension headers. Hands what follows to the transport part.
 */
import type { Family } from "../net/address.ts";
import { parseEndpoint, splitName, type Endpoint } from "./tcpdump-endpoint.ts";
import { skipBlanks } from "./tcpdump-line.ts";
import { EXTENSION_SIZE, EXTENSIONS, scanChain, type Chain } from "./tcpdump-extension.ts";
import { judgeHopByHop } from "./tcpdump-hop-by-hop.ts";
import { IPV6_HEADER, leastTransport, tellLength } from "./tcpdump-length.ts";
import { skipNotes } from "./tcpdump-notes.ts";
import { judgeOptions } from "./tcpdump-options.ts";
import type { TextPacket } from "./tcpdump-packet.ts";
import { servicePort } from "../net/service.ts";
import { isIcmpError } from "./tcpdump-icmp.ts";
import { isUdpPayload, parseTransport, protocolOf } from "./tcpdump-transport.ts";
import { closingParenthesis, numberIn, type Words } from "./tcpdump-words.ts";

/** `more`: the text ends before the ends of the packet are named; `bad`: it never will. */
export type Outcome = "done" | "more" | "bad";

/** Parses from where the network layer starts. On "more" and "bad" the packet is half filled. */
export function parseNetwork(
  text: string,
  from: number,
  family: Family,
  packet: TextPacket,
): Outcome {
  packet.family = family;
  let at = skipNotes(text, skipBlanks(text, from), packet);
  // > (invalid): tcpdump gives up on a header whose version or length is impossible.
  if (at >= text.length) return packet.malformed === true ? "done" : "more";
  let first: number | undefined;
  if (text[at] === "(") {
    const end = closingParenthesis(text, at) ?? text.indexOf("[|ip", at);
    if (end < 0) return "more";
    const header = text.slice(at + 1, end);
    first = family === 4 ? parseIpv4Header(header, packet) : parseIpv6Header(header, packet);
    at = skipNotes(text, text[end] === "[" ? end : skipBlanks(text, end + 1), packet);
  }
  if (at >= text.length) return "more";
  // > [|ip]: cut by the snap length before the addresses.
  if (text.startsWith("[|", at)) return "done";
  return parseEnds(text, at, first, packet);
}

/** Returns the protocol number, if the header says it. */
function parseIpv4Header(header: string, packet: TextPacket): number | undefined {
  packet.tos = numberIn(header, /^tos 0x([0-9a-f]{1,2})/i, 16);
  // > if (ip_ttl >= 1) ", ttl %u": a header without it has 0.
  packet.ttl = numberIn(header, /\bttl (\d{1,3})/) ?? (packet.tos === undefined ? undefined : 0);
  packet.ipId = numberIn(header, /\bid (\d{1,5})/);
  packet.ipLength = numberIn(header, /\blen(?:gth)?:? (\d{1,5})/);
  packet.protocol = numberIn(header, /\bproto:? [^,(]{0,40}\((\d{1,3})\)/);
  packet.fragmentOffset = numberIn(header, /\boffset (\d{1,5})/);
  const flags = /\bflags \[([^\]]{0,30})\]/.exec(header)?.[1];
  packet.moreFragments = flags?.includes("+");
  packet.dontFragment = flags?.includes("DF");
  const options = optionsIn(header);
  if (options !== undefined) packet.options = judgeOptions(options);
  return packet.protocol;
}

const OPTIONS = ", options (";

/** What stands in the parentheses, behind which a wrong checksum has others; undefined: there are none. */
function optionsIn(header: string): string | undefined {
  const found = header.indexOf(OPTIONS);
  if (found < 0) return undefined;
  const start = found + OPTIONS.length;
  const end = closingParenthesis(header, start - 1);
  // Cut by the snap length: no words tell.
  return end === undefined ? "" : header.slice(start, end);
}

/** Returns the first next header, if the header says it. */
function parseIpv6Header(header: string, packet: TextPacket): number | undefined {
  packet.tos = numberIn(header, /\bclass 0x([0-9a-f]{1,2})/i, 16) ?? 0;
  packet.ttl = numberIn(header, /\bhlim (\d{1,3})/);
  const payload = numberIn(header, /\bpayload length:? (\d{1,5})/);
  // > payload length 0: a jumbogram, or BIG TCP.
  if (payload !== undefined && payload > 0) packet.ipLength = 40 + payload;
  return numberIn(header, /\bnext-header [^,(]{0,40}(?:\([^)\d]*\) )?\((\d{1,3})\)/);
}

function parseEnds(
  text: string,
  from: number,
  first: number | undefined,
  packet: TextPacket,
): Outcome {
  const srcEnd = text.indexOf(" ", from);
  if (srcEnd < 0) return "more";
  const arrow = skipBlanks(text, srcEnd);
  if (text[arrow] !== ">") return arrow >= text.length ? "more" : "bad";
  const dstStart = skipBlanks(text, arrow + 1);
  if (dstStart >= text.length) return "more";
  const blank = text.indexOf(" ", dstStart);
  const dstEnd = blank < 0 ? text.length : blank;
  // The colon ends the destination; without one the line was cut or wrapped in it.
  if (text[dstEnd - 1] !== ":") return blank < 0 ? "more" : "bad";
  const src = parseEndpoint(text.slice(from, srcEnd));
  const dst = parseEndpoint(text.slice(dstStart, dstEnd - 1));
  if (src === undefined || dst === undefined) return "bad";
  if (!sameFamily(src, dst, packet)) return "bad";
  const chain = scanChain(text, skipBlanks(text, dstEnd), packet);
  if (packet.family === 6) settleChain(packet, first);
  const words: Words = { text, at: chain.end, chained: chain.count > 0 };
  settleEnds(src, dst, words, packet);
  parseTransport(words, packet);
  settleHopByHop(chain, words, packet);
  if (packet.ipLength === undefined) packet.toldLength = tellLength(chain, words, packet);
  if (isIcmpError(packet)) parseQuote(words, packet);
  return "done";
}

/** The header that an ICMP error quotes follows with `-v`: `IP (tos ...) SRC > DST: ...`. */
function parseQuote(words: Words, packet: TextPacket): void {
  const start = /\bIP(6?) (?=\()/g;
  start.lastIndex = words.at;
  const found = start.exec(words.text);
  if (found === null) return;
  const quote: TextPacket = {};
  const family = found[1] === "6" ? 6 : 4;
  const from = found.index + found[0].length;
  if (parseNetwork(words.text, from, family, quote) === "done") packet.quote = quote;
}

function sameFamily(src: Endpoint, dst: Endpoint, packet: TextPacket): boolean {
  return [src, dst].every(({ host }) => typeof host === "string" || host.family === packet.family);
}

/** Settles the protocol as far as the IPv6 header tells it, and what it is no fragment by. */
function settleChain(packet: TextPacket, first: number | undefined): void {
  if (first !== undefined && !EXTENSIONS.has(first)) packet.protocol = first;
  // Any extension header would have been printed, a fragment header included.
  if (packet.fragmentOffset !== undefined) return;
  packet.fragmentOffset = 0;
  packet.moreFragments = false;
}

/** Says what Linux makes of hop-by-hop options. Without `-v` only some of what may not be is told. */
function settleHopByHop(chain: Chain, words: Words, packet: TextPacket): void {
  const { bytes, hopByHop } = chain;
  if (hopByHop === undefined) return;
  const { ttl, ipLength } = packet;
  const least = leastTransport(words, packet);
  const told = ipLength !== undefined && least !== undefined;
  const room = told ? ipLength - IPV6_HEADER - (bytes - EXTENSION_SIZE) - least : undefined;
  const fate = hopByHop.broken ? "bad" : judgeHopByHop(hopByHop.options, room);
  if (fate === "bad") packet.malformed = true;
  else if (ttl !== undefined) packet.options = fate;
}

/** Transport protocols whose ports tcpdump glues to the ends. */
const WITH_PORTS: ReadonlySet<number> = new Set([6, 17, 33, 132]);

/** Decides what is host and what is port, and fills both. */
function settleEnds(src: Endpoint, dst: Endpoint, words: Words, packet: TextPacket): void {
  const ported = src.port !== undefined || dst.port !== undefined;
  packet.protocol ??= protocolOf(words, packet.family, ported);
  if (!ported && endsInPorts(src, dst) && isUdpPayload(words)) packet.protocol ??= 17;
  let ends: [Endpoint, Endpoint] = [src, dst];
  const split = ported || (!words.chained && hasPorts(words, packet));
  if (split) {
    const [left, right] = [splitName(src), splitName(dst)];
    if (left !== undefined && right !== undefined) {
      ends = [left, right];
      setPorts(left.port ?? "", right.port ?? "", packet);
    }
  } else if (packet.protocol === undefined && (!src.certain || !dst.certain)) {
    // A name that may or may not end in a port is not known.
    if (src.certain) packet.src = src.host;
    if (dst.certain) packet.dst = dst.host;
    return;
  }
  packet.src = ends[0].host;
  packet.dst = ends[1].host;
  const chained = words.chained
    ? /^([\w-]{1,40}) > ([\w-]{1,40}): /.exec(words.text.slice(words.at, words.at + 90))
    : null;
  if (chained === null) return;
  const [all, sport = "", dport = ""] = chained;
  words.at += all.length;
  setPorts(sport, dport, packet);
  packet.protocol ??= protocolOf(words, packet.family, true);
}

/** Two names that end in a port or service: a sign of ports, no proof. */
function endsInPorts(src: Endpoint, dst: Endpoint): boolean {
  return [src, dst].every((end) => {
    const label = splitName(end)?.port;
    return !end.certain && label !== undefined && servicePort(label) !== undefined;
  });
}

function hasPorts(words: Words, packet: TextPacket): boolean {
  if (packet.protocol === undefined || !WITH_PORTS.has(packet.protocol)) return false;
  if ((packet.fragmentOffset ?? 0) > 0 || packet.laterFragment === true) return false;
  // Cut before the ports: the ends stand alone.
  return !/^\[\|(?:tcp|udp|sctp|dccp)/.test(words.text.slice(words.at, words.at + 8));
}

function setPorts(sport: string, dport: string, packet: TextPacket): void {
  packet.sport = servicePort(sport);
  packet.dport = servicePort(dport);
  for (const label of [sport, dport]) {
    // Numbers that are no port stand for RPC transactions; they name no service.
    if (servicePort(label) === undefined && !/^(?:0x|\d)/.test(label))
      packet.unknownService = label;
  }
}
