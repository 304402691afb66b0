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

/** What peers mean whatever the family: found once for both. */
export class PeerMeanings {
  readonly #snapshot: Snapshot;
  readonly #index: EndpointIndex;
  readonly #textBySelector = new Map<EndpointSelector, string>();
  readonly #idByContent = new Map<string, string>();
  readonly #endpointsByText = new Map<string, readonly Endpoint[]>();
  readonly #portNumbers = new Map<string, readonly number[]>();
  #knowsNodes: boolean | undefined;

  constructor(snapshot: Snapshot, index = new EndpointIndex(snapshot)) {
    this.#snapshot = snapshot;
    this.#index = index;
  }

  /** The canonical text of a selector; of every endpoint without one. */
  selectorText(selector: EndpointSelector | undefined): string {
    if (selector === undefined) return SELECT_ALL;
    return entryOf(this.#textBySelector, selector, () => peerSelectorText(selector));
  }

  /** What the name of a selector's set is made of. */
  selectorId(selector: string): string {
    return entryOf(this.#idByContent, selector, () => selectorId(selector));
  }

  /** The same of a named port's set. */
  portId(port: WantedPort, selector: string): string {
    const { name, protocol, runningOnly = false } = port;
    const content = `${protocol} ${name} ${runningOnly} ${selector}`;
    return entryOf(this.#idByContent, content, () =>
      namedPortId({ name, protocol, selector: runningOnly ? `${selector} running` : selector }),
    );
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
  endpoints(selector: EndpointSelector | undefined): readonly Endpoint[] {
    if (selector === undefined) return this.#snapshot.endpoints;
    const text = this.selectorText(selector);
    return entryOf(this.#endpointsByText, text, () => this.#index.chosenBy(selector));
  }
}

const NO_SERVICE: ServiceMembers = { addresses: [], ports: [], missing: "nothing tells of it" };

/** A port as rules name it; `any`: of whatever protocol. */
export interface WantedPort {
  readonly name: string;
  readonly protocol: PortProtocol | "any";
  /** Ports of init containers have no names. */
  readonly runningOnly?: boolean;
}

/** Makes sets on demand; asking twice for the same gives the same. */
export class SetCollector {
  readonly #family: Family;
  readonly #meanings: PeerMeanings;
  readonly #setByName = new Map<string, IpSet>();

  constructor(family: Family, meanings: PeerMeanings) {
    this.#family = family;
    this.#meanings = meanings;
  }

  /** The name of the set of the addresses of the endpoints that a selector chooses. */
  podSet(selector: EndpointSelector): string {
    const text = this.#meanings.selectorText(selector);
    return this.#netSet(this.#meanings.selectorId(text), () => ({
      members: [
        ...[...this.#meanings.endpoints(selector), ...this.#meanings.hostEndpoints(selector)]
          .flatMap((endpoint) => this.#addresses(endpoint))
          .map(hostPrefix),
        ...this.#meanings.networkSetPrefixes(selector),
      ],
      description: describePods(selector),
    }));
  }

  /** The name of the set of the addresses of nodes; with its members unknown unless all nodes are known. */
  nodeSet(nodeSelector: LabelSelector): string {
    return this.#netSet(nodesId(nodeSelectorText(nodeSelector)), () => ({
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
    return this.#netSet(placeId(nodes), () => ({
      members: this.#meanings.addressesAt(nodes).map(hostPrefix),
      description: `${nodes.length === 1 ? "node" : "nodes"} ${nodes.join(", ")} and pods there`,
    }));
  }

  /** The name of a set that has a name of its own, of what is told of it. */
  fixedSet(id: string, content: Content<Prefix>): string {
    return this.#netSet(id, () => content);
  }

  /** Tells whether all nodes are known. */
  knowsNodes(): boolean {
    return this.#meanings.knowsNodes();
  }

  /** The name of the set of a domain name's addresses; there may be others where DNS tells not all. */
  domainSet(domainName: string): string {
    return this.#netSet(domainId(domainName), () => ({
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
    return this.#netSet(serviceId(service, "without ports"), () => ({
      members: this.#meanings.serviceMembers(service).addresses.map(hostPrefix),
      description: `endpoints of Service ${endpointName(service)}`,
      unknown: !this.knowsService(service),
    }));
  }

  /** The name of the set of the addresses and ports of a Service's endpoints; the same. */
  servicePortSet(service: ServiceRef): string {
    return this.#portNamedSet(serviceId(service, "with ports"), () => ({
      members: this.#meanings
        .serviceMembers(service)
        .ports.filter(({ address }) => address.family === this.#family)
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
    const text = this.#meanings.selectorText(selector);
    return this.#portNamedSet(this.#meanings.portId(port, text), () => {
      const pods = selector === undefined ? "every pod" : describePods(selector);
      return {
        members: [
          ...this.#meanings.endpoints(selector),
          ...this.#meanings.hostEndpoints(selector),
        ].flatMap((endpoint) => this.#portMembers(endpoint, port)),
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

  /** All sets asked for, by name. */
  sets(): IpSet[] {
    return [...this.#setByName.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  #netSet(id: string, make: () => Content<Prefix>): string {
    const name = setName(this.#family, id);
    if (!this.#setByName.has(name)) {
      const { members, description, unknown = false, whole = false } = make();
      const own = members.filter(({ address }) => address.family === this.#family);
      this.#setByName.set(name, {
        kind: "hash:net",
        name,
        family: this.#family,
        members: uniquePrefixes(own.flatMap(storable)),
        origin: { incomplete: !whole, ...(unknown ? { unknown: true as const } : {}), description },
      });
    }
    return name;
  }

  #portNamedSet(id: string, make: () => Content<PortMember>): string {
    const name = setName(this.#family, id);
    if (!this.#setByName.has(name)) {
      const { members, description, unknown = false } = make();
      this.#setByName.set(name, {
        kind: "hash:ip,port",
        name,
        family: this.#family,
        members: uniqueMembers(members),
        origin: { incomplete: true, ...(unknown ? { unknown: true as const } : {}), description },
      });
    }
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
  return [...byText.values()].sort(
    (one, other) => compareAddresses(one.address, other.address) || one.bits - other.bits,
  );
}

function uniqueMembers(members: readonly PortMember[]): PortMember[] {
  const byText = new Map(
    members.map((member) => [
      `${formatAddress(member.address)},${member.protocol}:${member.port}`,
      member,
    ]),
  );
  return [...byText.values()].sort(
    (one, other) =>
      compareAddresses(one.address, other.address) ||
      one.protocol - other.protocol ||
      one.port - other.port,
  );
}

function describePods(selector: EndpointSelector): string {
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

function entryOf<K, V>(entries: Map<K, V>, key: K, make: () => V): V {
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
