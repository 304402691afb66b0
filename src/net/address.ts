/**
 * Addresses, prefixes and protocol numbers. An address is a family and four 32-bit words, the most
 * significant first; IPv4 has its address in word 0 and zeros behind, so that a prefix test is
 * `(word & mask) == value` for both families and in both languages.
 */
import ipaddr from "ipaddr.js";

/** IP version. */
export type Family = 4 | 6;

/** Four unsigned 32-bit words, most significant first. */
export type Words = readonly [number, number, number, number];

/** One IPv4 or IPv6 address. */
export interface Address {
  readonly family: Family;
  readonly words: Words;
}

/** Addresses that share their first `bits` bits; the bits behind are zero. */
export interface Prefix {
  readonly address: Address;
  /** 0 to 32, or 0 to 128. */
  readonly bits: number;
}

/** Parses an address as Kubernetes does: no leading zeros, no zone, no IPv4-mapped IPv6. */
export function parseAddress(text: string): Address | undefined {
  const dotted = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/.exec(
    text,
  );
  if (dotted !== null) {
    const bytes = dotted.slice(1).map(Number);
    return bytes.every((byte) => byte <= 0xff) ? addressOfBytes(bytes) : undefined;
  }
  const address = parseIpv6(text);
  return address !== undefined && isMapped(address) ? undefined : address;
}

/** Parses an IPv6 address as inet_pton() does, IPv4-mapped ones too. */
export function parseIpv6(text: string): Address | undefined {
  if (!/^[0-9A-Fa-f:.]{2,45}$/.test(text) || !text.includes(":")) return undefined;
  const tail = text.slice(text.lastIndexOf(":") + 1);
  const dotted = tail.includes(".") ? parseAddress(tail) : undefined;
  if (dotted === undefined && text.includes(".")) return undefined;
  // The library takes ::1.2.3.4 for ::ffff:1.2.3.4.
  const [word] = dotted?.words ?? [0];
  const plain =
    dotted === undefined
      ? text
      : `${text.slice(0, -tail.length)}${(word >>> 16).toString(16)}:${(word & 0xffff).toString(16)}`;
  if (!ipaddr.IPv6.isValid(plain)) return undefined;
  return addressOfBytes(ipaddr.IPv6.parse(plain).toByteArray());
}

function isMapped({ words: [a, b, c] }: Address): boolean {
  return a === 0 && b === 0 && c === 0xffff;
}

/** Makes an address of 4 or 16 bytes in network order. */
export function addressOfBytes(bytes: ArrayLike<number>): Address {
  const word = (index: number): number =>
    (((bytes[index] ?? 0) << 24) |
      ((bytes[index + 1] ?? 0) << 16) |
      ((bytes[index + 2] ?? 0) << 8) |
      (bytes[index + 3] ?? 0)) >>>
    0;
  if (bytes.length === 4) return { family: 4, words: [word(0), 0, 0, 0] };
  if (bytes.length === 16) return { family: 6, words: [word(0), word(4), word(8), word(12)] };
  throw new Error(`bug: an address has 4 or 16 bytes, not ${bytes.length}`);
}

/** Formats an address in its canonical form (RFC 5952 for IPv6, with dots where inet_ntop() has them). */
export function formatAddress(address: Address): string {
  const [first, second, third, last] = address.words;
  if (address.family === 4) return dottedWord(first);
  if (isMapped(address)) return `::ffff:${dottedWord(last)}`;
  const compatible = first === 0 && second === 0 && third === 0 && last > 0xffff;
  if (compatible) return `::${dottedWord(last)}`;
  const parts = address.words.flatMap((word) => [word >>> 16, word & 0xffff]);
  return new ipaddr.IPv6(parts).toRFC5952String();
}

function dottedWord(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 0xff}.${(word >>> 8) & 0xff}.${word & 0xff}`;
}

/**
 * Parses `ADDRESS/BITS`. The result is masked; `hostBits` tells whether bits behind the prefix were
 * set, which Kubernetes accepts and ignores.
 */
export function parsePrefix(text: string): { prefix: Prefix; hostBits: boolean } | undefined {
  const slash = text.indexOf("/");
  if (slash < 0) return undefined;
  const address = parseAddress(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (address === undefined || !/^(0|[1-9]\d{0,2})$/.test(digits)) return undefined;
  const bits = Number(digits);
  if (bits > addressBits(address.family)) return undefined;
  const prefix = prefixOf(address, bits);
  return { prefix, hostBits: !sameAddress(prefix.address, address) };
}

/** Makes the prefix of the given length that contains the address. */
export function prefixOf(address: Address, bits: number): Prefix {
  const masks = prefixMask(bits);
  const [a, b, c, d] = address.words;
  const words: Words = [
    (a & masks[0]) >>> 0,
    (b & masks[1]) >>> 0,
    (c & masks[2]) >>> 0,
    (d & masks[3]) >>> 0,
  ];
  return { address: { family: address.family, words }, bits };
}

/** Makes the prefix that holds one address only. */
export function hostPrefix(address: Address): Prefix {
  return { address, bits: addressBits(address.family) };
}

/** Tells whether the address lies in the prefix; never true across families. */
export function prefixContains(prefix: Prefix, address: Address): boolean {
  return (
    prefix.address.family === address.family &&
    sameAddress(prefixOf(address, prefix.bits).address, prefix.address)
  );
}

/** Makes the longest prefix that holds all of these, which are of one family; undefined of none. */
export function commonPrefix(prefixes: readonly Prefix[]): Prefix | undefined {
  return prefixes.reduce<Prefix | undefined>((common, { address, bits }) => {
    if (common === undefined) return { address, bits };
    let shared = Math.min(common.bits, bits);
    while (
      !sameAddress(prefixOf(address, shared).address, prefixOf(common.address, shared).address)
    )
      shared--;
    return prefixOf(address, shared);
  }, undefined);
}

/** Formats a prefix as `ADDRESS/BITS`. */
export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix.address)}/${prefix.bits}`;
}

/** The masks of a prefix length, one for each word. */
export function prefixMask(bits: number): Words {
  const mask = (from: number): number => {
    const ones = Math.min(32, Math.max(0, bits - from));
    return ones === 0 ? 0 : (0xffffffff << (32 - ones)) >>> 0;
  };
  return [mask(0), mask(32), mask(64), mask(96)];
}

/** 32 for IPv4, 128 for IPv6. */
export function addressBits(family: Family): number {
  return family === 4 ? 32 : 128;
}

/** Tells whether two addresses are the same, family included. */
export function sameAddress(one: Address, other: Address): boolean {
  return (
    one.family === other.family && one.words.every((word, index) => word === other.words[index])
  );
}
