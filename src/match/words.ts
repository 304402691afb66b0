/**
 * The words behind a rule's options: numbers, ranges, masks and names, read as iptables reads them.
 * Every reader throws a RuleError that names what was expected.
 */
import type { Family, Words } from "../net/address.ts";
import {
  addressBits,
  addressOfBytes,
  parseAddress,
  parseIpv6,
  prefixMask,
} from "../net/address.ts";
import type { Address } from "../net/address.ts";
import { protocolNumber } from "../net/protocol.ts";
import { servicePort } from "../net/service.ts";
import { RuleError } from "./extension.ts";
import type { OptionUse, RuleContext } from "./extension.ts";

/** The one use of an option that may stand once. */
export function useOf(options: readonly OptionUse[], ...names: string[]): OptionUse | undefined {
  const uses = options.filter(({ name }) => names.includes(name));
  const [, second] = uses;
  if (second !== undefined) throw new RuleError(`${second.name} stands twice`, second);
  return uses[0];
}

/** The same, which must be there. */
export function needUse(options: readonly OptionUse[], ...names: string[]): OptionUse {
  const use = useOf(options, ...names);
  if (use === undefined) throw new RuleError(`expected ${names[0] ?? "an option"}`, undefined);
  return use;
}

/** Refuses options that cannot be negated. */
export function refuseInvert(...uses: readonly (OptionUse | undefined)[]): void {
  for (const use of uses) {
    if (use?.invert === true) throw new RuleError(`${use.name} cannot be negated`, use);
  }
}

/** The first word behind an option. */
export function wordOf(use: OptionUse): string {
  return use.words[0] ?? "";
}

/** A whole number, decimal, hexadecimal (0x) or octal (0). */
export function parseNumber(text: string, use: OptionUse, max = 0xffffffff, min = 0): number {
  const value = parseLongNumber(text);
  if (value === undefined || value < min || value > max) {
    throw new RuleError(`${use.name} ${text}: expected a number from ${min} to ${max}`, use);
  }
  return Number(value);
}

/** The same of any size; undefined when it is none. */
export function parseLongNumber(text: string): bigint | undefined {
  if (!/^(0x[0-9a-f]+|0[0-7]*|[1-9]\d*)$/i.test(text)) return undefined;
  return BigInt(/^0[0-7]+$/.test(text) ? `0o${text.slice(1)}` : text);
}

/** `A`, or `A:B`, `:B`, `A:` with the ends that are left out. */
export function parseRange(
  text: string,
  use: OptionUse,
  // > Some ranges may end before they start: they hold nothing.
  limits: { readonly max: number; readonly separator?: string; readonly reversible?: boolean },
  parseEnd: (text: string) => number = (end) => parseNumber(end, use, limits.max),
): { readonly first: number; readonly last: number } {
  const at = text.indexOf(limits.separator ?? ":");
  if (at < 0) {
    const value = parseEnd(text);
    return { first: value, last: value };
  }
  const low = text.slice(0, at);
  const high = text.slice(at + 1);
  const first = low === "" ? 0 : parseEnd(low);
  const last = high === "" ? limits.max : parseEnd(high);
  if (last < first && limits.reversible !== true) {
    throw new RuleError(`${use.name} ${text}: the end is below the start`, use);
  }
  return { first, last };
}

/** A port by number or service name. */
export function parsePort(text: string, use: OptionUse): number {
  // > Digits that are no number (`08`) are no name either.
  const port = /^\d+$/.test(text) ? undefined : servicePort(text);
  return port ?? parseNumber(text, use, 0xffff);
}

/** `A[:B]` of ports where they are read in decimal only, and may end before they start. */
export function parseDecimalPorts(use: OptionUse): ReturnType<typeof parseRange> {
  return parseRange(wordOf(use), use, { max: 0xffff, reversible: true }, (end) => {
    const port = servicePort(end);
    if (port === undefined) throw new RuleError(`${use.name} ${end}: there is no such port`, use);
    return port;
  });
}

/** `VALUE[/MASK]` of 32 bits; the mask of all ones when it is left out. */
export function parseValueMask(use: OptionUse): { readonly value: number; readonly mask: number } {
  const [value = "", mask, ...rest] = wordOf(use).split("/");
  if (rest.length > 0) throw new RuleError(`${use.name}: expected VALUE/MASK`, use);
  return {
    value: parseNumber(value, use),
    mask: mask === undefined ? 0xffffffff : parseNumber(mask, use),
  };
}

/** A protocol by name or number; 0 and `all` are every protocol. */
export function parseProtocol(text: string, use: OptionUse): number {
  const name = text.toLowerCase();
  if (name === "all") return 0;
  const known = protocolNumber(name) ?? PROTOCOL_ALIASES.get(name);
  if (known !== undefined) return known;
  if (/^(0x|\d)/.test(text)) return parseNumber(text, use, 255);
  throw new RuleError(`${use.name} ${text}: there is no such protocol`, use);
}

const PROTOCOL_ALIASES: ReadonlyMap<string, number> = new Map([
  ["icmpv6", 58],
  ["icmp6", 58],
  ["ipv6-mh", 135],
  ["mh", 135],
  ["udp-lite", 136],
  ["hopopt", 0],
  ["ip", 0],
]);

/**
 * An address of the rule's family. IPv4 addresses may be short (`10.1` is 10.1.0.0) and their numbers
 * octal or hexadecimal, as iptables takes them.
 */
export function parseRuleAddress(text: string, use: OptionUse, family: Family): Address {
  const address = family === 4 ? (parseAddress(text) ?? parseOldIpv4(text)) : parseIpv6(text);
  if (address?.family !== family) {
    throw new RuleError(`${use.name} ${text}: expected an IPv${family} address`, use);
  }
  return address;
}

function parseOldIpv4(text: string): Address | undefined {
  const parts = text.split(".");
  if (parts.length > 4) return undefined;
  const bytes = parts.map((part) => {
    if (!/^(0x[0-9a-f]{1,2}|0[0-7]{0,3}|[1-9]\d{0,2})$/i.test(part)) return NaN;
    return /^0[0-7]+$/.test(part) ? parseInt(part, 8) : Number(part);
  });
  if (!bytes.every((byte) => byte <= 255)) return undefined;
  return addressOfBytes([...bytes, 0, 0, 0].slice(0, 4));
}

/** `ADDRESS`, `ADDRESS/BITS` or `ADDRESS/MASK`; the address is masked. */
export function parseAddressMask(
  text: string,
  use: OptionUse,
  family: Family,
): { readonly address: Address; readonly mask: Words } {
  const slash = text.indexOf("/");
  const address = parseRuleAddress(slash < 0 ? text : text.slice(0, slash), use, family);
  const mask =
    slash < 0 ? prefixMask(addressBits(family)) : parseMask(text.slice(slash + 1), use, family);
  const [a, b, c, d] = address.words;
  const words: Words = [
    (a & mask[0]) >>> 0,
    (b & mask[1]) >>> 0,
    (c & mask[2]) >>> 0,
    (d & mask[3]) >>> 0,
  ];
  return { address: { family, words }, mask };
}

/** A mask as a number of bits or as an address. */
export function parseMask(text: string, use: OptionUse, family: Family): Words {
  if (parseLongNumber(text) !== undefined) {
    return prefixMask(parseNumber(text, use, addressBits(family)));
  }
  // > Of IPv4 only addresses may be short.
  if (family === 4 && text.split(".").length !== 4) {
    throw new RuleError(`${use.name} ${text}: expected a mask`, use);
  }
  return parseRuleAddress(text, use, family).words;
}

/** How many bits a mask has; undefined when it is no prefix's. */
export function maskBits(mask: Words, family: Family): number | undefined {
  const bits = addressBits(family);
  for (let length = 0; length <= bits; length++) {
    if (prefixMask(length).every((word, index) => word === mask[index])) return length;
  }
  return undefined;
}

/** Refuses a module whose protocol the rule's `-p` does not name. */
export function needProtocol(context: RuleContext, names: string, ...numbers: number[]): number {
  const { protocol } = context;
  if (protocol === undefined || protocol.invert || !numbers.includes(protocol.number)) {
    throw new RuleError(`it needs -p ${names}`, undefined);
  }
  return protocol.number;
}

/** Refuses a module that only IPv6 has. */
export function needIpv6({ family }: RuleContext): void {
  if (family !== 6) throw new RuleError("it is for IPv6 only", undefined);
}

/** Text in quotes where iptables-save prints it so. Source: libxtables, xtables_save_string. */
export function quoteWord(text: string): string {
  if (/^[A-Za-z0-9_-]+$/.test(text)) return text;
  return `"${text.replace(/["\\']/g, "\\$&")}"`;
}
