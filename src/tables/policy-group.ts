/**
 * Policy groups: policies of a tier that follow each other and have one selector are behind one jump. The
 * chain behind it is shared by all endpoints that have them so, which is by all that they select and no
 * other policy between them does.
 * Source: Felix rules/endpoints.go, PolicyGroup; dataplane/linux/endpoint_mgr.go, groupPolicies.
 */
import type { Dialect } from "../policy/dialect.ts";
import type { CalicoVersion, Direction, Policy, PolicyRef } from "../policy/model.ts";
import { CALICO_KIND, policyNameBefore332 } from "../policy/order.ts";
import type { Chain, Rule } from "./model.ts";
import { policyChainName, policyGroupChainName } from "./names.ts";
import { entryOf } from "./entry.ts";
import { anyBitSet, bitsClear, jump, makeRule, MARK_ACCEPT, MARK_PASS, RETURN } from "./rule.ts";

/** The oldest release of each way. */
const GROUPS = 27;
const KIND_IN_NAME = 32;

/** So many jumps stand between two looks at whether one of the policies has decided. */
const JUMPS_BETWEEN_RETURNS = 5;

/** Policies of one tier that follow each other: behind one jump, or each behind its own. */
export interface PolicyRun {
  readonly policies: readonly Policy[];
  /** The chain behind the jump. Undefined: there is none. */
  readonly group: string | undefined;
}

interface Group {
  readonly policies: readonly Policy[];
  readonly name: string;
}

/** The groups of some chains, each made once. */
export class PolicyGroups {
  readonly #minor: number;
  readonly #chains = new Map<string, Chain>();
  /** By the first of its policies, as many chains of endpoints have the same group. */
  readonly #known = { ingress: new Map<Policy, Group[]>(), egress: new Map<Policy, Group[]>() };

  constructor({ minor }: CalicoVersion, { tables }: Dialect) {
    this.#minor = tables === "felix" ? minor : 0;
  }

  /**
   * Parts the ordered policies of one tier.
   *
   * @param marked those before which rules stand in the endpoint's chain: a group may begin with one,
   *   and has no other
   */
  runsOf(
    policies: readonly Policy[],
    direction: Direction,
    marked: ReadonlyMap<Policy, unknown>,
  ): PolicyRun[] {
    if (this.#minor < GROUPS) return [{ policies, group: undefined }];
    const runs: { policies: Policy[]; group: string | undefined }[] = [];
    for (const same of bySelector(policies)) {
      const last = runs.at(-1);
      // > ShouldBeInlined: a group of one has no chain.
      if (same.length > 1 && !same.some((policy, at) => at > 0 && marked.has(policy))) {
        runs.push({ policies: same, group: this.#nameOf(same, direction) });
      } else if (last?.group !== undefined || last === undefined) {
        runs.push({ policies: same, group: undefined });
      } else {
        last.policies.push(...same);
      }
    }
    return runs;
  }

  /** Every chain that was made. */
  chains(): Iterable<Chain> {
    return this.#chains.values();
  }

  chainNamed(name: string): Chain | undefined {
    return this.#chains.get(name);
  }

  /** The chains of groups that others jump to; one may be there several times. */
  usedBy(chains: readonly Chain[]): Chain[] {
    return chains
      .flatMap(({ rules }) => rules)
      .flatMap(({ target }) =>
        target?.kind === "JUMP" ? (this.chainNamed(target.chain) ?? []) : [],
      );
  }

  #nameOf(policies: readonly [Policy, ...Policy[]], direction: Direction): string {
    const groups = entryOf(this.#known[direction], policies[0], (): Group[] => []);
    const known = groups.find((group) => isSame(group.policies, policies));
    if (known !== undefined) return known.name;
    const name = policyGroupChainName(direction, this.#partsOf(policies, direction));
    groups.push({ policies, name });
    // Its rules are of names only: the chain also holds when policies of the same names were edited.
    entryOf(this.#chains, name, () => {
      return { name, policy: undefined, rules: groupRules(policies, direction) };
    });
    return name;
  }

  #partsOf(policies: readonly [Policy, ...Policy[]], direction: Direction): string[] {
    const [{ tier, subject }] = policies;
    const named = this.#minor >= KIND_IN_NAME;
    return [
      ...(named ? [] : [tier.name]),
      subject.text,
      direction === "ingress" ? "inbound" : "outbound",
      `${policies.length}`,
      ...policies.map((policy) => (named ? nameWithKind(policy.ref) : policyNameBefore332(policy))),
    ];
  }
}

function isSame(some: readonly Policy[], others: readonly Policy[]): boolean {
  return some.length === others.length && some.every((policy, at) => policy === others[at]);
}

/** Policies that follow each other and have one selector. */
function bySelector(policies: readonly Policy[]): [Policy, ...Policy[]][] {
  const runs: [Policy, ...Policy[]][] = [];
  for (const policy of policies) {
    const last = runs.at(-1);
    if (last?.[0].subject.text === policy.subject.text) last.push(policy);
    else runs.push([policy]);
  }
  return runs;
}

/** Source: felix/types/policy_id.go, PolicyID.String. */
function nameWithKind({ kind, namespace = "", name }: PolicyRef): string {
  return `{Name: ${name}, Namespace: ${namespace}, Kind: ${CALICO_KIND[kind]}}`;
}

/** The endpoint's chain looks at what the policies have said; here it only ends the group. */
function groupRules(policies: readonly Policy[], direction: Direction): Rule[] {
  return policies.flatMap((policy, index) => {
    const target = jump(policyChainName(direction, policy.ref));
    // The first of a block has nothing to look at: nothing was said before it, or the return was taken.
    if (index % JUMPS_BETWEEN_RETURNS !== 0) return [{ ...IF_UNDECIDED, target }];
    const enter = makeRule({ target });
    return index === 0 ? [enter] : [RETURN_IF_DECIDED, enter];
  });
}

const IF_UNDECIDED = makeRule({ matches: [bitsClear(MARK_ACCEPT | MARK_PASS)] });
const RETURN_IF_DECIDED = makeRule({
  comment: "Return on verdict",
  matches: [anyBitSet(MARK_ACCEPT | MARK_PASS)],
  target: RETURN,
});
