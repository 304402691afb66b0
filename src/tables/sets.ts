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
import type { EndpointSelector } from "../policy/model.ts";
import { EndpointIndex } from "../policy/endpoint-index.ts";
import { peerSelectorText, SELECT_ALL } from "./calico-selector.ts";
import type { IpSet, PortMember } from "./model.ts";
import { namedPortId, selectorId, setName } from "./names.ts";

/** What peers mean whatever the family: found once for both. */
export class PeerMeanings {
  readonly #snapshot: Snapshot;
  readonly #index: EndpointIndex;
  readonly #textBySelector = new Map<EndpointSelector, string>();
  readonly #idByContent = new Map<string, string>();
  readonly #endpointsByText = new Map<string, readonly Endpoint[]>();

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
  portId(
    port: { readonly name: string; readonly protocol: PortProtocol },
    selector: string,
  ): string {
    const content = `${port.protocol} ${port.name} ${selector}`;
    return entryOf(this.#idByContent, content, () => namedPortId({ ...port, selector }));
  }

  /** The endpoints that a selector chooses, in no particular order. No selector: every endpoint. */
  endpoints(selector: EndpointSelector | undefined): readonly Endpoint[] {
    if (selector === undefined) return this.#snapshot.endpoints;
    const text = this.selectorText(selector);
    return entryOf(this.#endpointsByText, text, () => this.#index.chosenBy(selector));
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

  /** The name of the set of the addresses of the endpoints that a selector chooses. */
  podSet(selector: EndpointSelector): string {
    const text = this.#meanings.selectorText(selector);
    const name = setName(this.#family, this.#meanings.selectorId(text));
    if (!this.#setByName.has(name)) {
      const addresses = this.#meanings
        .endpoints(selector)
        .flatMap((endpoint) => this.#addresses(endpoint));
      this.#setByName.set(name, {
        kind: "hash:net",
        name,
        family: this.#family,
        members: uniquePrefixes(addresses),
        origin: { incomplete: true, description: describePods(selector) },
      });
    }
    return name;
  }

  /**
   * The name of the set of the addresses and ports that a named port means: on the endpoints that the
   * selector chooses, or, without one, on every endpoint.
   */
  portSet(
    port: { readonly name: string; readonly protocol: PortProtocol },
    selector: EndpointSelector | undefined,
  ): string {
    const text = this.#meanings.selectorText(selector);
    const name = setName(this.#family, this.#meanings.portId(port, text));
    if (!this.#setByName.has(name)) {
      const members = this.#meanings
        .endpoints(selector)
        .flatMap((endpoint) => this.#portMembers(endpoint, port));
      const pods = selector === undefined ? "every pod" : describePods(selector);
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

function describePods({ namespace, namespaceSelector, podSelector }: EndpointSelector): string {
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
