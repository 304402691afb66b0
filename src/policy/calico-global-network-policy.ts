/** projectcalico.org/v3 GlobalNetworkPolicy: selects workloads of all namespaces, and host endpoints. */
import { calicoKinds, lowerCalicoPolicy } from "./calico-policy.ts";
import type { PolicyKind } from "./kind.ts";

export const calicoGlobalNetworkPolicy: readonly PolicyKind[] = calicoKinds(
  "GlobalNetworkPolicy",
  (object, context) =>
    lowerCalicoPolicy(
      object,
      { name: "projectcalico.org GlobalNetworkPolicy", scope: "cluster-wide", staged: false },
      context,
    ),
);
