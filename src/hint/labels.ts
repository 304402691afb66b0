/**
 * The labels by which a rule names pods: those that they share and others do not have, and of several ways
 * the one that the policies at hand already use.
 */
import type { LabelSelector } from "../cluster/selector.ts";
import type { Endpoint, Labels, Snapshot } from "../cluster/snapshot.ts";
import type { Policy } from "../policy/model.ts";

/** Labels by key, in the order in which they are written. */
export type ChosenLabels = Readonly<Record<string, string>>;

/** Says a namespace's name; the API server sees to it that every namespace has it. */
export const NAMESPACE_NAME = "kubernetes.io/metadata.name";

/** Labels that controllers give: they are others after the next rollout. */
const PASSING =
  /^(?:pod-template-hash|pod-template-generation|controller-revision-hash|controller-uid|job-name|.*\/(?:pod-name|pod-index|controller-uid|job-name|job-completion-index))$/;
/** Labels that say what a pod is, where no policy shows which are in use. */
const USUAL = ["app", "app.kubernetes.io/name", "k8s-app", "app.kubernetes.io/instance", "name"];
/** Of more labels, combinations are not tried. */
const TRIED_MAX = 8;

/**
 * The fewest labels that all of `chosen` have, and none of `others` has all of; all that are shared where
 * no others tell them apart.
 *
 * @param preferred keys, the best first
 */
function tellingLabels(
  chosen: readonly Labels[],
  others: readonly Labels[],
  preferred: readonly string[],
): ChosenLabels {
  const [first, ...rest] = chosen;
  const shared = [...(first ?? [])].filter(
    ([key, value]) => !PASSING.test(key) && rest.every((labels) => labels.get(key) === value),
  );
  const ranks = [...preferred, ...USUAL];
  const rankOf = (key: string): number => {
    const place = ranks.indexOf(key);
    return place < 0 ? ranks.length : place;
  };
  const sorted = shared.toSorted(
    ([one], [other]) => rankOf(one) - rankOf(other) || (one < other ? -1 : 1),
  );
  for (const some of combinations(sorted.slice(0, TRIED_MAX))) {
    const tells = !others.some((labels) => some.every(([key, value]) => labels.get(key) === value));
    if (tells) return Object.fromEntries(some);
  }
  return Object.fromEntries(sorted);
}

/** One, then two, then three of them, the first before the later. */
function* combinations<T>(items: readonly T[]): Generator<readonly T[]> {
  for (const item of items) yield [item];
  for (const [one, item] of items.entries()) {
    for (const other of items.slice(one + 1)) yield [item, other];
  }
  for (const [one, item] of items.entries()) {
    for (const [two, other] of items.entries()) {
      if (two <= one) continue;
      for (const third of items.slice(two + 1)) yield [item, other, third];
    }
  }
}

/** Keys that selectors of pods use, those of `first` before the others', the most used first. */
export function podKeys(first: Policy | undefined, policies: readonly Policy[]): string[] {
  return [...keysOf(first === undefined ? [] : [first], "pods"), ...keysOf(policies, "pods")];
}

/** The same of namespaces. */
export function namespaceKeys(first: Policy | undefined): string[] {
  return keysOf(first === undefined ? [] : [first], "namespaces");
}

function keysOf(policies: readonly Policy[], of: "pods" | "namespaces"): string[] {
  const counts = new Map<string, number>();
  const count = (selector: LabelSelector | undefined): void => {
    for (const { key, operator } of selector?.requirements ?? []) {
      if (operator === "In") counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  };
  for (const { subject, ingress = [], egress = [] } of policies) {
    const peers = [...ingress, ...egress].flatMap((rule) =>
      rule.kind === "peers" ? (rule.peers ?? []) : [],
    );
    const selectors = peers.flatMap((peer) => (peer.kind === "pods" ? [peer.selector] : []));
    if (subject.kind === "labels") selectors.push(subject);
    for (const { namespaceSelector, podSelector } of selectors) {
      count(of === "pods" ? podSelector : namespaceSelector);
    }
  }
  return [...counts]
    .toSorted(([one, first], [two, second]) => second - first || (one < two ? -1 : 1))
    .map(([key]) => key);
}

/** Labels that choose these pods among those of their namespace. */
export function podLabels(
  pods: readonly Endpoint[],
  { endpoints }: Snapshot,
  preferred: readonly string[],
): ChosenLabels {
  const own = new Set(pods);
  const namespace = pods[0]?.namespace;
  const others = endpoints.filter((each) => each.namespace === namespace && !own.has(each));
  return tellingLabels(labelsOf(pods), labelsOf(others), preferred);
}

/** Labels that choose one namespace: its name, unless others that are in use tell it, too. */
export function namespaceLabels(
  name: string,
  { namespaceByName }: Snapshot,
  preferred: readonly string[],
): ChosenLabels {
  const labels = namespaceByName.get(name)?.labels;
  const others = labelsOf([...namespaceByName.values()].filter((each) => each.name !== name));
  for (const key of preferred) {
    const value = labels?.get(key);
    if (value === undefined || others.some((each) => each.get(key) === value)) continue;
    return { [key]: value };
  }
  return { [NAMESPACE_NAME]: name };
}

function labelsOf(objects: readonly { readonly labels: Labels }[]): Labels[] {
  return objects.map(({ labels }) => labels);
}
