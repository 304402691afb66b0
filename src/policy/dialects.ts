/** The registry of dialects, and what one makes of policies that are none of its own. */
import type { OnDiagnostic } from "../errors.ts";
import type { Dialect, DialectName } from "./dialect.ts";
import { calico } from "./dialect-calico.ts";
import { cilium } from "./dialect-cilium.ts";
import { generic } from "./dialect-generic.ts";
import { kubeRouter } from "./dialect-kube-router.ts";
import { kubeNetworkPolicies } from "./dialect-kube-network-policies.ts";
import { formatPolicyRef } from "./model.ts";
import type { Policy } from "./model.ts";

/** Every dialect. */
export const DIALECTS: Readonly<Record<DialectName, Dialect>> = {
  calico,
  "kube-network-policies": kubeNetworkPolicies,
  cilium,
  "kube-router": kubeRouter,
  generic,
};

/** Whose tables are compiled where nothing else is said. */
export const DEFAULT_DIALECT: Dialect = calico;

/** Reports UNSUPPORTED_FEATURE for what of the policies the dialect does not do as the API says. */
export function checkDialect(
  policies: readonly Policy[],
  { title, knowsNodePeers }: Dialect,
  onDiagnostic: OnDiagnostic,
): void {
  if (knowsNodePeers) return;
  for (const policy of policies) {
    for (const rule of [...(policy.ingress ?? []), ...(policy.egress ?? [])]) {
      if (rule.kind !== "peers") continue;
      for (const peer of rule.peers ?? []) {
        if (peer.kind !== "nodes") continue;
        onDiagnostic({
          severity: "error",
          code: "UNSUPPORTED_FEATURE",
          message: `${formatPolicyRef(policy.ref)} chooses nodes, and ${title} takes that for the pods on them: no verdict would be right`,
          place: peer.place,
        });
      }
    }
  }
}
