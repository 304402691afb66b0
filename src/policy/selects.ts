/**
 * Where selectors meet endpoints: which endpoints a policy applies to, and which a peer means. Tables
 * and reports ask here, so that there is one answer.
 */
import { selectorMatches } from "../cluster/selector.ts";
import type { Endpoint, Snapshot } from "../cluster/snapshot.ts";
import { prefixContains, type Address } from "../net/address.ts";
import type { Policy, PolicyPeer } from "./model.ts";

/**
 * Tells whether a policy applies to an endpoint, in whatever direction.
 *
 * > podSelector selects the pods to which this NetworkPolicy object applies. An empty selector matches
 * > all pods in the policy's namespace.
 */
export function policySelects(policy: Policy, endpoint: Endpoint): boolean {
  return (
    policy.ref.namespace === endpoint.namespace &&
    selectorMatches(policy.podSelector, endpoint.labels)
  );
}

/**
 * Tells whether a peer of a policy's rule means an endpoint. A block means the endpoints that have an
 * address in it: pods are matched by ipBlock too.
 */
export function peerMatchesEndpoint(
  peer: PolicyPeer,
  policy: Policy,
  endpoint: Endpoint,
  snapshot: Snapshot,
): boolean {
  switch (peer.kind) {
    case "block":
      return endpoint.addresses.some((address) => blockContains(peer, address));
    case "pods":
      return (
        namespaceMatches(peer, policy, endpoint.namespace, snapshot) &&
        // No pod selector: every pod of the namespaces.
        (peer.podSelector === undefined || selectorMatches(peer.podSelector, endpoint.labels))
      );
  }
}

/** Tells whether an address is in a block and in none of its exceptions. */
export function blockContains(
  block: Extract<PolicyPeer, { kind: "block" }>,
  address: Address,
): boolean {
  return (
    prefixContains(block.prefix, address) &&
    !block.except.some((except) => prefixContains(except, address))
  );
}

function namespaceMatches(
  peer: Extract<PolicyPeer, { kind: "pods" }>,
  policy: Policy,
  namespace: string,
  snapshot: Snapshot,
): boolean {
  // > Otherwise it selects the pods matching podSelector in the policy's own namespace.
  if (peer.namespaceSelector === undefined) return namespace === policy.ref.namespace;
  const labels = snapshot.namespaceByName.get(namespace)?.labels;
  return labels !== undefined && selectorMatches(peer.namespaceSelector, labels);
}
