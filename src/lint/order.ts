/** Policies that are not enforced, that only log, or of which nobody knows which comes first. */
import { formatPolicyRef } from "../policy/model.ts";
import type { Direction, Policy } from "../policy/model.ts";
import { isStaged } from "../policy/staged.ts";
import { groupByOrder } from "../policy/ties.ts";
import { DIRECTIONS } from "./context.ts";
import type { LintContext } from "./context.ts";
import type { Finding } from "./finding.ts";
import { endpointsCover } from "./inclusion.ts";

/** More policies of one priority are not compared pair by pair. */
const TIED_MAX = 300;

/** Finds STAGED, where staged policies are left out. */
export function* lintStaged({ objects, policies }: LintContext): Generator<Finding> {
  const enforced = new Set(policies.map(({ ref }) => ref.place.file + ref.place.line));
  for (const object of objects) {
    if (!isStaged(object)) continue;
    const place = object.placeOf(["metadata", "name"]);
    if (enforced.has(place.file + place.line)) continue;
    const { namespace, name } = object.metadata;
    const text = namespace === "" ? name : `${namespace}/${name}`;
    const message = `${object.kind} ${text} is not enforced: it says what would be`;
    const suggestion = "--staged enforce lints it as if it were";
    yield { code: "STAGED", severity: "note", message, place, suggestion };
  }
}

/** Finds LOG_ONLY. */
export function* lintLogOnly(context: LintContext): Generator<Finding> {
  for (const policy of context.policies) {
    if (policy.tier.defaultAction !== "deny" || policy.host !== undefined) continue;
    for (const direction of DIRECTIONS) {
      const rules = policy[direction] ?? [];
      if (rules.length === 0 || rules.some(({ action }) => action !== "log")) continue;
      if (isIsolatedAnyway(policy, direction, context)) continue;
      yield {
        code: "LOG_ONLY",
        severity: "warning",
        message: `${formatPolicyRef(policy.ref)} only logs ${direction}, and tier ${policy.tier.name} denies what no policy in it allows`,
        place: rules[0]?.place ?? policy.ref.place,
        suggestion: "add a rule with action Pass or Allow behind Log",
      };
    }
  }
}

/** Others of the tier select the same endpoints: it denies, whether this one is there or not. */
function isIsolatedAnyway(policy: Policy, direction: Direction, context: LintContext): boolean {
  const { policies, index } = context;
  const others = policies.filter(
    (other) =>
      other !== policy && other.tier.name === policy.tier.name && other[direction] !== undefined,
  );
  if (others.some(({ subject }) => endpointsCover(subject, policy.subject))) return true;
  const chosen = index.chosenBy(policy.subject);
  if (chosen.length === 0) return false;
  const isolated = new Set(others.flatMap(({ subject }) => index.chosenBy(subject)));
  return chosen.every((endpoint) => isolated.has(endpoint));
}

/** Finds PRIORITY_TIE. */
export function* lintTies(context: LintContext): Generator<Finding> {
  const { policies, index, snapshot } = context;
  const groups = new Map<string, Policy[]>();
  for (const policy of policies) {
    const { tier, order } = policy;
    if (tier.tiesUndefined !== true) continue;
    const key = `${tier.name} ${order}`;
    groups.set(key, [...(groups.get(key) ?? []), policy]);
  }
  for (const group of groups.values()) {
    const tied = group.slice(0, TIED_MAX);
    const chosen = new Map(tied.map((policy) => [policy, new Set(index.chosenBy(policy.subject))]));
    for (const [at, policy] of tied.entries()) {
      const rival = tied.slice(0, at).find((other) => {
        const others = chosen.get(other);
        const meet =
          snapshot.endpoints.length === 0 ||
          [...(chosen.get(policy) ?? [])].some((endpoint) => others?.has(endpoint));
        return meet && DIRECTIONS.some((direction) => disagree(other, policy, direction));
      });
      if (rival === undefined) continue;
      yield {
        code: "PRIORITY_TIE",
        severity: "warning",
        message: `${formatPolicyRef(policy.ref)} and ${formatPolicyRef(rival.ref)} have priority ${policy.order}, and rules that may disagree: which comes first is undefined`,
        place: policy.ref.place,
        suggestion: "give one of them another priority",
      };
    }
  }
}

function disagree(one: Policy, other: Policy, direction: Direction): boolean {
  if (one[direction] === undefined || other[direction] === undefined) return false;
  return groupByOrder([one, other], direction).some(({ rivals }) => rivals.length > 0);
}
