/**
 * A node's topology as the lab sets it up: interfaces with their addresses, routes as `ip route add` takes
 * them, and in words what the lab's node has otherwise than the real one.
 */
import { addressBits, formatAddress, formatPrefix, prefixOf, sameAddress } from "../net/address.ts";
import type { Address, Family } from "../net/address.ts";
import type { NodeInterface, Route, Topology } from "../tables/model.ts";
import type { LabInterface, LabNode } from "./lab.ts";

/** What the lab needs beside tables and sets. */
export interface LabGround {
  readonly interfaces: readonly (LabInterface & { readonly mac: string })[];
  readonly routes: LabNode["routes"];
  /** One sentence each, without a full stop. */
  readonly notes: readonly string[];
}

/** Builds the ground; interfaces that only routes name are among it, the loopback interface is not. */
export function buildLabGround({ interfaces = [], routes }: Topology): LabGround {
  const notes: string[] = [];
  const known = interfaces.filter(({ loopback }) => !loopback);
  const loopbacks = new Set(interfaces.filter(({ loopback }) => loopback).map(({ name }) => name));
  loopbacks.add("lo").add("");
  const names = new Set([
    ...known.map(({ name }) => name),
    ...routes.map((route) => route.interface),
  ]);
  for (const name of loopbacks) names.delete(name);
  if (names.size === 0) names.add("eth0");
  const [uplink = "eth0"] = names;
  const lab = [...names].map((name, index) => {
    const one = known.find((each) => each.name === name);
    const own = (one?.addresses ?? []).map(
      ({ address, bits }) => `${formatAddress(address)}/${bits}`,
    );
    const strays = routes
      .filter((route) => isStray(route, interfaces))
      .filter((route) => (loopbacks.has(route.interface) ? uplink : route.interface) === name)
      .map(
        ({ prefix }) => `${formatAddress(prefix.address)}/${addressBits(prefix.address.family)}`,
      );
    const mtu = one?.mtu;
    return { name, mac: macText(one, index), addresses: [...own, ...strays], mtu };
  });
  const withoutMac = known.filter(({ mac }) => mac === undefined).map(({ name }) => name);
  if (withoutMac.length > 0) {
    notes.push(
      `interfaces without an Ethernet address have one in the lab: ${withoutMac.join(", ")}`,
    );
  }
  if (routes.some(({ multipath }) => multipath === true)) {
    notes.push("of routes with several next hops the lab has the first");
  }
  return {
    interfaces: lab,
    routes: { 4: routeLines(4, routes, interfaces), 6: routeLines(6, routes, interfaces) },
    notes,
  };
}

function macText(one: NodeInterface | undefined, index: number): string {
  const bytes = one?.mac ?? [2, 0, 0, 1, index >> 8, index & 0xff];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** A local address that no interface lists. */
function isStray({ kind, prefix }: Route, interfaces: readonly NodeInterface[]): boolean {
  if (kind !== "local" || prefix.bits !== addressBits(prefix.address.family)) return false;
  if (isLoopback(prefix.address)) return false;
  return !interfaces.some(({ addresses }) =>
    addresses.some(({ address }) => sameAddress(address, prefix.address)),
  );
}

function isLoopback({ family, words: [a, b, c, d] }: Address): boolean {
  return family === 4 ? a >>> 24 === 127 : (a | b | c) === 0 && d === 1;
}

const FORWARDED: ReadonlySet<Route["kind"]> = new Set([
  "unicast",
  "outside",
  "missing",
  "untranslated",
]);

/** Routes to links first: next hops are then on one of them. */
function routeLines(
  family: Family,
  routes: readonly Route[],
  interfaces: readonly NodeInterface[],
): string[] {
  const own = routes.filter(
    (route) => route.prefix.address.family === family && route.table !== "local",
  );
  const direct = own.filter(({ gateway }) => gateway === undefined);
  const lines = [...direct, ...own.filter(({ gateway }) => gateway !== undefined)].flatMap(
    (route) => {
      const prefix = formatPrefix(route.prefix);
      const table = route.table === "default" ? " table default" : "";
      if (route.kind === "blackhole") return [`blackhole ${prefix}${table}`];
      if (
        !FORWARDED.has(route.kind) ||
        route.interface === "" ||
        comesByItself(route, interfaces)
      ) {
        return [];
      }
      const via = route.gateway === undefined ? "" : ` via ${formatAddress(route.gateway)}`;
      const onlink = route.gateway === undefined ? "" : " onlink";
      const source = route.source === undefined ? "" : ` src ${formatAddress(route.source)}`;
      return [`${prefix}${via} dev ${route.interface}${source}${onlink}${table}`];
    },
  );
  return [...new Set(lines)];
}

/** The kernel makes the routes to an interface's own subnets, and those to groups. */
function comesByItself(
  { prefix, gateway, interface: name }: Route,
  interfaces: readonly NodeInterface[],
): boolean {
  if (gateway !== undefined) return false;
  const [first] = prefix.address.words;
  if (prefix.address.family === 6 && first >>> 24 === 0xff) return true;
  return interfaces.some(
    (each) =>
      each.name === name &&
      each.addresses.some(
        ({ address, bits }) =>
          address.family === prefix.address.family &&
          bits === prefix.bits &&
          sameAddress(prefixOf(address, bits).address, prefix.address),
      ),
  );
}
