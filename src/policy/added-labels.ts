/**
 * Policies in Kubernetes' words that choose by labels which Calico adds: Calico reads such selectors as its own, and
 * finds them. They are refused.
 * Source: libcalico-go conversion.go (k8sSelectorToCalico), defaults/workload_endpoint_default.go.
 */
import type { OnDiagnostic } from "../errors.ts";
import {
  LABEL_NAMESPACE,
  LABEL_ORCHESTRATOR,
  LABEL_SERVICE_ACCOUNT,
  NAME_KEY,
  NAMESPACE_PREFIX,
  SERVICE_ACCOUNT_PREFIX,
} from "./calico-labels.ts";
import { formatPolicyRef, type EndpointSelector, type Policy } from "./model.ts";
import { selectorsOf } from "./policy-selectors.ts";

/** Reports UNSUPPORTED_FEATURE, an error, for each such selector. */
export function refuseAddedLabels(policies: readonly Policy[], onDiagnostic: OnDiagnostic): void {
  for (const policy of policies) {
    for (const { selector, place } of selectorsOf(policy)) {
      const key = addedLabel(selector);
      if (key === undefined) continue;
      const instead = key === NAME_KEY || key === LABEL_NAMESPACE;
      onDiagnostic({
        severity: "error",
        code: "UNSUPPORTED_FEATURE",
        message: `${formatPolicyRef(policy.ref)} chooses by the label ${key}, which Calico itself adds: not modelled in Kubernetes' selectors${instead ? " (a namespaceSelector with kubernetes.io/metadata.name means the same)" : ""}`,
        place,
      });
    }
  }
}

const ADDED_TO_PODS: ReadonlySet<string> = new Set([
  LABEL_NAMESPACE,
  LABEL_ORCHESTRATOR,
  LABEL_SERVICE_ACCOUNT,
]);

/** The first label that a selector asks for and Calico adds. */
function addedLabel(selector: EndpointSelector): string | undefined {
  if (selector.kind === "expression") return undefined;
  const { podSelector, namespaceSelector } = selector;
  const ofPods = podSelector?.requirements.find(
    ({ key }) =>
      ADDED_TO_PODS.has(key) ||
      key.startsWith(NAMESPACE_PREFIX) ||
      key.startsWith(SERVICE_ACCOUNT_PREFIX),
  );
  return (ofPods ?? namespaceSelector?.requirements.find(({ key }) => key === NAME_KEY))?.key;
}
