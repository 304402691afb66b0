/**
 * policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy, and v1beta1, which says the same: rules before
 * every NetworkPolicy (Admin tier), or for what none isolates (Baseline tier).
 * Source: network-policy-api apis/v1alpha2/clusternetworkpolicy_types.go; the tiers are those of Calico
 * (libcalico-go conversion clusternetworkpolicy.go).
 */
import {
  checkKnownFields,
  fieldOf,
  placeOfField,
  reportField,
  type Field,
} from "../cluster/fields.ts";
import type { PortProtocol } from "../cluster/snapshot.ts";
import { readNamedPort, readRequiredPort } from "./admin-ports.ts";
import { lowerClusterWide, onlyFieldOf, readChoice, readPriority } from "./cluster-wide.ts";
import type { ClusterWideKind } from "./cluster-wide.ts";
import type { PolicyKind } from "./kind.ts";
import type { PolicyPort, Tier } from "./model.ts";

export const clusterNetworkPolicy: PolicyKind = {
  apiVersion: "policy.networking.k8s.io/v1alpha2",
  kind: "ClusterNetworkPolicy",
  lower: (object, { onDiagnostic }) => lowerClusterWide(object, KIND, onDiagnostic),
};

export const betaClusterNetworkPolicy: PolicyKind = {
  apiVersion: "policy.networking.k8s.io/v1beta1",
  kind: "ClusterNetworkPolicy",
  lower: (object, { onDiagnostic }) =>
    // > isCIDR(self) && cidr(self) == cidr(self).masked()
    lowerClusterWide(object, { ...KIND, networksMasked: true }, onDiagnostic),
};

/**
 * > If two (or more) policies in the same tier with the same priority could match a connection, then the
 * > implementation can apply any of the matching policies to the connection.
 */
const TIERS = {
  Admin: { name: "kube-admin", order: 1000, defaultAction: "pass", tiesUndefined: true },
  Baseline: {
    name: "kube-baseline",
    order: 10_000_000,
    defaultAction: "pass",
    tiesUndefined: true,
  },
} as const satisfies Readonly<Record<string, Tier>>;

const KIND: ClusterWideKind = {
  name: "policy.networking.k8s.io ClusterNetworkPolicy",
  specFields: ["tier", "priority"],
  readPlace(spec) {
    const tier = readChoice(fieldOf(spec, "tier"), "tier", ["Admin", "Baseline"]);
    const order = readPriority(spec);
    return tier === undefined || order === undefined ? undefined : { tier: TIERS[tier], order };
  },
  actions: { Accept: "allow", Deny: "deny", Pass: "pass" },
  egressPeers: ["namespaces", "pods", "nodes", "networks", "domainNames"],
  mostItems: 25,
  portsKey: "protocols",
  readPort: readProtocolItem,
  namespacesRequired: false,
  earlyForm: false,
  networksMasked: false,
};

const PROTOCOLS: Readonly<Record<string, PortProtocol>> = { tcp: "TCP", udp: "UDP", sctp: "SCTP" };

/** Reads one item of `protocols`; undefined when it was reported. */
function readProtocolItem(field: Field): PolicyPort | undefined {
  const known = [...Object.keys(PROTOCOLS), "destinationNamedPort"];
  const only = onlyFieldOf(field, known, "BAD_PORT");
  if (only === undefined) return undefined;
  const protocol = PROTOCOLS[only.key];
  if (protocol === undefined) return readNamedPort(only.value);
  // > MinProperties=1: the one field that a protocol has today must be there.
  const port = onlyFieldOf(only.value, ["destinationPort"], "BAD_PORT");
  const number = port && onlyFieldOf(port.value, ["number", "range"], "BAD_PORT");
  if (number === undefined) return undefined;
  const range = number.key === "range";
  if (range) checkKnownFields(number.value, ["start", "end"]);
  const first = readRequiredPort(range ? fieldOf(number.value, "start") : number.value);
  const last = range ? readRequiredPort(fieldOf(number.value, "end")) : first;
  if (first === undefined || last === undefined) return undefined;
  // > Start port must be less than End port
  if (range && last <= first) {
    const message = `port range ${first}-${last}: start must be less than end`;
    reportField(number.value, { code: "BAD_PORT_RANGE", message });
  }
  return { kind: "range", protocol, first, last, place: placeOfField(field) };
}
