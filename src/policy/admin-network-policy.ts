/**
 * policy.networking.k8s.io/v1alpha1 AdminNetworkPolicy: rules that come before every NetworkPolicy.
 * Source: network-policy-api apis/v1alpha1/adminnetworkpolicy_types.go, CRDs of 0.1.7.
 */
import { readAdminPort } from "./admin-ports.ts";
import { lowerClusterWide, readPriority } from "./cluster-wide.ts";
import type { ClusterWideKind } from "./cluster-wide.ts";
import type { PolicyKind } from "./kind.ts";
import type { Tier } from "./model.ts";

export const adminNetworkPolicy: PolicyKind = {
  apiVersion: "policy.networking.k8s.io/v1alpha1",
  kind: "AdminNetworkPolicy",
  lower: (object, { onDiagnostic }) => lowerClusterWide(object, KIND, onDiagnostic),
};

/** > The behavior is undefined if two ANP objects have same priority. */
const TIER: Tier = {
  name: "adminnetworkpolicy",
  order: 1000,
  defaultAction: "pass",
  tiesUndefined: true,
};

const KIND: ClusterWideKind = {
  name: "policy.networking.k8s.io AdminNetworkPolicy",
  specFields: ["priority"],
  readPlace(spec) {
    const order = readPriority(spec);
    return order === undefined ? undefined : { tier: TIER, order };
  },
  actions: { Allow: "allow", Deny: "deny", Pass: "pass" },
  egressPeers: ["namespaces", "pods", "nodes", "networks", "domainNames"],
  mostItems: 100,
  portsKey: "ports",
  readPort: readAdminPort,
  namespacesRequired: true,
  earlyForm: true,
  networksMasked: false,
};
