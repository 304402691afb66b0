/**
 * The registry of policy kinds, and the way from objects to policies. A policy of a kind that is not
 * here is an error: a verdict without it would be wrong.
 */
import { suggestionFor } from "../cluster/fields.ts";
import { apiGroup, homeGroup, kindRole } from "../cluster/kinds.ts";
import type { ManifestObject } from "../cluster/manifest-object.ts";
import type { OnDiagnostic } from "../errors.ts";
import { calicoGlobalNetworkPolicy } from "./calico-global-network-policy.ts";
import { calicoNetworkPolicy } from "./calico-network-policy.ts";
import { calicoStagedGlobalNetworkPolicy } from "./calico-staged-global-network-policy.ts";
import { calicoStagedKubernetesNetworkPolicy } from "./calico-staged-kubernetes-network-policy.ts";
import { calicoStagedNetworkPolicy } from "./calico-staged-network-policy.ts";
import { adminNetworkPolicy } from "./admin-network-policy.ts";
import { baselineAdminNetworkPolicy } from "./baseline-admin-network-policy.ts";
import { betaClusterNetworkPolicy, clusterNetworkPolicy } from "./cluster-network-policy.ts";
import type { Dialect } from "./dialect.ts";
import { checkDialect, DEFAULT_DIALECT } from "./dialects.ts";
import type { PolicyKind } from "./kind.ts";
import type { Policy, PolicyKindName } from "./model.ts";
import { networkPolicy } from "./network-policy.ts";
import { compareText } from "../net/compare-text.ts";
import { checkProfile, isProfile, profileLabels } from "./profile.ts";
import { SelectorPool } from "./selector-pool.ts";
import { settleStaged, type StagedMode } from "./staged.ts";
import { isTier, Tiers } from "./tier.ts";

/** Every policy kind that is judged. */
export const POLICY_KINDS: readonly PolicyKind[] = [
  networkPolicy,
  ...calicoNetworkPolicy,
  ...calicoGlobalNetworkPolicy,
  ...calicoStagedNetworkPolicy,
  ...calicoStagedGlobalNetworkPolicy,
  ...calicoStagedKubernetesNetworkPolicy,
  adminNetworkPolicy,
  baselineAdminNetworkPolicy,
  clusterNetworkPolicy,
  betaClusterNetworkPolicy,
];

/**
 * Lowers every policy among the objects, ordered by namespace, then name; cluster-wide ones first.
 * Policies with an error are reported and left out. Reports UNSUPPORTED_KIND, also for kinds that the
 * dialect does not enforce, UNSUPPORTED_FEATURE for what it does otherwise, and whatever the kinds report.
 *
 * @param staged whether staged policies are taken for enforced ones
 */
export function lowerPolicies(
  objects: readonly ManifestObject[],
  onDiagnostic: OnDiagnostic,
  {
    staged = "ignore",
    dialect = DEFAULT_DIALECT,
  }: { readonly staged?: StagedMode; readonly dialect?: Dialect } = {},
): Policy[] {
  const policies: Policy[] = [];
  const tiers = new Tiers(objects, staged, onDiagnostic);
  const context = { onDiagnostic, tiers, selectors: new SelectorPool() };
  const labelsOfProfiles = profileLabels(objects);
  for (const object of objects) {
    const { apiVersion, kind } = object;
    const policyKind = POLICY_KINDS.find(
      (known) => known.kind === kind && known.apiVersion === apiVersion,
    );
    if (policyKind !== undefined && !isEnforced(policyKind, dialect)) {
      onDiagnostic({
        severity: "error",
        code: "UNSUPPORTED_KIND",
        message: `${kind} of ${apiVersion} is a policy that ${dialect.title} does not have: leave it out, or judge by another --dialect`,
        place: object.placeOf(["kind"]),
      });
    } else if (policyKind !== undefined) {
      const policy = policyKind.lower(object, context);
      if (policy !== undefined) policies.push(policy);
    } else if (isProfile(object)) {
      checkProfile(object, labelsOfProfiles.get(object.metadata.name), onDiagnostic);
    } else if (kindRole(apiVersion, kind) === "policy" && !isTier(object)) {
      const suggestion = suggestionOf(apiVersion, kind);
      onDiagnostic({
        severity: "error",
        code: "UNSUPPORTED_KIND",
        message: `${kind} of ${apiVersion} is a policy that is not judged: no verdict would be right without it`,
        place: object.placeOf(["kind"]),
        ...(suggestion === undefined ? {} : { suggestion }),
      });
    }
  }
  checkDialect(policies, dialect, onDiagnostic);
  return settleStaged(policies, staged).sort(
    (one, other) =>
      compareText(one.ref.namespace ?? "", other.ref.namespace ?? "") ||
      compareText(one.ref.name, other.ref.name),
  );
}

/** Calico's kinds have two versions; a dialect has a kind or not, whatever its version. */
function isEnforced({ apiVersion, kind }: PolicyKind, { kinds }: Dialect): boolean {
  const name = `${homeGroup(apiVersion, kind)} ${kind}`;
  return kinds.some((known: PolicyKindName) => known === name);
}

/** The same kind of another API, or another kind of the same. */
function suggestionOf(apiVersion: string, kind: string): string | undefined {
  const same = POLICY_KINDS.find((known) => known.kind === kind);
  if (same !== undefined) return `did you mean apiVersion ${same.apiVersion}?`;
  const group = apiGroup(apiVersion);
  const kinds = POLICY_KINDS.filter((known) => apiGroup(known.apiVersion) === group);
  return suggestionFor(
    kind,
    kinds.map((known) => known.kind),
  );
}
