/**
 * The text of a policy's selector as Felix has it, by which it groups policies: what the manifest has in its
 * several selectors becomes one; of those, what is text (Calico's own) is read and written again. Who is selected is
 * decided by `subject`.
 * Source: libcalico-go conversion k8sSelectorToCalico; updateprocessors selectors.go,
 * networkpolicyprocessor.go, globalnetworkpolicyprocessor.go; felix/calc/rule_scanner.go OnPolicyActive.
 */
import { entriesOf, fieldOf, itemsOf, readText, type Field } from "../cluster/fields.ts";
import { parseExpression } from "../cluster/parse-expression.ts";
import {
  conjunctionOf,
  formatExpression,
  prefixLabels,
  type SelectorExpression,
} from "../cluster/selector-expression.ts";
import {
  LABEL_NAMESPACE,
  LABEL_ORCHESTRATOR,
  LABEL_SERVICE_ACCOUNT,
  NAMESPACE_PREFIX,
  SERVICE_ACCOUNT_PREFIX,
} from "./calico-labels.ts";
import { compareText } from "../net/compare-text.ts";

/** That of a policy whose pods, of one namespace, a label selector chooses. */
export function namespacedSubjectText(podSelector: Field, namespace: string): string {
  return formatExpression(conjunctionOf([podsOf(podSelector), equals(LABEL_NAMESPACE, namespace)]));
}

/** That of a cluster-wide one. Undefined: all namespaces, or all pods of them. */
export function clusterWideSubjectText(
  namespaceSelector: Field | undefined,
  podSelector: Field | undefined,
): string {
  const terms = labelTerms(namespaceSelector);
  const namespaces: SelectorExpression =
    terms.length === 0
      ? { kind: "has", label: LABEL_NAMESPACE }
      : prefixLabels(conjunctionOf(terms), NAMESPACE_PREFIX);
  return formatExpression(conjunctionOf([podsOf(podSelector), namespaces]));
}

function podsOf(podSelector: Field | undefined): SelectorExpression {
  return conjunctionOf([equals(LABEL_ORCHESTRATOR, "k8s"), ...labelTerms(podSelector)]);
}

/** The items of `matchLabels` by key, then the expressions. */
function labelTerms(selector: Field | undefined): SelectorExpression[] {
  if (selector === undefined) return [];
  const labels = entriesOf(fieldOf(selector, "matchLabels"))
    .map(([key, value]) => ({ key, value: readText(value) ?? "" }))
    .sort((one, other) => compareText(one.key, other.key));
  return [
    ...labels.map(({ key, value }) => equals(key, value)),
    ...itemsOf(fieldOf(selector, "matchExpressions")).map(expressionTerm),
  ];
}

function equals(label: string, value: string): SelectorExpression {
  return { kind: "compare", label, operator: "==", value };
}

function expressionTerm(field: Field): SelectorExpression {
  const label = readText(fieldOf(field, "key")) ?? "";
  const items = itemsOf(fieldOf(field, "values")).map((value) => readText(value) ?? "");
  const values = new Set(items.sort(compareText));
  switch (readText(fieldOf(field, "operator"))) {
    case "In":
      return { kind: "in", label, values, invert: false };
    case "NotIn":
      return { kind: "in", label, values, invert: true };
    case "Exists":
      return { kind: "has", label };
    default:
      return { kind: "not", operand: { kind: "has", label } };
  }
}

/** That of a policy of Calico's, whose selectors are texts. */
export function calicoSubjectText(spec: Field, namespace: string | undefined): string {
  const textOf = (key: string): string => readText(fieldOf(spec, key)) ?? "";
  const selector = textOf("selector");
  const namespaceSelector = textOf("namespaceSelector");
  const serviceAccountSelector = textOf("serviceAccountSelector");
  if (namespace !== undefined) {
    const own = both(selector, `${LABEL_NAMESPACE} == '${namespace}'`);
    return canonical(withPrefixed(own, serviceAccountSelector, SERVICE_ACCOUNT_PREFIX));
  }
  let text = selector;
  if (namespaceSelector !== "") {
    text = withPrefixed(text, namespaceSelector, NAMESPACE_PREFIX);
    text = text.replaceAll("all()", `has(${LABEL_NAMESPACE})`);
  }
  if (serviceAccountSelector !== "") {
    text = withPrefixed(text, serviceAccountSelector, SERVICE_ACCOUNT_PREFIX);
    text = text.replaceAll("all()", `has(${LABEL_SERVICE_ACCOUNT})`);
  }
  return canonical(text);
}

function withPrefixed(text: string, selector: string, prefix: string): string {
  const parsed = parseExpression(selector);
  // Not said, or reported where it was read.
  if (selector === "" || !("expression" in parsed)) return text;
  return both(text, formatExpression(prefixLabels(parsed.expression, prefix)));
}

function both(text: string, other: string): string {
  return text === "" ? other : `(${text}) && ${other}`;
}

/** Empty is everything. */
function canonical(text: string): string {
  const parsed = parseExpression(text);
  return "expression" in parsed ? formatExpression(parsed.expression) : text;
}
