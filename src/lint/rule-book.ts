/** The rules of policies, and what each asks of a packet. */
import type { Direction, Policy, RuleAction } from "../policy/model.ts";
import type { Conditions } from "./conditions.ts";
import { testsOf } from "./rule-tests.ts";
import type { RuleTest } from "./rule-tests.ts";

/** A rule of a policy in a direction. */
export interface RuleId {
  readonly policy: Policy;
  readonly direction: Direction;
  readonly index: number;
  readonly action: RuleAction;
  readonly tests: readonly RuleTest[];
}

/** Makes the rules of policies; the same value each time. */
export class RuleBook {
  readonly #conditions: Conditions;
  readonly #made = new Map<Policy, Readonly<Record<Direction, readonly RuleId[]>>>();

  constructor(conditions: Conditions) {
    this.#conditions = conditions;
  }

  rulesOf(policy: Policy, direction: Direction): readonly RuleId[] {
    const before = this.#made.get(policy);
    if (before !== undefined) return before[direction];
    const of = (each: Direction): RuleId[] =>
      (policy[each] ?? []).map((rule) => ({
        policy,
        direction: each,
        index: rule.index,
        action: rule.action,
        tests: testsOf(rule, each, this.#conditions),
      }));
    const made = { ingress: of("ingress"), egress: of("egress") };
    this.#made.set(policy, made);
    return made[direction];
  }
}
