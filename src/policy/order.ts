/**
 * The order in which policies are asked.
 * Source: Calico felix/calc/policy_sorter.go, tierInfo and PolKVLess.
 */
import { compareText } from "../net/compare-text.ts";
import type { CalicoVersion, Policy, PolicyKindName, Tier } from "./model.ts";

/**
 * The tier of Kubernetes policies. Its default action is what isolation is: a pod that a policy selects
 * gets only what some policy allows.
 */
export const DEFAULT_TIER: Tier = { name: "default", order: 1_000_000, defaultAction: "deny" };

/** The order of every Kubernetes policy in its tier: they only allow, so that it changes no verdict. */
export const KUBERNETES_ORDER = 1000;

/** What Calico calls the kinds; among policies of equal order it is the last that is compared. */
export const CALICO_KIND: Readonly<Record<PolicyKindName, string>> = {
  "networking.k8s.io NetworkPolicy": "KubernetesNetworkPolicy",
  "projectcalico.org NetworkPolicy": "NetworkPolicy",
  "projectcalico.org GlobalNetworkPolicy": "GlobalNetworkPolicy",
  // What they are once they are enforced.
  "projectcalico.org StagedNetworkPolicy": "NetworkPolicy",
  "projectcalico.org StagedGlobalNetworkPolicy": "GlobalNetworkPolicy",
  "projectcalico.org StagedKubernetesNetworkPolicy": "KubernetesNetworkPolicy",
  "policy.networking.k8s.io AdminNetworkPolicy": "KubernetesAdminNetworkPolicy",
  "policy.networking.k8s.io BaselineAdminNetworkPolicy": "KubernetesBaselineAdminNetworkPolicy",
  "policy.networking.k8s.io ClusterNetworkPolicy": "KubernetesClusterNetworkPolicy",
};

/** Orders policies as they are asked: by tier, then by order, equal ones by name, namespace and kind. */
export function comparePolicies(one: Policy, other: Policy): number {
  return compareRanks(one, other) || compareText(tieText(one), tieText(other));
}

/** The same, equal ones by the name alone. */
export function comparePoliciesByName(one: Policy, other: Policy): number {
  return compareRanks(one, other) || compareText(one.ref.name, other.ref.name);
}

/** Whose tables are compiled where nothing else is said. */
export const NEWEST_CALICO: CalicoVersion = { minor: Infinity };

/**
 * Orders policies as they are asked: by tier, then by order, equal ones by name, namespace and kind; before
 * 3.32, equal ones by namespace and long name.
 */
export function sortPolicies(
  policies: readonly Policy[],
  { minor }: CalicoVersion = NEWEST_CALICO,
): Policy[] {
  const text = minor >= 32 ? tieText : policyNameBefore332;
  return policies
    .map((policy) => ({ policy, text: text(policy) }))
    .sort(
      (one, other) => compareRanks(one.policy, other.policy) || compareText(one.text, other.text),
    )
    .map(({ policy }) => policy);
}

/** What policies were called before 3.32: `namespace/tier.name`, Kubernetes' with their kind before it. */
export function policyNameBefore332({ ref, tier }: Policy): string {
  const kind = LONG_NAME_PREFIX[ref.kind] ?? "";
  const begun = ref.name.startsWith(`${tier.name}.`) && kind === "";
  const name = begun ? ref.name : `${kind}${tier.name}.${ref.name}`;
  return ref.namespace === undefined ? name : `${ref.namespace}/${name}`;
}

const LONG_NAME_PREFIX: Partial<Readonly<Record<PolicyKindName, string>>> = {
  "networking.k8s.io NetworkPolicy": "knp.",
  "projectcalico.org StagedKubernetesNetworkPolicy": "knp.",
  "policy.networking.k8s.io AdminNetworkPolicy": "kanp.",
  "policy.networking.k8s.io BaselineAdminNetworkPolicy": "kbanp.",
  "policy.networking.k8s.io ClusterNetworkPolicy": "kcnp.",
};

function compareRanks(one: Policy, other: Policy): number {
  return compareTiers(one.tier, other.tier) || compareNumbers(one.order, other.order);
}

/** Orders tiers as they are asked. */
export function compareTiers(one: Tier, other: Tier): number {
  return compareNumbers(one.order, other.order) || compareText(one.name, other.name);
}

/** Unlike a difference this can tell that Infinity equals itself. */
function compareNumbers(one: number, other: number): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

function tieText({ ref }: Policy): string {
  return `${ref.name}/${ref.namespace ?? ""}/${CALICO_KIND[ref.kind]}`;
}
