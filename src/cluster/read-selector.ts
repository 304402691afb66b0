/**
 * Selectors as objects write them, with every check the API server makes on them: Kubernetes' label
 * selectors and Calico's expressions.
 * Source: apimachinery pkg/apis/meta/v1/validation ValidateLabelSelector, pkg/util/validation;
 * libcalico-go lib/validator/v3.
 */
import {
  checkKnownFields,
  fieldOf,
  formatPath,
  itemsOf,
  keysOf,
  readText,
  reportField,
} from "./fields.ts";
import type { Field } from "./fields.ts";
import { parseExpression } from "./parse-expression.ts";
import type { SelectorExpression } from "./selector-expression.ts";
import type { LabelSelector, Requirement } from "./selector.ts";

const OPERATORS = ["In", "NotIn", "Exists", "DoesNotExist"] as const;

/**
 * Reads a label selector. Empty selects everything; absent is read as empty, so a caller for whom
 * absence means something else asks first. Reports UNKNOWN_FIELD, BAD_VALUE and BAD_SELECTOR; what it
 * returns then is not to be used.
 */
export function readLabelSelector(field: Field): LabelSelector {
  checkKnownFields(field, ["matchLabels", "matchExpressions"]);
  const requirements: Requirement[] = [];
  const labels = fieldOf(field, "matchLabels");
  for (const key of keysOf(labels)) {
    const value = fieldOf(labels, key);
    const text = value.value === undefined ? "" : readText(value);
    checkKey(value, key);
    if (text === undefined) continue;
    checkValue(value, text);
    requirements.push({ key, operator: "In", values: [text] });
  }
  for (const item of itemsOf(fieldOf(field, "matchExpressions"))) {
    const requirement = readRequirement(item);
    if (requirement !== undefined) requirements.push(requirement);
  }
  // Without the room that it has grown.
  return { requirements: requirements.slice() };
}

const LONGEST_EXPRESSION = 1024;

/**
 * Reads one of Calico's selectors. Undefined: absent, empty, or reported as BAD_SELECTOR at the very
 * character.
 *
 * @param global whether `global()` may stand in it
 */
export function readExpression(
  field: Field,
  global: "refused" | "allowed" = "refused",
): SelectorExpression | undefined {
  const text = readText(field);
  if (text === undefined || text === "") return undefined;
  if (text.length > LONGEST_EXPRESSION) {
    reportSelector(field, `a selector has at most ${LONGEST_EXPRESSION} characters`);
    return undefined;
  }
  const parsed = parseExpression(text);
  const misplaced =
    global === "refused" && "expression" in parsed && usesGlobal(parsed.expression)
      ? { at: text.indexOf("global("), message: "global() is for a rule's namespaceSelector" }
      : undefined;
  const fault = "fault" in parsed ? parsed.fault : misplaced;
  if (fault === undefined) return "expression" in parsed ? parsed.expression : undefined;
  field.onDiagnostic({
    severity: "error",
    code: "BAD_SELECTOR",
    message: `${formatPath(field.path)}: ${fault.message}`,
    place: field.object.placeOf(field.path, fault.at),
  });
  return undefined;
}

function usesGlobal(expression: SelectorExpression): boolean {
  switch (expression.kind) {
    case "global":
      return true;
    case "not":
      return usesGlobal(expression.operand);
    case "and":
    case "or":
      return expression.operands.some(usesGlobal);
    case "all":
    case "has":
    case "compare":
    case "in":
      return false;
  }
}

function readRequirement(field: Field): Requirement | undefined {
  checkKnownFields(field, ["key", "operator", "values"]);
  const keyField = fieldOf(field, "key");
  const key = readText(keyField) ?? "";
  checkKey(keyField, key);
  const valuesField = fieldOf(field, "values");
  const values: string[] = [];
  for (const item of itemsOf(valuesField)) {
    const text = item.value === undefined ? "" : readText(item);
    if (text === undefined) continue;
    checkValue(item, text);
    values.push(text);
  }
  const operatorField = fieldOf(field, "operator");
  const written = readText(operatorField);
  const operator = OPERATORS.find((known) => known === written);
  if (operator === undefined) {
    if (operatorField.value === undefined || written !== undefined) {
      const what = written === undefined ? "is required" : `"${written}" is no operator`;
      reportSelector(operatorField, `${what}: one of ${OPERATORS.join(", ")}`);
    }
    return undefined;
  }
  const wantsValues = operator === "In" || operator === "NotIn";
  if (wantsValues && itemsOf(valuesField).length === 0) {
    reportSelector(valuesField, `operator ${operator} needs at least one value`);
  }
  if (!wantsValues && values.length > 0) {
    reportSelector(valuesField, `operator ${operator} takes no values`);
  }
  return { key, operator, values: values.slice() };
}

function checkKey(field: Field, key: string): void {
  const fault = labelKeyFault(key);
  if (fault !== undefined) reportSelector(field, fault);
}

function checkValue(field: Field, value: string): void {
  if (value === "" || (value.length <= 63 && NAME_PART.test(value))) return;
  reportSelector(
    field,
    `"${value}" is no label value: at most 63 letters, digits, "-", "_" and ".", a letter or digit at both ends`,
  );
}

const NAME_PART = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Says what is wrong with a label key; undefined when nothing is. Source: IsQualifiedName. */
function labelKeyFault(key: string): string | undefined {
  const slash = key.indexOf("/");
  const name = key.slice(slash + 1);
  const fine =
    name.length <= 63 && NAME_PART.test(name) && (slash < 0 || isDnsSubdomain(key.slice(0, slash)));
  return fine
    ? undefined
    : `"${key}" is no label key: an optional DNS name and "/", then at most 63 letters, digits, "-", "_" and "."`;
}

/** Tells whether text can be the name of most objects. Source: IsDNS1123Subdomain. */
export function isDnsSubdomain(text: string): boolean {
  return text.length <= 253 && DNS_SUBDOMAIN.test(text);
}

/** Tells whether text can be a namespace's name. Source: IsDNS1123Label. */
export function isDnsLabel(text: string): boolean {
  return text.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(text);
}

function reportSelector(field: Field, message: string): void {
  reportField(field, { code: "BAD_SELECTOR", message });
}
