/**
 * The text of a policy's selector as Felix has it, by which it groups policies: what the manifest has in its
 * several selectors becomes one, which is read and written again. Who is selected is decided by `subject`.
 * Source: libcalico-go conversion k8sSelectorToCalico; updateprocessors selectors.go,
 * networkpolicyprocessor.go, globalnetworkpolicyprocessor.go; felix/calc/rule_scanner.go OnPolicyActive.
 */
import { entriesOf, fieldOf, itemsOf, readText, type Field } from "../cluster/fields.ts";
import { parseExpression } from "../cluster/parse-expression.ts";
import { formatExpression, prefixLabels } from "../cluster/selector-expression.ts";
import {
  LABEL_NAMESPACE,
  LABEL_ORCHESTRATOR,
  LABEL_SERVICE_ACCOUNT,
  NAMESPACE_PREFIX,
  SERVICE_ACCOUNT_PREFIX,
} from "./calico-labels.ts";
import { compareText } from "./order.ts";

/** That of a policy whose pods, of one namespace, a label selector chooses. */
export function namespacedSubjectText(podSelector: Field, namespace: string): string {
  return subjectText({ selector: podTerms(podSelector), namespace });
}

/** That of a cluster-wide one. Undefined: all namespaces, or all pods of them. */
export function clusterWideSubjectText(
  namespaceSelector: Field | undefined,
  podSelector: Field | undefined,
): string {
  const namespaces = labelTerms(namespaceSelector).join(" && ");
  return subjectText({
    selector: podTerms(podSelector),
    namespaceSelector: namespaces === "" ? "all()" : namespaces,
  });
}

/** That of a policy of Calico's. */
export function calicoSubjectText(spec: Field, namespace: string | undefined): string {
  const textOf = (key: string): string => readText(fieldOf(spec, key)) ?? "";
  return subjectText({
    selector: textOf("selector"),
    namespace,
    namespaceSelector: textOf("namespaceSelector"),
    serviceAccountSelector: textOf("serviceAccountSelector"),
  });
}

function podTerms(podSelector: Field | undefined): string {
  return [`${LABEL_ORCHESTRATOR} == 'k8s'`, ...labelTerms(podSelector)].join(" && ");
}

function labelTerms(selector: Field | undefined): string[] {
  if (selector === undefined) return [];
  const labels = entriesOf(fieldOf(selector, "matchLabels"))
    .map(([key, value]) => ({ key, value: readText(value) ?? "" }))
    .sort((one, other) => compareText(one.key, other.key));
  return [
    ...labels.map(({ key, value }) => `${key} == '${value}'`),
    ...itemsOf(fieldOf(selector, "matchExpressions")).map(expressionTerm),
  ];
}

function expressionTerm(field: Field): string {
  const key = readText(fieldOf(field, "key")) ?? "";
  const values = itemsOf(fieldOf(field, "values")).map((value) => readText(value) ?? "");
  const list = `{ '${values.join("', '")}' }`;
  switch (readText(fieldOf(field, "operator"))) {
    case "In":
      return `${key} in ${list}`;
    case "NotIn":
      return `${key} not in ${list}`;
    case "Exists":
      return `has(${key})`;
    default:
      return `! has(${key})`;
  }
}

/** What a policy's manifest says of whom it selects. Empty: not said. */
interface WrittenSubject {
  readonly selector: string;
  /** Undefined: a cluster-wide policy. */
  readonly namespace?: string | undefined;
  readonly namespaceSelector?: string;
  readonly serviceAccountSelector?: string;
}

function subjectText({
  selector,
  namespace,
  namespaceSelector = "",
  serviceAccountSelector = "",
}: WrittenSubject): string {
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
