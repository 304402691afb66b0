/** Pods with hostNetwork: they have labels, and their traffic has the address of their node. */
import { selectorMatches } from "../cluster/selector.ts";
import type { LabelSelector } from "../cluster/selector.ts";
import type { LintContext } from "./context.ts";

/** The pods of some namespaces that a selector would choose if they were endpoints; by name, in their order. */
export function hostNetworkChosen(
  selector: LabelSelector,
  namespaces: ReadonlySet<string>,
  { hostNetworkLabels }: Pick<LintContext, "hostNetworkLabels">,
): string[] {
  return [...hostNetworkLabels].flatMap(([name, labels]) =>
    namespaces.has(name.slice(0, name.indexOf("/"))) && selectorMatches(selector, labels)
      ? [name]
      : [],
  );
}
