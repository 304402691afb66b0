/**
 * Calico's selectors, which are expressions over labels: the parsed form, whether it chooses a set of
 * labels, and its canonical text, of which the names of real sets are hashes. Reading text is next door.
 * Source: libcalico-go lib/selector/parser, ast.go.
 */
import type { LabelSelector, Requirement } from "./selector.ts";
import type { Labels } from "./snapshot.ts";

/** An expression; `and` and `or` have at least two operands. */
export type SelectorExpression =
  | { readonly kind: "all" }
  /** In the `namespaceSelector` of a rule what is in no namespace; elsewhere everything. */
  | { readonly kind: "global" }
  | { readonly kind: "has"; readonly label: string }
  | {
      readonly kind: "compare";
      readonly label: string;
      readonly operator: "==" | "!=" | "contains" | "starts with" | "ends with";
      readonly value: string;
    }
  | {
      readonly kind: "in";
      readonly label: string;
      /** In the order of their bytes. Empty: `in` holds for nothing, `not in` for everything. */
      readonly values: ReadonlySet<string>;
      readonly invert: boolean;
    }
  | { readonly kind: "not"; readonly operand: SelectorExpression }
  | { readonly kind: "and" | "or"; readonly operands: readonly SelectorExpression[] };

/** The expression that chooses everything. */
export const ALL: SelectorExpression = { kind: "all" };

/** Tells whether an expression chooses these labels. `global()`, where it was not replaced, does. */
export function expressionMatches(
  expression: SelectorExpression,
  labels: Pick<Labels, "get" | "has">,
): boolean {
  switch (expression.kind) {
    case "all":
    case "global":
      return true;
    case "has":
      return labels.has(expression.label);
    case "compare":
      return comparisonHolds(expression, labels.get(expression.label));
    case "in": {
      const value = labels.get(expression.label);
      const listed = value !== undefined && expression.values.has(value);
      return listed !== expression.invert;
    }
    case "not":
      return !expressionMatches(expression.operand, labels);
    case "and":
      return expression.operands.every((operand) => expressionMatches(operand, labels));
    case "or":
      return expression.operands.some((operand) => expressionMatches(operand, labels));
  }
}

/** An absent label satisfies `!=` and nothing else. */
function comparisonHolds(
  { operator, value: wanted }: Extract<SelectorExpression, { kind: "compare" }>,
  value: string | undefined,
): boolean {
  if (value === undefined) return operator === "!=";
  switch (operator) {
    case "==":
      return value === wanted;
    case "!=":
      return value !== wanted;
    case "contains":
      return value.includes(wanted);
    case "starts with":
      return value.startsWith(wanted);
    case "ends with":
      return value.endsWith(wanted);
  }
}

/**
 * Formats an expression canonically. Read again it is the same expression, but for a negated parenthesis
 * around a negation, whose two `!` cancel out.
 */
export function formatExpression(expression: SelectorExpression): string {
  switch (expression.kind) {
    case "all":
    case "global":
      return `${expression.kind}()`;
    case "has":
      return `has(${expression.label})`;
    case "compare":
      return `${expression.label} ${expression.operator} ${quote(expression.value)}`;
    case "in": {
      const values = [...expression.values].map(quote).join(", ");
      return `${expression.label} ${expression.invert ? "not in" : "in"} {${values}}`;
    }
    case "not":
      return `!${formatExpression(expression.operand)}`;
    case "and":
    case "or": {
      const operator = expression.kind === "and" ? " && " : " || ";
      return `(${expression.operands.map(formatExpression).join(operator)})`;
    }
  }
}

/** A string has no escapes: one with a double quote stands in single ones. */
function quote(text: string): string {
  return text.includes('"') ? `'${text}'` : `"${text}"`;
}

/** Combines expressions that must all hold; none: `all()`. */
export function conjunctionOf(operands: readonly SelectorExpression[]): SelectorExpression {
  const [only, second] = operands;
  if (only === undefined) return ALL;
  return second === undefined ? only : { kind: "and", operands };
}

/** Rewrites the innermost conditions of an expression, as text that is read again: `!!` cancels out. */
export function mapConditions(
  expression: SelectorExpression,
  rewrite: (condition: SelectorExpression) => SelectorExpression,
): SelectorExpression {
  switch (expression.kind) {
    case "not": {
      const operand = mapConditions(expression.operand, rewrite);
      return operand.kind === "not" ? operand.operand : { kind: "not", operand };
    }
    case "and":
    case "or": {
      const operands = expression.operands.map((operand) => mapConditions(operand, rewrite));
      return { kind: expression.kind, operands };
    }
    default:
      return rewrite(expression);
  }
}

/** Puts a prefix before every label that an expression asks for. */
export function prefixLabels(expression: SelectorExpression, prefix: string): SelectorExpression {
  return mapConditions(expression, (condition) =>
    "label" in condition ? { ...condition, label: prefix + condition.label } : condition,
  );
}

/** The labels that an expression asks for. */
export function labelsOf(expression: SelectorExpression): string[] {
  switch (expression.kind) {
    case "all":
    case "global":
      return [];
    case "has":
    case "compare":
    case "in":
      return [expression.label];
    case "not":
      return labelsOf(expression.operand);
    case "and":
    case "or":
      return expression.operands.flatMap(labelsOf);
  }
}

/**
 * What must hold of all labels that an expression chooses, as far as one label at a time says it: for
 * finding the few that are worth a try.
 */
export function necessaryLabels(expression: SelectorExpression): LabelSelector {
  return { requirements: requirementsOf(expression) };
}

function requirementsOf(expression: SelectorExpression): readonly Requirement[] {
  switch (expression.kind) {
    case "has":
      return [{ key: expression.label, operator: "Exists", values: [] }];
    case "compare":
      if (expression.operator === "!=") return [];
      return expression.operator === "=="
        ? [{ key: expression.label, operator: "In", values: [expression.value] }]
        : [{ key: expression.label, operator: "Exists", values: [] }];
    case "in":
      return expression.invert
        ? []
        : [{ key: expression.label, operator: "In", values: [...expression.values] }];
    case "and":
      return expression.operands.flatMap(requirementsOf);
    case "all":
    case "global":
    case "not":
    case "or":
      return [];
  }
}
