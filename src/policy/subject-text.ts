/**
 * The text of a policy's selector as Calico's datastore hands it to Felix: in the words of the manifest, not
 * in the canonical ones. Felix groups policies by it; who is selected is decided by `subject`.
 * Source: libcalico-go conversion k8sSelectorToCalico; updateprocessors (networkpolicyprocessor.go,
 * globalnetworkpolicyprocessor.go).
 */
import { entriesOf, fieldOf, itemsOf, readText, type Field } from "../cluster/fields.ts";
import { LABEL_NAMESPACE, LABEL_ORCHESTRATOR } from "./calico-labels.ts";
import { compareText } from "./order.ts";

/** That of a policy whose pods a label selector chooses, which was found to be right. */
export function labelSubjectText(podSelector: Field, namespace: string): string {
  const labels = entriesOf(fieldOf(podSelector, "matchLabels"))
    .map(([key, value]) => ({ key, value: readText(value) ?? "" }))
    .sort((one, other) => compareText(one.key, other.key));
  const terms = [
    `${LABEL_ORCHESTRATOR} == 'k8s'`,
    ...labels.map(({ key, value }) => `${key} == '${value}'`),
    ...itemsOf(fieldOf(podSelector, "matchExpressions")).map(expressionText),
  ];
  return inNamespaceText(terms.join(" && "), namespace);
}

function expressionText(field: Field): string {
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

/** That of a policy of Calico's; undefined: how its several selectors become one text is not known here. */
export function calicoSubjectText(spec: Field, namespace: string | undefined): string | undefined {
  const others = ["namespaceSelector", "serviceAccountSelector"];
  if (others.some((key) => (readText(fieldOf(spec, key)) ?? "") !== "")) return undefined;
  const selector = readText(fieldOf(spec, "selector")) ?? "";
  return namespace === undefined ? selector : inNamespaceText(selector, namespace);
}

function inNamespaceText(selector: string, namespace: string): string {
  const own = `${LABEL_NAMESPACE} == '${namespace}'`;
  return selector === "" ? own : `(${selector}) && ${own}`;
}
