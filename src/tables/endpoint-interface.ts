/** Which interface each endpoint has on its node. */
import type { Endpoint } from "../cluster/snapshot.ts";
import { compareText } from "../net/compare-text.ts";
import { vethName } from "./names.ts";

/** The interface of every endpoint; no two have the same. */
export type InterfaceByEndpoint = ReadonlyMap<Endpoint, string>;

/**
 * Gives every endpoint the name its veth pair has on a real node. A workload without pods has the one
 * that a pod of its name would have; where that is taken (a Deployment and a Job of one name), one of
 * its kind and name.
 */
export function assignInterfaces(endpoints: readonly Endpoint[]): Map<Endpoint, string> {
  const interfaceByEndpoint = new Map<Endpoint, string>();
  const taken = new Set<string>();
  // Pods first: theirs are real. Then by kind, so that the order of the input does not matter.
  const ordered = endpoints.toSorted(
    (one, other) => rank(one) - rank(other) || compareText(one.kind, other.kind),
  );
  for (const endpoint of ordered) {
    const { namespace, name, kind } = endpoint;
    let candidate = vethName(namespace, name);
    for (let attempt = 0; taken.has(candidate); attempt++) {
      candidate = vethName(namespace, `${name}.${kind}.${attempt}`);
    }
    taken.add(candidate);
    interfaceByEndpoint.set(endpoint, candidate);
  }
  return interfaceByEndpoint;
}

function rank(endpoint: Endpoint): number {
  return endpoint.kind === "Pod" ? 0 : 1;
}
