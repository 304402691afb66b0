/**
 * The ipsets that the rules of one address family ask for: each made once, with the members that the
 * snapshot has. Who belongs to a set is asked of the endpoint index.
 */
import type { Endpoint, PortProtocol, Snapshot } from "../cluster/snapshot.ts";
import { formatSelector } from "../cluster/selector.ts";
import type { LabelSelector } from "../cluster/selector.ts";
import { formatAddress, hostPrefix } from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import { protocolNumber } from "../net/protocol.ts";
import type { Policy, PolicyPeer } from "../policy/model.ts";
import { EndpointIndex } from "../policy/endpoint-index.ts";
import { peerSelectorText, SELECT_ALL } from "./calico-selector.ts";
import type { IpSet, PortMember } from "./model.ts";
import { namedPortId, selectorId, setName } from "./names.ts";

/** A peer that means endpoints. */
export type PodsPeer = Extract<PolicyPeer, { kind: "pods" }>;

/** What peers mean whatever the family: found once for both. */
export class PeerMeanings {
  readonly #snapshot: Snapshot;
  readonly #index: EndpointIndex;
  readonly #selectorByPeer = new Map<PodsPeer, string>();
  readonly #idByContent = new Map<string, string>();
  readonly #endpointsBySelector = new Map<string, readonly Endpoint[]>();

  constructor(snapshot: Snapshot, index = new EndpointIndex(snapshot)) {
    this.#snapshot = snapshot;
    this.#index = index;
  }

  /** The canonical selector of a peer; of every endpoint without one. */
  selector(peer: PodsPeer | undefined, policy: Policy): string {
    if (peer === undefined) return SELECT_ALL;
    return entryOf(this.#selectorByPeer, peer, () => peerSelectorText(peer, policy.ref.namespace));
  }

  /** What the name of a selector's set is made of. */
  selectorId(selector: string): string {
    return entryOf(this.#idByContent, selector, () => selectorId(selector));
  }

  /** The same of a named port's set. */
  portId(
    port: { readonly name: string; readonly protocol: PortProtocol },
    selector: string,
  ): string {
    const content = `${port.protocol} ${port.name} ${selector}`;
    return entryOf(this.#idByContent, content, () => namedPortId({ ...port, selector }));
  }

  /** The endpoints that a peer means, in no particular order. No peer: every endpoint. */
  endpoints(peer: PodsPeer | undefined, policy: Policy): readonly Endpoint[] {
    if (peer === undefined) return this.#snapshot.endpoints;
    const selector = this.selector(peer, policy);
    return entryOf(this.#endpointsBySelector, selector, () => this.#index.meantBy(peer, policy));
  }
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

  /** The name of the set of the addresses of the endpoints that a peer means. */
  podSet(peer: PodsPeer, policy: Policy): string {
    const selector = this.#meanings.selector(peer, policy);
    const name = setName(this.#family, this.#meanings.selectorId(selector));
    if (!this.#setByName.has(name)) {
      const addresses = this.#meanings
        .endpoints(peer, policy)
        .flatMap((endpoint) => this.#addresses(endpoint));
      this.#setByName.set(name, {
        kind: "hash:net",
        name,
        family: this.#family,
        members: uniquePrefixes(addresses),
        origin: { incomplete: true, description: describePods(peer, policy) },
      });
    }
    return name;
  }

  /**
   * The name of the set of the addresses and ports that a named port means: on the endpoints that the
   * peer means, or, without a peer, on every endpoint.
   */
  portSet(
    port: { readonly name: string; readonly protocol: PortProtocol },
    peer: PodsPeer | undefined,
    policy: Policy,
  ): string {
    const selector = this.#meanings.selector(peer, policy);
    const name = setName(this.#family, this.#meanings.portId(port, selector));
    if (!this.#setByName.has(name)) {
      const members = this.#meanings
        .endpoints(peer, policy)
        .flatMap((endpoint) => this.#portMembers(endpoint, port));
      const pods = peer === undefined ? "every pod" : describePods(peer, policy);
      this.#setByName.set(name, {
        kind: "hash:ip,port",
        name,
        family: this.#family,
        members: uniqueMembers(members),
        origin: { incomplete: true, description: `port ${port.name}/${port.protocol} of ${pods}` },
      });
    }
    return name;
  }

  /** All sets asked for, by name. */
  sets(): IpSet[] {
    return [...this.#setByName.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  #addresses(endpoint: Endpoint): Address[] {
    return endpoint.addresses.filter((address) => address.family === this.#family);
  }

  /** A port is meant by its name and its protocol; a pod may have it more than once. */
  #portMembers(
    endpoint: Endpoint,
    wanted: { readonly name: string; readonly protocol: PortProtocol },
  ): PortMember[] {
    const protocol = portProtocolNumber(wanted.protocol);
    return endpoint.ports
      .filter((port) => port.name === wanted.name && port.protocol === wanted.protocol)
      .flatMap(({ port }) =>
        this.#addresses(endpoint).map((address) => ({ address, protocol, port })),
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

function uniquePrefixes(addresses: readonly Address[]): Prefix[] {
  const byText = new Map(addresses.map((address) => [formatAddress(address), address]));
  return [...byText.values()].sort(compareAddresses).map(hostPrefix);
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

function describePods(peer: PodsPeer, policy: Policy): string {
  const pods = isEmpty(peer.podSelector)
    ? "every pod"
    : `pods with ${formatSelector(peer.podSelector)}`;
  if (peer.namespaceSelector === undefined) return `${pods} in namespace ${policy.ref.namespace}`;
  return isEmpty(peer.namespaceSelector)
    ? `${pods} in every namespace`
    : `${pods} in namespaces with ${formatSelector(peer.namespaceSelector)}`;
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
