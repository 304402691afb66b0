/**
 * The tables of older releases of Calico: the same rules with the names, comments and mark bits of their
 * time. The order of policies, which differs too, is `order.ts`'s; denials before 3.30 drop at once, with
 * the same outcome. So no verdict changes here.
 * Source: felix/types/policy_id.go, felix/rules/policy.go and felix/dataplane/driver.go in the branches
 * release-v3.28, release-v3.31 and master.
 */
import { formatPlace, type OnDiagnostic } from "../errors.ts";
import { compareText } from "../net/compare-text.ts";
import type { CalicoVersion, Direction, Policy } from "../policy/model.ts";
import { formatPolicyRef } from "../policy/model.ts";
import { policyNameBefore332 } from "../policy/order.ts";
import type { Target } from "../target/index.ts";
import type { Match } from "../match/index.ts";
import { entryOf } from "./entry.ts";
import type { Chain, Rule, Ruleset } from "./model.ts";
import { policyChainName, policyChainNameOf } from "./names.ts";
import { MARK_DROP, MARK_SCRATCH0, MARK_SCRATCH1 } from "./rule.ts";

/** The oldest release of each way. */
const KIND_IN_NAME = 32;
const TIER_IN_NAME = 29;
const DROP_BIT = 30;

/**
 * Reports DUPLICATE_OBJECT for policies that a release takes for one: before 3.32, `p` and `default.p` of
 * tier default had one name, and so one chain.
 */
export function checkNames(
  policies: readonly Policy[],
  version: CalicoVersion,
  onDiagnostic: OnDiagnostic,
): void {
  if (version.minor >= KIND_IN_NAME) return;
  const firstByName = new Map<string, Policy>();
  for (const policy of policies) {
    const name = olderName(policy, version);
    const first = firstByName.get(name);
    if (first === undefined) {
      firstByName.set(name, policy);
      continue;
    }
    onDiagnostic({
      severity: "error",
      code: "DUPLICATE_OBJECT",
      message: `${formatPolicyRef(policy.ref)} has the name ${policyNameBefore332(policy)} before Calico 3.32, as has ${formatPolicyRef(first.ref)} at ${formatPlace(first.ref.place)}`,
      place: policy.ref.place,
    });
  }
}

/** What rewrites tables, of both families, to those of a release. */
export function asOfRelease(
  policies: readonly Policy[],
  version: CalicoVersion,
): (ruleset: Ruleset) => Ruleset {
  const { minor } = version;
  if (minor >= KIND_IN_NAME) return (ruleset) => ruleset;
  const names = new Map<string, { readonly chain: string; readonly comment: string }>();
  for (const policy of policies) {
    for (const direction of DIRECTIONS) {
      names.set(policyChainName(direction, policy.ref), {
        chain: policyChainNameOf(direction, olderName(policy, version)),
        comment: `Policy ${policyNameBefore332(policy)} ${direction}`,
      });
    }
  }
  const olderRules = (rules: readonly Rule[], comment?: string): readonly Rule[] => {
    const older = minor >= DROP_BIT ? rules : rules.flatMap(withoutDropBit);
    return older.map((rule, index) => renameRule(rule, names, index === 0 ? comment : undefined));
  };
  /** Chains that have one list of rules have one list of older ones. */
  const olderLists = new Map<readonly Rule[], readonly Rule[]>();
  const chains = (all: readonly Chain[]): Chain[] =>
    all
      .map((chain) => {
        const old = names.get(chain.name);
        return old === undefined
          ? { ...chain, rules: entryOf(olderLists, chain.rules, () => olderRules(chain.rules)) }
          : { ...chain, name: old.chain, rules: olderRules(chain.rules, old.comment) };
      })
      // Built-in chains come first, user chains by name.
      .sort((one, other) => {
        if (one.policy !== undefined || other.policy !== undefined) return 0;
        return compareText(one.name, other.name);
      });
  return (ruleset) => {
    const tables = ruleset.tables.map((table) => ({ ...table, chains: chains(table.chains) }));
    return { ...ruleset, tables };
  };
}

const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

function olderName(policy: Policy, { minor }: CalicoVersion): string {
  const name = policyNameBefore332(policy);
  return minor >= TIER_IN_NAME ? `${policy.tier.name}/${name}` : name;
}

function renameRule(
  rule: Rule,
  names: ReadonlyMap<string, { readonly chain: string }>,
  comment: string | undefined,
): Rule {
  const { target } = rule;
  const jumped = target?.kind === "JUMP" ? names.get(target.chain)?.chain : undefined;
  return {
    ...rule,
    target: jumped === undefined ? target : { kind: "JUMP", chain: jumped },
    matches: rule.matches.map((match) =>
      comment !== undefined && match.kind === "comment"
        ? { kind: "comment", text: comment }
        : match,
    ),
  };
}

/**
 * Before 3.30 a denial drops at once, and the scratch bits are one lower: the bit between did not exist.
 * The rule that sets the bit is followed by the one that drops by it.
 */
function withoutDropBit(rule: Rule, index: number, rules: readonly Rule[]): Rule[] {
  const { target } = rule;
  if (setsDropBit(rules[index - 1]?.target)) return [];
  const next = rules[index + 1];
  const denial = setsDropBit(target) && next !== undefined;
  return [
    {
      ...rule,
      matches: rule.matches.map(lowerMatch),
      target: denial ? next.target : lowerTarget(target),
      ...(denial && next.origin !== undefined ? { origin: next.origin } : {}),
    },
  ];
}

function setsDropBit(target: Target | undefined): boolean {
  return target?.kind === "MARK" && target.mask === MARK_DROP;
}

function lowerMatch(match: Match): Match {
  return match.kind === "mark"
    ? { ...match, value: lowerBits(match.value), mask: lowerBits(match.mask) }
    : match;
}

function lowerTarget(target: Target | undefined): Target | undefined {
  return target?.kind === "MARK"
    ? { ...target, value: lowerBits(target.value), mask: lowerBits(target.mask) }
    : target;
}

function lowerBits(bits: number): number {
  const scratch = MARK_SCRATCH0 | MARK_SCRATCH1;
  return (bits & ~scratch) | ((bits & scratch) >>> 1);
}
