/** Members of sets: each once, and in order. */
import type { Address, Prefix } from "../net/address.ts";
import type { PortMember } from "./model.ts";

/** Orders addresses of one family by their bits. */
export function compareAddresses(one: Address, other: Address): number {
  const { words } = one;
  const { words: others } = other;
  return (
    words[0] - others[0] || words[1] - others[1] || words[2] - others[2] || words[3] - others[3]
  );
}

/** A hash:net set cannot hold the prefix of all addresses, so Felix puts its halves in. */
export function storable(prefix: Prefix): Prefix[] {
  if (prefix.bits > 0) return [prefix];
  const { family } = prefix.address;
  const half = (first: number): Prefix => ({
    address: { family, words: [first, 0, 0, 0] },
    bits: 1,
  });
  return [half(0), half(0x80000000)];
}

/** Each prefix once, in order. */
export function uniquePrefixes(prefixes: readonly Prefix[]): Prefix[] {
  return uniqueInOrder(prefixes, comparePrefixes);
}

/** By address, wider ones first. */
export function comparePrefixes(one: Prefix, other: Prefix): number {
  return compareAddresses(one.address, other.address) || one.bits - other.bits;
}

/** Each member once, in order. */
export function uniqueMembers(members: readonly PortMember[]): PortMember[] {
  return uniqueInOrder(members, compareMembers);
}

/** Those of which nothing is before another or behind it are the same. */
function uniqueInOrder<T>(all: readonly T[], compare: (one: T, other: T) => number): T[] {
  const unique: T[] = [];
  for (const one of all.toSorted(compare)) {
    const last = unique.at(-1);
    if (last === undefined || compare(last, one) !== 0) unique.push(one);
  }
  // Without the room that it has grown.
  return unique.slice();
}

/** By address, protocol and port. */
export function compareMembers(one: PortMember, other: PortMember): number {
  return (
    compareAddresses(one.address, other.address) ||
    one.protocol - other.protocol ||
    one.port - other.port
  );
}

/** Sorted members with others, which are at their places then. */
export function withEach<T>(
  members: readonly T[],
  others: readonly T[],
  compare: (one: T, other: T) => number,
): readonly T[] {
  return others.reduce((all, other) => {
    const at = placeInOrder(all, (one) => compare(one, other));
    const here = all[at];
    return here !== undefined && compare(here, other) === 0 ? all : all.toSpliced(at, 0, other);
  }, members);
}

/** Where the first of ordered things is that does not come before a place, as `compare` has them. */
export function placeInOrder<T>(all: readonly T[], compare: (one: T) => number): number {
  let low = 0;
  for (let end = all.length; low < end;) {
    const middle = (low + end) >>> 1;
    const one = all[middle];
    if (one !== undefined && compare(one) < 0) low = middle + 1;
    else end = middle;
  }
  return low;
}
