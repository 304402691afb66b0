/**
 * The addresses and ports that a program speaks of: endpoints and ranges of its routes, and what its rules
 * and sets name. Made-up packets come from and go to these.
 */
import type { Program } from "../engine/program.ts";
import { addressBits } from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import type { Route, Rule, Ruleset } from "../tables/model.ts";
import type { Random } from "./random.ts";

/** What addresses and ports can be drawn from. */
export interface Places {
  /** Families that the program has rules for, and addresses where it has any. */
  readonly families: readonly Family[];
  /** Single addresses behind an interface, and ranges there. */
  readonly routes: readonly Route[];
  readonly routesByInterface: ReadonlyMap<string, readonly Route[]>;
  /** Addresses of the node itself. */
  readonly own: readonly Address[];
  /** Named by rules and sets. */
  readonly prefixes: readonly Prefix[];
  /** Destination ports that rules and sets name. */
  readonly ports: readonly number[];
}

/** Ports of services that a rule set without any port is asked about. */
const USUAL_PORTS = [22, 53, 80, 123, 443, 3306, 5432, 6379, 8080, 8443, 9090];
/** Prefixes shorter than this say hardly more than "anywhere". */
const BITS_MIN = 4;

/** Gathers what a program speaks of. */
export function gatherPlaces({ rulesets, topology }: Program): Places {
  const rules = rulesets.flatMap(rulesOf);
  const routes = topology.routes.filter(isWorthwhile);
  const prefixes = [...rules.flatMap(prefixesOf), ...rulesets.flatMap(setPrefixes)].filter(
    ({ bits }) => bits >= BITS_MIN,
  );
  const ports = [...new Set([...rules.flatMap(portsOf), ...rulesets.flatMap(setPorts)])];
  const own = topology.routes.filter(isOwn).map(({ prefix }) => prefix.address);
  const ends = routes.map(({ prefix }) => prefix.address);
  // Where ends are known, what rules name besides is no family that is in use.
  const known = ends.length > 0 ? ends : prefixes.map(({ address }) => address);
  const used = new Set(known.map(({ family }) => family));
  const ruled = [...new Set(rulesets.map(({ family }) => family))];
  const both = ruled.filter((family) => used.has(family));
  return {
    families: both.length === 0 ? ruled : both,
    routes,
    routesByInterface: Map.groupBy(routes, (route) => route.interface),
    own,
    // Of a cluster's packets one end is an endpoint; aims add what lies outside.
    prefixes: topology.interfaces === undefined && routes.length > 0 ? [] : prefixes,
    ports: ports.length === 0 ? USUAL_PORTS : ports,
  };
}

/** Draws an address of the family: of an endpoint, or of a range that rules name. */
export function drawAddress(places: Places, family: Family, random: Random): Address {
  const lists = random.percent(places.prefixes.length === 0 ? 100 : 70)
    ? [places.routes, places.prefixes]
    : [places.prefixes, places.routes];
  for (const list of lists) {
    const prefix = drawPrefix(list, family, random);
    if (prefix !== undefined) return addressWithin(prefix, random);
  }
  // Nothing is known: the ranges for documentation and benchmarks (RFC 2544, RFC 3849).
  const words: Prefix["address"]["words"] =
    family === 4 ? [0xc6120000, 0, 0, 0] : [0x20010db8, 0, 0, 0];
  return addressWithin({ address: { family, words }, bits: family === 4 ? 15 : 112 }, random);
}

/** Draws an address of the prefix; not its first, which often is the network's own. */
export function addressWithin(prefix: Prefix, random: Random): Address {
  const { family, words } = prefix.address;
  const bits = addressBits(family) - prefix.bits;
  if (bits === 0) return prefix.address;
  // Within a wide prefix of IPv6 the last 32 bits are room enough.
  const last = family === 4 ? 0 : 3;
  const range = 2 ** Math.min(bits, 32);
  const host = range <= 2 ? random.below(range) : 1 + random.below(range - 2);
  const drawn: [number, number, number, number] = [...words];
  drawn[last] = (drawn[last] + host) >>> 0;
  return { family, words: drawn };
}

/** Every rule of a ruleset. */
export function rulesOf({ tables }: Ruleset): Rule[] {
  return tables.flatMap(({ chains }) => chains.flatMap(({ rules }) => rules));
}

// Many tries would only be needed where nearly all is of the other family.
function drawPrefix(
  list: readonly (Route | Prefix)[],
  family: Family,
  random: Random,
): Prefix | undefined {
  for (let tries = 0; tries < 20; tries++) {
    const drawn = random.pick(list);
    const prefix = drawn !== undefined && "prefix" in drawn ? drawn.prefix : drawn;
    if (prefix?.address.family === family) return prefix;
  }
  return undefined;
}

/** Leaves out the node itself, default routes, and what leads nowhere. */
function isWorthwhile({ kind, prefix, interface: link }: Route): boolean {
  return kind === "unicast" && link !== "" && link !== "lo" && prefix.bits >= BITS_MIN;
}

function isOwn({ kind, prefix }: Route): boolean {
  const { family, words } = prefix.address;
  const loopback = family === 4 ? words[0] >>> 24 === 127 : words[3] === 1 && words[0] === 0;
  return kind === "local" && !loopback && prefix.bits === addressBits(family);
}

function prefixesOf({ matches }: Rule): Prefix[] {
  return matches.flatMap((match) =>
    match.kind === "address" && !match.invert && match.mask === undefined ? [match.prefix] : [],
  );
}

function setPrefixes({ sets }: Ruleset): Prefix[] {
  return sets.flatMap((set): readonly Prefix[] => {
    switch (set.kind) {
      case "hash:net":
        return set.members;
      case "hash:ip,port":
        return set.members.map(({ address }) => ({ address, bits: addressBits(address.family) }));
      case "entries":
        return set.entries.flatMap(({ first, second }) =>
          [first, second].filter((prefix) => prefix !== undefined),
        );
    }
  });
}

function portsOf({ matches }: Rule): number[] {
  return matches.flatMap((match) => {
    if (match.kind === "port" && match.dport?.invert === false) return [match.dport.first];
    if (match.kind === "multiport" && !match.invert && match.side !== "src") {
      return match.ports.map(({ first }) => first);
    }
    return [];
  });
}

function setPorts({ sets }: Ruleset): number[] {
  return sets.flatMap((set) => {
    if (set.kind === "hash:net") return [];
    const members = set.kind === "entries" ? set.entries : set.members;
    return members.flatMap(({ port }) => (port === undefined ? [] : [port]));
  });
}
