/**
 * The ends that traffic of a cluster can have: every address of a pod, a node or a host endpoint, and what
 * lies outside of them. An end whose address nobody told (of a workload without pods) is one of either family.
 */
import type { Endpoint, NamedPort, Snapshot } from "../cluster/snapshot.ts";
import { addressBits, formatAddress, parsePrefix } from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import { entryOf } from "../tables/entry.ts";

/** One address that something of the cluster has, or will have. */
export interface End {
  readonly number: number;
  readonly family: Family;
  /** Undefined: nobody told it. */
  readonly value: bigint | undefined;
  /** Undefined: a node's. */
  readonly endpoint: Endpoint | undefined;
  /** That it is of, or on; undefined: not known. */
  readonly node: string | undefined;
  /** One list for all that have the same. */
  readonly ports: readonly NamedPort[];
}

/** Ends of one family with the same ports. */
export interface EndsAlike {
  readonly family: Family;
  readonly ports: readonly NamedPort[];
  readonly ends: readonly End[];
}

/** Never sent between hosts: this network and loopback. */
const UNSENT = ["0.0.0.0/8", "127.0.0.0/8", "::/127"];
/** Nobody else's address that sends: groups, the reserved range, link-local. A pod may send to them. */
const DESTINATIONS = ["224.0.0.0/3", "ff00::/8", "fe80::/10"];

/** Inclusive, of one family. */
export interface Range {
  readonly start: bigint;
  readonly end: bigint;
}

/** Every end of a snapshot, and who has them. */
export class Ends {
  readonly all: readonly End[];
  /** Those whose addresses nobody told. */
  readonly untold: readonly End[];
  /** Those of nodes. */
  readonly nodes: readonly End[];
  readonly count: Readonly<Record<Family, number>>;
  /** Every list that some have, once. */
  readonly ports: readonly (readonly NamedPort[])[];
  /** Those of endpoints by their ports, of which most have the same few. */
  readonly alike: readonly EndsAlike[];
  readonly #byAddress = new Map<string, End>();
  readonly #byEndpoint = new Map<Endpoint, End[]>();
  readonly #sorted: Readonly<Record<Family, readonly End[]>>;

  constructor({ endpoints, nodeByName, hostEndpoints }: Snapshot) {
    const all: End[] = [];
    const portsByText = new Map<string, readonly NamedPort[]>();
    const add = (
      address: Address | Family,
      own: Pick<End, "endpoint" | "node" | "ports">,
    ): void => {
      const told = typeof address === "object";
      const text = told ? formatAddress(address) : undefined;
      if (text !== undefined && this.#byAddress.has(text)) return;
      const end: End = {
        number: all.length,
        family: told ? address.family : address,
        value: told ? valueOf(address) : undefined,
        ...own,
        ports: entryOf(portsByText, JSON.stringify(own.ports), () => own.ports),
      };
      all.push(end);
      if (text !== undefined) this.#byAddress.set(text, end);
      if (own.endpoint === undefined) return;
      this.#byEndpoint.set(own.endpoint, [...(this.#byEndpoint.get(own.endpoint) ?? []), end]);
    };
    for (const endpoint of endpoints) {
      const { node, ports, addresses } = endpoint;
      for (const address of addresses.length === 0 ? ([4, 6] as const) : addresses) {
        add(address, { endpoint, node, ports });
      }
    }
    for (const { name, addresses } of nodeByName.values()) {
      const bound = hostEndpoints.filter(({ node }) => node === name);
      const ports = bound.flatMap((endpoint) => endpoint.ports);
      for (const address of addresses) add(address, { endpoint: undefined, node: name, ports });
    }
    for (const { node, addresses, ports } of hostEndpoints) {
      for (const address of addresses) add(address, { endpoint: undefined, node, ports });
    }
    this.all = all;
    this.untold = all.filter(({ value }) => value === undefined);
    this.nodes = all.filter(({ endpoint }) => endpoint === undefined);
    const six = all.filter(({ family }) => family === 6).length;
    this.count = { 4: all.length - six, 6: six };
    this.ports = [...portsByText.values()];
    this.alike = alikeOf(all.filter(({ endpoint }) => endpoint !== undefined));
    const sorted = (family: Family): End[] =>
      all
        .filter((end) => end.family === family && end.value !== undefined)
        .sort((one, other) => compare(one.value ?? 0n, other.value ?? 0n));
    this.#sorted = { 4: sorted(4), 6: sorted(6) };
  }

  /** Those of an endpoint, one for each address. */
  ofEndpoint(endpoint: Endpoint): readonly End[] {
    return this.#byEndpoint.get(endpoint) ?? [];
  }

  at(address: Address): End | undefined {
    return this.#byAddress.get(formatAddress(address));
  }

  /** Those whose addresses lie in a prefix. */
  within(prefix: Prefix): readonly End[] {
    const { start, end } = rangeOf(prefix);
    const sorted = this.#sorted[prefix.address.family];
    return sorted.slice(firstFrom(sorted, start), firstFrom(sorted, end + 1n));
  }
}

function alikeOf(ends: readonly End[]): EndsAlike[] {
  const byPorts = { 4: new Map<unknown, End[]>(), 6: new Map<unknown, End[]>() };
  const alike: EndsAlike[] = [];
  for (const end of ends) {
    const { family, ports } = end;
    const own = entryOf(byPorts[family], ports, () => {
      const made: End[] = [];
      alike.push({ family, ports, ends: made });
      return made;
    });
    own.push(end);
  }
  return alike;
}

function firstFrom(sorted: readonly End[], value: bigint): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle]?.value ?? 0n) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The addresses of a prefix as numbers. */
export function rangeOf({ address, bits }: Prefix): Range {
  const start = valueOf(address);
  return { start, end: start + (1n << BigInt(addressBits(address.family) - bits)) - 1n };
}

/** Addresses that no end of the cluster has, cut at the ends of prefixes; those that send, or may be sent to. */
export function outsideRanges(
  family: Family,
  prefixes: readonly Prefix[],
  { ends, side }: { readonly ends: Ends; readonly side: "source" | "destination" },
): Range[] {
  const last = (1n << BigInt(addressBits(family))) - 1n;
  const own = prefixes.filter(({ address }) => address.family === family).map(rangeOf);
  const unused = side === "source" ? [...UNSENT, ...DESTINATIONS] : UNSENT;
  const unusable = unused.flatMap((text) => {
    const parsed = parsePrefix(text);
    return parsed?.prefix.address.family === family ? [rangeOf(parsed.prefix)] : [];
  });
  const bounds = new Set<bigint>([0n]);
  for (const { start, end } of [...own, ...unusable]) {
    bounds.add(start);
    if (end < last) bounds.add(end + 1n);
  }
  const sorted = [...bounds].sort(compare);
  return sorted.flatMap((start, index) => {
    const end = (sorted[index + 1] ?? last + 1n) - 1n;
    if (unusable.some((range) => range.start <= start && end <= range.end)) return [];
    const held = start === end && ends.at(addressAt(family, start)) !== undefined;
    return held ? [] : [{ start, end }];
  });
}

function compare(one: bigint, other: bigint): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

/** The address as a number. */
function valueOf({ family, words }: Address): bigint {
  if (family === 4) return BigInt(words[0]);
  return words.reduce((value, word) => (value << 32n) | BigInt(word), 0n);
}

function addressAt(family: Family, value: bigint): Address {
  const word = (shift: bigint): number => Number((value >> shift) & 0xffffffffn);
  if (family === 4) return { family, words: [word(0n), 0, 0, 0] };
  return { family, words: [word(96n), word(64n), word(32n), word(0n)] };
}
