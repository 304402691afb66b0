/**
 * Policies explained without a packet: which select a pod, in the order in which they are asked, and whom a
 * policy selects; each rule in policy words and in the words of the tables.
 */
import { endpointName } from "../cluster/snapshot.ts";
import type { Endpoint, Snapshot } from "../cluster/snapshot.ts";
import type { Program } from "../engine/program.ts";
import type { RuleCount, RuleRef } from "../engine/verdict.ts";
import { formatAddress } from "../net/address.ts";
import { EndpointIndex } from "../policy/endpoint-index.ts";
import { policyKey } from "../policy/model.ts";
import type { CalicoVersion, Direction, Policy, PolicyRule, Tier } from "../policy/model.ts";
import { compareTiers, sortPolicies } from "../policy/order.ts";
import { policySelects } from "../policy/selects.ts";
import { isPrinted } from "../tables/model.ts";
import type { RuleOrigin } from "../tables/model.ts";
import { policyJson, stringifyJson } from "./json.ts";
import type { Json } from "./json.ts";
import { ruleWords, selectorWords, workloadNames } from "./policy-words.ts";
import type { RuleWords } from "./policy-words.ts";
import { ruleText } from "./trace.ts";

/** One rule of a policy. */
export interface ExplainedRule {
  readonly rule: PolicyRule;
  readonly words: readonly RuleWords[];
  /** The rules of the tables that stand for it. */
  readonly table: readonly RuleRef[];
  /** That matched it; undefined: no capture was given. */
  readonly packets: number | undefined;
}

/** A policy in one direction. */
export interface ExplainedPolicy {
  readonly policy: Policy;
  readonly rules: readonly ExplainedRule[];
}

/** Policies that are asked together. */
export interface ExplainedTier {
  readonly tier: Tier;
  readonly policies: readonly ExplainedPolicy[];
  /** The rules of the tables that deny what none of them matches; none: it goes on. */
  readonly otherwise: readonly RuleRef[];
}

/** A pod, and the policies that select it. */
export interface ExplainedPod {
  readonly endpoint: Endpoint;
  /** Pods of its workload, itself among them. */
  readonly replicas: number;
  /** In the order in which they are asked; none: it is not isolated. */
  readonly directions: readonly {
    readonly direction: Direction;
    readonly tiers: readonly ExplainedTier[];
  }[];
}

/** A policy, and whom it selects. */
export interface ExplainedSubject {
  readonly policy: Policy;
  readonly selected: readonly Endpoint[];
  readonly directions: readonly {
    readonly direction: Direction;
    readonly rules: readonly ExplainedRule[];
    /** Packets that no rule matched and that were dropped for it; undefined: no capture was given. */
    readonly isolated: number | undefined;
  }[];
}

/** What policies are explained with. */
export interface ExplainContext {
  readonly snapshot: Snapshot;
  readonly policies: readonly Policy[];
  readonly program: Program;
  readonly calicoVersion: CalicoVersion | undefined;
  /** Of a replayed capture. */
  readonly counts: readonly RuleCount[] | undefined;
}

const DIRECTIONS = ["egress", "ingress"] as const;

/** Explains which policies select a pod. */
export function explainPod(endpoint: Endpoint, context: ExplainContext): ExplainedPod {
  const { snapshot, policies, calicoVersion } = context;
  const explain = ruleExplainer(context);
  const tables = tableRules(context.program);
  const selecting = sortPolicies(
    policies.filter((policy) => policySelects(policy, endpoint, snapshot)),
    calicoVersion,
  );
  const { namespace, workload } = endpoint;
  const replicas = snapshot.endpoints.filter(
    (each) =>
      each.namespace === namespace &&
      each.workload.name === workload.name &&
      each.workload.kind === workload.kind,
  ).length;
  const directions = DIRECTIONS.map((direction) => {
    const own = selecting.filter((policy) => policy[direction] !== undefined);
    const tiers = [...new Map(own.map(({ tier }) => [tier.name, tier])).values()];
    return {
      direction,
      tiers: tiers.toSorted(compareTiers).map((tier): ExplainedTier => ({
        tier,
        policies: own
          .filter((policy) => policy.tier.name === tier.name)
          .map((policy) => ({ policy, rules: explain(policy, direction, [endpoint]) })),
        otherwise: tables.filter(
          ({ rule, owner }) =>
            rule?.origin?.kind === "isolation" &&
            rule.origin.tier === tier.name &&
            rule.origin.direction === direction &&
            owner === endpointName(endpoint),
        ),
      })),
    };
  });
  return { endpoint, replicas, directions };
}

/** Explains whom a policy selects and what its rules ask for. */
export function explainPolicy(policy: Policy, context: ExplainContext): ExplainedSubject {
  const { snapshot, counts } = context;
  const explain = ruleExplainer(context);
  const selected = snapshot.endpoints.filter((each) => policySelects(policy, each, snapshot));
  return {
    policy,
    selected,
    directions: DIRECTIONS.flatMap((direction) =>
      policy[direction] === undefined
        ? []
        : [
            {
              direction,
              rules: explain(policy, direction, selected),
              isolated: counts && isolatedBy(policy, direction, counts),
            },
          ],
    ),
  };
}

function ruleExplainer({ snapshot, program, counts }: ExplainContext) {
  const index = new EndpointIndex(snapshot);
  const byRule = new Map<string, RuleRef[]>();
  for (const ref of tableRules(program)) {
    const key = originKey(ref.rule?.origin);
    if (key !== undefined) byRule.set(key, [...(byRule.get(key) ?? []), ref]);
  }
  const packets = new Map<string, number>();
  for (const { rule, packets: count } of counts ?? []) {
    const key = originKey(rule?.origin);
    // Parts of a rule only prepare for the one that does what the rule says.
    if (
      key === undefined ||
      (rule?.origin?.kind === "policy-rule" && rule.origin.effect === "part")
    )
      continue;
    packets.set(key, (packets.get(key) ?? 0) + count);
  }
  return (policy: Policy, direction: Direction, subject: readonly Endpoint[]): ExplainedRule[] =>
    (policy[direction] ?? []).map((rule) => {
      const key = ruleKey(policyKey(policy.ref), direction, rule.index);
      return {
        rule,
        words: ruleWords(rule, { snapshot, index, direction, subject }),
        table: byRule.get(key) ?? [],
        packets: counts === undefined ? undefined : (packets.get(key) ?? 0),
      };
    });
}

function originKey(origin: RuleOrigin | undefined): string | undefined {
  if (origin?.kind !== "policy-rule") return undefined;
  return ruleKey(policyKey(origin.policy), origin.direction, origin.rule);
}

function ruleKey(policy: string, direction: Direction, rule: number): string {
  return `${policy}\n${direction}\n${rule}`;
}

function isolatedBy(policy: Policy, direction: Direction, counts: readonly RuleCount[]): number {
  const key = policyKey(policy.ref);
  return counts.reduce((sum, { rule, packets }) => {
    const origin = rule?.origin;
    const counted =
      origin?.kind === "isolation" &&
      origin.direction === direction &&
      origin.policies.some((each) => policyKey(each.policy) === key);
    return counted ? sum + packets : sum;
  }, 0);
}

/** All rules that the tables of a cluster print, in their order. */
function tableRules({ rulesets }: Program): RuleRef[] {
  return rulesets.flatMap(({ family, tables }) =>
    tables.flatMap(({ name: table, chains }) =>
      chains.flatMap(({ name: chain, owner, rules }) =>
        rules.flatMap((rule, index) =>
          isPrinted(rule) ? [{ family, table, chain, owner, number: index + 1, rule }] : [],
        ),
      ),
    ),
  );
}

/** The one object of `explain POD -o json`. */
export function explainedPodJson({ endpoint, replicas, directions }: ExplainedPod): string {
  const { namespace, name, workload, addresses, node, labels } = endpoint;
  const json: Json = {
    pod: { namespace, name, workload: { ...workload }, replicas, node },
    addresses: addresses.map(formatAddress),
    labels: Object.fromEntries(labels),
    directions: directions.map(({ direction, tiers }) => ({
      direction,
      isolated: tiers.some(({ tier }) => tier.defaultAction === "deny"),
      tiers: tiers.map(({ tier, policies, otherwise }) => ({
        name: tier.name,
        otherwise: tier.defaultAction === "deny" ? "drop" : "next-tier",
        policies: policies.map(({ policy, rules }) => ({
          policy: refJson(policy, direction),
          rules: rules.map(ruleJson),
        })),
        table: otherwise.map(tableJson),
      })),
    })),
  };
  return `${stringifyJson(json, 1)}\n`;
}

/** The one object of `explain --policy -o json`. */
export function explainedPolicyJson({ policy, selected, directions }: ExplainedSubject): string {
  const json: Json = {
    policy: refJson(policy, undefined),
    tier: policy.tier.name,
    subject: selectorWords(policy.subject),
    workloads: workloadNames(selected),
    pods: selected.map(endpointName),
    directions: directions.map(({ direction, rules, isolated }) => ({
      direction,
      rules: rules.map(ruleJson),
      isolatedPackets: isolated,
    })),
  };
  return `${stringifyJson(json, 1)}\n`;
}

function refJson(policy: Policy, direction: Direction | undefined): Json {
  const { ref } = policy;
  const place = direction === undefined ? ref.place : policy[`${direction}Place`];
  const point = policyJson({
    policy: ref,
    direction: direction ?? "ingress",
    rule: undefined,
    place,
  });
  if (typeof point !== "object" || point === null || Array.isArray(point)) return point;
  return { ...point, direction, rule: undefined };
}

function ruleJson({ rule, words, table, packets }: ExplainedRule): Json {
  const { index, action, place } = rule;
  return {
    ...{ rule: index, action, file: place.file, line: place.line },
    matches: words.map(({ about, words: text, means }) => ({
      ...{ about, words: text },
      means: means === undefined ? undefined : [...means],
    })),
    table: table.map(tableJson),
    packets,
  };
}

function tableJson(ref: RuleRef): Json {
  const { family, table, chain, number } = ref;
  return { family, table, chain, number, text: ruleText(ref) };
}
