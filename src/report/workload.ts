/**
 * What people call the two ends of a flow: the workload where there is one, else the node, else the
 * address. Grouping by these names keeps a report of ten thousand pods readable.
 */
import { endpointName } from "../cluster/snapshot.ts";
import type { Endpoint, Snapshot } from "../cluster/snapshot.ts";
import type { Judgement, Tuple } from "../engine/verdict.ts";
import { formatAddress } from "../net/address.ts";
import type { Address } from "../net/address.ts";
import { protocolName } from "../net/protocol.ts";
import type { Route } from "../tables/model.ts";

/** One end of a flow, named for a report. */
export interface End {
  /** What flows are grouped by; ends outside the cluster share one key. */
  readonly key: string;
  /** `namespace/workload`, `node/NAME`, an address or a host name. */
  readonly name: string;
}

/** Finds the endpoint of a name that the tables use. */
export type FindEndpoint = (owner: string) => Endpoint | undefined;

/** Makes the look-up of endpoints by `namespace/name`. */
export function endpointFinder(snapshot: Snapshot): FindEndpoint {
  const byName = new Map(snapshot.endpoints.map((endpoint) => [endpointName(endpoint), endpoint]));
  return (owner) => byName.get(owner);
}

/** Names the source of a flow. */
export function sourceEnd(judged: Tuple & Judgement, find: FindEndpoint): End {
  return endOf(judged.sourceRoute, judged.source, judged.sourceName, find);
}

/** Names the destination of a flow: the backend where a Service's address was translated. */
export function destinationEnd(judged: Tuple & Judgement, find: FindEndpoint): End {
  const address = judged.translated?.address ?? judged.destination;
  return endOf(judged.destinationRoute, address, judged.destinationName, find);
}

/** The port and protocol a flow goes to, as `8443/tcp`, `icmp`, or `?/udp` when not known. */
export function portText(judged: Tuple & Judgement): string {
  const protocol = protocolText(judged);
  const port = judged.translated?.port ?? judged.destinationPort;
  if (port !== undefined) return `${port}/${protocol}`;
  if (judged.icmp !== undefined) return `${protocol}:${judged.icmp.type}`;
  return judged.reason === "no-ports" ? `?/${protocol}` : protocol;
}

function protocolText(judged: Tuple): string {
  return judged.protocol === undefined ? "?" : protocolName(judged.protocol);
}

/** Names what has an address: the workload, the node or the Service. */
export function ownerEnd(owner: string, find: FindEndpoint): End {
  const endpoint = find(owner);
  if (endpoint === undefined) {
    const name = owner.replace(/^(node|service) /, "$1/");
    return { key: name, name };
  }
  const name = `${endpoint.namespace}/${endpoint.workload.name}`;
  return { key: `${endpoint.workload.kind} ${name}`, name };
}

function endOf(
  route: Route | undefined,
  address: Address | undefined,
  hostName: string | undefined,
  find: FindEndpoint,
): End {
  if (route?.owner !== undefined) return ownerEnd(route.owner, find);
  const name = address === undefined ? (hostName ?? "?") : formatAddress(address);
  // A public service is called by any number of addresses: they are one line, not ten thousand.
  return { key: route?.kind === "outside" ? "outside" : name, name };
}
