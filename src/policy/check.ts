/**
 * What policies ask of a snapshot that it may not hold. Warnings only: a policy may be written for
 * things to come, and a verdict that needs them says so itself.
 */
import type { LabelSelector } from "../cluster/selector.ts";
import type { Snapshot } from "../cluster/snapshot.ts";
import { NAMESPACE_NAME_LABEL } from "../cluster/nodes.ts";
import type { OnDiagnostic } from "../errors.ts";
import { formatPolicyRef, type Policy } from "./model.ts";
import { policySelects } from "./selects.ts";

/**
 * Reports UNKNOWN_NAMESPACE where a policy asks for labels of namespaces that have no object, and
 * UNKNOWN_NAMED_PORT where no endpoint that a rule could mean has a port of the name.
 */
export function checkPolicies(
  policies: readonly Policy[],
  snapshot: Snapshot,
  onDiagnostic: OnDiagnostic,
): void {
  reportUnknownNamespaces(policies, snapshot, onDiagnostic);
  for (const policy of policies) reportUnknownPorts(policy, snapshot, onDiagnostic);
}

/** Reports at the first policy that asks, once: the remedy is the same for all. */
function reportUnknownNamespaces(
  policies: readonly Policy[],
  snapshot: Snapshot,
  onDiagnostic: OnDiagnostic,
): void {
  const bare = [...snapshot.namespaceByName.values()].filter(({ place }) => place === undefined);
  if (bare.length === 0) return;
  const asks = policies
    .flatMap(({ ingress, egress }) => [...(ingress ?? []), ...(egress ?? [])])
    .flatMap(({ peers }) => peers ?? [])
    .find((peer) => peer.kind === "pods" && asksForLabels(peer.namespaceSelector));
  if (asks === undefined) return;
  const names = bare.map(({ name }) => name);
  const shown = names.length > 5 ? `${names.slice(0, 5).join(", ")} and others` : names.join(", ");
  onDiagnostic({
    severity: "warning",
    code: "UNKNOWN_NAMESPACE",
    message: `a rule chooses namespaces by label, and of ${shown} only the names are known: give their Namespace objects too`,
    place: asks.place,
  });
}

/** Tells whether a selector asks for more than a namespace's name. */
function asksForLabels(selector: LabelSelector | undefined): boolean {
  return selector?.requirements.some(({ key }) => key !== NAMESPACE_NAME_LABEL) ?? false;
}

function reportUnknownPorts(policy: Policy, snapshot: Snapshot, onDiagnostic: OnDiagnostic): void {
  const selected = snapshot.endpoints.filter((endpoint) => policySelects(policy, endpoint));
  // A policy that selects nothing yet has no port to miss.
  if (selected.length === 0) return;
  for (const direction of ["ingress", "egress"] as const) {
    // > ingress: the port of the selected pod; egress: the port of the peer.
    const holders = direction === "ingress" ? selected : snapshot.endpoints;
    for (const port of policy[direction]?.flatMap(({ ports }) => ports ?? []) ?? []) {
      if (port.kind !== "named") continue;
      const found = holders.some(({ ports }) =>
        ports.some(({ name, protocol }) => name === port.name && protocol === port.protocol),
      );
      if (found) continue;
      const whose = direction === "ingress" ? "no pod it selects" : "no pod";
      onDiagnostic({
        severity: "warning",
        code: "UNKNOWN_NAMED_PORT",
        message: `${formatPolicyRef(policy.ref)}: ${whose} has a ${port.protocol} port named "${port.name}", so this allows nothing`,
        place: port.place,
      });
    }
  }
}
