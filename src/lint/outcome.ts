/** What the matching rules of a group come to: the rules that decide, and allowing or denying. */
import type { Policy } from "../policy/model.ts";
import type { Group, Matched } from "./groups.ts";
import type { RuleId } from "./rule-book.ts";
import { YES } from "./three-valued.ts";

/** What rules come to: bits, as a missing fact leaves both open. */
export type Outcome = number;
/** Bits of an outcome. */
export const ALLOWS = 1;
export const DENIES = 2;

/** What is taken away. */
export interface Removed {
  readonly rules: ReadonlySet<RuleId>;
  readonly policies: ReadonlySet<Policy>;
}

/** As things are. */
export const NOTHING: Removed = { rules: new Set(), policies: new Set() };

/** Facts that are missing of one kind of traffic; with more, everything makes a difference. */
export const MAYBES_MAX = 5;

/** The rules that decide, one for each tier: those that pass, and the last one. Rules that may match do. */
export function pathOf(
  group: Group,
  matched: readonly Matched[],
  { rules, policies }: Removed,
): RuleId[] {
  const path: RuleId[] = [];
  const asked = matched.filter(
    ({ rule }) => rule.action !== "log" && !rules.has(rule) && !policies.has(rule.policy),
  );
  for (const { tier } of group.tiers) {
    const own = asked.filter(({ rule }) => rule.policy.tier.name === tier.name);
    for (const { rule, truth } of own) {
      path.push(rule);
      if (truth !== YES) continue;
      if (rule.action !== "pass") return path;
      break;
    }
  }
  return path;
}

/** What the rules come to that hold. */
export function outcomeOf(group: Group, holding: readonly Matched[], removed: Removed): Outcome {
  const { rules, policies } = removed;
  for (const { tier, policies: own } of group.tiers) {
    if (own.every((policy) => policies.has(policy))) continue;
    const first = holding.find(
      ({ rule }) =>
        rule.policy.tier.name === tier.name &&
        rule.action !== "log" &&
        !rules.has(rule) &&
        !policies.has(rule.policy),
    );
    const action = first?.rule.action ?? tier.defaultAction;
    if (action === "allow") return ALLOWS;
    if (action === "deny") return DENIES;
  }
  // No policy isolates it.
  return ALLOWS;
}

/** What they may come to, those that may hold doing so or not. */
export function mayComeTo(group: Group, matched: readonly Matched[], removed: Removed): Outcome {
  const open = matched.filter(({ truth }) => truth !== YES);
  if (open.length > MAYBES_MAX) return ALLOWS | DENIES;
  let outcome = 0;
  for (let bits = 0; bits < 1 << open.length; bits++) {
    const holding = holdingOf(matched, open, bits);
    outcome |= outcomeOf(group, holding, removed);
  }
  return outcome;
}

/** Those that hold, and of those that may the ones whose bits are set. */
export function holdingOf(
  matched: readonly Matched[],
  open: readonly Matched[],
  bits: number,
): readonly Matched[] {
  if (open.length === 0) return matched;
  return matched.filter((each) => {
    const place = open.indexOf(each);
    return place < 0 || (bits & (1 << place)) !== 0;
  });
}
