/**
 * The canonical text of selectors, and the one that a Kubernetes peer becomes: real set names are hashes of
 * it. Only text; who matches is decided by `selectsEndpoint`.
 * Source: libcalico-go conversion k8sSelectorToCalico, updateprocessors getEndpointSelector,
 * selector/parser ast.go.
 */
import { formatExpression } from "../cluster/selector-expression.ts";
import type { LabelSelector, Requirement } from "../cluster/selector.ts";
import { compareText } from "../net/compare-text.ts";
import type { EndpointSelector } from "../policy/model.ts";

/** The selector of every endpoint. */
export const SELECT_ALL = "all()";

/**
 * Writes the canonical selector of what a peer chooses.
 *
 * One difference cannot be seen in the lowered selector: `In` with a single value is taken for an item
 * of `matchLabels`, which Calico writes `==`; from `matchExpressions` it would be `in {..}`. The set
 * then has another name than on a real node, and the same members.
 */
export function peerSelectorText(selector: EndpointSelector): string {
  if (selector.kind === "expression") return formatExpression(selector.expression);
  const { namespace, namespaceSelector, podSelector } = selector;
  const inNamespace =
    namespace === undefined
      ? namespaceTerms(namespaceSelector ?? EMPTY)
      : [equals("projectcalico.org/namespace", namespace)];
  const pods = [
    // Every Kubernetes kind means pods only: without this the set would be the one of a selector of
    // Calico's, which also means the network sets in the namespaces.
    equals("projectcalico.org/orchestrator", "k8s"),
    // Absent or empty: every pod.
    ...selectorTerms(podSelector ?? EMPTY, ""),
  ];
  return conjunction([conjunction(inNamespace), conjunction(pods)]);
}

/** Writes the same of a selector of nodes. */
export function nodeSelectorText(selector: LabelSelector): string {
  const terms = selectorTerms(selector, "");
  return terms.length === 0 ? SELECT_ALL : conjunction(terms);
}

const EMPTY: LabelSelector = { requirements: [] };

function namespaceTerms(selector: LabelSelector): string[] {
  // Empty: every namespace, which is every endpoint that has one.
  if (selector.requirements.length === 0) return ["has(projectcalico.org/namespace)"];
  return selectorTerms(selector, "pcns.");
}

function selectorTerms(selector: LabelSelector, prefix: string): string[] {
  return orderedRequirements(selector).map((requirement) => term(requirement, prefix));
}

/** The items of `matchLabels` come first, by key; expressions keep their order. */
export function orderedRequirements({ requirements }: LabelSelector): readonly Requirement[] {
  if (requirements.length < 2) return requirements;
  const isLabel = (requirement: Requirement): boolean =>
    requirement.operator === "In" && requirement.values.length === 1;
  const firstExpression = requirements.findIndex((requirement) => !isLabel(requirement));
  const split = firstExpression < 0 ? requirements.length : firstExpression;
  const labels = requirements
    .slice(0, split)
    .toSorted((one, other) => compareText(one.key, other.key));
  return [...labels, ...requirements.slice(split)];
}

function term(requirement: Requirement, prefix: string): string {
  const key = prefix + requirement.key;
  const { operator, values } = requirement;
  switch (operator) {
    case "In":
      return values.length === 1 ? equals(key, values[0] ?? "") : `${key} in ${set(values)}`;
    case "NotIn":
      return `${key} not in ${set(values)}`;
    case "Exists":
      return `has(${key})`;
    case "DoesNotExist":
      return `!has(${key})`;
  }
}

function equals(key: string, value: string): string {
  return `${key} == ${quote(value)}`;
}

function set(values: readonly string[]): string {
  return `{${[...new Set(values)].toSorted().map(quote).join(", ")}}`;
}

function quote(text: string): string {
  return text.includes('"') ? `'${text}'` : `"${text}"`;
}

function conjunction(terms: readonly string[]): string {
  const [only] = terms;
  return terms.length === 1 && only !== undefined ? only : `(${terms.join(" && ")})`;
}
