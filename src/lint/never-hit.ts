/** Rules and policies that no packet of a replayed capture met. */
import type { Place } from "../errors.ts";
import { formatPolicyRef, policyKey } from "../policy/model.ts";
import type { Direction, Policy, PolicyRef, PolicyRule } from "../policy/model.ts";
import type { Chain, Rule, RuleOrigin, Ruleset } from "../tables/model.ts";
import { DIRECTIONS } from "./context.ts";
import type { LintContext } from "./context.ts";
import type { Finding } from "./finding.ts";
import { takesEverything } from "./node-rules.ts";

/** How many packets matched a rule of the tables. */
export interface RuleHits {
  /** Undefined: the end of a chain. */
  readonly rule: Rule | undefined;
  readonly packets: number;
}

/** What a replay counted. */
export interface CaptureHits {
  readonly counted: Iterable<RuleHits>;
  /** Of the openings of connections that began before the capture: what let them pass is not known. */
  readonly begun: Iterable<RuleHits>;
}

/** Finds NEVER_HIT_RULE and NEVER_HIT_POLICY. */
export function findNeverHit(context: LintContext, { counted, begun }: CaptureHits): Finding[] {
  const met = new Set<string>();
  const add = ({ rule, packets }: RuleHits): void => {
    if (packets > 0) for (const key of metBy(rule?.origin)) met.add(key);
  };
  for (const hits of counted) add(hits);
  for (const hits of begun) if (letsPass(hits.rule?.origin)) add(hits);
  return context.policies
    .filter((policy) => selectsAny(policy, context))
    .flatMap((policy) => [...neverHitOf(policy, met)]);
}

/** Of a policy that selects nobody another code tells. */
function selectsAny({ subject }: Policy, { index }: LintContext): boolean {
  return index.chosenBy(subject).length > 0 || index.hostEndpointsChosenBy(subject).length > 0;
}

function* neverHitOf(policy: Policy, met: ReadonlySet<string>): Generator<Finding> {
  const { ref } = policy;
  const closed = DIRECTIONS.filter((direction) => policy[direction] !== undefined);
  const unmet = closed.filter((direction) => !isMet(policy, direction, met));
  if (unmet.length > 0 && unmet.length === closed.length) {
    yield neverHitPolicy(ref, "", ref.place);
    return;
  }
  for (const direction of closed) {
    if (unmet.includes(direction)) {
      yield neverHitPolicy(ref, `${direction} of `, policy[`${direction}Place`]);
      continue;
    }
    for (const rule of policy[direction] ?? []) {
      if (!met.has(ruleKey(ref, direction, rule.index))) yield neverHitRule(ref, direction, rule);
    }
  }
}

function isMet(policy: Policy, direction: Direction, met: ReadonlySet<string>): boolean {
  const { ref } = policy;
  return (
    met.has(isolationKey(ref, direction)) ||
    (policy[direction] ?? []).some(({ index }) => met.has(ruleKey(ref, direction, index)))
  );
}

function neverHitPolicy(ref: PolicyRef, part: string, place: Place): Finding {
  const message = `no packet of the capture is matched or dropped by ${part}${formatPolicyRef(ref)}`;
  return { code: "NEVER_HIT_POLICY", severity: "note", message, place };
}

function neverHitRule(ref: PolicyRef, direction: Direction, { index, place }: PolicyRule): Finding {
  const message = `no packet of the capture is matched by ${direction}[${index}] of ${formatPolicyRef(ref)}`;
  return { code: "NEVER_HIT_RULE", severity: "note", message, place };
}

/** How many packets matched a rule of a node's tables, or came to a chain's end. */
export interface NodeRuleHits extends RuleHits {
  readonly table: string;
  readonly chain: string;
}

/**
 * Finds NEVER_HIT_RULE of a node's dumps, in built-in chains and those that some packet is seen to enter; the others,
 * of which no rule is met, are counted. Of rules behind one that takes everything another code tells.
 */
export function findNeverHitRules(
  rulesets: readonly Ruleset[],
  counted: Iterable<NodeRuleHits>,
): { readonly findings: readonly Finding[]; readonly unentered: number } {
  const met = new Set<Rule>();
  const ended = new Set<string>();
  for (const { rule, packets, table, chain } of counted) {
    if (packets === 0) continue;
    if (rule === undefined) ended.add(`${table}:${chain}`);
    else met.add(rule);
  }
  const findings: Finding[] = [];
  let unentered = 0;
  for (const { name: table, chains } of rulesets.flatMap(({ tables }) => tables)) {
    const entered = enteredChains(chains, met);
    for (const { name, rules, policy } of chains) {
      if (rules.length === 0) continue;
      const where = `${table}:${name}`;
      const isEntered = policy !== undefined || entered.has(name) || ended.has(where);
      if (!isEntered && !rules.some((rule) => met.has(rule))) {
        unentered++;
        continue;
      }
      const last = rules.findIndex(takesEverything);
      const reached = last < 0 ? rules : rules.slice(0, last + 1);
      for (const [index, rule] of reached.entries()) {
        if (met.has(rule)) continue;
        const message = `no packet of the capture is matched by rule ${index + 1} of ${where}`;
        findings.push({ code: "NEVER_HIT_RULE", severity: "note", message, place: rule.place });
      }
    }
  }
  return { findings, unentered };
}

/** Those that a rule which was met leads to. */
function enteredChains(chains: readonly Chain[], met: ReadonlySet<Rule>): ReadonlySet<string> {
  return new Set(
    chains
      .flatMap(({ rules }) => rules)
      .filter((rule) => met.has(rule))
      .flatMap(({ target }) =>
        target?.kind === "JUMP" || target?.kind === "GOTO" ? [target.chain] : [],
      ),
  );
}

/** What a packet that matches a rule of the tables has met. */
function metBy(origin: RuleOrigin | undefined): string[] {
  switch (origin?.kind) {
    case "policy-rule":
      // Parts of a rule only prepare for the one that does what the rule says.
      if (origin.effect === "part") return [];
      return [ruleKey(origin.policy, origin.direction, origin.rule)];
    case "isolation":
      return origin.policies.map(({ policy }) => isolationKey(policy, origin.direction));
    default:
      return [];
  }
}

function letsPass(origin: RuleOrigin | undefined): boolean {
  return origin?.kind === "policy-rule" && origin.effect !== "deny";
}

function ruleKey(ref: PolicyRef, direction: Direction, rule: number): string {
  return `${policyKey(ref)} ${direction} ${rule}`;
}

function isolationKey(ref: PolicyRef, direction: Direction): string {
  return `${policyKey(ref)} ${direction}`;
}
