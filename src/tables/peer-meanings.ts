/** Whom the peers of rules mean, of those whom a snapshot has. */
import { domainAddresses, endpointName, knowsDomain, knowsNodes } from "../cluster/snapshot.ts";
import type {
  ClusterNode,
  Endpoint,
  HostEndpoint,
  PortProtocol,
  ServiceMembers,
  Snapshot,
} from "../cluster/snapshot.ts";
import { selectorMatches } from "../cluster/selector.ts";
import type { LabelSelector } from "../cluster/selector.ts";
import type { SetNames } from "../match/set.ts";
import type { Address, Prefix } from "../net/address.ts";
import type { EndpointSelector, ServiceRef } from "../policy/model.ts";
import { EndpointIndex } from "../policy/endpoint-index.ts";
import { SelectorIndex } from "../policy/selector-index.ts";
import { selectsEndpoint } from "../policy/selects.ts";
import { peerSelectorText, SELECT_ALL } from "./calico-selector.ts";
import { namedPortId, selectorId, setName } from "./names.ts";
import { entryOf } from "./entry.ts";

/** What a set is known by, whatever its family. One object for each. */
export interface SetIdentity {
  readonly id: string;
  readonly names: SetNames;
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
  readonly #chosenByText = new Map<string, Chosen>();
  /** Many peers have one selector. */
  readonly #chosenBySelector = new WeakMap<EndpointSelector, Chosen>();
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
    const before = this.#chosenBySelector.get(selector);
    if (before !== undefined) return before;
    const chosen = this.#chosenAs(peerSelectorText(selector), selector);
    this.#chosenBySelector.set(selector, chosen);
    return chosen;
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
    const before = this.#chosenByText.get(text);
    if (before !== undefined) return before;
    const identity = identityOf(selectorId(text));
    const chosen: Chosen = { text, selector, identity, ports: new Map(), endpoints: undefined };
    this.#chosenByText.set(text, chosen);
    this.#choosing?.add(selector, chosen);
    return chosen;
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
      ports.some((port) => port.init !== undefined && port.name === name),
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

/** What a set of a given id is known by. */
export function identityOf(id: string): SetIdentity {
  return { id, names: { 4: setName(4, id), 6: setName(6, id) } };
}

const NO_SERVICE: ServiceMembers = { addresses: [], ports: [], missing: "nothing tells of it" };

/** A port as rules name it; `any`: of whatever protocol. */
export interface WantedPort {
  readonly name: string;
  readonly protocol: PortProtocol | "any";
  /** Ports of init containers have no names. */
  readonly runningOnly?: boolean;
}
