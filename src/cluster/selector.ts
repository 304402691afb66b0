/** Kubernetes label selectors: the parsed form, and whether it chooses a set of labels. */
import type { Labels } from "./snapshot.ts";

/** All requirements must hold. No requirements: selects everything. */
export interface LabelSelector {
  readonly requirements: readonly Requirement[];
}

/** One condition on one label. `In` and `NotIn` have at least one value, the others none. */
export interface Requirement {
  readonly key: string;
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
  readonly values: readonly string[];
}

/**
 * Tells whether a selector chooses these labels. An absent label satisfies `NotIn` and `DoesNotExist`.
 * Source: apimachinery pkg/labels, Requirement.Matches.
 */
export function selectorMatches(selector: LabelSelector, labels: Labels): boolean {
  return selector.requirements.every((requirement) => requirementHolds(requirement, labels));
}

/** Tells whether one requirement holds, for explanations that name the one that does not. */
export function requirementHolds(requirement: Requirement, labels: Labels): boolean {
  const value = labels.get(requirement.key);
  switch (requirement.operator) {
    case "In":
      return value !== undefined && requirement.values.includes(value);
    case "NotIn":
      return value === undefined || !requirement.values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
  }
}

/** Formats a selector as kubectl does: `app=web,tier in (a,b),!legacy`; `<all>` when empty. */
export function formatSelector(selector: LabelSelector): string {
  if (selector.requirements.length === 0) return "<all>";
  return selector.requirements.map(formatRequirement).join(",");
}

/** Formats one requirement as kubectl does. */
export function formatRequirement(requirement: Requirement): string {
  const { key, operator, values } = requirement;
  switch (operator) {
    case "In":
      return values.length === 1 ? `${key}=${values[0] ?? ""}` : `${key} in (${values.join(",")})`;
    case "NotIn":
      return values.length === 1
        ? `${key}!=${values[0] ?? ""}`
        : `${key} notin (${values.join(",")})`;
    case "Exists":
      return key;
    case "DoesNotExist":
      return `!${key}`;
  }
}
