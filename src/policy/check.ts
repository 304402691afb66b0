/**
 * What policies ask of a snapshot that it may not hold. Warnings only: a policy may be written for
 * things to come, and a verdict that needs them says so itself.
 */
import type { LabelSelector } from "../cluster/selector.ts";
import { labelsOf } from "../cluster/selector-expression.ts";
import type { NamedPort, PortProtocol, Snapshot } from "../cluster/snapshot.ts";
import { NAMESPACE_NAME_LABEL } from "../cluster/nodes.ts";
import type { OnDiagnostic, Place } from "../errors.ts";
import { protocolNumber } from "../net/protocol.ts";
import { NAMESPACE_PREFIX } from "./calico-labels.ts";
import { EndpointIndex } from "./endpoint-index.ts";
import { formatPolicyRef, type Policy, type PolicyRule } from "./model.ts";

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
    .flatMap((rule) => [...labelsAskedFor(rule)])
    .find(({ asked }) => asked);
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

/** For each choice of peers in a rule, whether it asks for labels of namespaces other than their names. */
function* labelsAskedFor(rule: PolicyRule): Generator<{ place: Place; asked: boolean }> {
  if (rule.kind === "match") {
    for (const { selector, notSelector } of [rule.source, rule.destination]) {
      const labels = [selector, notSelector]
        .filter((one) => one !== undefined)
        .flatMap(({ expression }) => labelsOf(expression));
      const asked = labels.some(
        (label) =>
          label.startsWith(NAMESPACE_PREFIX) &&
          label !== `${NAMESPACE_PREFIX}${NAMESPACE_NAME_LABEL}` &&
          label !== `${NAMESPACE_PREFIX}projectcalico.org/name`,
      );
      yield { place: rule.place, asked };
    }
    return;
  }
  for (const peer of rule.peers ?? []) {
    if (peer.kind !== "pods") continue;
    yield { place: peer.place, asked: asksForLabels(peer.selector.namespaceSelector) };
  }
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
    for (const port of (policy[direction] ?? []).flatMap((rule) => [...namedPortsOf(rule)])) {
      const key = portKey(port);
      // > ingress: the port of the selected pod; egress: the port of the peer.
      const found =
        port.whose === "selected" && direction === "ingress"
          ? selected.some(({ ports }) => ports.some((own) => portKey(own) === key))
          : everyPort.has(key);
      if (found) continue;
      const whose =
        port.whose === "selected" && direction === "ingress" ? "no pod it selects" : "no pod";
      onDiagnostic({
        severity: "warning",
        code: "UNKNOWN_NAMED_PORT",
        message: `${formatPolicyRef(policy.ref)}: ${whose} has a ${port.protocol} port named "${port.name}", so this allows nothing`,
        place: port.place,
      });
    }
  }
}

interface RuleNamedPort {
  readonly name: string;
  readonly protocol: PortProtocol;
  readonly place: Place;
  /** Of an ingress rule: of the selected pods, or of whoever sends. */
  readonly whose: "selected" | "peer";
}

/** The named ports of a rule whose protocol is known. */
function* namedPortsOf(rule: PolicyRule): Generator<RuleNamedPort> {
  if (rule.kind === "peers") {
    for (const port of rule.ports ?? []) {
      if (port.kind === "named") yield { ...port, whose: "selected" };
    }
    return;
  }
  const protocol = PORT_PROTOCOLS.find((name) => protocolNumber(name) === rule.protocol);
  if (protocol === undefined) return;
  for (const [side, whose] of [
    [rule.source, "peer"],
    [rule.destination, "selected"],
  ] as const) {
    for (const port of side.ports) {
      if (port.kind === "named") yield { ...port, protocol, whose };
    }
  }
}

const PORT_PROTOCOLS: readonly PortProtocol[] = ["TCP", "UDP", "SCTP"];

function portKey({ name, protocol }: Pick<NamedPort, "name" | "protocol">): string {
  return `${protocol} ${name}`;
}
