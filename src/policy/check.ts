/**
 * What policies ask of a snapshot that it may not hold. Warnings, as a policy may be written for things to come, and
 * a verdict that needs them says so itself; errors where no verdict could say it: whom a policy means is not known.
 */
import { requirementHolds, type LabelSelector } from "../cluster/selector.ts";
import { labelsOf } from "../cluster/selector-expression.ts";
import { endpointName, knowsNodes } from "../cluster/snapshot.ts";
import type { NamedPort, Namespace, PortProtocol, Snapshot } from "../cluster/snapshot.ts";
import { NAMESPACE_NAME_LABEL } from "../cluster/nodes.ts";
import type { OnDiagnostic, Place } from "../errors.ts";
import { protocolNumber } from "../net/protocol.ts";
import { NAME_KEY, NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX } from "./calico-labels.ts";
import { EndpointIndex } from "./endpoint-index.ts";
import { formatPolicyRef } from "./model.ts";
import type { ExpressedEndpoints, MatchRule, Policy, PolicyRule } from "./model.ts";

/**
 * Reports UNKNOWN_NAMESPACE and UNKNOWN_SERVICE_ACCOUNT, errors, and UNKNOWN_NODE where a policy asks for labels of
 * what has no object, UNKNOWN_SERVICE where nothing tells of a Service, and UNKNOWN_NAMED_PORT where no
 * endpoint that a rule could mean has a port of the name.
 */
export function checkPolicies(
  policies: readonly Policy[],
  snapshot: Snapshot,
  onDiagnostic: OnDiagnostic,
): void {
  reportUnknownNamespaces(policies, snapshot, onDiagnostic);
  reportUnknownServiceAccounts(policies, snapshot, onDiagnostic);
  reportUnknownNodes(policies, snapshot, onDiagnostic);
  reportUnknownServices(policies, snapshot, onDiagnostic);
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
  const { endpoints, networkSets, namespaceByName } = snapshot;
  const inhabited = new Set([...endpoints, ...networkSets].map(({ namespace }) => namespace));
  const bare = [...namespaceByName.values()].filter(
    ({ name, place }) => place === undefined && inhabited.has(name),
  );
  if (bare.length === 0) return;
  const asks = policies
    .flatMap((policy) => [
      { place: policy.ref.place, asks: asksForSubjects(policy) },
      ...rulesOf(policy).flatMap((rule) => [...labelsAskedFor(rule)]),
    ])
    .map(({ place, asks }) => ({ place, asked: bare.filter(asks) }))
    .find(({ asked }) => asked.length > 0);
  if (asks === undefined) return;
  const names = firstOf(asks.asked.map(({ name }) => name));
  onDiagnostic({
    severity: "error",
    code: "UNKNOWN_NAMESPACE",
    message: `a policy chooses namespaces by label, and of ${names} only the names are known: give their Namespace objects too`,
    place: asks.place,
  });
}

/** The same for the service accounts of endpoints, which Calico's selectors choose by label. */
function reportUnknownServiceAccounts(
  policies: readonly Policy[],
  snapshot: Snapshot,
  onDiagnostic: OnDiagnostic,
): void {
  const asks = policies
    .flatMap((policy) => [
      {
        place: policy.ref.place,
        selectors: policy.subject.kind === "expression" ? [policy.subject] : [],
      },
      ...rulesOf(policy).flatMap((rule) =>
        rule.kind === "match" ? [{ place: rule.place, selectors: selectorsOf(rule) }] : [],
      ),
    ])
    .find(({ selectors }) => asksForInherited(selectors, SERVICE_ACCOUNT_PREFIX, [NAME_KEY]));
  if (asks === undefined) return;
  const accounts = snapshot.endpoints.map(
    ({ namespace, serviceAccount }) => `${namespace}/${serviceAccount}`,
  );
  const bare = [...new Set(accounts)].filter((name) => !snapshot.serviceAccounts.has(name));
  if (bare.length === 0) return;
  onDiagnostic({
    severity: "error",
    code: "UNKNOWN_SERVICE_ACCOUNT",
    message: `a policy chooses service accounts by label, and of ${firstOf(bare)} only the names are known: give their ServiceAccount objects too`,
    place: asks.place,
  });
}

/** The first few of names, for a message. */
function firstOf(names: readonly string[]): string {
  return names.length > 5 ? `${names.slice(0, 5).join(", ")} and others` : names.join(", ");
}

/** Reports at the first rule that asks, once: the remedy is the same for all. */
function reportUnknownNodes(
  policies: readonly Policy[],
  snapshot: Snapshot,
  onDiagnostic: OnDiagnostic,
): void {
  const asks = policies
    .flatMap(rulesOf)
    .flatMap((rule) => (rule.kind === "peers" ? (rule.peers ?? []) : []))
    .find(({ kind }) => kind === "nodes");
  if (asks === undefined || knowsNodes(snapshot)) return;
  onDiagnostic({
    severity: "warning",
    code: "UNKNOWN_NODE",
    message:
      "a rule chooses nodes by label, and not every node has an object with an address: what is sent to unknown addresses is undecided",
    place: asks.place,
  });
}

/** Reports each Service once, at the first rule that names it. */
function reportUnknownServices(
  policies: readonly Policy[],
  { membersByService }: Snapshot,
  onDiagnostic: OnDiagnostic,
): void {
  const reported = new Set<string>();
  for (const rule of policies.flatMap(rulesOf)) {
    if (rule.kind === "peers") continue;
    for (const { service } of [rule.source, rule.destination]) {
      if (service === undefined) continue;
      const name = endpointName(service);
      if (membersByService.has(name) || reported.has(name)) continue;
      reported.add(name);
      onDiagnostic({
        severity: "warning",
        code: "UNKNOWN_SERVICE",
        message: `there is neither Service ${name} nor an EndpointSlice of it: what hangs on its endpoints is undecided`,
        place: service.place,
      });
    }
  }
}

function rulesOf({ ingress, egress }: Policy): PolicyRule[] {
  return [...(ingress ?? []), ...(egress ?? [])];
}

/** Tells of a namespace whether its labels are asked for, other than those that say its name. */
type AsksFor = (namespace: Namespace) => boolean;

function asksForSubjects({ subject }: Policy): AsksFor {
  return subject.kind === "expression"
    ? asksForLabelsOf([subject])
    : asksForLabels(subject.namespaceSelector);
}

/** For each choice of peers in a rule, of which namespaces it asks for labels. */
function* labelsAskedFor(rule: PolicyRule): Generator<{ place: Place; asks: AsksFor }> {
  if (rule.kind === "match") {
    yield { place: rule.place, asks: asksForLabelsOf(selectorsOf(rule)) };
    return;
  }
  for (const peer of rule.peers ?? []) {
    if (peer.kind !== "pods") continue;
    yield { place: peer.place, asks: asksForLabels(peer.selector.namespaceSelector) };
  }
}

/** Expressions may ask for those of every namespace. */
function asksForLabelsOf(selectors: readonly ExpressedEndpoints[]): AsksFor {
  const asks = asksForInherited(selectors, NAMESPACE_PREFIX, [NAMESPACE_NAME_LABEL, NAME_KEY]);
  return () => asks;
}

/** Tells whether expressions ask for labels with a prefix, other than those that say a name. */
function asksForInherited(
  selectors: readonly ExpressedEndpoints[],
  prefix: string,
  names: readonly string[],
): boolean {
  return selectors
    .flatMap(({ expression }) => labelsOf(expression))
    .some((label) => label.startsWith(prefix) && !names.includes(label.slice(prefix.length)));
}

function selectorsOf({ source, destination }: MatchRule): ExpressedEndpoints[] {
  return [source, destination]
    .flatMap(({ selector, notSelector }) => [selector, notSelector])
    .filter((selector) => selector !== undefined);
}

/** A selector asks for more than a namespace's name where that alone does not rule it out. */
function asksForLabels(selector: LabelSelector | undefined): AsksFor {
  const requirements = selector?.requirements ?? [];
  const byName = requirements.filter(({ key }) => key === NAMESPACE_NAME_LABEL);
  return ({ labels }) =>
    byName.length < requirements.length && byName.every((one) => requirementHolds(one, labels));
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
  const named = (["ingress", "egress"] as const).map((direction) => ({
    direction,
    ports: (policy[direction] ?? []).flatMap((rule) => [...namedPortsOf(rule)]),
  }));
  // Most policies name none, and finding what each selects takes long.
  if (named.every(({ ports }) => ports.length === 0)) return;
  const selected = index.chosenBy(policy.subject);
  // A policy that selects nothing yet has no port to miss.
  if (selected.length === 0) return;
  for (const { direction, ports } of named) {
    for (const port of ports) {
      const { name, protocol } = port;
      const keys = (protocol === undefined ? PORT_PROTOCOLS : [protocol]).map((each) =>
        portKey({ name, protocol: each }),
      );
      // > ingress: the port of the selected pod; egress: the port of the peer.
      const found =
        port.whose === "selected" && direction === "ingress"
          ? selected.some((one) => one.ports.some((own) => keys.includes(portKey(own))))
          : keys.some((key) => everyPort.has(key));
      if (found) continue;
      const what = protocol === undefined ? "a port" : `a ${protocol} port`;
      const whose =
        port.whose === "selected" && direction === "ingress" ? "no pod it selects" : "no pod";
      onDiagnostic({
        severity: "warning",
        code: "UNKNOWN_NAMED_PORT",
        message: `${formatPolicyRef(policy.ref)}: ${whose} has ${what} named "${name}", so this matches nothing`,
        place: port.place,
      });
    }
  }
}

interface RuleNamedPort {
  readonly name: string;
  /** Undefined: of whatever protocol. */
  readonly protocol: PortProtocol | undefined;
  readonly place: Place;
  /** Of an ingress rule: of the selected pods, or of whoever sends. */
  readonly whose: "selected" | "peer";
}

/** The named ports of a rule; of one of Calico's only where it has a protocol with ports. */
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
