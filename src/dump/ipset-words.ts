/** What single words of ipset's lines mean: numbers, addresses, ports. */
import { addressBits, parseAddress, parseIpv6, prefixOf } from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import { servicePort } from "../net/service.ts";
import type { Word } from "./words.ts";

/** A fault in a line, at its column. */
export class SetFault extends Error {
  readonly column: number;

  constructor(message: string, { column }: Pick<Word, "column">) {
    super(message);
    this.column = column;
  }
}

/** From first to last, both included. */
export interface NumberRange {
  readonly first: number;
  readonly last: number;
}

/** > ipset's clock has milliseconds in 31 bits. */
export const TIMEOUT_MAX = 2147483;

/** A number as C writes them: decimal, 0x and hexadecimal, 0 and octal. */
export function wholeNumber(word: Word, max: number, min = 0): number {
  const { text } = word;
  const octal = /^0[0-7]+$/.test(text);
  const plain = octal || /^(0x[0-9a-f]+|0|[1-9]\d*)$/i.test(text);
  const value = octal ? parseInt(text, 8) : plain ? Number(text) : NaN;
  if (!(value >= min && value <= max)) {
    throw new SetFault(`${text}: expected a number from ${min} to ${max}`, word);
  }
  return value;
}

/** `0xVALUE` or `0xVALUE/0xMASK`. */
export function valueMask(word: Word): { value: number; mask: number } {
  const [value = "", mask = "0xffffffff", more] = word.text.split("/");
  if (![value, mask].every((text) => /^0x[0-9a-f]{1,8}$/i.test(text)) || more !== undefined) {
    throw new SetFault(`${word.text}: expected 0xVALUE or 0xVALUE/0xMASK`, word);
  }
  return { value: Number(value), mask: Number(mask) };
}

/** `MAJOR:MINOR` in hexadecimal, as one number. */
export function trafficClass(word: Word): number {
  const [major, minor] = /^([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(word.text)?.slice(1) ?? [];
  if (major === undefined || minor === undefined) {
    throw new SetFault(`${word.text}: expected MAJOR:MINOR in hexadecimal`, word);
  }
  return parseInt(major, 16) * 0x10000 + parseInt(minor, 16);
}

export function addressOf(word: Word, family: Family): Address {
  const address = parseAddress(word.text) ?? parseIpv6(word.text);
  if (address?.family !== family) {
    throw new SetFault(`${word.text}: expected an IPv${family} address`, word);
  }
  return address;
}

/** `ADDRESS` or `ADDRESS/BITS`. */
export function prefixOfText(word: Word, family: Family): Prefix {
  const slash = word.text.indexOf("/");
  const text = slash < 0 ? word.text : word.text.slice(0, slash);
  const address = addressOf({ ...word, text }, family);
  const whole = addressBits(family);
  if (slash < 0) return prefixOf(address, whole);
  const bits = wholeNumber({ ...word, text: word.text.slice(slash + 1) }, whole);
  return prefixOf(address, bits);
}

/** `A-B` of IPv4 addresses, as numbers, in whatever order; undefined when it is none. */
export function addressRange(word: Word): NumberRange | undefined {
  const dash = word.text.indexOf("-");
  if (dash < 0) return undefined;
  const ends = [word.text.slice(0, dash), word.text.slice(dash + 1)];
  const [one = 0, other = 0] = ends.map((text) => addressOf({ ...word, text }, 4).words[0]);
  return { first: Math.min(one, other), last: Math.max(one, other) };
}

/** `80`, `http`, or `80-90` in whatever order. */
export function portRange(word: Word): NumberRange {
  const [one = "", other = one, more] = word.text.split("-");
  const ports = [one, other].map(servicePort);
  const [low, high] = ports;
  if (low === undefined || high === undefined || more !== undefined) {
    throw new SetFault(`${word.text}: expected a port or a range of ports`, word);
  }
  return { first: Math.min(low, high), last: Math.max(low, high) };
}
