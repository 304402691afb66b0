/**
 * The `SRC > DST` of a tcpdump line: addresses as tcpdump writes them, host names, and the port label
 * that tcpdump glues behind either with a dot.
 */
import { addressOfBytes, type Address } from "../net/address.ts";
import type { Host } from "./tcpdump-packet.ts";

/** An address or name with the port label behind it, if any. */
export interface Endpoint {
  readonly host: Host;
  readonly port: string | undefined;
  /** Whether the word itself shows if there is a port: not so for names. */
  readonly certain: boolean;
}

/** Parses the word of one end. A name is taken whole; `splitName` takes its port off. */
export function parseEndpoint(word: string): Endpoint | undefined {
  if (word.includes(":")) return parseIpv6Endpoint(word);
  const host = parseIpv4(word);
  if (host !== undefined) return { host, port: undefined, certain: true };
  const dot = word.lastIndexOf(".");
  const before = dot < 0 ? undefined : parseIpv4(word.slice(0, dot));
  if (before !== undefined && dot + 1 < word.length)
    return { host: before, port: word.slice(dot + 1), certain: true };
  // Five and more numbers in a row are no host name.
  if (!isName(word)) return undefined;
  return { host: word, port: undefined, certain: false };
}

/** Takes the port label off a host name; undefined when there is none. */
export function splitName(endpoint: Endpoint): Endpoint | undefined {
  if (endpoint.certain) return endpoint.port === undefined ? undefined : endpoint;
  const name = endpoint.host;
  if (typeof name !== "string") return undefined;
  const dot = name.lastIndexOf(".");
  if (dot <= 0 || dot + 1 === name.length) return undefined;
  return { host: name.slice(0, dot), port: name.slice(dot + 1), certain: true };
}

/** Parses four decimal numbers, as tcpdump prints an IPv4 address. */
function parseIpv4(word: string): Address | undefined {
  if (word.length < 7 || word.length > 15) return undefined;
  const parts = word.split(".");
  if (parts.length !== 4) return undefined;
  const bytes: number[] = [];
  for (const part of parts) {
    if (!/^\d{1,3}$/.test(part) || Number(part) > 255) return undefined;
    bytes.push(Number(part));
  }
  return addressOfBytes(bytes);
}

/**
 * Parses an IPv6 address as tcpdump prints it, `::10.0.0.1` and `::ffff:10.0.0.1` included: a packet
 * can have what a manifest may not.
 */
function parseIpv6(word: string): Address | undefined {
  if (word.length < 2 || word.length > 45) return undefined;
  const halves = word.split("::");
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] ?? "", halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1] ?? "", true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 16 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 2) return undefined;
  return addressOfBytes([...head, ...new Array<number>(missing).fill(0), ...tail]);
}

/** The bytes of `a:b:c`; the last group may be a dotted IPv4 address where `last` is set. */
function groupsOf(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [index, group] of groups.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(group)) {
      const value = parseInt(group, 16);
      bytes.push(value >>> 8, value & 0xff);
      continue;
    }
    const dotted = last && index === groups.length - 1 ? parseIpv4(group) : undefined;
    if (dotted === undefined) return undefined;
    const [word] = dotted.words;
    bytes.push(word >>> 24, (word >>> 16) & 0xff, (word >>> 8) & 0xff, word & 0xff);
  }
  return bytes;
}

function parseIpv6Endpoint(word: string): Endpoint | undefined {
  const host = parseIpv6(word);
  if (host !== undefined) return { host, port: undefined, certain: true };
  const dot = word.lastIndexOf(".");
  const before = dot < 0 ? undefined : parseIpv6(word.slice(0, dot));
  if (before === undefined || dot + 1 === word.length) return undefined;
  return { host: before, port: word.slice(dot + 1), certain: true };
}

function isName(word: string): boolean {
  if (word.length > 270 || !/^[\w.-]+$/.test(word) || /^[.-]|\.\./.test(word)) return false;
  return /[A-Za-z]/.test(word);
}
