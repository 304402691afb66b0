/** projectcalico.org/v3 NetworkPolicy: selects workloads of its namespace. */
import { calicoKinds, lowerCalicoPolicy } from "./calico-policy.ts";
import type { PolicyKind } from "./kind.ts";

export const calicoNetworkPolicy: readonly PolicyKind[] = calicoKinds(
  "NetworkPolicy",
  (object, context) =>
    lowerCalicoPolicy(
      object,
      { name: "projectcalico.org NetworkPolicy", scope: "namespaced", staged: false },
      context,
    ),
);
