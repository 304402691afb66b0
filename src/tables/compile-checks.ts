/** What compiling a cluster reports of what is wrong with it, or with the question. */
import { endpointName } from "../cluster/snapshot.ts";
import type { FelixSettings, Snapshot } from "../cluster/snapshot.ts";
import type { OnDiagnostic } from "../errors.ts";
import type { Dialect } from "../policy/dialect.ts";
import { formatPolicyRef } from "../policy/model.ts";
import type { MatchRule } from "../policy/model.ts";
import { builtInProfile, type Profile } from "../policy/profile.ts";
import type { HostBinding } from "./host-binding.ts";
import type { PolicyContext } from "./policy-context.ts";
import type { LocalEndpoint } from "./selections.ts";

/** Reports a node that nothing names, and pods of which it is not known whether they are on it. */
export function checkNode(snapshot: Snapshot, node: string, onDiagnostic: OnDiagnostic): void {
  const named = new Set(snapshot.nodeByName.keys());
  for (const { node: name } of [...snapshot.endpoints, ...snapshot.hostEndpoints]) {
    if (name !== undefined) named.add(name);
  }
  if (!named.has(node)) {
    const known = [...named].toSorted().slice(0, 10).join(", ");
    onDiagnostic({
      severity: "error",
      code: "BAD_VALUE",
      message: `no node is named "${node}": expected one of ${known === "" ? "none" : known}`,
    });
  }
  // Workloads without pods are on no node; of a pod without a node it is not known.
  for (const endpoint of snapshot.endpoints) {
    if (endpoint.kind !== "Pod" || endpoint.node !== undefined) continue;
    onDiagnostic({
      severity: "warning",
      code: "MISSING_FIELD",
      message: `pod ${endpointName(endpoint)} has no nodeName: it is taken to be on another node than ${node}`,
      place: endpoint.place,
    });
  }
}

/** Host endpoints are Calico's. */
export function refuseForeignEndpoints(
  { hostEndpoints: [first] }: Snapshot,
  { title }: Dialect,
  onDiagnostic: OnDiagnostic,
): void {
  if (first === undefined) return;
  onDiagnostic({
    severity: "error",
    code: "UNSUPPORTED_KIND",
    message: `HostEndpoint ${first.name} is Calico's, and ${title} does not have it: leave it out, or judge by another --dialect`,
    place: first.place,
  });
}

/** Pods that Felix leaves alone in one family have no chains there, and others' policies still mean them. */
export function refuseIpv6(local: readonly LocalEndpoint[], onDiagnostic: OnDiagnostic): void {
  const first = local.find(({ endpoint: { addresses } }) =>
    addresses.some(({ family }) => family === 6),
  );
  if (first === undefined) return;
  onDiagnostic({
    severity: "error",
    code: "UNSUPPORTED_FEATURE",
    message: `${endpointName(first.endpoint)} has an IPv6 address, which Felix does not police: its ipv6Support is false`,
    place: first.endpoint.place,
  });
}

/**
 * Refuses that nodes wrap what they themselves send to each other, where host endpoints bind some
 * interfaces only: which of it goes by which is not modelled.
 */
export function refuseHostEncryption(
  { bound }: HostBinding,
  { wireguardHosts, wireguardPorts }: FelixSettings,
  onDiagnostic: OnDiagnostic,
): void {
  const [first] = bound.filter(({ ofPods }) => ofPods === undefined);
  if (first === undefined || wireguardHosts === undefined) return;
  if (wireguardPorts[4] === undefined && wireguardPorts[6] === undefined) return;
  onDiagnostic({
    severity: "error",
    code: "UNSUPPORTED_FEATURE",
    message: `between nodes all goes by WireGuard then, and HostEndpoint ${first.hostEndpoint.name} is for one interface: that is not modelled`,
    place: wireguardHosts,
  });
}

/** Refuses floating addresses where all nodes are seen as one: only the pod's own translates them. */
export function refuseFloating(
  { endpoints, felixByScope }: Snapshot,
  onDiagnostic: OnDiagnostic,
): void {
  if (![...felixByScope.values()].some((settings) => settings.floatingAddresses === true)) return;
  const first = endpoints.find(({ floatingAddresses }) => floatingAddresses !== undefined);
  if (first === undefined) return;
  onDiagnostic({
    severity: "error",
    code: "UNSUPPORTED_FEATURE",
    message: `${endpointName(first)} has a floating address, which only its own node translates: name one with --node`,
    place: first.place,
  });
}

/** Refuses floating addresses of pods of which nothing tells whether this node translates them. */
export function refuseUnplacedFloating(
  { endpoints }: Snapshot,
  node: string,
  onDiagnostic: OnDiagnostic,
): void {
  for (const endpoint of endpoints) {
    if (endpoint.floatingAddresses === undefined || endpoint.node !== undefined) continue;
    onDiagnostic({
      severity: "error",
      code: "MISSING_FIELD",
      message: `pod ${endpointName(endpoint)} has a floating address and no nodeName: only its own node translates it, and nothing tells whether that is ${node}`,
      place: endpoint.place,
    });
  }
}

/** Warns of profiles of host endpoints that nobody defines. */
export function reportUnknownProfiles(
  { bound, everywhere }: HostBinding,
  profiles: ReadonlyMap<string, Profile>,
  onDiagnostic: OnDiagnostic,
): void {
  const all = bound.map(({ hostEndpoint }) => hostEndpoint);
  for (const { name: endpoint, profiles: own } of everywhere === undefined
    ? all
    : [...all, everywhere]) {
    for (const { name, place } of own) {
      if (profiles.has(name) || builtInProfile(name) !== undefined) continue;
      onDiagnostic({
        severity: "warning",
        code: "UNKNOWN_PROFILE",
        message: `there is no Profile "${name}": host endpoint ${endpoint} is taken to deny what reaches it`,
        place,
      });
    }
  }
}

/** Makes what reports each rule once whose iptables rules match more than the policy says. */
export function widerReporter(onDiagnostic: OnDiagnostic): NonNullable<PolicyContext["onWider"]> {
  const said = new Set<MatchRule>();
  return (policy, direction, rule) => {
    if (said.has(rule)) return;
    said.add(rule);
    onDiagnostic({
      severity: "warning",
      code: "WIDER_RULE",
      message: `${formatPolicyRef(policy.ref)} ${direction}[${rule.index}]: the rendered rule is wider than the policy, as Felix renders three lists of ports and prefixes in one rule; verdicts are those of the tables`,
      place: rule.place,
    });
  };
}
