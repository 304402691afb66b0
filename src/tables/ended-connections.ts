/**
 * Connections that a node's agents make it forget when the cluster changes: Felix those of a pod that is gone,
 * kube-proxy those of UDP to backends that a Service has no more. Changed policies end none.
 * Source: felix/conntrack/conntrack.go; kubernetes pkg/proxy/conntrack/cleanup.go, CleanStaleEntries().
 */
import type { Service, Snapshot } from "../cluster/snapshot.ts";
import { formatAddress } from "../net/address.ts";
import type { Address } from "../net/address.ts";
import { PROTOCOL_UDP } from "../net/protocol.ts";
import type { Connection } from "./model.ts";
import { formatSocket } from "./names.ts";

/** `perhaps`: it hangs on the backend that it has, which is not known. */
export type Ending = "goes on" | "ends" | "perhaps";

/** What of a connection the agents look at. */
export interface AgedConnection extends Pick<Connection, "protocol" | "original" | "reply"> {
  /** Its backend is not known for certain. */
  readonly vague: boolean;
}

/** Makes the question of what becomes of connections when the second snapshot takes the first one's place. */
export function connectionEnding(
  before: Snapshot,
  after: Snapshot,
): (connection: AgedConnection) => Ending {
  const staying = podAddresses(after);
  const gone = new Set([...podAddresses(before)].filter((address) => !staying.has(address)));
  const backendsBefore = udpBackends(before);
  const backendsAfter = udpBackends(after);
  return ({ protocol, original, reply, vague }) => {
    const ends = [original.source, original.destination, reply.source, reply.destination];
    if (ends.some((address) => gone.has(formatAddress(address)))) return "ends";
    if (protocol !== PROTOCOL_UDP) return "goes on";
    const front = formatSocket({
      address: original.destination,
      port: original.destinationPort,
    });
    const backends = backendsAfter.get(front);
    if (backends === undefined) return "goes on";
    if (!vague) {
      const backend = formatSocket({ address: reply.source, port: reply.sourcePort });
      return backends.has(backend) ? "goes on" : "ends";
    }
    const all = [...(backendsBefore.get(front) ?? [])];
    if (all.length > 0 && all.every((backend) => backends.has(backend))) return "goes on";
    return all.some((backend) => backends.has(backend)) ? "perhaps" : "ends";
  };
}

function podAddresses({ endpoints }: Snapshot): Set<string> {
  return new Set(endpoints.flatMap(({ addresses }) => addresses.map(formatAddress)));
}

/** Of every address and port at which UDP is served: the backends that it may be sent to. */
function udpBackends(snapshot: Snapshot): Map<string, ReadonlySet<string>> {
  const backends = new Map<string, ReadonlySet<string>>();
  for (const service of snapshot.services) {
    for (const { protocol, port, nodePort, missing, unplaced, backends: all } of service.ports) {
      if (protocol !== "UDP" || missing !== undefined || unplaced !== undefined) continue;
      const sockets = new Set(all.map(formatSocket));
      for (const address of fronts(service)) backends.set(formatSocket({ address, port }), sockets);
      if (nodePort === undefined) continue;
      for (const { addresses } of snapshot.nodeByName.values()) {
        for (const address of addresses)
          backends.set(formatSocket({ address, port: nodePort }), sockets);
      }
    }
  }
  return backends;
}

function fronts({ clusterAddresses, externalAddresses, balancerAddresses }: Service): Address[] {
  return [...clusterAddresses, ...externalAddresses, ...balancerAddresses];
}
