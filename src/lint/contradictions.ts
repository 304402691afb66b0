/** Selectors that no labels can satisfy, whatever the cluster has. */
import type { LabelSelector } from "../cluster/selector.ts";
import { formatSelector } from "../cluster/selector.ts";
import { formatPolicyRef } from "../policy/model.ts";
import { peersOf } from "./context.ts";
import type { LintContext } from "./context.ts";
import type { Finding } from "./finding.ts";

/** Finds CONTRADICTION. */
export function* lintContradictions({ policies }: LintContext): Generator<Finding> {
  for (const policy of policies) {
    const name = formatPolicyRef(policy.ref);
    const { subject } = policy;
    const own = subject.kind === "labels" ? [subject.podSelector, subject.namespaceSelector] : [];
    const asked = [
      { selectors: own, place: policy.ref.place, where: "its selector" },
      ...[...peersOf(policy)].flatMap(({ direction, rule, peer }) => {
        if (peer.kind !== "pods") return [];
        const { podSelector, namespaceSelector } = peer.selector;
        const where = `a selector of ${direction}[${rule}]`;
        return [{ selectors: [podSelector, namespaceSelector], place: peer.place, where }];
      }),
    ];
    for (const { selectors, place, where } of asked) {
      const odd = selectors.find((selector) => selector !== undefined && isContradiction(selector));
      if (odd === undefined) continue;
      const message = `${name}: ${where} asks for ${formatSelector(odd)}, which no labels can have at once`;
      yield { code: "CONTRADICTION", severity: "warning", message, place };
    }
  }
}

/** Tells whether no labels satisfy all requirements. */
export function isContradiction({ requirements }: LabelSelector): boolean {
  const keys = new Set(requirements.map(({ key }) => key));
  return [...keys].some((key) => {
    const own = requirements.filter((requirement) => requirement.key === key);
    const present = own.some(({ operator }) => operator === "In" || operator === "Exists");
    if (present && own.some(({ operator }) => operator === "DoesNotExist")) return true;
    const lists = own.filter(({ operator }) => operator === "In").map(({ values }) => values);
    const [first] = lists;
    if (first === undefined) return false;
    const excluded = own.flatMap(({ operator, values }) => (operator === "NotIn" ? values : []));
    return !first.some(
      (value) => lists.every((list) => list.includes(value)) && !excluded.includes(value),
    );
  });
}
