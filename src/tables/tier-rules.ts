/**
 * The tiers in an endpoint's chain, workload's or host's: jumps to the policies that select it. Here a tier's
 * default action becomes DROP.
 * Source: Felix rules/endpoints.go, the tiers of an endpoint's chain.
 */
import type { Direction, Policy, Tier } from "../policy/model.ts";
import { DEFAULT_TIER } from "../policy/order.ts";
import { groupByOrder } from "../policy/ties.ts";
import { compileOpenJump } from "./dialect-protocols.ts";
import type { Rule } from "./model.ts";
import { bitsClear, bitsSet, DROP, makeRule, MARK_ACCEPT, MARK_PASS, NOTRACK } from "./rule.ts";
import type { SharedRules } from "./shared-rules.ts";
import { placed } from "./tie-rules.ts";

/** Those that select whomever, in one direction. */
interface DirectionPolicies {
  readonly direction: Direction;
  readonly policies: readonly Policy[];
}

/**
 * In a tier the first policy that decides ends it. Where none does, the packet goes on to the next tier
 * if this one's default is to pass; if not, that is the isolation of the Kubernetes policies:
 *
 * > By default, a pod is non-isolated. A pod is isolated if there is any NetworkPolicy that selects it
 * > and has the direction in its policyTypes; then only what the policies allow gets through.
 */
export function tierRules(
  { direction, policies: all }: DirectionPolicies,
  shared: SharedRules,
  traffic: "own" | "forwarded" | "pre-dnat" | "untracked",
): Rule[] {
  // > Without following connections, and before translation, other rules are still to come.
  const ends = traffic === "own" || traffic === "forwarded";
  const ask = ([enter, leave]: readonly [Rule, Rule]): Rule[] =>
    traffic === "untracked" ? [enter, UNTRACK_IF_ACCEPTED, leave] : [enter, leave];
  // No policies: not isolated, the profile decides.
  return tiersOf(all).flatMap(({ tier, policies }) => {
    const ties = tiesBefore(policies, shared, direction);
    const before = (policy: Policy | undefined): readonly Rule[] =>
      (policy && ties.get(policy)) ?? [];
    return [
      shared.begin(tier),
      ...(tier.name === DEFAULT_TIER.name ? compileOpenJump(shared.dialect) : []),
      ...shared.groups
        .runsOf(policies, direction, ties)
        .flatMap(({ group, policies: run }) =>
          group === undefined
            ? run.flatMap((policy) => [...before(policy), ...ask(shared.jump(policy, direction))])
            : [...before(run[0]), ...ask(shared.groupJump(group))],
        ),
      ...(ends && tier.defaultAction === "deny" ? [endOfTier(tier, policies, direction)] : []),
    ];
  });
}

/** What tries other orders, by the policy before whose jump it stands. */
function tiesBefore(
  policies: readonly Policy[],
  shared: SharedRules,
  direction: Direction,
): ReadonlyMap<Policy, readonly Rule[]> {
  if (policies.every(({ tier }) => tier.tiesUndefined !== true)) return NO_TIES;
  const ties = new Map<Policy, readonly Rule[]>();
  for (const tied of groupByOrder(policies, direction)) {
    const [first] = tied.policies;
    const rules = shared.tie(tied, direction);
    if (first !== undefined && rules.length > 0) ties.set(first, rules);
  }
  return ties;
}

const NO_TIES: ReadonlyMap<Policy, readonly Rule[]> = new Map();

const UNTRACK_IF_ACCEPTED = makeRule({
  matches: [bitsSet(MARK_ACCEPT)],
  target: NOTRACK,
});

/** The policies of one tier that select an endpoint: at least one. */
interface TierPolicies {
  readonly tier: Tier;
  readonly policies: readonly Policy[];
}

/** Policies come ordered, those of a tier together. */
function tiersOf(policies: readonly Policy[]): TierPolicies[] {
  const tiers: { tier: Tier; policies: Policy[] }[] = [];
  for (const policy of policies) {
    const last = tiers.at(-1);
    if (last?.tier.name === policy.tier.name) last.policies.push(policy);
    else tiers.push({ tier: policy.tier, policies: [policy] });
  }
  return tiers;
}

const DROP_UNLESS_PASSED = makeRule({
  comment: "Drop if no policies passed packet",
  matches: [bitsClear(MARK_PASS)],
  target: DROP,
});

function endOfTier(tier: Tier, policies: readonly Policy[], direction: Direction): Rule {
  return {
    ...DROP_UNLESS_PASSED,
    origin: {
      kind: "isolation",
      tier: tier.name,
      direction,
      policies: policies.map((policy) => placed(policy, direction)),
    },
  };
}
