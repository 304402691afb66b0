/**
 * Policy groups: policies of a tier that follow each other and have one selector are behind one jump. The
 * chain behind it is shared by all endpoints that have them so, which is by all that they select and no
 * other policy between them does.
 * Source: Felix rules/endpoints.go, PolicyGroup; dataplane/linux/endpoint_mgr.go, groupPolicies.
 */
import type { OnDiagnostic } from "../errors.ts";
import type { Dialect } from "../policy/dialect.ts";
import { formatPolicyRef } from "../policy/model.ts";
import type { CalicoVersion, Direction, Policy } from "../policy/model.ts";
import { policyNameBefore332 } from "../policy/order.ts";
import { peerSelectorText } from "./calico-selector.ts";
import type { Chain, Rule } from "./model.ts";
import { policyChainName, policyGroupChainName, policyId } from "./names.ts";
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

/** The groups of some chains, each made once. */
export class PolicyGroups {
  readonly #minor: number;
  readonly #chains = new Map<string, Chain>();
  readonly #names = new Map<string, string>();

  constructor({ minor }: CalicoVersion, { tables }: Dialect) {
    this.#minor = tables === "felix" ? minor : 0;
  }

  /** Parts the ordered policies of one tier. */
  runsOf(policies: readonly Policy[], direction: Direction): PolicyRun[] {
    if (this.#minor < GROUPS) return [{ policies, group: undefined }];
    const runs: { policies: Policy[]; group: string | undefined }[] = [];
    for (const same of bySelector(policies)) {
      const last = runs.at(-1);
      // > ShouldBeInlined: a group of one has no chain.
      if (same.length > 1 && same[0]?.subject.text !== undefined) {
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

  #nameOf(policies: readonly Policy[], direction: Direction): string {
    const [first] = policies;
    const named = this.#minor >= KIND_IN_NAME;
    const parts = [
      ...(named ? [] : [first?.tier.name ?? ""]),
      first?.subject.text ?? "",
      direction === "ingress" ? "inbound" : "outbound",
      `${policies.length}`,
      ...policies.map((policy) => (named ? policyId(policy.ref) : policyNameBefore332(policy))),
    ];
    const key = parts.join("\n");
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const name = policyGroupChainName(direction, parts);
    this.#names.set(key, name);
    this.#chains.set(name, {
      name,
      policy: undefined,
      rules: groupRules(policies, direction),
    });
    return name;
  }
}

/** Policies that follow each other and have one selector; those whose selector's text is not known, too. */
function bySelector(policies: readonly Policy[]): Policy[][] {
  const runs: Policy[][] = [];
  for (const policy of policies) {
    const last = runs.at(-1);
    if (last !== undefined && last[0]?.subject.text === policy.subject.text) last.push(policy);
    else runs.push([policy]);
  }
  return runs;
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

/**
 * Reports UNSUPPORTED_FEATURE where Felix may have a group that is not known here for want of a selector's
 * text: each of its policies has a jump of its own then, and verdicts are the same.
 */
export function reportUngrouped(
  policies: readonly Policy[],
  { minor }: CalicoVersion,
  onDiagnostic: OnDiagnostic,
): void {
  if (minor < GROUPS) return;
  const firstBySelector = new Map<string, Policy>();
  for (const policy of policies) {
    const { subject, tier, ref } = policy;
    if (subject.text !== undefined) continue;
    const selector = `${tier.name} ${peerSelectorText(subject)}`;
    const first = firstBySelector.get(selector);
    if (first === undefined) {
      firstBySelector.set(selector, policy);
      continue;
    }
    onDiagnostic({
      severity: "warning",
      code: "UNSUPPORTED_FEATURE",
      message: `Calico may put ${formatPolicyRef(first.ref)} and ${formatPolicyRef(ref)} into one chain, whose name is not known: here they stay apart, with the same verdicts`,
      place: ref.place,
    });
    return;
  }
}
