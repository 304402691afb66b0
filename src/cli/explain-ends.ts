/**
 * FROM and TO of `explain`: pods, workloads, Services and addresses by the names people use, as the
 * addresses of one packet.
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
}

/** The two addresses of a packet. */
export interface Ends {
  readonly source: Address;
  readonly destination: Address;
}

/** Finds what a word means: an address, a pod, a workload (its first pod), then a Service. */
export function findEnd(text: string, snapshot: Snapshot): NamedEnd {
  const address = parseAddress(text);
  const { endpoints, services } = snapshot;
  if (address !== undefined) {
    const has = (addresses: readonly Address[]): boolean =>
      addresses.some((each) => sameAddress(each, address));
    const endpoint = endpoints.find((each) => has(each.addresses));
    const service = services.find((each) => has(each.clusterAddresses));
    return { text, addresses: [address], endpoint, service };
  }
  const endpoint =
    endpoints.find((each) => endpointName(each) === text) ??
    endpoints.find((each) => `${each.namespace}/${each.workload.name}` === text);
  if (endpoint !== undefined)
    return { text, addresses: endpoint.addresses, endpoint, service: undefined };
  const service = services.find((each) => endpointName(each) === text);
  if (service !== undefined) {
    if (service.clusterAddresses.length === 0) {
      throw new Failure(`${text}: a Service without a cluster address: name one of its pods`);
    }
    return { text, addresses: service.clusterAddresses, endpoint: undefined, service };
  }
  const names = [
    ...endpoints.flatMap((each) => [endpointName(each), `${each.namespace}/${each.workload.name}`]),
    ...services.map(endpointName),
  ];
  const unique = [...new Set(names)];
  const suggestion = text.includes("/")
    ? suggestionFor(text, unique)
    : `expected NAMESPACE/NAME or an address${sameName(text, unique)}`;
  const hint =
    suggestion ?? `there are ${unique.slice(0, 5).join(", ")}${unique.length > 5 ? ", ..." : ""}`;
  throw new Failure(
    unique.length === 0
      ? `${text}: the manifests have no pod, workload or Service`
      : `${text}: no pod, workload or Service has this name (${hint})`,
  );
}

/** Chooses the addresses of one packet: of one family, IPv4 when both have both. */
export function pairEnds(from: NamedEnd, to: NamedEnd): Ends {
  for (const family of [4, 6] satisfies Family[]) {
    const source = from.addresses.find((address) => address.family === family);
    const destination = to.addresses.find((address) => address.family === family);
    if (source !== undefined && destination !== undefined) return { source, destination };
  }
  const list = (end: NamedEnd): string => end.addresses.map(formatAddress).join(", ");
  throw new Failure(
    `${from.text} (${list(from)}) and ${to.text} (${list(to)}) have no address family in common`,
  );
}

/**
 * Stand-in addresses for endpoints that have none, from 192.0.2.0/24 (RFC 5737), where no real host is.
 * In the family of the other end when that is IPv6 only: from 2001:db8::/32 (RFC 3849).
 */
export function standInAddresses(ends: readonly NamedEnd[]): GivenAddress[] {
  const six = ends.some(
    ({ addresses }) => addresses.length > 0 && addresses.every(({ family }) => family === 6),
  );
  const taken = ends.flatMap(({ addresses }) => addresses);
  const given: GivenAddress[] = [];
  for (const { endpoint, addresses } of ends) {
    if (endpoint === undefined || addresses.length > 0) continue;
    const name = endpointName(endpoint);
    if (given.some((each) => each.name === name)) continue;
    const address = freeAddress(six, [...taken, ...given.map((each) => each.address)]);
    given.push({ address, name });
  }
  return given;
}

function sameName(text: string, names: readonly string[]): string {
  const found = names.find((name) => name.endsWith(`/${text}`));
  return found === undefined ? "" : `; did you mean "${found}"?`;
}

function freeAddress(six: boolean, taken: readonly Address[]): Address {
  for (let host = 1; host < 255; host++) {
    const address = parseAddress(six ? `2001:db8::${host.toString(16)}` : `192.0.2.${host}`);
    if (address !== undefined && !taken.some((each) => sameAddress(each, address))) return address;
  }
  throw new Error("bug: two ends need no more than two addresses");
}
