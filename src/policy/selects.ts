/**
 * Where selectors meet endpoints. Tables and reports ask here, so that there is one answer to whom a
 * policy applies, and whom a peer means.
 */
import { expressionMatches } from "../cluster/selector-expression.ts";
import { selectorMatches } from "../cluster/selector.ts";
import type { Endpoint, Snapshot } from "../cluster/snapshot.ts";
import { endpointLabels } from "./calico-labels.ts";
import type { EndpointSelector, Policy } from "./model.ts";

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
