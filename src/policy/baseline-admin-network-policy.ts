/**
 * policy.networking.k8s.io/v1alpha1 BaselineAdminNetworkPolicy: rules for what no NetworkPolicy isolates.
 * Source: network-policy-api apis/v1alpha1/baselineadminnetworkpolicy_types.go, CRDs of 0.1.7.
 */
import { fieldOf, reportField } from "../cluster/fields.ts";
import { readAdminPort } from "./admin-ports.ts";
import { lowerClusterWide } from "./cluster-wide.ts";
import type { ClusterWideKind } from "./cluster-wide.ts";
import type { PolicyKind } from "./kind.ts";
import type { Tier } from "./model.ts";

export const baselineAdminNetworkPolicy: PolicyKind = {
  apiVersion: "policy.networking.k8s.io/v1alpha1",
  kind: "BaselineAdminNetworkPolicy",
  lower: (object, { onDiagnostic }) => lowerClusterWide(object, KIND, onDiagnostic),
};

const TIER: Tier = {
  name: "baselineadminnetworkpolicy",
  order: 10_000_000,
  defaultAction: "pass",
};

const KIND: ClusterWideKind = {
  name: "policy.networking.k8s.io BaselineAdminNetworkPolicy",
  specFields: [],
  readPlace(spec) {
    const { object, onDiagnostic } = spec;
    const { name } = object.metadata;
    // > Only one baseline admin network policy with metadata.name="default" can be created.
    if (name !== "default") {
      const root = { object, path: [], value: object.value, onDiagnostic };
      const message = `"${name}": the one baseline policy of a cluster is named "default"`;
      reportField(fieldOf(fieldOf(root, "metadata"), "name"), { code: "BAD_VALUE", message });
    }
    return { tier: TIER, order: 0 };
  },
  actions: { Allow: "allow", Deny: "deny" },
  egressPeers: ["namespaces", "pods", "nodes", "networks"],
  mostItems: 100,
  portsKey: "ports",
  readPort: readAdminPort,
  namespacesRequired: true,
  earlyForm: true,
  networksMasked: false,
};
