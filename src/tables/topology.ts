/**
 * What every address is, and which interface packets to it leave by. Also says what is not known: an
 * address of the cluster's ranges that no object has is missing from the snapshot, not outside.
 */
import { felixSettings } from "../cluster/felix-configuration.ts";
import { endpointName, knowsNodes, nodeNames } from "../cluster/snapshot.ts";
import { knowsBackends } from "../cluster/services.ts";
import type {
  ClusterNode,
  Endpoint,
  FelixSettings,
  Service,
  Snapshot,
} from "../cluster/snapshot.ts";
import {
  formatAddress,
  formatPrefix,
  hostPrefix,
  parsePrefix,
  prefixContains,
  prefixOf,
  sameAddress,
} from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import type { Policy } from "../policy/model.ts";
import type { ToldInterfaces } from "./captured-interface.ts";
import type { InterfaceByEndpoint } from "./endpoint-interface.ts";
import { interfaceOfNode, isTunnelDevice, LOOPBACK_INTERFACE, OTHER_INTERFACE } from "./names.ts";
import { untoldTunnels } from "./tunnels.ts";
import { areAllNear, areNear, isWrappedIn, wrappingIn } from "./wrapping.ts";
import { UNBOUND, type HostBinding } from "./host-binding.ts";
import type { UntoldPort } from "./host-ports.ts";
import type { Route, Topology } from "./model.ts";
import { compareAddresses, placeInOrder } from "./set-members.ts";
import { appliesTo } from "./selections.ts";
import { portProtocolNumber } from "./sets.ts";

/** Bits of the range taken to be the cluster's around an address of it, where no object names ranges. */
const INFERRED_BITS: Readonly<Record<Family, number>> = { 4: 16, 6: 64 };

/**
 * Compiles the routes: one for each address of an endpoint, node and Service, the cluster's ranges, the
 * node's own loopback, and the way out.
 *
 * Without `node` all nodes are judged as one; then every node's address is `local`, with the node that has
 * it.
 */
export function compileTopology(
  snapshot: Snapshot,
  interfaces: InterfaceByEndpoint,
  {
    node,
    binding = UNBOUND,
    untracks = false,
    untold = [],
    sparesNodes = false,
    podsMayIpip = false,
  }: {
    readonly node: string | undefined;
    readonly binding?: HostBinding;
    readonly untracks?: boolean;
    readonly untold?: readonly UntoldPort[];
    readonly sparesNodes?: boolean;
    readonly podsMayIpip?: boolean;
  },
): Topology {
  const [uplink, ...otherUplinks] = binding.uplinks;
  // Of several interfaces that lead away, no manifest tells where each leads.
  const several = otherUplinks.length > 0;
  const away = {
    interface: uplink,
    ...(several && !binding.uplinkKnown ? { multipath: true } : {}),
  };
  const outside = { interface: uplink, ...(several ? { multipath: true } : {}) };
  // Host endpoints may bind it.
  const policesHosts = binding !== UNBOUND;
  const loopback = policesHosts ? LOOPBACK_INTERFACE : "";
  // Seen as one, each node has its own.
  const { uplinkByNode } = binding;
  const loopbackOf = (name: string | undefined): string => {
    if (uplinkByNode === undefined) return loopback;
    const isBound = name !== undefined && uplinkByNode.has(name);
    return isBound ? interfaceOfNode(LOOPBACK_INTERFACE, name) : "";
  };
  const settings = felixSettings(snapshot, node);
  const tellsApart = binding.bound.some(({ ofPods }) => ofPods === undefined);
  const wayTo: ReturnType<typeof waysIn> = tellsApart
    ? waysIn(snapshot, settings, node)
    : () => ({});
  const wayToPod = tellsApart || node !== undefined ? wayTo : isWrappedIn(snapshot, settings);
  // What it sends from another address than its tunnel's is not wrapped within a subnet.
  const wayToNode = (
    address: Address,
    { name, tunnels }: Pick<ClusterNode, "name" | "tunnels">,
  ): Pick<Route, "wrapped" | "tunnel" | "near"> => {
    const way = wayTo(address, name);
    if (tunnels.some((tunnel) => sameAddress(tunnel.address, address))) return way;
    return way.near === undefined ? {} : { near: way.near };
  };
  const routes = new RouteList();
  for (const endpoint of snapshot.endpoints) {
    const here = node === undefined || endpoint.node === node;
    for (const address of endpoint.addresses) {
      routes.add({
        prefix: hostPrefix(address),
        kind: "unicast",
        ...(here ? { interface: interfaceOf(interfaces, endpoint) } : away),
        ...wayToPod(address, endpoint.node),
        node: endpoint.node,
        owner: endpointName(endpoint),
      });
    }
  }
  for (const { name, ownAddresses, tunnels } of snapshot.nodeByName.values()) {
    const local = node === undefined || node === name;
    for (const address of ownAddresses) {
      routes.add({
        prefix: hostPrefix(address),
        kind: local ? "local" : "unicast",
        ...(local ? { interface: loopbackOf(name) } : away),
        ...(node === undefined ? { wrapped: false } : {}),
        ...wayToNode(address, { name, tunnels }),
        node: name,
        owner: `node ${name}`,
      });
    }
  }
  for (const endpoint of snapshot.hostEndpoints) {
    const local = node === undefined || node === endpoint.node;
    for (const address of endpoint.addresses) {
      routes.add({
        prefix: hostPrefix(address),
        kind: local ? "local" : "unicast",
        ...(local ? { interface: loopbackOf(endpoint.node) } : away),
        node: endpoint.node,
        owner: endpoint.node === undefined ? endpoint.name : `node ${endpoint.node}`,
      });
    }
  }
  // A cloud translates it in front of the node; elsewhere the node's interface has it.
  for (const { name, addresses } of snapshot.nodeByName.values()) {
    const perhapsLocal = node === undefined || node === name;
    for (const address of addresses) {
      routes.add({
        prefix: hostPrefix(address),
        ...(perhapsLocal ? { kind: "missing", perhapsLocal } : { kind: "unicast" }),
        ...away,
        node: perhapsLocal ? undefined : name,
        owner: `node ${name}`,
      });
    }
  }
  for (const { address, services } of servicesByAddress(snapshot)) {
    // Translated before it is routed; without backends it is forwarded, and refused.
    const untold = services.find(({ ports }) => !ports.every((port) => knowsBackends(port, node)));
    const [first] = services;
    routes.add({
      prefix: hostPrefix(address),
      kind: untold === undefined ? "unicast" : "untranslated",
      ...away,
      node: undefined,
      owner: `service ${endpointName(untold ?? first)}`,
      ...(services.length === 1 ? {} : { ownerByPort: ownersByPort(services) }),
    });
  }
  for (const { addresses, owner } of untold) {
    for (const address of [addresses[4], addresses[6]]) {
      routes.add({
        prefix: hostPrefix(address),
        kind: "untranslated",
        ...away,
        node: undefined,
        owner,
      });
    }
  }
  for (const prefix of clusterRanges(snapshot)) {
    routes.add({
      prefix,
      kind: "missing",
      ...outside,
      ...wayTo(prefix, undefined),
      node: undefined,
      owner: undefined,
    });
  }
  for (const text of ["127.0.0.0/8", "::1/128"]) {
    routes.add({
      prefix: range(text),
      kind: "local",
      interface: uplinkByNode === undefined ? loopback : "",
      ...(uplinkByNode === undefined ? {} : { multipath: true }),
      node,
      owner: undefined,
    });
  }
  for (const text of ["0.0.0.0/0", "::/0"]) {
    routes.add({
      prefix: range(text),
      kind: "outside",
      ...outside,
      node: undefined,
      owner: undefined,
    });
  }
  const wholeCluster = node === undefined;
  const nodeAddresses = wholeCluster
    ? [...snapshot.nodeByName.values()]
        .toSorted((one, other) => (one.name < other.name ? -1 : 1))
        .flatMap(({ name, ownAddresses, tunnels }) =>
          ownAddresses.map((address) => ({
            node: name,
            address,
            ofTunnel: tunnels.some((tunnel) => sameAddress(tunnel.address, address)),
          })),
        )
    : [];
  return {
    routes: routes.sorted(),
    wholeCluster,
    nodeAddresses,
    ...(wholeCluster ? { nodes: nodeNames(snapshot), moreNodes: !knowsNodes(snapshot) } : {}),
    ...(wholeCluster ? untoldTunnels(snapshot) : {}),
    interfaces: undefined,
    outgoingKnown: snapshot.pools.length > 0,
    policesHosts,
    ...(sparesNodes ? { sparesNodes } : {}),
    ...(podsMayIpip ? { podsMayIpip } : {}),
    ...(uplinkByNode === undefined ? {} : { uplinkByNode }),
    ...(binding.tunnelByNode === undefined ? {} : { tunnelByNode: binding.tunnelByNode }),
    untracks,
    ...interfacesOf(binding, routes.sorted()),
  };
}

/** Services by each of their addresses, of which several may share those for outside. */
function servicesByAddress({ services }: Snapshot): Iterable<{
  readonly address: Address;
  readonly services: readonly [Service, ...Service[]];
}> {
  const found = new Map<
    string,
    { readonly address: Address; readonly services: [Service, ...Service[]] }
  >();
  for (const service of services) {
    const { clusterAddresses, externalAddresses, balancerAddresses } = service;
    for (const address of [...clusterAddresses, ...externalAddresses, ...balancerAddresses]) {
      const key = formatAddress(address);
      const known = found.get(key);
      if (known === undefined) found.set(key, { address, services: [service] });
      else if (!known.services.includes(service)) known.services.push(service);
    }
  }
  return found.values();
}

function ownersByPort(services: readonly Service[]): ReadonlyMap<string, string> {
  return new Map(
    services.flatMap((service) =>
      service.ports.map(
        ({ protocol, port }) =>
          [`${portProtocolNumber(protocol)} ${port}`, `service ${endpointName(service)}`] as const,
      ),
    ),
  );
}

/** What is known of the interfaces of nodes whose host endpoints bind some. */
function interfacesOf(binding: HostBinding, routes: readonly Route[]): ToldInterfaces {
  const { uplinks, uplinkByNode, tunnelByNode, otherByNode, nameByNode, unnamed, bound } = binding;
  if (binding === UNBOUND) return {};
  if (uplinkByNode !== undefined) {
    const tunnels = tunnelByNode?.values() ?? [];
    return {
      uplinks: [uplinks[0], ...uplinkByNode.values(), ...tunnels],
      ...(otherByNode === undefined ? {} : { otherByNode }),
      ...(nameByNode === undefined ? {} : { nameByNode }),
    };
  }
  const names = bound.map(({ interfaceName }) => interfaceName);
  const tunnels = [
    ...routes.flatMap(({ tunnel }) => tunnel ?? []),
    ...names.filter(isTunnelDevice),
  ];
  return {
    uplinks: [...new Set([...uplinks, ...tunnels])],
    unnamed,
    boundInterfaces: names,
    otherInterface: OTHER_INTERFACE,
  };
}

/** Tells by which device what goes to an address, or to any of a range, is wrapped, and whether it is. */
function waysIn(
  snapshot: Snapshot,
  settings: FelixSettings,
  node: string | undefined,
): (to: Address | Prefix, owner: string | undefined) => Pick<Route, "wrapped" | "tunnel" | "near"> {
  const wrapping = wrappingIn(snapshot, settings);
  const at = node === undefined ? undefined : snapshot.nodeByName.get(node);
  const nearByFamily = new Map<Family, boolean>();
  const allNear = (family: Family): boolean => {
    const known =
      nearByFamily.get(family) ?? (knowsNodes(snapshot) && areAllNear(snapshot, family));
    nearByFamily.set(family, known);
    return known;
  };
  return (to, owner) => {
    const way = wrapping(to);
    const { family } = "bits" in to ? to.address : to;
    // Only pools ask for subnets.
    const asksSubnets =
      settings.wireguardPorts[family] === undefined &&
      snapshot.pools.some(({ prefix }) => prefix.address.family === family);
    if (node === undefined) {
      const { tunnel, wrapped } = way;
      // Each of two nodes may be the one that wraps it.
      return tunnel === undefined || (asksSubnets && wrapped !== true && allNear(family))
        ? { wrapped: false }
        : way;
    }
    if ("bits" in to || owner === undefined || owner === node) return way;
    const near = asksSubnets ? areNear(at, snapshot.nodeByName.get(owner), family) : undefined;
    if (near === undefined) return way;
    return way.tunnel === undefined || way.wrapped !== undefined
      ? { ...way, near }
      : { ...way, near, wrapped: !near };
  };
}

/**
 * The ranges that nodes and the user name, and around every ClusterIP and every pod outside of those
 * the range such addresses are commonly given from.
 */
function clusterRanges(snapshot: Snapshot): Prefix[] {
  const known = snapshot.clusterPrefixes;
  const addresses = [
    ...snapshot.endpoints.flatMap((endpoint) => endpoint.addresses),
    ...snapshot.services.flatMap((service) => service.clusterAddresses),
  ];
  const inferred = addresses
    .filter((address) => !known.some((prefix) => prefixContains(prefix, address)))
    .map((address) => prefixOf(address, INFERRED_BITS[address.family]));
  return [...known, ...inferred];
}

/** A topology with what policies say of it; the same where they say nothing else. */
export function withPolicies(
  topology: Topology,
  { pools }: Snapshot,
  policies: readonly Policy[],
): Topology {
  // Where no pool tells, a node masquerades whatever its network has it masquerade.
  const masquerades = pools.length === 0 || pools.some(({ natOutgoing }) => natOutgoing);
  const hidesPods = masquerades && policies.some((policy) => appliesTo(policy, "egress"));
  return topology.hidesPods === hidesPods ? topology : { ...topology, hidesPods };
}

/**
 * The topology of a snapshot that has one more endpoint; undefined where more than its own routes would be
 * others.
 */
export function withEndpoint(
  topology: Topology,
  endpoint: Endpoint,
  {
    here,
    interfaceName,
    snapshot,
  }: {
    readonly here: boolean;
    readonly interfaceName: string;
    readonly snapshot: Snapshot;
  },
): Topology | undefined {
  // By which interfaces it comes and goes hangs on more than its own route.
  if (topology.uplinks !== undefined) return undefined;
  const { node } = endpoint;
  if (topology.nodes !== undefined && node !== undefined && !topology.nodes.includes(node)) {
    return undefined;
  }
  let { routes } = topology;
  const { clusterPrefixes } = snapshot;
  const isWrapped = isWrappedIn(snapshot, felixSettings(snapshot, undefined));
  for (const address of endpoint.addresses) {
    const { family } = address;
    const inferred = prefixOf(address, INFERRED_BITS[family]);
    const ranged = routes[placeOfRoute(routes, inferred)];
    const known =
      clusterPrefixes.some((prefix) => prefixContains(prefix, address)) ||
      (ranged?.kind === "missing" && compareRoutePrefixes(ranged.prefix, inferred) === 0);
    const prefix = hostPrefix(address);
    const at = placeOfRoute(routes, prefix);
    const taken = routes[at];
    if (!known || (taken !== undefined && compareRoutePrefixes(taken.prefix, prefix) === 0)) {
      return undefined;
    }
    routes = routes.toSpliced(at, 0, {
      prefix,
      kind: "unicast",
      interface: here ? interfaceName : UNBOUND.uplinks[0],
      ...(topology.wholeCluster ? isWrapped(address) : {}),
      node: endpoint.node,
      owner: endpointName(endpoint),
    });
  }
  return { ...topology, routes };
}

function placeOfRoute(routes: readonly Route[], prefix: Prefix): number {
  return placeInOrder(routes, (route) => compareRoutePrefixes(route.prefix, prefix));
}

function compareRoutePrefixes(one: Prefix, other: Prefix): number {
  return (
    one.address.family - other.address.family ||
    compareAddresses(one.address, other.address) ||
    one.bits - other.bits
  );
}

/** Routes by prefix; the first for a prefix stays. */
class RouteList {
  readonly #routeByPrefix = new Map<string, Route>();

  add(route: Route): void {
    const key = formatPrefix(route.prefix);
    if (!this.#routeByPrefix.has(key)) this.#routeByPrefix.set(key, route);
  }

  /** IPv4 first, by address, the shorter prefix first. */
  sorted(): Route[] {
    return [...this.#routeByPrefix.values()].sort((one, other) =>
      compareRoutePrefixes(one.prefix, other.prefix),
    );
  }
}

function interfaceOf(
  interfaces: InterfaceByEndpoint,
  endpoint: Snapshot["endpoints"][number],
): string {
  const name = interfaces.get(endpoint);
  if (name === undefined) throw new Error(`bug: ${endpointName(endpoint)} has no interface`);
  return name;
}

function range(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(`bug: ${text} is no prefix`);
  return parsed.prefix;
}
