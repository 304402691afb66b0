/** What one family's chains of policies are made with. */
import type { Family } from "../net/address.ts";
import type { Dialect } from "../policy/dialect.ts";
import type { Direction, MatchRule, Policy, PolicyRule } from "../policy/model.ts";
import type { SetCollector } from "./sets.ts";

/** What the rules of one family's chains are made with. */
export interface PolicyContext {
  readonly family: Family;
  readonly sets: SetCollector;
  readonly dialect: Dialect;
  /** Told of every rule whose rendering matches more than the policy says. */
  readonly onWider?: (policy: Policy, direction: Direction, rule: MatchRule) => void;
}

/** A rule, and where it belongs. */
export interface RuleContext<R extends PolicyRule> {
  readonly policy: Policy;
  readonly direction: Direction;
  readonly rule: R;
  readonly context: PolicyContext;
}
