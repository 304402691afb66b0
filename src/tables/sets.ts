/**
 * The ipsets that the rules of one address family ask for: each made once, with the members that the
 * snapshot has. Who belongs to a set, `PeerMeanings` tells.
 */
import { endpointName } from "../cluster/snapshot.ts";
import type { Endpoint, PortProtocol } from "../cluster/snapshot.ts";
import { formatExpression } from "../cluster/selector-expression.ts";
import { formatSelector } from "../cluster/selector.ts";
import type { LabelSelector } from "../cluster/selector.ts";
import type { SetName, SetNames } from "../match/set.ts";
import { hostPrefix } from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import { protocolNumber } from "../net/protocol.ts";
import type { EndpointSelector, ServiceRef } from "../policy/model.ts";
import { nodeSelectorText, orderedRequirements, SELECT_ALL } from "./calico-selector.ts";
import { entryOf } from "./entry.ts";
import type { IpSet, PortMember, SetOrigin } from "./model.ts";
import { domainId, nodesId, placeId, serviceId } from "./names.ts";
import { identityOf } from "./peer-meanings.ts";
import type { Chosen, PeerMeanings, SetIdentity, WantedPort } from "./peer-meanings.ts";
import {
  compareMembers,
  comparePrefixes,
  storable,
  uniqueMembers,
  uniquePrefixes,
  withEach,
} from "./set-members.ts";

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

  /** The names of the set of the addresses of the endpoints that a selector chooses. */
  podSet(selector: EndpointSelector): SetNames {
    const chosen = this.#meanings.chosen(selector);
    const known = this.#known(chosen.identity);
    if (known !== undefined) return known;
    // Made once: the recipe is run for both families.
    const description = describePods(selector);
    return this.#netSet(chosen.identity, (collector) => ({
      members: [
        ...collector.#hostPrefixes(this.#meanings.endpoints(selector, chosen)),
        ...collector.#hostPrefixes(this.#meanings.hostEndpoints(selector)),
        ...this.#meanings.networkSetPrefixes(selector),
      ],
      description,
    }));
  }

  /** The names of the set of the addresses of nodes; with its members unknown unless all nodes are known. */
  nodeSet(nodeSelector: LabelSelector): SetNames {
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

  /**
   * The names of the set of the addresses of some nodes and of the endpoints that are on them.
   *
   * @param from whether anything comes by them from outside
   */
  placeSet(nodes: readonly string[], from: "open" | "spared"): SetName {
    const spared = from === "spared";
    return this.#netSet(identityOf(placeId(spared ? ["spared", ...nodes] : nodes)), () => ({
      members: this.#meanings.addressesAt(nodes).map(hostPrefix),
      description: `${nodes.length === 1 ? "node" : "nodes"} ${nodes.join(", ")} and pods there`,
      places: { nodes, spared },
    }));
  }

  /** The names of a set that has a name of its own, of what is told of it. */
  fixedSet(id: string, content: Content<Prefix>): SetNames {
    return this.#netSet(identityOf(id), () => content);
  }

  /** Tells whether all nodes are known. */
  knowsNodes(): boolean {
    return this.#meanings.knowsNodes();
  }

  /** The names of the set of a domain name's addresses; there may be others where DNS tells not all. */
  domainSet(domainName: string): SetNames {
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

  /** The names of the set of the addresses of a Service's endpoints, with others where not all are known. */
  serviceAddressSet(service: ServiceRef): SetNames {
    return this.#netSet(identityOf(serviceId(service, "without ports")), () => ({
      members: this.#meanings.serviceMembers(service).addresses.map(hostPrefix),
      description: `endpoints of Service ${endpointName(service)}`,
      unknown: !this.knowsService(service),
    }));
  }

  /** The names of the set of the addresses and ports of a Service's endpoints; the same. */
  servicePortSet(service: ServiceRef): SetNames {
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
   * The names of the set of the addresses and ports that a named port means: on the endpoints that the
   * selector chooses, or, without one, on every endpoint.
   */
  portSet(port: WantedPort, selector: EndpointSelector | undefined): SetNames {
    const chosen = this.#meanings.chosen(selector);
    const identity = this.#meanings.portIdentity(port, chosen);
    const known = this.#known(identity);
    if (known !== undefined) return known;
    return this.#portNamedSet(identity, (collector) => ({
      members: [
        ...this.#meanings.endpoints(selector, chosen),
        ...this.#meanings.hostEndpoints(selector),
      ].flatMap((endpoint) => collector.#portMembers(endpoint, port)),
      description: `port ${port.name}/${port.protocol} of ${describePods(selector)}`,
    }));
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
  noting<T>(work: () => T): { readonly result: T; readonly names: readonly string[] } {
    const names = new Set<string>();
    this.#noted = names;
    const result = work();
    this.#noted = undefined;
    return { result, names: [...names] };
  }

  /**
   * Makes the set that is in this family what another family's is there.
   *
   * @returns its name here
   */
  counterpartOf(name: string, other: SetCollector): string {
    const recipe = other.#recipeByName.get(name);
    if (recipe === undefined) throw new Error(`bug: nobody asked for set ${name}`);
    return this.#setOf(recipe.identity, recipe.make)[this.#family];
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

  #netSet(identity: SetIdentity, make: (collector: SetCollector) => Content<Prefix>): SetNames {
    return this.#setOf(identity, (collector, name) => {
      const family = collector.#family;
      const { members, description, unknown = false, whole = false, places } = make(collector);
      const own = members.filter(({ address }) => address.family === family);
      return {
        kind: "hash:net",
        name,
        family,
        members: uniquePrefixes(own.some(({ bits }) => bits === 0) ? own.flatMap(storable) : own),
        origin: {
          incomplete: !whole,
          ...(unknown ? { unknown: true as const } : {}),
          ...(places === undefined ? {} : { places }),
          description,
        },
      };
    });
  }

  #portNamedSet(
    identity: SetIdentity,
    make: (collector: SetCollector) => Content<PortMember>,
  ): SetNames {
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

  /** The names of a set that was asked for before. */
  #known(identity: SetIdentity): SetNames | undefined {
    const before = this.#setByIdentity.get(identity);
    if (before === undefined) return undefined;
    this.#note(before.name);
    return identity.names;
  }

  #note(name: string): void {
    this.#noted?.add(name);
  }

  #setOf(identity: SetIdentity, make: Recipe["make"]): SetNames {
    const known = this.#known(identity);
    if (known !== undefined) return known;
    const { names } = identity;
    const name = names[this.#family];
    const set = entryOf(this.#setByName, name, () => make(this, name));
    this.#setByIdentity.set(identity, set);
    this.#recipeByName.set(name, { identity, make });
    this.#note(name);
    return names;
  }

  #hostPrefixes(endpoints: readonly Pick<Endpoint, "addresses">[]): Prefix[] {
    const prefixes: Prefix[] = [];
    for (const { addresses } of endpoints) {
      for (const address of addresses) {
        if (address.family === this.#family) prefixes.push(hostPrefix(address));
      }
    }
    return prefixes;
  }

  #addresses(endpoint: Pick<Endpoint, "addresses">): Address[] {
    return endpoint.addresses.filter((address) => address.family === this.#family);
  }

  /** A port is meant by its name and its protocol; a pod may have it more than once. */
  #portMembers(endpoint: Pick<Endpoint, "addresses" | "ports">, wanted: WantedPort): PortMember[] {
    const members: PortMember[] = [];
    for (const { name, protocol, port, init } of endpoint.ports) {
      if (name !== wanted.name || (wanted.protocol !== "any" && protocol !== wanted.protocol))
        continue;
      if (wanted.runningOnly === true && init !== undefined) continue;
      for (const address of endpoint.addresses) {
        if (address.family !== this.#family) continue;
        members.push({ address, protocol: portProtocolNumber(protocol), port });
      }
    }
    return members;
  }
}

/** The IP protocol number of a policy's or Service's protocol. */
export function portProtocolNumber(protocol: PortProtocol): number {
  const number = protocolNumber(protocol);
  if (number === undefined) throw new Error(`bug: no number for protocol ${protocol}`);
  return number;
}

/** What a set is made of. */
interface Content<Member> {
  readonly members: readonly Member[];
  readonly description: string;
  /** There may be others, of which nothing tells. */
  readonly unknown?: boolean;
  /** Addresses that no object has are none of them. */
  readonly whole?: boolean;
  readonly places?: SetOrigin["places"];
}

/** Says whom a selector chooses: the same of selectors that have one canonical text. */
export function describePods(selector: EndpointSelector | undefined): string {
  if (selector === undefined) return EVERYBODY;
  if (selector.kind === "expression") {
    const text = formatExpression(selector.expression);
    return text === SELECT_ALL ? EVERYBODY : `what has ${text}`;
  }
  const { namespace, namespaceSelector, podSelector } = selector;
  const pods = isEmpty(podSelector) ? "every pod" : `pods with ${labelsText(podSelector)}`;
  if (namespace !== undefined) return `${pods} in namespace ${namespace}`;
  return isEmpty(namespaceSelector)
    ? `${pods} in every namespace`
    : `${pods} in namespaces with ${labelsText(namespaceSelector)}`;
}

const EVERYBODY = "every pod";

function labelsText(selector: LabelSelector): string {
  return formatSelector({ requirements: orderedRequirements(selector) });
}

/** Absent and empty selectors both select everything here. */
function isEmpty(
  selector: LabelSelector | undefined,
): selector is undefined | { readonly requirements: readonly [] } {
  return selector === undefined || selector.requirements.length === 0;
}
