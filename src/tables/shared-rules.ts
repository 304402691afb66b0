/** Rules of endpoints' chains that are the same for many endpoints: each is one object. */
import type { Dialect } from "../policy/dialect.ts";
import { DEFAULT_DIALECT } from "../policy/dialects.ts";
import { policyKey } from "../policy/model.ts";
import type { CalicoVersion, Direction, Policy, Tier } from "../policy/model.ts";
import { NEWEST_CALICO } from "../policy/order.ts";
import type { OrderGroup } from "../policy/ties.ts";
import { entryOf } from "./entry.ts";
import type { Rule } from "./model.ts";
import { policyChainName, profileChainName } from "./names.ts";
import { PolicyGroups } from "./policy-group.ts";
import {
  bitsClear,
  bitsSet,
  clearBits,
  DROP,
  jump,
  makeRule,
  MARK_ACCEPT,
  MARK_PASS,
  RETURN,
} from "./rule.ts";
import { END_IF_POLICY_ACCEPTED, tieRules } from "./tie-rules.ts";

/** No policy has said anything yet. */
export const BEGIN_POLICY = makeRule({ target: clearBits(MARK_ACCEPT | MARK_PASS) });
/** Nothing has let the packet through. */
export const END_UNACCEPTED = makeRule({ comment: "Drop if no profiles matched", target: DROP });

/** The rules that every endpoint has that the same policies select. */
export class SharedRules {
  readonly dialect: Dialect;
  readonly groups: PolicyGroups;
  readonly #jumps = {
    ingress: new Map<Policy, readonly [Rule, Rule]>(),
    egress: new Map<Policy, readonly [Rule, Rule]>(),
  };
  readonly #profiles = {
    ingress: new Map<string, readonly Rule[]>(),
    egress: new Map<string, readonly Rule[]>(),
  };
  readonly #groupJumps = new Map<string, readonly [Rule, Rule]>();
  readonly #begins = new Map<string, Rule>();
  readonly #ties = new Map<
    string,
    { readonly group: OrderGroup; readonly rules: readonly Rule[] }
  >();

  constructor(dialect: Dialect = DEFAULT_DIALECT, version: CalicoVersion = NEWEST_CALICO) {
    this.dialect = dialect;
    this.groups = new PolicyGroups(version, dialect);
  }

  /** The jump to a policy's chain, and what ends the endpoint's chain when the policy has accepted. */
  jump(policy: Policy, direction: Direction): readonly [Rule, Rule] {
    return entryOf(this.#jumps[direction], policy, () => [
      { ...IF_NOT_PASSED, target: jump(policyChainName(direction, policy.ref)) },
      END_IF_POLICY_ACCEPTED,
    ]);
  }

  /** The same of a group's chain. */
  groupJump(chain: string): readonly [Rule, Rule] {
    return entryOf(this.#groupJumps, chain, () => [
      { ...IF_NOT_PASSED, target: jump(chain) },
      END_IF_POLICY_ACCEPTED,
    ]);
  }

  /** The jump to a profile's chain, and what ends the endpoint's chain when it has accepted. */
  profile(name: string, direction: Direction): readonly Rule[] {
    return entryOf(this.#profiles[direction], name, () => [
      { ...ALWAYS, target: jump(profileChainName(direction, name)) },
      END_IF_PROFILE_ACCEPTED,
    ]);
  }

  /** What begins a tier. */
  begin(tier: Tier): Rule {
    return entryOf(this.#begins, tier.name, () =>
      makeRule({ comment: `Start of tier ${tier.name}`, target: clearBits(MARK_PASS) }),
    );
  }

  /**
   * What tries other orders. In one direction a packet meets one endpoint, so that a rule that others have,
   * too, asks for a fact of its own.
   */
  tie(group: OrderGroup, direction: Direction): readonly Rule[] {
    if (group.rivals.length === 0 || this.dialect.equalPriorities === "by-name") return [];
    const key = [direction, ...group.policies.map(({ ref }) => policyKey(ref))].join("\n");
    const before = this.#ties.get(key);
    // Policies of the same names may have been edited since.
    if (
      before?.group.policies.every((policy, index) => policy === group.policies[index]) === true
    ) {
      return before.rules;
    }
    const rules = tieRules(group, direction);
    this.#ties.set(key, { group, rules });
    return rules;
  }
}

const ALWAYS = makeRule({});
const IF_NOT_PASSED = makeRule({ matches: [bitsClear(MARK_PASS)] });
const END_IF_PROFILE_ACCEPTED = makeRule({
  comment: "Return if profile accepted",
  matches: [bitsSet(MARK_ACCEPT)],
  target: RETURN,
});
