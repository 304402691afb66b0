/** Labels and names that may have been meant instead of some that nobody has. */
import { suggestionFor } from "../cluster/fields.ts";
import type { LabelSelector, Requirement } from "../cluster/selector.ts";
import { requirementHolds } from "../cluster/selector.ts";
import type { Labels } from "../cluster/snapshot.ts";

/**
 * What may have been meant where a selector chooses nothing: of a requirement that holds for nobody, a value
 * that the label has, or a label that has the value, and looks alike.
 */
export function likelyLabel(
  selector: LabelSelector | undefined,
  among: readonly Labels[],
): string | undefined {
  for (const requirement of unheld(selector, among)) {
    const { key, operator, values } = requirement;
    const keys = [...new Set(among.flatMap((labels) => [...labels.keys()]))].sort();
    if (operator === "Exists") {
      const meant = nearest(key, keys);
      if (meant !== undefined) return `did you mean "${meant}"?`;
    }
    for (const value of operator === "In" ? values : []) {
      const present = [...new Set(among.flatMap((labels) => labels.get(key) ?? []))].sort();
      const meant = nearest(value, present);
      if (meant !== undefined) return `did you mean "${key}: ${meant}"?`;
      const holders = keys.filter((each) => among.some((labels) => labels.get(each) === value));
      const meantKey = nearest(key, holders);
      if (meantKey !== undefined) return `did you mean "${meantKey}: ${value}"?`;
    }
  }
  return undefined;
}

/** The requirements of a selector that hold for none of these. */
export function unheld(
  selector: LabelSelector | undefined,
  among: readonly Labels[],
): readonly Requirement[] {
  return (selector?.requirements ?? []).filter(
    (requirement) => !among.some((labels) => requirementHolds(requirement, labels)),
  );
}

function nearest(word: string, known: readonly string[]): string | undefined {
  return /^did you mean "(.*)"\?$/.exec(suggestionFor(word, known) ?? "")?.[1];
}
