/**
 * Staged policies: objects that say what a policy would be. By themselves they never affect traffic; seen
 * as if they were enforced, they take the place of the policies that they name.
 * Source: api/pkg/apis/projectcalico/v3, StagedAction and ConvertStagedPolicyToEnforced.
 */
import { readText, reportField, suggestionFor, type Field } from "../cluster/fields.ts";
import { homeGroup } from "../cluster/kinds.ts";
import type { ManifestObject } from "../cluster/manifest-object.ts";
import { policyKey, type Policy, type PolicyKindName, type StagedAction } from "./model.ts";

/** How staged policies are taken. */
export type StagedMode = "enforce" | "ignore";

const ACTIONS: ReadonlyMap<string, StagedAction> = new Map([
  ["Set", "set"],
  ["Delete", "delete"],
  ["Learn", "learn"],
  ["Ignore", "ignore"],
]);

/** Reads `stagedAction`; absent: Set. */
export function readStagedAction(field: Field): StagedAction {
  const written = readText(field) ?? "";
  const action = written === "" ? "set" : ACTIONS.get(written);
  if (action !== undefined) return action;
  const words = [...ACTIONS.keys()];
  reportField(field, {
    code: "BAD_VALUE",
    message: `"${written}" is no staged action: ${words.join(", ")}`,
    suggestion: suggestionFor(written, words),
  });
  return "set";
}

/** Tells whether an object is a staged policy. */
export function isStaged({ apiVersion, kind }: ManifestObject): boolean {
  return Object.hasOwn(ENFORCED_KIND, `${homeGroup(apiVersion, kind)} ${kind}`);
}

const ENFORCED_KIND: Partial<Readonly<Record<PolicyKindName, PolicyKindName>>> = {
  "projectcalico.org StagedNetworkPolicy": "projectcalico.org NetworkPolicy",
  "projectcalico.org StagedGlobalNetworkPolicy": "projectcalico.org GlobalNetworkPolicy",
  "projectcalico.org StagedKubernetesNetworkPolicy": "networking.k8s.io NetworkPolicy",
};

/**
 * Leaves the policies that affect traffic. `enforce`: a staged policy that sets takes the place of the one
 * of its name, or is one more; one that deletes takes it away.
 */
export function settleStaged(policies: readonly Policy[], mode: StagedMode): Policy[] {
  const enforced = policies.filter(({ stagedAction }) => stagedAction === undefined);
  if (mode === "ignore") return enforced;
  const acting = policies.filter(
    ({ stagedAction }) => stagedAction === "set" || stagedAction === "delete",
  );
  const replaced = new Set(
    acting.map(({ ref }) => policyKey({ ...ref, kind: ENFORCED_KIND[ref.kind] ?? ref.kind })),
  );
  return [
    ...enforced.filter(({ ref }) => !replaced.has(policyKey(ref))),
    ...acting.filter(({ stagedAction }) => stagedAction === "set"),
  ];
}
