/**
 * What policies ask of a snapshot that it may not hold. Warnings, as a policy may be written for things to come, and
 * a verdict that needs them says so itself; errors where no verdict could say it: whom a policy means is not known.
 */
import { endpointName, knowsNodes } from "../cluster/snapshot.ts";
import type { Endpoint, NamedPort, PortProtocol, Snapshot } from "../cluster/snapshot.ts";
import { NAMESPACE_NAME_LABEL } from "../cluster/nodes.ts";
import type { OnDiagnostic, Place } from "../errors.ts";
import { protocolNumber } from "../net/protocol.ts";
import { NAME_KEY, NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX } from "./calico-labels.ts";
import { EndpointIndex } from "./endpoint-index.ts";
import { formatPolicyRef } from "./model.ts";
import type { Policy, PolicyRule } from "./model.ts";
import { findUntold, type Inhabitant } from "./untold-labels.ts";

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
  const isBare = ({ namespace }: Inhabitant): boolean =>
    namespace !== undefined && snapshot.namespaceByName.get(namespace)?.place === undefined;
  const names = [`${NAMESPACE_PREFIX}${NAMESPACE_NAME_LABEL}`, `${NAMESPACE_PREFIX}${NAME_KEY}`];
  const asks = findUntold(policies, snapshot, {
    inhabitants: [...snapshot.endpoints, ...snapshot.networkSets].filter(isBare),
    isOpen: (label) => label.startsWith(NAMESPACE_PREFIX) && !names.includes(label),
  });
  if (asks === undefined) return;
  const bare = new Set(asks.asked.map(({ namespace }) => namespace ?? ""));
  onDiagnostic({
    severity: "error",
    code: "UNKNOWN_NAMESPACE",
    message: `a policy chooses namespaces by label, and of ${firstOf([...bare])} only the names are known: give their Namespace objects too`,
    place: asks.place,
  });
}

/** The same for the service accounts of endpoints, which Calico's selectors choose by label. */
function reportUnknownServiceAccounts(
  policies: readonly Policy[],
  snapshot: Snapshot,
  onDiagnostic: OnDiagnostic,
): void {
  const accountOf = ({ namespace, serviceAccount }: Endpoint): string =>
    `${namespace}/${serviceAccount}`;
  const own = `${SERVICE_ACCOUNT_PREFIX}${NAME_KEY}`;
  const asks = findUntold(policies, snapshot, {
    inhabitants: snapshot.endpoints.filter((one) => !snapshot.serviceAccounts.has(accountOf(one))),
    isOpen: (label) => label.startsWith(SERVICE_ACCOUNT_PREFIX) && label !== own,
  });
  if (asks === undefined) return;
  const bare = new Set(asks.asked.map(accountOf));
  onDiagnostic({
    severity: "error",
    code: "UNKNOWN_SERVICE_ACCOUNT",
    message: `a policy chooses service accounts by label, and of ${firstOf([...bare])} only the names are known: give their ServiceAccount objects too`,
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
