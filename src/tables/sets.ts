/**
 * The ipsets that the rules of one address family ask for: each made once, with the members that the
 * snapshot has. Who belongs to a set is asked of the endpoint index.
 */
import { domainAddresses, endpointName, knowsDomain, knowsNodes } from "../cluster/snapshot.ts";
import type {
  ClusterNode,
  Endpoint,
  HostEndpoint,
  PortProtocol,
  ServiceMembers,
  Snapshot,
} from "../cluster/snapshot.ts";
import { formatExpression } from "../cluster/selector-expression.ts";
import { formatSelector, selectorMatches } from "../cluster/selector.ts";
import type { LabelSelector } from "../cluster/selector.ts";
import { formatAddress, formatPrefix, hostPrefix } from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import { protocolNumber } from "../net/protocol.ts";
import type { EndpointSelector, ServiceRef } from "../policy/model.ts";
import { EndpointIndex } from "../policy/endpoint-index.ts";
import { SelectorIndex } from "../policy/selector-index.ts";
import { selectsEndpoint } from "../policy/selects.ts";
import { nodeSelectorText, peerSelectorText, SELECT_ALL } from "./calico-selector.ts";
import type { IpSet, PortMember } from "./model.ts";
import {
  domainId,
  namedPortId,
  nodesId,
  placeId,
  selectorId,
  serviceId,
  setName,
} from "./names.ts";

/** What a set is known by, whatever its family. One object for each. */
export interface SetIdentity {
  readonly id: string;
  /** Its names by family, once they were asked for. */
  readonly names: { 4?: string; 6?: string };
}

/** Who is meant by selectors that have one canonical text. */
export interface Chosen {
  readonly text: string;
  /** One of the selectors; undefined: every endpoint. */
  readonly selector: EndpointSelector | undefined;
  /** Of the set of their addresses. */
  readonly identity: SetIdentity;
  /** Of the sets of their named ports, by protocol and name. */
  readonly ports: Map<string, { readonly port: WantedPort; readonly identity: SetIdentity }>;
  endpoints: readonly Endpoint[] | undefined;
}

/** What peers mean whatever the family: found once for both. */
export class PeerMeanings {
  #snapshot: Snapshot;
  readonly #index: EndpointIndex;
  /** Made when endpoints change. */
  #choosing: SelectorIndex<Chosen> | undefined;
  readonly #chosenBySelector = new WeakMap<EndpointSelector, Chosen>();
  readonly #chosenByText = new Map<string, Chosen>();
  readonly #portNumbers = new Map<string, readonly number[]>();
  #knowsNodes: boolean | undefined;
  /** Sets of all addresses at some nodes were asked for. */
  asksForPlaces = false;

  constructor(snapshot: Snapshot, index = new EndpointIndex(snapshot)) {
    this.#snapshot = snapshot;
    this.#index = index;
  }

  /** Who a selector means; every endpoint without one. */
  chosen(selector: EndpointSelector | undefined): Chosen {
    if (selector === undefined) return this.#chosenAs(SELECT_ALL, selector);
    return entryOf(this.#chosenBySelector, selector, () =>
      this.#chosenAs(peerSelectorText(selector), selector),
    );
  }

  /** The identity of the set of a named port of theirs. */
  portIdentity(port: WantedPort, { text, ports }: Chosen): SetIdentity {
    const { name, protocol, runningOnly = false } = port;
    return entryOf(ports, `${protocol} ${name} ${runningOnly}`, () => ({
      port,
      identity: identityOf(
        namedPortId({ name, protocol, selector: runningOnly ? `${text} running` : text }),
      ),
    })).identity;
  }

  /**
   * Moves on to a snapshot that has one endpoint more, and is the same in all else; the endpoint index has
   * done so.
   *
   * @returns whom else it belongs to now
   */
  add(endpoint: Endpoint, snapshot: Snapshot): readonly Chosen[] {
    this.#snapshot = snapshot;
    this.#portNumbers.clear();
    if (this.#choosing === undefined) {
      this.#choosing = new SelectorIndex();
      for (const chosen of this.#chosenByText.values()) this.#choosing.add(chosen.selector, chosen);
    }
    const own = [...this.#choosing.candidates(endpoint)].filter(
      ({ selector }) => selector === undefined || selectsEndpoint(selector, endpoint, snapshot),
    );
    for (const chosen of own) chosen.endpoints = undefined;
    return own;
  }

  #chosenAs(text: string, selector: EndpointSelector | undefined): Chosen {
    return entryOf(this.#chosenByText, text, () => {
      const identity = identityOf(selectorId(text));
      const chosen: Chosen = { text, selector, identity, ports: new Map(), endpoints: undefined };
      this.#choosing?.add(selector, chosen);
      return chosen;
    });
  }

  /** The prefixes of the network sets that a selector chooses. */
  networkSetPrefixes(selector: EndpointSelector): readonly Prefix[] {
    return this.#index.networkSetsChosenBy(selector).flatMap(({ prefixes }) => prefixes);
  }

  /** The host endpoints that a selector chooses. No selector: every one. */
  hostEndpoints(selector: EndpointSelector | undefined): readonly HostEndpoint[] {
    return selector === undefined
      ? this.#snapshot.hostEndpoints
      : this.#index.hostEndpointsChosenBy(selector);
  }

  /** The nodes that a selector chooses, of those that are known. */
  nodes(selector: LabelSelector): ClusterNode[] {
    const all = [...this.#snapshot.nodeByName.values()];
    return all.filter(({ labels }) => selectorMatches(selector, labels));
  }

  /** The addresses of some nodes, and of the endpoints that are known to be on them. */
  addressesAt(names: readonly string[]): Address[] {
    this.asksForPlaces = true;
    const { nodeByName, endpoints } = this.#snapshot;
    const wanted = new Set(names);
    return [
      ...names.flatMap((name) => nodeByName.get(name)?.addresses ?? []),
      ...endpoints
        .filter(({ node }) => node !== undefined && wanted.has(node))
        .flatMap(({ addresses }) => addresses),
    ];
  }

  /** Tells whether all nodes are known. */
  knowsNodes(): boolean {
    return (this.#knowsNodes ??= knowsNodes(this.#snapshot));
  }

  /** The addresses of a domain name, of those that are told. */
  domainAddresses(domainName: string): readonly Address[] {
    return domainAddresses(domainName, this.#snapshot);
  }

  /** Tells whether all of them are told. */
  knowsDomain(domainName: string): boolean {
    return knowsDomain(domainName, this.#snapshot);
  }

  /** The numbers that endpoints call so; of whatever protocol without one. */
  portNumbers(name: string, protocol: PortProtocol | undefined): readonly number[] {
    return entryOf(this.#portNumbers, `${protocol ?? "any"} ${name}`, () => {
      const named = this.#snapshot.endpoints
        .flatMap(({ ports }) => ports)
        .filter(
          (port) => port.name === name && (protocol === undefined || port.protocol === protocol),
        );
      return [...new Set(named.map(({ port }) => port))];
    });
  }

  /** Tells whether an init container has a port of the name. */
  hasInitPort(name: string): boolean {
    return this.#snapshot.endpoints.some(({ ports }) =>
      ports.some((port) => port.init === true && port.name === name),
    );
  }

  /** The endpoints of a Service, of those that are known. */
  serviceMembers(service: ServiceRef): ServiceMembers {
    return this.#snapshot.membersByService.get(endpointName(service)) ?? NO_SERVICE;
  }

  /** The endpoints that a selector chooses, in no particular order. No selector: every endpoint. */
  endpoints(selector: EndpointSelector | undefined, chosen: Chosen): readonly Endpoint[] {
    if (selector === undefined) return this.#snapshot.endpoints;
    return (chosen.endpoints ??= this.#index.chosenBy(selector));
  }
}

function identityOf(id: string): SetIdentity {
  return { id, names: {} };
}

const NO_SERVICE: ServiceMembers = { addresses: [], ports: [], missing: "nothing tells of it" };

/** A port as rules name it; `any`: of whatever protocol. */
export interface WantedPort {
  readonly name: string;
  readonly protocol: PortProtocol | "any";
  /** Ports of init containers have no names. */
  readonly runningOnly?: boolean;
}

/** What a set is made by, in whatever family. */
interface Recipe {
  readonly identity: SetIdentity;
  readonly make: (collector: SetCollector, name: string) => IpSet;
}

/** Makes sets on demand; asking twice for the same gives the same. */
export class SetCollector {
  readonly #family: Family;
  readonly #meanings: PeerMeanings;
  readonly #setByName = new Map<string, IpSet>();
  readonly #setByIdentity = new Map<SetIdentity, IpSet>();
  readonly #recipeByName = new Map<string, Recipe>();
  #noted: Set<string> | undefined;

  constructor(family: Family, meanings: PeerMeanings) {
    this.#family = family;
    this.#meanings = meanings;
  }

  /** The name of the set of the addresses of the endpoints that a selector chooses. */
  podSet(selector: EndpointSelector): string {
    const chosen = this.#meanings.chosen(selector);
    return this.#netSet(chosen.identity, (collector) => ({
      members: [
        ...[
          ...this.#meanings.endpoints(selector, chosen),
          ...this.#meanings.hostEndpoints(selector),
        ]
          .flatMap((endpoint) => collector.#addresses(endpoint))
          .map(hostPrefix),
        ...this.#meanings.networkSetPrefixes(selector),
      ],
      description: describePods(selector),
    }));
  }

  /** The name of the set of the addresses of nodes; with its members unknown unless all nodes are known. */
  nodeSet(nodeSelector: LabelSelector): string {
    return this.#netSet(identityOf(nodesId(nodeSelectorText(nodeSelector))), () => ({
      members: this.#meanings
        .nodes(nodeSelector)
        .flatMap(({ addresses }) => addresses)
        .map(hostPrefix),
      description: isEmpty(nodeSelector)
        ? "every node"
        : `nodes with ${formatSelector(nodeSelector)}`,
      unknown: !this.knowsNodes(),
    }));
  }

  /** The name of the set of the addresses of some nodes and of the endpoints that are on them. */
  placeSet(nodes: readonly string[]): string {
    return this.#netSet(identityOf(placeId(nodes)), () => ({
      members: this.#meanings.addressesAt(nodes).map(hostPrefix),
      description: `${nodes.length === 1 ? "node" : "nodes"} ${nodes.join(", ")} and pods there`,
    }));
  }

  /** The name of a set that has a name of its own, of what is told of it. */
  fixedSet(id: string, content: Content<Prefix>): string {
    return this.#netSet(identityOf(id), () => content);
  }

  /** Tells whether all nodes are known. */
  knowsNodes(): boolean {
    return this.#meanings.knowsNodes();
  }

  /** The name of the set of a domain name's addresses; there may be others where DNS tells not all. */
  domainSet(domainName: string): string {
    return this.#netSet(identityOf(domainId(domainName)), () => ({
      members: this.#meanings.domainAddresses(domainName).map(hostPrefix),
      description: domainName,
      unknown: !this.knowsDomain(domainName),
    }));
  }

  /** Tells whether all addresses of a domain name are known. */
  knowsDomain(domainName: string): boolean {
    return this.#meanings.knowsDomain(domainName);
  }

  /** The name of the set of the addresses of a Service's endpoints, with others where not all are known. */
  serviceAddressSet(service: ServiceRef): string {
    return this.#netSet(identityOf(serviceId(service, "without ports")), () => ({
      members: this.#meanings.serviceMembers(service).addresses.map(hostPrefix),
      description: `endpoints of Service ${endpointName(service)}`,
      unknown: !this.knowsService(service),
    }));
  }

  /** The name of the set of the addresses and ports of a Service's endpoints; the same. */
  servicePortSet(service: ServiceRef): string {
    return this.#portNamedSet(identityOf(serviceId(service, "with ports")), (collector) => ({
      members: this.#meanings
        .serviceMembers(service)
        .ports.filter(({ address }) => address.family === collector.#family)
        .map((member) => ({ ...member, protocol: portProtocolNumber(member.protocol) })),
      description: `endpoints and ports of Service ${endpointName(service)}`,
      unknown: !this.knowsService(service),
    }));
  }

  /** Tells whether all endpoints of a Service are known. */
  knowsService(service: ServiceRef): boolean {
    return this.#meanings.serviceMembers(service).missing === undefined;
  }

  /**
   * The name of the set of the addresses and ports that a named port means: on the endpoints that the
   * selector chooses, or, without one, on every endpoint.
   */
  portSet(port: WantedPort, selector: EndpointSelector | undefined): string {
    const chosen = this.#meanings.chosen(selector);
    return this.#portNamedSet(this.#meanings.portIdentity(port, chosen), (collector) => {
      const pods = selector === undefined ? "every pod" : describePods(selector);
      return {
        members: [
          ...this.#meanings.endpoints(selector, chosen),
          ...this.#meanings.hostEndpoints(selector),
        ].flatMap((endpoint) => collector.#portMembers(endpoint, port)),
        description: `port ${port.name}/${port.protocol} of ${pods}`,
      };
    });
  }

  /** The numbers that endpoints call so; of whatever protocol without one. */
  portNumbers(name: string, protocol: PortProtocol | undefined): readonly number[] {
    return this.#meanings.portNumbers(name, protocol);
  }

  /** Tells whether an init container has a port of the name. */
  hasInitPort(name: string): boolean {
    return this.#meanings.hasInitPort(name);
  }

  /** Does some work, and notes the names of the sets that it asks for. */
  noting<T>(work: () => T): { readonly result: T; readonly names: ReadonlySet<string> } {
    const names = new Set<string>();
    this.#noted = names;
    const result = work();
    this.#noted = undefined;
    return { result, names };
  }

  /** The name of the set that is in this family what another family's is there. */
  counterpartOf(name: string, other: SetCollector): string {
    const recipe = other.#recipeByName.get(name);
    if (recipe === undefined) throw new Error(`bug: nobody asked for set ${name}`);
    return this.#setOf(recipe.identity, recipe.make);
  }

  /** A set that was asked for. */
  find(name: string): IpSet {
    const set = this.#setByName.get(name);
    if (set === undefined) throw new Error(`bug: nobody asked for set ${name}`);
    return set;
  }

  /** Forgets a set that nobody asks for any more. */
  forget(name: string): void {
    const recipe = this.#recipeByName.get(name);
    if (recipe !== undefined) this.#setByIdentity.delete(recipe.identity);
    this.#setByName.delete(name);
    this.#recipeByName.delete(name);
  }

  /** Puts an endpoint into the sets of those whom it belongs to now. @returns the sets that hold more */
  add(endpoint: Endpoint, chosen: readonly Chosen[]): IpSet[] {
    const addresses = this.#addresses(endpoint).map(hostPrefix);
    if (addresses.length === 0) return [];
    return chosen.flatMap(({ identity, ports }) => [
      ...this.#extend(identity, (set) =>
        set.kind === "hash:net"
          ? { ...set, members: withEach(set.members, addresses, comparePrefixes) }
          : set,
      ),
      ...[...ports.values()].flatMap(({ port, identity: ofPort }) =>
        this.#extend(ofPort, (set) => {
          const more = this.#portMembers(endpoint, port);
          return set.kind === "hash:ip,port" && more.length > 0
            ? { ...set, members: withEach(set.members, more, compareMembers) }
            : set;
        }),
      ),
    ]);
  }

  #extend(identity: SetIdentity, add: (set: IpSet) => IpSet): IpSet[] {
    const before = this.#setByIdentity.get(identity);
    if (before === undefined) return [];
    const set = add(before);
    if (set === before) return [];
    this.#setByIdentity.set(identity, set);
    this.#setByName.set(set.name, set);
    return [set];
  }

  /** All sets asked for, by name. */
  sets(): IpSet[] {
    return [...this.#setByName.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  #netSet(identity: SetIdentity, make: (collector: SetCollector) => Content<Prefix>): string {
    return this.#setOf(identity, (collector, name) => {
      const family = collector.#family;
      const { members, description, unknown = false, whole = false } = make(collector);
      const own = members.filter(({ address }) => address.family === family);
      return {
        kind: "hash:net",
        name,
        family,
        members: uniquePrefixes(own.flatMap(storable)),
        origin: { incomplete: !whole, ...(unknown ? { unknown: true as const } : {}), description },
      };
    });
  }

  #portNamedSet(
    identity: SetIdentity,
    make: (collector: SetCollector) => Content<PortMember>,
  ): string {
    return this.#setOf(identity, (collector, name) => {
      const { members, description, unknown = false } = make(collector);
      return {
        kind: "hash:ip,port",
        name,
        family: collector.#family,
        members: uniqueMembers(members),
        origin: { incomplete: true, ...(unknown ? { unknown: true as const } : {}), description },
      };
    });
  }

  #setOf(identity: SetIdentity, make: Recipe["make"]): string {
    const before = this.#setByIdentity.get(identity);
    if (before !== undefined) {
      this.#noted?.add(before.name);
      return before.name;
    }
    const name = (identity.names[this.#family] ??= setName(this.#family, identity.id));
    const set = entryOf(this.#setByName, name, () => make(this, name));
    this.#setByIdentity.set(identity, set);
    this.#recipeByName.set(name, { identity, make });
    this.#noted?.add(name);
    return name;
  }

  #addresses(endpoint: Pick<Endpoint, "addresses">): Address[] {
    return endpoint.addresses.filter((address) => address.family === this.#family);
  }

  /** A port is meant by its name and its protocol; a pod may have it more than once. */
  #portMembers(endpoint: Pick<Endpoint, "addresses" | "ports">, wanted: WantedPort): PortMember[] {
    return endpoint.ports
      .filter(
        ({ name, protocol, init }) =>
          name === wanted.name &&
          (wanted.protocol === "any" || protocol === wanted.protocol) &&
          !(wanted.runningOnly === true && init === true),
      )
      .flatMap(({ port, protocol }) =>
        this.#addresses(endpoint).map((address) => ({
          address,
          protocol: portProtocolNumber(protocol),
          port,
        })),
      );
  }
}

/** The IP protocol number of a policy's or Service's protocol. */
export function portProtocolNumber(protocol: PortProtocol): number {
  const number = protocolNumber(protocol);
  if (number === undefined) throw new Error(`bug: no number for protocol ${protocol}`);
  return number;
}

/** Orders addresses of one family by their bits. */
export function compareAddresses(one: Address, other: Address): number {
  for (const [index, word] of one.words.entries()) {
    const difference = word - (other.words[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** What a set is made of. */
interface Content<Member> {
  readonly members: readonly Member[];
  readonly description: string;
  /** There may be others, of which nothing tells. */
  readonly unknown?: boolean;
  /** Addresses that no object has are none of them. */
  readonly whole?: boolean;
}

/** A hash:net set cannot hold the prefix of all addresses, so Felix puts its halves in. */
function storable(prefix: Prefix): Prefix[] {
  if (prefix.bits > 0) return [prefix];
  const { family } = prefix.address;
  const half = (first: number): Prefix => ({
    address: { family, words: [first, 0, 0, 0] },
    bits: 1,
  });
  return [half(0), half(0x80000000)];
}

function uniquePrefixes(prefixes: readonly Prefix[]): Prefix[] {
  const byText = new Map(prefixes.map((prefix) => [formatPrefix(prefix), prefix]));
  return [...byText.values()].sort(comparePrefixes);
}

function comparePrefixes(one: Prefix, other: Prefix): number {
  return compareAddresses(one.address, other.address) || one.bits - other.bits;
}

function uniqueMembers(members: readonly PortMember[]): PortMember[] {
  const byText = new Map(
    members.map((member) => [
      `${formatAddress(member.address)},${member.protocol}:${member.port}`,
      member,
    ]),
  );
  return [...byText.values()].sort(compareMembers);
}

function compareMembers(one: PortMember, other: PortMember): number {
  return (
    compareAddresses(one.address, other.address) ||
    one.protocol - other.protocol ||
    one.port - other.port
  );
}

/** Sorted members with others, which are at their places then. */
function withEach<T>(
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

/** Says whom a selector chooses. */
export function describePods(selector: EndpointSelector): string {
  if (selector.kind === "expression") {
    return `what has ${formatExpression(selector.expression)}`;
  }
  const { namespace, namespaceSelector, podSelector } = selector;
  const pods = isEmpty(podSelector) ? "every pod" : `pods with ${formatSelector(podSelector)}`;
  if (namespace !== undefined) return `${pods} in namespace ${namespace}`;
  return isEmpty(namespaceSelector)
    ? `${pods} in every namespace`
    : `${pods} in namespaces with ${formatSelector(namespaceSelector)}`;
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

function entryOf<K extends WeakKey | string, V>(
  entries: { get(key: K): V | undefined; set(key: K, value: V): unknown },
  key: K,
  make: () => V,
): V {
  const before = entries.get(key);
  if (before !== undefined) return before;
  const made = make();
  entries.set(key, made);
  return made;
}

/** Absent and empty selectors both select everything here. */
function isEmpty(
  selector: LabelSelector | undefined,
): selector is undefined | { readonly requirements: readonly [] } {
  return selector === undefined || selector.requirements.length === 0;
}
