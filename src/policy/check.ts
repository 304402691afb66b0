/**
 * What policies ask of a snapshot that it may not hold. Warnings only: a policy may be written for
 * things to come, and a verdict that needs them says so itself.
 */
import type { LabelSelector } from "../cluster/selector.ts";
import type { NamedPort, Snapshot } from "../cluster/snapshot.ts";
import { NAMESPACE_NAME_LABEL } from "../cluster/nodes.ts";
import type { OnDiagnostic } from "../errors.ts";
import { EndpointIndex } from "./endpoint-index.ts";
import { formatPolicyRef, type Policy } from "./model.ts";

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
  const index = new EndpointIndex(snapshot);
  const ports = new Set(snapshot.endpoints.flatMap((endpoint) => endpoint.ports.map(portKey)));
  for (const policy of policies) reportUnknownPorts(policy, { index, ports }, onDiagnostic);
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
    .find((peer) => peer.kind === "pods" && asksForLabels(peer.selector.namespaceSelector));
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

/** What named ports are looked up in. */
interface PortHolders {
  readonly index: EndpointIndex;
  /** Of every endpoint. */
  readonly ports: ReadonlySet<string>;
}

function reportUnknownPorts(
  policy: Policy,
  { index, ports: everyPort }: PortHolders,
  onDiagnostic: OnDiagnostic,
): void {
  const selected = index.chosenBy(policy.subject);
  // A policy that selects nothing yet has no port to miss.
  if (selected.length === 0) return;
  for (const direction of ["ingress", "egress"] as const) {
    for (const port of policy[direction]?.flatMap(({ ports }) => ports ?? []) ?? []) {
      if (port.kind !== "named") continue;
      const key = portKey(port);
      // > ingress: the port of the selected pod; egress: the port of the peer.
      const found =
        direction === "ingress"
          ? selected.some(({ ports }) => ports.some((own) => portKey(own) === key))
          : everyPort.has(key);
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

function portKey({ name, protocol }: Pick<NamedPort, "name" | "protocol">): string {
  return `${protocol} ${name}`;
}
