/**
 * Policies that choose by labels of namespaces and service accounts of which there is no object: whether they choose
 * what is there is not known.
 */
import { labelsOf, expressionMatches } from "../cluster/selector-expression.ts";
import type { SelectorExpression } from "../cluster/selector-expression.ts";
import { requirementHolds, selectorMatches } from "../cluster/selector.ts";
import type { Endpoint, NetworkSet, Snapshot } from "../cluster/snapshot.ts";
import type { Place } from "../errors.ts";
import {
  endpointLabels,
  NAMESPACE_PREFIX,
  networkSetLabels,
  type LabelView,
} from "./calico-labels.ts";
import { EndpointIndex } from "./endpoint-index.ts";
import type { EndpointSelector, Policy } from "./model.ts";
import { selectorsOf, type PlacedSelector } from "./policy-selectors.ts";

/** What policies choose. */
export type Inhabitant = Endpoint | NetworkSet;

/** What has labels that nobody tells. */
export interface Untold<T extends Inhabitant> {
  readonly inhabitants: readonly T[];
  /** Which they are, as Calico's selectors call them. */
  readonly isOpen: IsOpen;
}

type IsOpen = (label: string) => boolean;

/** The first choice that hangs on them, and of whom it does. */
export function findUntold<T extends Inhabitant>(
  policies: readonly Policy[],
  snapshot: Snapshot,
  { inhabitants, isOpen }: Untold<T>,
): { readonly place: Place; readonly asked: readonly T[] } | undefined {
  if (inhabitants.length === 0) return undefined;
  const asking = policies
    .map((policy) => ({ policy, choices: selectorsOf(policy).filter((one) => asks(one, isOpen)) }))
    .filter(({ choices }) => choices.length > 0);
  if (asking.length === 0) return undefined;
  const index = new EndpointIndex(snapshot);
  for (const { policy, choices } of asking) {
    for (const { selector, place } of choices) {
      // What a policy's rules mean matters where it selects anybody.
      const matters =
        selector === policy.subject ||
        snapshot.hostEndpoints.length > 0 ||
        index.chosenBy(policy.subject).length > 0;
      if (!matters) continue;
      const asked = inhabitants.filter(
        (one) => chooses(selector, one, { snapshot, isOpen }) === undefined,
      );
      if (asked.length > 0) return { place, asked };
    }
  }
  return undefined;
}

function asks({ selector }: PlacedSelector, isOpen: IsOpen): boolean {
  if (selector.kind === "expression") return labelsOf(selector.expression).some(isOpen);
  const { requirements = [] } = selector.namespaceSelector ?? {};
  return requirements.some(({ key }) => isOpen(NAMESPACE_PREFIX + key));
}

/** Whether a selector chooses something; undefined: it hangs on a label that is not told. */
function chooses(
  selector: EndpointSelector,
  one: Inhabitant,
  { snapshot, isOpen }: { readonly snapshot: Snapshot; readonly isOpen: IsOpen },
): boolean | undefined {
  const isSet = "prefixes" in one;
  if (selector.kind === "expression") {
    const labels = isSet ? networkSetLabels(one, snapshot) : endpointLabels(one, snapshot);
    return holds(selector.expression, labels, isOpen);
  }
  const { namespace, namespaceSelector, podSelector } = selector;
  if (isSet || (namespace !== undefined && namespace !== one.namespace)) return false;
  if (podSelector !== undefined && !selectorMatches(podSelector, one.labels)) return false;
  const labels = snapshot.namespaceByName.get(one.namespace)?.labels ?? new Map();
  const requirements = namespaceSelector?.requirements ?? [];
  const open = requirements.filter(({ key }) => isOpen(NAMESPACE_PREFIX + key));
  const told = requirements.filter((requirement) => !open.includes(requirement));
  if (!told.every((requirement) => requirementHolds(requirement, labels))) return false;
  return open.length > 0 ? undefined : true;
}

function holds(
  expression: SelectorExpression,
  labels: LabelView,
  isOpen: IsOpen,
): boolean | undefined {
  switch (expression.kind) {
    case "all":
    case "global":
      return true;
    case "not": {
      const inner = holds(expression.operand, labels, isOpen);
      return inner === undefined ? undefined : !inner;
    }
    case "and":
    case "or": {
      const decisive = expression.kind === "or";
      const inner = expression.operands.map((operand) => holds(operand, labels, isOpen));
      if (inner.includes(decisive)) return decisive;
      return inner.includes(undefined) ? undefined : !decisive;
    }
    default:
      return isOpen(expression.label) ? undefined : expressionMatches(expression, labels);
  }
}
