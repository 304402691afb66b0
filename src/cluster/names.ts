/**
 * DNS names of the cluster to addresses, for text captures that were taken with names. Only what the
 * name and the snapshot prove: a name that could be two addresses is nobody's.
 * Source: Kubernetes documentation, "DNS for Services and Pods"; the DNS-based service discovery
 * specification (kubernetes/dns docs/specification.md).
 */
import { formatAddress, parseAddress, type Address, type Family } from "../net/address.ts";
import { endpointName, type Endpoint, type Service, type Snapshot } from "./snapshot.ts";

/** Finds the address of a name; of the given family where the name has one of each. */
export type ResolveName = (name: string, family?: Family) => Address | undefined;

/**
 * Makes the resolver of a snapshot's names: `svc.ns`, `svc.ns.svc`, `host.svc.ns.svc` and
 * `10-0-0-1.ns.pod`, the last three with or without `.cluster.local`, all with or without the final dot.
 * Upper and lower case are the same. Undefined: unknown or ambiguous.
 */
export function resolveClusterName(snapshot: Snapshot): ResolveName {
  const services = new Map(snapshot.services.map((service) => [endpointName(service), service]));
  const endpoints = new Map(
    snapshot.endpoints.map((endpoint) => [endpointName(endpoint), endpoint]),
  );
  return (name, family) => {
    const found = candidates(name.toLowerCase(), { services, endpoints });
    const fitting = found.filter((address) => family === undefined || address.family === family);
    const distinct = new Map(fitting.map((address) => [formatAddress(address), address]));
    return distinct.size === 1 ? fitting[0] : undefined;
  };
}

interface Known {
  /** By `namespace/name`. */
  readonly services: ReadonlyMap<string, Service>;
  readonly endpoints: ReadonlyMap<string, Endpoint>;
}

function candidates(name: string, { services, endpoints }: Known): readonly Address[] {
  const labels = name
    .replace(/\.$/, "")
    .replace(/\.cluster\.local$/, "")
    .split(".");
  const kind = labels.length > 2 ? labels.pop() : "svc";
  const namespace = labels.pop() ?? "";
  const [first = "", second, ...more] = labels;
  if (more.length > 0) return [];
  if (kind === "pod" && second === undefined) return dashedAddress(first);
  if (kind !== "svc") return [];
  if (second === undefined) return serviceAddresses(services.get(`${namespace}/${first}`));
  // > hostname.service.namespace.svc, where the hostname is the pod's own or its dashed address.
  const pod = endpoints.get(`${namespace}/${first}`);
  return pod?.kind === "Pod" ? pod.addresses : dashedAddress(first);
}

/** The virtual addresses; of a headless Service, the addresses of what serves it. */
function serviceAddresses(service: Service | undefined): readonly Address[] {
  if (service === undefined || service.clusterAddresses.length > 0) {
    return service?.clusterAddresses ?? [];
  }
  return service.ports.flatMap(({ backends }) =>
    backends.filter(({ ready }) => ready).map(({ address }) => address),
  );
}

/** `10-0-0-1` or `fd00--1`: the name is the address. */
function dashedAddress(label: string): Address[] {
  const text = /^\d+-\d+-\d+-\d+$/.test(label)
    ? label.replaceAll("-", ".")
    : label.replaceAll("-", ":");
  const address = parseAddress(text);
  return address === undefined ? [] : [address];
}
