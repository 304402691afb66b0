/**
 * Addresses in classes: they fall apart at the ends of every prefix that a rule, set or route of either program
 * names, and by what the chains of the endpoints that they lead to say.
 */
import type { Program } from "../engine/program.ts";
import { addressBits, formatPrefix, hostPrefix, parsePrefix } from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import type { IpSet, Route } from "../tables/model.ts";
import { Interned, takeFingerprints } from "./fingerprint.ts";
import type { Fingerprints } from "./fingerprint.ts";
import { rulesOf } from "./places.ts";

/** Addresses that are the same to all rules, and to routes but for the endpoint that they lead to. */
export interface AddressClass {
  readonly number: number;
  readonly family: Family;
  /** One for each node, where they are endpoints' (and two of one node, for talk among them). */
  readonly members: readonly Member[];
  /** Some of what becomes of its packets is not the same in both programs. */
  readonly touched: boolean;
  /** The endpoint, node or Service that has one of them; undefined: they are outside the cluster. */
  readonly owner: string | undefined;
  /** Nobody sends from a Service's address, or a group's. */
  readonly sends: boolean;
  /** A rule or set names some of them: they are not all that is outside. */
  readonly named: boolean;
  readonly ranges: readonly AddressRange[];
}

/** Inclusive. */
export interface AddressRange {
  readonly first: Address;
  readonly last: Address;
  /** Of the prefix that it is; undefined: it is none. */
  readonly bits: number | undefined;
}

/** An address that stands for a class, and the node that it is on. */
export interface Member {
  readonly address: Address;
  readonly node: string | undefined;
}

/** The first two programs are compared; in classes packets are the same to all. */
export interface Subjects {
  readonly programs: readonly [Program, Program, ...Program[]];
  /** What tells an owner's workload: endpoints of two workloads are never one class. */
  readonly workloadOf: (owner: string) => string;
}

/** Never sent between hosts: this network and loopback. */
const UNSENT = ["0.0.0.0/8", "127.0.0.0/8", "::/127"];
/** No address of another one that sends, but a destination: groups, the reserved range, link-local. */
const DESTINATIONS = ["224.0.0.0/3", "ff00::/8", "fe80::/10"];

/** What is said of a prefix. */
interface Said {
  readonly start: bigint;
  /** Inclusive. */
  readonly end: bigint;
  /** Conditions that hold for its addresses. */
  readonly conditions: Set<string>;
  /** By program. */
  readonly routes: (Route | undefined)[];
  use: "any" | "destination" | "none";
}

/** A class before it is numbered over both families. */
export type Unnumbered = Omit<AddressClass, "number">;

/** The classes of one family, and the place of an address among them. */
export interface FamilyClasses {
  readonly classes: readonly Unnumbered[];
  readonly classAt: (value: bigint) => number | undefined;
}

/** Sorts the addresses of a family into classes, in the order of their first addresses. */
export function addressClasses(family: Family, subjects: Subjects): FamilyClasses {
  const { programs } = subjects;
  const said = gatherSaid(family, programs);
  const interned = new Interned();
  const prints = programs.map((program) => printsOf(program, family, interned));
  const commonChanged = prints[0]?.common !== prints[1]?.common;
  const starts: bigint[] = [];
  const places: (number | undefined)[] = [];
  const open = new Map<string, OpenClass>();
  const keys = new Map<string, number>();
  for (const atom of atomsOf(said, family, programs.length)) {
    starts.push(atom.start);
    if (atom.use === "none" || atom.routes.every((route) => route?.kind === "missing")) {
      places.push(undefined);
      continue;
    }
    const ends = atom.routes.map((route, side) => endOf(route, prints[side], subjects));
    const nodes = atom.routes.map((route) => route?.node);
    const moved = nodes.some((node) => node !== nodes[0]);
    const changed = nodes[0] !== nodes[1] || ends[0]?.key !== ends[1]?.key;
    const owner = atom.routes[1]?.owner ?? atom.routes[0]?.owner;
    const { conditions, use } = atom;
    const key = JSON.stringify([conditions, ends.map((end) => end.key), moved && nodes, use]);
    const place = keys.get(key) ?? keys.size;
    keys.set(key, place);
    places.push(place);
    const kept = open.get(key) ?? {
      members: [],
      touched: changed || commonChanged,
      owner,
      sends: use === "any" && owner?.startsWith("service ") !== true,
      named: conditions.length > 0,
      translated: owner !== undefined && /^(?:service|node) /.test(owner),
      ranges: [],
    };
    open.set(key, kept);
    addRange(kept.ranges, atom, family);
    const node = (atom.routes[1] ?? atom.routes[0])?.node;
    const ofNode = kept.members.filter((member) => member.node === node).length;
    if (ofNode < 2 && (owner !== undefined || ofNode === 0)) {
      // The first address of a range is often the network's own.
      const value = atom.start < atom.end ? atom.start + 1n : atom.start;
      kept.members.push({ address: addressOf(family, value), node });
    }
  }
  const kept = [...open.values()];
  // What becomes of packets to a Service or a node's port, chains of backends decide.
  const anyTouched = kept.some(({ touched }) => touched);
  return {
    classes: kept.map(({ translated, ...each }) => ({
      ...each,
      family,
      touched: each.touched || (translated && anyTouched),
    })),
    classAt(value) {
      let [low, high] = [0, starts.length];
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if ((starts[middle] ?? 0n) <= value) low = middle;
        else high = middle;
      }
      return places[low];
    },
  };
}

interface OpenClass {
  readonly members: Member[];
  readonly touched: boolean;
  readonly owner: string | undefined;
  readonly sends: boolean;
  readonly named: boolean;
  /** What is sent to it may go on to an endpoint: of a Service, of a node's ports. */
  readonly translated: boolean;
  readonly ranges: AddressRange[];
}

/** Atoms come in their order: one that begins where the last range ends continues it. */
function addRange(ranges: AddressRange[], { start, end }: Atom, family: Family): void {
  const before = ranges.at(-1);
  const joins = before !== undefined && valueOf(before.last) === start - 1n;
  const first = joins ? valueOf(before.first) : start;
  const size = end - first + 1n;
  const aligned = (size & (size - 1n)) === 0n && first % size === 0n;
  const bits = aligned ? addressBits(family) - (size.toString(2).length - 1) : undefined;
  if (joins) ranges.pop();
  ranges.push({ first: addressOf(family, first), last: addressOf(family, end), bits });
}

/** What tells a class's end apart beside conditions: where it is, and what its chains say. */
function endOf(
  route: Route | undefined,
  prints: Fingerprints | undefined,
  { workloadOf }: Subjects,
): { readonly key: string } {
  if (route === undefined) return { key: "" };
  const { kind, owner, interface: link } = route;
  if (owner === undefined) return { key: kind };
  const own = prints?.byInterface.get(link);
  // Which node it is on only matters beside another end: members tell.
  const placed = route.node === undefined ? "nowhere" : "placed";
  const { tunnel, wrapped, near } = route;
  const wrapping = tunnel === undefined ? [] : [tunnel, wrapped, near];
  return { key: JSON.stringify([kind, workloadOf(owner), own, placed, ...wrapping]) };
}

function printsOf(
  { rulesets, topology }: Program,
  family: Family,
  interned: Interned,
): Fingerprints {
  const ruleset = rulesets.find((each) => each.family === family);
  const links = topology.routes.filter(
    ({ kind, owner }) => kind === "unicast" && owner !== undefined,
  );
  const interfaces = new Set(links.map((route) => route.interface));
  // The way out of the node is nobody's own.
  for (const { kind, interface: link } of topology.routes) {
    if (kind === "outside") interfaces.delete(link);
  }
  if (ruleset === undefined) return { byInterface: new Map(), common: 0 };
  return takeFingerprints(ruleset, interfaces, interned);
}

interface Atom {
  readonly start: bigint;
  readonly end: bigint;
  readonly conditions: readonly string[];
  readonly routes: readonly (Route | undefined)[];
  readonly use: Said["use"];
}

/** The ranges between the ends of prefixes; prefixes lie within each other or apart. */
function* atomsOf(said: readonly Said[], family: Family, programs: number): Generator<Atom> {
  const sides = Array.from({ length: programs }, (_, side) => side);
  const max = (1n << BigInt(addressBits(family))) - 1n;
  const bounds = new Set<bigint>([0n]);
  for (const { start, end } of said) {
    bounds.add(start);
    if (end < max) bounds.add(end + 1n);
  }
  const sorted = [...bounds].sort(compare);
  const inOrder = said.toSorted(
    (one, other) => compare(one.start, other.start) || compare(other.end, one.end),
  );
  const stack: Said[] = [];
  let next = 0;
  for (const [index, start] of sorted.entries()) {
    while ((stack.at(-1)?.end ?? max) < start) stack.pop();
    for (let each = inOrder[next]; each?.start === start; each = inOrder[++next]) stack.push(each);
    const end = (sorted[index + 1] ?? max + 1n) - 1n;
    const innermost = stack.toReversed();
    yield {
      start,
      end,
      conditions: [...new Set(stack.flatMap(({ conditions }) => [...conditions]))].sort(),
      routes: sides.map((side) => innermost.find(({ routes }) => routes[side])?.routes[side]),
      use: stack.find(({ use }) => use !== "any")?.use ?? "any",
    };
  }
}

function compare(one: bigint, other: bigint): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

function gatherSaid(family: Family, programs: readonly Program[]): Said[] {
  const byKey = new Map<string, Said>();
  const about = (prefix: Prefix): Said => {
    const start = valueOf(prefix.address);
    const end = start + (1n << BigInt(addressBits(family) - prefix.bits)) - 1n;
    const key = `${start}/${prefix.bits}`;
    const said = byKey.get(key) ?? {
      ...{ start, end, conditions: new Set<string>(), use: "any" },
      routes: [],
    };
    byKey.set(key, said);
    return said;
  };
  for (const [texts, use] of [
    [UNSENT, "none"],
    [DESTINATIONS, "destination"],
  ] as const) {
    for (const text of texts) {
      const parsed = parsePrefix(text);
      if (parsed?.prefix.address.family === family) about(parsed.prefix).use = use;
    }
  }
  for (const [side, { rulesets, topology }] of programs.entries()) {
    for (const route of topology.routes) {
      if (route.prefix.address.family === family) about(route.prefix).routes[side] = route;
    }
    for (const ruleset of rulesets) {
      if (ruleset.family !== family) continue;
      for (const { matches } of rulesOf(ruleset)) {
        for (const match of matches) {
          if (match.kind !== "address") continue;
          about(match.prefix).conditions.add(formatPrefix(match.prefix));
        }
      }
      for (const set of ruleset.sets) {
        for (const [prefix, what] of membersOf(set)) {
          if (prefix.address.family === family)
            about(prefix).conditions.add(`${side} ${set.name} ${what}`);
        }
      }
    }
  }
  return [...byKey.values()];
}

/** The addresses of a set's members, each with what else the member says. */
function membersOf(set: IpSet): (readonly [Prefix, string])[] {
  switch (set.kind) {
    case "hash:net":
      return set.members.map((prefix) => [prefix, ""] as const);
    case "hash:ip,port":
      return set.members.map(
        ({ address, protocol, port }) => [hostPrefix(address), `${protocol} ${port}`] as const,
      );
    case "entries":
      return set.entries.flatMap((entry) =>
        [entry.first, entry.second].flatMap((prefix, index) =>
          prefix === undefined
            ? []
            : [
                [
                  prefix,
                  JSON.stringify([index, entry.protocol, entry.port, entry.nomatch]),
                ] as const,
              ],
        ),
      );
  }
}

/** The address as a number. */
export function valueOf({ family, words }: Address): bigint {
  if (family === 4) return BigInt(words[0]);
  return words.reduce((value, word) => (value << 32n) | BigInt(word), 0n);
}

/** The number as an address. */
export function addressOf(family: Family, value: bigint): Address {
  const word = (shift: bigint): number => Number((value >> shift) & 0xffffffffn);
  if (family === 4) return { family, words: [word(0n), 0, 0, 0] };
  return { family, words: [word(96n), word(64n), word(32n), word(0n)] };
}
