/**
 * The address of a node's tunnel that no object tells. Calico takes it from the pods' ranges, and nobody else has
 * it: of the addresses there that rules cannot tell apart, one stands for all.
 */
import { addressBits, prefixContains } from "../net/address.ts";
import type { Address, Family, Prefix, Words } from "../net/address.ts";
import type { IpSet, Ruleset, Topology } from "../tables/model.ts";
import { comparePrefixes } from "../tables/set-members.ts";

/** The addresses to try of one family; none where no range is told. */
export function tunnelSources(
  rulesets: readonly Ruleset[],
  { tunnelRanges = [], routes }: Topology,
  family: Family,
): Address[] {
  const ranges = tunnelRanges.filter(({ address }) => address.family === family);
  if (ranges.length === 0) return [];
  const told = [...prefixesOf(rulesets, family)];
  const taken = routes
    .filter(({ prefix }) => prefix.address.family === family && prefix.bits === addressBits(family))
    .map(({ prefix }) => prefix);
  return ranges.flatMap((range) => freeAddresses(range, told, taken));
}

/** By which rules tell sources apart. */
function prefixesOf(rulesets: readonly Ruleset[], family: Family): Set<Prefix> {
  const prefixes = new Set<Prefix>();
  // Rulesets of many pods have matches and members in common.
  const seen = new Set<object>();
  const netsOf = (set: IpSet): readonly Prefix[] => {
    const members = set.kind === "entries" ? set.entries : set.members;
    if (set.kind === "hash:ip,port" || seen.has(members)) return [];
    seen.add(members);
    return set.kind === "hash:net"
      ? set.members
      : set.entries.flatMap(({ first }) => (first === undefined ? [] : [first]));
  };
  for (const { tables, sets } of rulesets.filter((each) => each.family === family)) {
    for (const { rules } of tables.flatMap(({ chains }) => chains)) {
      for (const { matches } of rules) {
        if (seen.has(matches)) continue;
        seen.add(matches);
        for (const match of matches) if (match.kind === "address") prefixes.add(match.prefix);
      }
    }
    for (const set of sets) for (const prefix of netsOf(set)) prefixes.add(prefix);
  }
  return prefixes;
}

/** A range, and the next address of it that nothing narrower has. */
interface Open {
  readonly prefix: Prefix;
  readonly end: bigint;
  readonly taken: boolean;
  next: bigint;
  /** It has one already. */
  found: boolean;
}

/** One address of each part of a range that no narrower prefix has, and nobody. */
function freeAddresses(
  range: Prefix,
  told: readonly Prefix[],
  taken: readonly Prefix[],
): Address[] {
  const { family } = range.address;
  const found: Address[] = [];
  const inside = (all: readonly Prefix[]): Prefix[] =>
    all.filter(({ address, bits }) => bits >= range.bits && prefixContains(range, address));
  const hosts = new Set(inside(taken));
  const open: Open[] = [];
  const free = (each: Open, end: bigint): void => {
    if (each.taken || each.found || each.next > end) return;
    each.found = true;
    found.push({ family, words: wordsOf(each.next, family) });
  };
  const close = (before: bigint): void => {
    for (let last = open.at(-1); last !== undefined && last.end < before; last = open.at(-1)) {
      free(last, last.end);
      open.pop();
      const outer = open.at(-1);
      if (outer !== undefined) outer.next = last.end + 1n;
    }
  };
  // Of the same addresses those that somebody has come last, and count.
  for (const prefix of [range, ...inside(told), ...hosts].sort(comparePrefixes)) {
    const start = numberOf(prefix.address);
    const size = 1n << BigInt(addressBits(family) - prefix.bits);
    close(start);
    const outer = open.at(-1);
    if (outer !== undefined) free(outer, start - 1n);
    open.push({
      prefix,
      end: start + size - 1n,
      taken: hosts.has(prefix),
      next: start,
      found: false,
    });
  }
  close(1n << 128n);
  return found;
}

function numberOf({ family, words }: Address): bigint {
  const all: readonly number[] = family === 4 ? words.slice(0, 1) : words;
  return all.reduce((sum, word) => (sum << 32n) | BigInt(word), 0n);
}

function wordsOf(number: bigint, family: Family): Words {
  const word = (place: number): number => Number((number >> BigInt(32 * place)) & 0xffffffffn);
  return family === 4 ? [word(0), 0, 0, 0] : [word(3), word(2), word(1), word(0)];
}
