/** projectcalico.org/v3 StagedKubernetesNetworkPolicy: what a Kubernetes NetworkPolicy would be. */
import { fieldOf, recordOf, rootField } from "../cluster/fields.ts";
import { calicoKinds } from "./calico-policy.ts";
import type { PolicyKind } from "./kind.ts";
import { lowerKubernetesPolicy } from "./network-policy.ts";
import { readStagedAction } from "./staged.ts";

export const calicoStagedKubernetesNetworkPolicy: readonly PolicyKind[] = calicoKinds(
  "StagedKubernetesNetworkPolicy",
  (object, context) => {
    let fine = true;
    const root = rootField(object, (diagnostic) => {
      fine = false;
      context.onDiagnostic(diagnostic);
    });
    const stagedAction = readStagedAction(fieldOf(recordOf(root, "spec"), "stagedAction"));
    const policy = lowerKubernetesPolicy(
      object,
      { name: "projectcalico.org StagedKubernetesNetworkPolicy", moreFields: ["stagedAction"] },
      context,
    );
    return policy && fine ? { ...policy, stagedAction } : undefined;
  },
);
