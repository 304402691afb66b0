/** projectcalico.org/v3 StagedNetworkPolicy: what a NetworkPolicy would be. */
import { calicoKinds, lowerCalicoPolicy } from "./calico-policy.ts";
import type { PolicyKind } from "./kind.ts";

export const calicoStagedNetworkPolicy: readonly PolicyKind[] = calicoKinds(
  "StagedNetworkPolicy",
  (object, context) =>
    lowerCalicoPolicy(
      object,
      { name: "projectcalico.org StagedNetworkPolicy", scope: "namespaced", staged: true },
      context,
    ),
);
