/** Pods and policies explained, as text: policy words, and below them the rules of the tables behind `=`. */
import { formatPlace } from "../errors.ts";
import type { Place } from "../errors.ts";
import { endpointName } from "../cluster/snapshot.ts";
import type { RuleRef } from "../engine/verdict.ts";
import { formatAddress } from "../net/address.ts";
import { formatPolicyRef } from "../policy/model.ts";
import type { Direction, RuleAction } from "../policy/model.ts";
import type { ExplainedPod, ExplainedRule, ExplainedSubject, ExplainedTier } from "./explained.ts";
import { PLAIN, countText, wrapText } from "./layout.ts";
import type { Palette } from "./layout.ts";
import { selectorWords, workloadNames } from "./policy-words.ts";
import type { RuleWords } from "./policy-words.ts";
import { bareRuleText } from "./trace.ts";

/** Most names of one condition, and rules of the tables for one rule. */
const [NAMES_MAX, TABLE_MAX] = [6, 6];

const ACTIONS: Readonly<Record<RuleAction, string>> = {
  allow: "lets pass",
  deny: "drops",
  pass: "leaves to the next tier",
  log: "logs",
};

/** Formats a pod's policies for people; ends in a line end. */
export function explainedPodText(pod: ExplainedPod, palette: Palette = PLAIN): string {
  const { endpoint, replicas, directions } = pod;
  const { workload, addresses, node, labels, kind } = endpoint;
  const facts = [
    kind === "Pod" && workload.kind !== "Pod"
      ? `a pod of ${workload.kind} ${workload.name}${replicas > 1 ? `, which has ${replicas}` : ""}`
      : `a ${kind}`,
    ...(addresses.length === 0 ? [] : [addresses.map(formatAddress).join(", ")]),
    ...(node === undefined ? [] : [`on node ${node}`]),
  ];
  const labelled = [...labels].map(([key, value]) => `${key}=${value}`).join(", ");
  const lines = [
    ...wrapText(`${endpointName(endpoint)}: ${facts.join(", ")}`, 0).map(palette.bold),
    ...wrapText(labelled === "" ? "has no labels" : `labels ${labelled}`, 2),
  ];
  for (const { direction, tiers } of directions) {
    lines.push("", palette.bold(headingText(direction, tiers)));
    for (const tier of tiers) lines.push(...tierLines(tier, direction, tiers.length, palette));
  }
  return `${lines.join("\n")}\n`;
}

function headingText(direction: Direction, tiers: readonly ExplainedTier[]): string {
  const what = direction === "egress" ? "what it sends" : "what it gets";
  const isolated = tiers.some(({ tier }) => tier.defaultAction === "deny");
  const name = direction.toUpperCase();
  if (tiers.length === 0) return `${name}: not isolated: no policy selects it, ${what} passes`;
  return isolated
    ? `${name}: isolated: of ${what} only that passes which a rule lets pass`
    : `${name}: not isolated: ${what} passes unless a rule drops it`;
}

function tierLines(
  { tier, policies, otherwise }: ExplainedTier,
  direction: Direction,
  tiers: number,
  palette: Palette,
): string[] {
  const lines = tiers > 1 ? wrapText(`tier ${tier.name}`, 2) : [];
  for (const { policy, rules } of policies) {
    const place = policy[`${direction}Place`];
    lines.push(...wrapText(`${formatPolicyRef(policy.ref)}  ${placeText(place)}`, 2));
    if (rules.length === 0) lines.push("    has no rule");
    for (const rule of rules) lines.push(...ruleLines(rule, direction, palette));
  }
  const end = tier.defaultAction === "deny" ? "is dropped" : "goes on to the next tier";
  lines.push(`  what none of these rules matches ${end}`, ...tableLines(otherwise, 4, palette));
  return lines;
}

/** Formats a policy for people; ends in a line end. */
export function explainedPolicyText(
  { policy, selected, directions }: ExplainedSubject,
  palette: Palette = PLAIN,
): string {
  const names = workloadNames(selected);
  const chosen =
    selected.length === 0
      ? "nobody"
      : `${countText(selected.length, "pod")}: ${listText(names, NAMES_MAX)}`;
  const lines = [
    ...wrapText(`${formatPolicyRef(policy.ref)}  ${placeText(policy.ref.place)}`, 0).map(
      palette.bold,
    ),
    ...wrapText(`selects ${selectorWords(policy.subject)}: ${chosen}`, 2),
  ];
  for (const { direction, rules, isolated } of directions) {
    lines.push("", palette.bold(direction.toUpperCase()));
    if (rules.length === 0) lines.push("    has no rule");
    for (const rule of rules) lines.push(...ruleLines(rule, direction, palette));
    const deny = policy.tier.defaultAction === "deny";
    const hits = deny && isolated !== undefined ? `: ${countText(isolated, "packet")}` : "";
    const end = deny
      ? `is dropped, unless another policy of tier ${policy.tier.name} lets it pass${hits}`
      : "goes on to the next tier";
    lines.push(...wrapText(`what none of these rules matches ${end}`, 2));
  }
  if (directions.length === 0) lines.push("", "it has no rules, and isolates nobody");
  return `${lines.join("\n")}\n`;
}

function ruleLines(
  { rule, words, table, packets }: ExplainedRule,
  direction: Direction,
  palette: Palette,
): string[] {
  const hits = packets === undefined ? "" : `: ${countText(packets, "packet")}`;
  const head = `${direction}[${rule.index}] ${ACTIONS[rule.action]}${hits}  ${placeText(rule.place)}`;
  const conditions = words.length === 0 ? ["everything"] : words.map(wordsText);
  return [
    ...wrapText(head, 4),
    ...conditions.flatMap((text) => wrapText(text, 6)),
    ...tableLines(table, 6, palette),
  ];
}

function wordsText({ about, words, means }: RuleWords): string {
  if (means === undefined) return `${about} ${words}`;
  return `${about} ${words}: ${means.length === 0 ? "nobody here" : listText(means, NAMES_MAX)}`;
}

/** Of both families the rules are the same: those of the first that has any are shown. */
function tableLines(refs: readonly RuleRef[], indent: number, palette: Palette): string[] {
  const [first] = refs;
  const own = refs.filter(({ family }) => family === first?.family);
  const lines = own.slice(0, TABLE_MAX).flatMap((ref) => {
    const { table, chain, number } = ref;
    return wrapText(`= ${table}:${chain}:rule:${number} ${bareRuleText(ref)}`, indent);
  });
  const more = own.length - TABLE_MAX;
  const rest = more > 0 ? [`${" ".repeat(indent)}= and ${countText(more, "more rule")}`] : [];
  return [...lines, ...rest].map(palette.dim);
}

function listText(names: readonly string[], most: number): string {
  const more = names.length - most;
  const shown = names.slice(0, most).join(", ");
  return more > 0 ? `${shown} and ${more} more` : shown;
}

function placeText({ file, line }: Place): string {
  return formatPlace(line === undefined ? { file } : { file, line });
}
