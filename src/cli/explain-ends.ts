/**
 * FROM and TO of `explain`, and of what `test` expects: pods, workloads, Services and addresses by the names people
 * use, as the addresses of one packet.
 */
import { suggestionFor } from "../cluster/fields.ts";
import { endpointName } from "../cluster/snapshot.ts";
import type { Endpoint, Service, Snapshot } from "../cluster/snapshot.ts";
import { formatAddress, parseAddress, sameAddress } from "../net/address.ts";
import type { Address, Family } from "../net/address.ts";
import { Failure } from "./failure.ts";
import type { GivenAddress } from "./options.ts";

/** A pod, workload, Service or address that the user named. */
export interface NamedEnd {
  readonly text: string;
  readonly addresses: readonly Address[];
  /** The pod or workload that is named or has the address. */
  readonly endpoint: Endpoint | undefined;
  readonly service: Service | undefined;
  /** A Service with a cluster address that has the workload's name, too. */
  readonly namesake?: Service | undefined;
}

/** The two addresses of a packet. */
export interface Ends {
  readonly source: Address;
  readonly destination: Address;
}

/** Finds what a word means, its pods in the snapshot's order; throws a Failure when nobody has the name. */
export type FindEnds = (text: string) => readonly NamedEnd[];

/**
 * Makes the look-up of words: an address, a pod, a workload (all its pods), then a Service; in front of a name may be
 * its kind (`service/shop/web`).
 */
export function endFinder(snapshot: Snapshot): FindEnds {
  const { endpoints, services } = snapshot;
  const podByName = new Map(endpoints.map((each) => [endpointName(each), each]));
  const podsByWorkload = new Map<string, Endpoint[]>();
  for (const endpoint of endpoints) {
    const name = workloadName(endpoint);
    const pods = podsByWorkload.get(name);
    if (pods === undefined) podsByWorkload.set(name, [endpoint]);
    else pods.push(endpoint);
  }
  const serviceByName = new Map(services.map((each) => [endpointName(each), each]));
  const podsOf = (name: string, kind: string | undefined): readonly Endpoint[] => {
    if (kind !== undefined) return endpoints.filter((each) => isCalled(each, kind, name));
    const pod = podByName.get(name);
    return pod === undefined ? (podsByWorkload.get(name) ?? []) : [pod];
  };
  const serviceEnd = (text: string, service: Service): NamedEnd => {
    const { clusterAddresses: addresses } = service;
    if (addresses.length > 0) return { text, addresses, endpoint: undefined, service };
    throw new Failure(`${text}: a Service without a cluster address: name one of its pods`);
  };
  return (text) => {
    const address = parseAddress(text);
    if (address !== undefined) return [addressEnd(text, address, snapshot)];
    const { kind, name } = wordsOf(text);
    const service = kind === undefined || kind === SERVICE ? serviceByName.get(name) : undefined;
    const pods = podsOf(name, kind);
    if (pods.length === 0) {
      if (service === undefined) throw new Failure(unknownEnd(text, name, snapshot));
      return [serviceEnd(text, service)];
    }
    return pods.map((endpoint) => {
      const isPod = endpoint.kind === "Pod" && endpointName(endpoint) === name;
      const namesake = isPod || service?.clusterAddresses.length === 0 ? undefined : service;
      return { text, addresses: endpoint.addresses, endpoint, service: undefined, namesake };
    });
  };
}

const SERVICE = "service";

/** `KIND/NAMESPACE/NAME`, the kind in any case, or without it. */
function wordsOf(text: string): { readonly kind: string | undefined; readonly name: string } {
  const [kind = "", ...words] = text.split("/");
  if (words.length !== 2) return { kind: undefined, name: text };
  return { kind: kind.toLowerCase(), name: words.join("/") };
}

function isCalled(endpoint: Endpoint, kind: string, name: string): boolean {
  const { workload } = endpoint;
  return (
    (endpoint.kind.toLowerCase() === kind && endpointName(endpoint) === name) ||
    (workload.kind.toLowerCase() === kind && workloadName(endpoint) === name)
  );
}

/** The one end that a word means: of a workload its first pod. */
export function findEnd(text: string, snapshot: Snapshot): NamedEnd {
  const [end] = endFinder(snapshot)(text);
  if (end === undefined) throw new Error("bug: a name without an end was found");
  return end;
}

function addressEnd(text: string, address: Address, { endpoints, services }: Snapshot): NamedEnd {
  const has = (addresses: readonly Address[]): boolean =>
    addresses.some((each) => sameAddress(each, address));
  const endpoint = endpoints.find((each) => has(each.addresses));
  const service = services.find((each) => has(each.clusterAddresses));
  return { text, addresses: [address], endpoint, service };
}

function workloadName({ namespace, workload }: Endpoint): string {
  return `${namespace}/${workload.name}`;
}

function unknownEnd(text: string, name: string, snapshot: Snapshot): string {
  const { endpoints, services, hostNetworkPods, nodeByName } = snapshot;
  const onHost = hostNetworkPods.find((pod) => `${pod.namespace}/${pod.name}` === name);
  if (onHost !== undefined) {
    const addresses = nodeByName.get(onHost.node ?? "")?.ownAddresses ?? [];
    const list = addresses.map(formatAddress).join(", ");
    return `${text}: a pod with hostNetwork, whose traffic has its node's address: name that${list === "" ? "" : ` (${list})`}`;
  }
  const names = [
    ...endpoints.flatMap((each) => [endpointName(each), workloadName(each)]),
    ...services.map(endpointName),
  ];
  const unique = [...new Set(names)];
  if (unique.length === 0) return `${text}: the manifests have no pod, workload or Service`;
  const suggestion = text.includes("/")
    ? suggestionFor(name, unique)
    : `expected NAMESPACE/NAME or an address${sameName(text, unique)}`;
  const hint =
    suggestion ?? `there are ${unique.slice(0, 5).join(", ")}${unique.length > 5 ? ", ..." : ""}`;
  return `${text}: no pod, workload or Service has this name (${hint})`;
}

/** Chooses the addresses of one packet: of one family, IPv4 when both have both. */
export function pairEnds(from: NamedEnd, to: NamedEnd): Ends {
  for (const family of [4, 6] satisfies Family[]) {
    const source = from.addresses.find((address) => address.family === family);
    const destination = to.addresses.find((address) => address.family === family);
    if (source !== undefined && destination !== undefined) return { source, destination };
  }
  const named = ({ text, addresses }: NamedEnd): string => {
    const list = addresses.map(formatAddress).join(", ");
    return parseAddress(text) === undefined ? `${text} (${list})` : text;
  };
  throw new Failure(`${named(from)} and ${named(to)} have no address family in common`);
}

/**
 * Stand-in addresses for endpoints that have none, from 192.0.2.0/24 (RFC 5737), where no real host is, and
 * for more of them from 198.18.0.0/15 (RFC 2544). In the family of the other ends when those are IPv6 only:
 * from 2001:db8::/32 (RFC 3849).
 */
export function standInAddresses(ends: readonly NamedEnd[]): GivenAddress[] {
  const six = ends.some(
    ({ addresses }) => addresses.length > 0 && addresses.every(({ family }) => family === 6),
  );
  const taken = new Set(ends.flatMap(({ addresses }) => addresses.map(formatAddress)));
  const free = standIns(six, taken);
  const given = new Map<string, GivenAddress>();
  for (const { endpoint, addresses } of ends) {
    if (endpoint === undefined || addresses.length > 0) continue;
    const name = endpointName(endpoint);
    if (given.has(name)) continue;
    const { value: address } = free.next();
    if (address === undefined) throw new Failure("too many workloads without pods");
    given.set(name, { address, name });
  }
  return [...given.values()];
}

function* standIns(six: boolean, taken: ReadonlySet<string>): Generator<Address, undefined> {
  for (let number = 1; number < 1 << 16; number++) {
    const [high, low] = [number >> 8, number & 255];
    const four = number < 255 ? `192.0.2.${number}` : `198.18.${high}.${low}`;
    const address = parseAddress(six ? `2001:db8::${number.toString(16)}` : four);
    if (address !== undefined && !taken.has(formatAddress(address))) yield address;
  }
  return undefined;
}

function sameName(text: string, names: readonly string[]): string {
  const found = names.find((name) => name.endsWith(`/${text}`));
  return found === undefined ? "" : `; did you mean "${found}"?`;
}
