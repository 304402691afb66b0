/** Whom policies select: nobody, pods that they do not bind, or pods of a namespace that is not there. */
import { suggestionFor } from "../cluster/fields.ts";
import { formatSelector } from "../cluster/selector.ts";
import { formatPolicyRef } from "../policy/model.ts";
import type { Policy } from "../policy/model.ts";
import type { LintContext } from "./context.ts";
import type { Finding } from "./finding.ts";
import { hostNetworkChosen } from "./host-network.ts";
import { likelyLabel } from "./likely.ts";

/** Finds SELECTS_NOTHING, NAMESPACE_UNKNOWN and HOST_NETWORK_SELECTED. */
export function* lintSubjects(context: LintContext): Generator<Finding> {
  for (const policy of context.policies) {
    const found = namespaceUnknown(policy, context) ?? nobodySelected(policy, context);
    if (found !== undefined) yield found;
  }
}

/** Where pods or namespaces of a cluster were given, and none that the policy is for. */
function namespaceUnknown({ ref }: Policy, context: LintContext): Finding | undefined {
  const { namespace } = ref;
  const { namespaceByName } = context.snapshot;
  if (namespace === undefined || context.inhabited.has(namespace)) return undefined;
  if (namespaceByName.get(namespace)?.place !== undefined) return undefined;
  const others = [...namespaceByName.values()].filter(
    ({ name, place }) => name !== namespace && (place !== undefined || context.inhabited.has(name)),
  );
  const suggestion = suggestionFor(
    namespace,
    others.map(({ name }) => name),
  );
  // Others may keep the namespace's manifests elsewhere, unless the name looks like a slip.
  if (!context.wholeCluster && suggestion === undefined) return undefined;
  return {
    code: "NAMESPACE_UNKNOWN",
    severity: "warning",
    message: `${formatPolicyRef(ref)}: there is neither an object nor a pod of namespace ${namespace}`,
    place: ref.place,
    suggestion,
  };
}

function nobodySelected(policy: Policy, context: LintContext): Finding | undefined {
  const { ref, subject } = policy;
  const { index, snapshot } = context;
  if (index.chosenBy(subject).length > 0) {
    return hostNetworkSelected(policy, context, "also");
  }
  const onHost = hostNetworkSelected(policy, context, "only");
  if (onHost !== undefined) return onHost;
  if (index.hostEndpointsChosenBy(subject).length > 0) return undefined;
  if (subject.kind === "expression") {
    if (
      !context.wholeCluster ||
      (ref.namespace !== undefined && !context.inhabited.has(ref.namespace))
    )
      return undefined;
    const message = `${formatPolicyRef(ref)} selects no pod and no host endpoint`;
    return { code: "SELECTS_NOTHING", severity: "warning", message, place: ref.place };
  }
  const { namespace, podSelector } = subject;
  // Every pod of a namespace that has none yet: it is ready for those to come.
  if (namespace !== undefined && (podSelector?.requirements ?? []).length === 0) return undefined;
  const among = snapshot.endpoints.filter(
    (endpoint) => namespace === undefined || endpoint.namespace === namespace,
  );
  if (among.length === 0) return undefined;
  const suggestion = likelyLabel(
    podSelector,
    among.map(({ labels }) => labels),
  );
  if (!context.wholeCluster && namespace === undefined) return undefined;
  const where = namespace === undefined ? "" : ` of namespace ${namespace}`;
  const what =
    podSelector === undefined ? "no pod" : `no pod${where} has ${formatSelector(podSelector)}`;
  return {
    code: "SELECTS_NOTHING",
    // In a part of a cluster the pods may be somewhere else.
    severity: context.wholeCluster || suggestion !== undefined ? "warning" : "note",
    message: `${formatPolicyRef(ref)} selects nothing: ${what}`,
    place: ref.place,
    suggestion,
  };
}

/** Pods that act as their node are not bound, whatever selects them. */
function hostNetworkSelected(
  { ref, subject }: Policy,
  context: LintContext,
  how: "only" | "also",
): Finding | undefined {
  if (subject.kind === "expression") return undefined;
  const { namespace, podSelector } = subject;
  // What selects all of a namespace, or by namespaces, does not mean these in particular.
  if (namespace === undefined || podSelector === undefined) return undefined;
  if (podSelector.requirements.length === 0) return undefined;
  const chosen = hostNetworkChosen(podSelector, new Set([namespace]), context);
  const [first] = chosen;
  if (first === undefined) return undefined;
  const pods =
    chosen.length === 1 ? `pod ${first} uses` : `${chosen.length} pods such as ${first} use`;
  const binding = how === "only" ? "and it selects no others" : "and only the others are bound";
  return {
    code: "HOST_NETWORK_SELECTED",
    severity: how === "only" ? "warning" : "note",
    message: `${formatPolicyRef(ref)}: ${pods} the node's network, which no policy binds, ${binding}`,
    place: ref.place,
  };
}
