/** projectcalico.org/v3 StagedGlobalNetworkPolicy: what a GlobalNetworkPolicy would be. */
import { calicoKinds, lowerCalicoPolicy } from "./calico-policy.ts";
import type { PolicyKind } from "./kind.ts";

export const calicoStagedGlobalNetworkPolicy: readonly PolicyKind[] = calicoKinds(
  "StagedGlobalNetworkPolicy",
  (object, context) =>
    lowerCalicoPolicy(
      object,
      { name: "projectcalico.org StagedGlobalNetworkPolicy", scope: "cluster-wide", staged: true },
      context,
    ),
);
