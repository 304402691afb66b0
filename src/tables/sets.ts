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
import { namedPortSetName, selectorSetName } from "./names.ts";

/** A peer that means endpoints. */
export type PodsPeer = Extract<PolicyPeer, { kind: "pods" }>;

/** Makes sets on demand; asking twice for the same gives the same. */
export class SetCollector {
  readonly #snapshot: Snapshot;
  readonly #family: Family;
  readonly #index: EndpointIndex;
  readonly #setByName = new Map<string, IpSet>();

  constructor(snapshot: Snapshot, family: Family, index = new EndpointIndex(snapshot)) {
    this.#snapshot = snapshot;
    this.#family = family;
    this.#index = index;
  }

  /** The name of the set of the addresses of the endpoints that a peer means. */
  podSet(peer: PodsPeer, policy: Policy): string {
    const name = selectorSetName(this.#family, peerSelectorText(peer, policy.ref.namespace));
    if (!this.#setByName.has(name)) {
      const addresses = this.#endpoints(peer, policy).flatMap((endpoint) =>
        this.#addresses(endpoint),
      );
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
    const selector = peer === undefined ? SELECT_ALL : peerSelectorText(peer, policy.ref.namespace);
    const name = namedPortSetName(this.#family, { ...port, selector });
    if (!this.#setByName.has(name)) {
      const members = this.#endpoints(peer, policy).flatMap((endpoint) =>
        this.#portMembers(endpoint, port),
      );
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

  /** No peer: every endpoint. */
  #endpoints(peer: PodsPeer | undefined, policy: Policy): readonly Endpoint[] {
    if (peer === undefined) return this.#snapshot.endpoints;
    return this.#index.meantBy(peer, policy);
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

/** Absent and empty selectors both select everything here. */
function isEmpty(
  selector: LabelSelector | undefined,
): selector is undefined | { readonly requirements: readonly [] } {
  return selector === undefined || selector.requirements.length === 0;
}
