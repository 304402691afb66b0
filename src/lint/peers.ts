/** Peers that nobody is: pods and namespaces that a rule means, and that are not there. */
import { suggestionFor } from "../cluster/fields.ts";
import { NAMESPACE_NAME_LABEL } from "../cluster/nodes.ts";
import { formatSelector, selectorMatches } from "../cluster/selector.ts";
import type { LabelSelector } from "../cluster/selector.ts";
import type { Namespace } from "../cluster/snapshot.ts";
import type { Place } from "../errors.ts";
import type { EndpointIndex } from "../policy/endpoint-index.ts";
import { formatPolicyRef } from "../policy/model.ts";
import type {
  Direction,
  EndpointSelector,
  LabelledPods,
  MatchRule,
  Policy,
  RuleSide,
} from "../policy/model.ts";
import { DIRECTIONS, peersOf } from "./context.ts";
import type { LintContext } from "./context.ts";
import { isContradiction } from "./contradictions.ts";
import type { Finding } from "./finding.ts";
import { likelyLabel, unheld } from "./likely.ts";
import { hostNetworkChosen } from "./host-network.ts";

/** Finds PEER_MATCHES_NOTHING and NAMESPACE_LABEL_UNKNOWN. */
export function* lintPeers(context: LintContext): Generator<Finding> {
  for (const policy of context.policies) {
    for (const { direction, rule, peer } of peersOf(policy)) {
      if (peer.kind !== "pods") continue;
      const where = `${formatPolicyRef(policy.ref)} ${direction}[${rule}]`;
      const found = peerFinding(where, peer.selector, peer.place, context);
      if (found !== undefined) yield found;
    }
    yield* expressedPeers(policy, context);
  }
}

function peerFinding(
  where: string,
  selector: LabelledPods,
  place: Place,
  context: LintContext,
): Finding | undefined {
  const { namespace, namespaceSelector, podSelector } = selector;
  if ([namespaceSelector, podSelector].some((each) => each !== undefined && isContradiction(each)))
    return undefined;
  if (namespaceSelector !== undefined) {
    const found = namespaceFinding(where, namespaceSelector, place, context);
    if (found !== undefined) return found;
  }
  const { index, snapshot, inhabited, wholeCluster } = context;
  if (index.chosenBy(selector).length > 0 || podSelector === undefined) return undefined;
  const meant = [...snapshot.namespaceByName.values()].filter(
    ({ name, labels }) =>
      (namespace === undefined || name === namespace) &&
      (namespaceSelector === undefined || selectorMatches(namespaceSelector, labels)),
  );
  // Of namespaces without pods it cannot be told whether they are empty or were not given.
  if (!meant.some(({ name }) => inhabited.has(name))) return undefined;
  if (podSelector.requirements.length === 0) return undefined;
  const names = new Set(meant.map(({ name }) => name));
  const among = snapshot.endpoints.filter((endpoint) => names.has(endpoint.namespace));
  const suggestion = likelyLabel(
    podSelector,
    among.map(({ labels }) => labels),
  );
  const [onHost] = hostNetworkChosen(podSelector, names, context);
  const whose =
    namespace !== undefined
      ? `of namespace ${namespace}`
      : `of namespaces with ${formatSelector(namespaceSelector ?? { requirements: [] })}`;
  const what =
    onHost === undefined
      ? `no pod ${whose} has ${formatSelector(podSelector)}`
      : `only pods with hostNetwork such as ${onHost} have ${formatSelector(podSelector)}, and their traffic has their node's address`;
  return {
    code: "PEER_MATCHES_NOTHING",
    severity: wholeCluster || suggestion !== undefined || onHost !== undefined ? "warning" : "note",
    message: `${where}: the peer is nobody: ${what}`,
    place,
    suggestion: onHost === undefined ? suggestion : undefined,
  };
}

/** No namespace is chosen: by name it is known which there are, by label only where they have objects. */
function namespaceFinding(
  where: string,
  selector: LabelSelector,
  place: Place,
  context: LintContext,
): Finding | undefined {
  const all = [...context.snapshot.namespaceByName.values()].filter(
    ({ name, place: own }) => own !== undefined || context.inhabited.has(name),
  );
  if (all.length === 0 || selector.requirements.length === 0) return undefined;
  if (all.some(({ labels }) => selectorMatches(selector, labels))) return undefined;
  const byName = selector.requirements.every(({ key }) => key === NAMESPACE_NAME_LABEL);
  if (!byName && all.some((namespace) => namespace.place === undefined)) return undefined;
  const labels = all.map((namespace) => namespace.labels);
  const suggestion = likelyNamespace(selector, all) ?? likelyLabel(selector, labels);
  if (!context.wholeCluster && suggestion === undefined) return undefined;
  const asked = unheld(selector, labels);
  const text = formatSelector(asked.length === 0 ? selector : { requirements: asked });
  return {
    code: "NAMESPACE_LABEL_UNKNOWN",
    severity: "warning",
    message: `${where}: the peer is nobody: no namespace has ${text}`,
    place,
    suggestion,
  };
}

/** `name: payments` is what people write who mean the label that every namespace has. */
function likelyNamespace(selector: LabelSelector, all: readonly Namespace[]): string | undefined {
  const names = all.map(({ name }) => name).sort();
  for (const { key, operator, values } of selector.requirements) {
    if (operator !== "In") continue;
    const [value = ""] = values;
    if (key !== NAMESPACE_NAME_LABEL && names.includes(value) && /name/i.test(key)) {
      return `did you mean "${NAMESPACE_NAME_LABEL}: ${value}"?`;
    }
    if (key !== NAMESPACE_NAME_LABEL) continue;
    const meant = suggestionFor(value, names);
    if (meant !== undefined) return meant;
  }
  return undefined;
}

/** Calico's: of a whole cluster only, as selectors may mean anything that has labels. */
function* expressedPeers(policy: Policy, context: LintContext): Generator<Finding> {
  if (!context.wholeCluster) return;
  for (const direction of DIRECTIONS) {
    for (const rule of policy[direction] ?? []) {
      if (rule.kind !== "match" || rule.action === "log") continue;
      const nobody = nobodyText(rule, direction, { policy, index: context.index });
      if (nobody === undefined) continue;
      const where = `${formatPolicyRef(policy.ref)} ${direction}[${rule.index}]`;
      const message = `${where}: ${nobody}`;
      yield { code: "PEER_MATCHES_NOTHING", severity: "warning", message, place: rule.place };
    }
  }
}

/** What is said of the side that nobody is: of the peer, or of the policy's own. */
function nobodyText(
  rule: MatchRule,
  direction: Direction,
  { policy, index }: { readonly policy: Policy; readonly index: EndpointIndex },
): string | undefined {
  const [peer, own] =
    direction === "ingress"
      ? (["source", "destination"] as const)
      : (["destination", "source"] as const);
  if (!meansAnybody(rule[peer], index))
    return `no pod, network set or host endpoint is the ${peer} that it means`;
  const { selector, notSelector } = rule[own];
  if (selector === undefined && notSelector === undefined) return undefined;
  // What a host forwards is not for the host.
  if (index.hostEndpointsChosenBy(policy.subject).length > 0) return undefined;
  const selected = index.chosenBy(policy.subject);
  if (selected.length === 0) return undefined;
  const meant = new Set(selector === undefined ? selected : index.chosenBy(selector));
  const others = new Set(notSelector === undefined ? [] : index.chosenBy(notSelector));
  if (selected.some((one) => meant.has(one) && !others.has(one))) return undefined;
  return `none of the pods that the policy selects is the ${own} that it means`;
}

/** Tells whether a side's selectors together mean a pod, network set or host endpoint; without them all do. */
function meansAnybody(
  { selector, notSelector }: Pick<RuleSide, "selector" | "notSelector">,
  index: EndpointIndex,
): boolean {
  if (selector === undefined) return true;
  const chosen = (by: EndpointSelector): readonly object[][] => [
    index.chosenBy(by),
    index.networkSetsChosenBy(by),
    index.hostEndpointsChosenBy(by),
  ];
  const meant = chosen(selector);
  if (notSelector === undefined) return meant.some((list) => list.length > 0);
  const others = new Set(chosen(notSelector).flat());
  return meant.some((list) => list.some((one) => !others.has(one)));
}
