/**
 * Where selectors meet endpoints: which endpoints a policy applies to, and which a peer means. Tables
 * and reports ask here, so that there is one answer.
 */
import { expressionMatches } from "../cluster/selector-expression.ts";
import { selectorMatches } from "../cluster/selector.ts";
import type { Endpoint, Snapshot } from "../cluster/snapshot.ts";
import { prefixContains, type Address } from "../net/address.ts";
import { endpointLabels } from "./calico-labels.ts";
import type { EndpointSelector, Policy, PolicyPeer } from "./model.ts";

/** Tells whether a policy applies to an endpoint, in whatever direction. */
export function policySelects(policy: Policy, endpoint: Endpoint, snapshot: Snapshot): boolean {
  return selectsEndpoint(policy.subject, endpoint, snapshot);
}

/** Tells whether a selector chooses an endpoint. */
export function selectsEndpoint(
  selector: EndpointSelector,
  endpoint: Endpoint,
  snapshot: Snapshot,
): boolean {
  if (selector.kind === "expression") {
    return expressionMatches(selector.expression, endpointLabels(endpoint, snapshot));
  }
  const { namespace, namespaceSelector, podSelector } = selector;
  if (namespace !== undefined && namespace !== endpoint.namespace) return false;
  if (podSelector !== undefined && !selectorMatches(podSelector, endpoint.labels)) return false;
  if (namespaceSelector === undefined) return true;
  const labels = snapshot.namespaceByName.get(endpoint.namespace)?.labels;
  return labels !== undefined && selectorMatches(namespaceSelector, labels);
}

/**
 * Tells whether a peer of a policy's rule means an endpoint. A block means the endpoints that have an
 * address in it: pods are matched by ipBlock too.
 */
export function peerMatchesEndpoint(
  peer: PolicyPeer,
  endpoint: Endpoint,
  snapshot: Snapshot,
): boolean {
  switch (peer.kind) {
    case "block":
      return endpoint.addresses.some((address) => blockContains(peer, address));
    case "pods":
      return selectsEndpoint(peer.selector, endpoint, snapshot);
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
