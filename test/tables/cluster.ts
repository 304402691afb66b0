/** A small cluster as values, for the tests of tables: built by hand, so that they depend on no parser. */
import type { LabelSelector, Requirement } from "../../src/cluster/selector.ts";
import type {
  ClusterNode,
  Endpoint,
  NamedPort,
  Namespace,
  NetworkSet,
  PortProtocol,
  Service,
  Snapshot,
} from "../../src/cluster/snapshot.ts";
import type { Place } from "../../src/errors.ts";
import { parseAddress, parsePrefix } from "../../src/net/address.ts";
import type { Address, Prefix } from "../../src/net/address.ts";
import type { Policy, PolicyPeer, PolicyPort, PolicyRule } from "../../src/policy/model.ts";
import { DEFAULT_TIER, KUBERNETES_ORDER } from "../../src/policy/order.ts";

export const HERE: Place = { file: "cluster.yaml", line: 1 };

export function address(text: string): Address {
  return parseAddress(text)!;
}

export function prefix(text: string): Prefix {
  return parsePrefix(text)!.prefix;
}

/** `a=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`, separated by `;`. */
export function selector(text: string): LabelSelector {
  const parts = text.split(";").filter((part) => part !== "");
  return { requirements: parts.map(requirement) };
}

function requirement(text: string): Requirement {
  const list = /^(\S+) (in|notin) \((.*)\)$/.exec(text);
  if (list !== null) {
    const operator = list[2] === "in" ? "In" : "NotIn";
    return { key: list[1]!, operator, values: list[3]!.split(",") };
  }
  if (text.startsWith("!")) return { key: text.slice(1), operator: "DoesNotExist", values: [] };
  const [key = "", value] = text.split("=");
  return value === undefined
    ? { key, operator: "Exists", values: [] }
    : { key, operator: "In", values: [value] };
}

function labels(text: string): Map<string, string> {
  return new Map(
    text.split(",").flatMap((pair) => {
      const [key = "", value = ""] = pair.split("=");
      return pair === "" ? [] : [[key, value] as const];
    }),
  );
}

export function namespace(name: string, labelText = ""): Namespace {
  const all = labels(labelText).set("kubernetes.io/metadata.name", name);
  return { name, labels: all, place: HERE };
}

export function pod(
  fullName: string,
  given: {
    labels?: string;
    addresses?: readonly string[];
    node?: string;
    ports?: readonly NamedPort[];
    kind?: Endpoint["kind"];
  } = {},
): Endpoint {
  const [namespace = "", name = ""] = fullName.split("/");
  const kind = given.kind ?? "Pod";
  return {
    namespace,
    name,
    kind,
    workload: { kind, name },
    labels: labels(given.labels ?? ""),
    serviceAccount: "default",
    addresses: (given.addresses ?? []).map(address),
    node: given.node,
    ports: given.ports ?? [],
    place: HERE,
  };
}

export function node(name: string, addresses: readonly string[]): ClusterNode {
  const own = addresses.map(address);
  return {
    name,
    labels: new Map(),
    addresses: own,
    internalAddresses: own,
    ownAddresses: own,
    hostAddresses: own,
    tunnels: [],
    place: HERE,
  };
}

export function service(
  fullName: string,
  given: {
    addresses: readonly string[];
    ports: readonly {
      name?: string;
      protocol?: "TCP" | "UDP" | "SCTP";
      port: number;
      backends: readonly (readonly [address: string, port: number])[];
    }[];
  },
): Service {
  const [namespace = "", name = ""] = fullName.split("/");
  return {
    namespace,
    name,
    type: "ClusterIP",
    clusterAddresses: given.addresses.map(address),
    families: given.addresses.map((text) => address(text).family),
    externalAddresses: [],
    balancerAddresses: [],
    balancerSources: [],
    internalTraffic: "Cluster",
    externalTraffic: "Cluster",
    affinitySeconds: undefined,
    healthCheckPort: undefined,
    ports: given.ports.map(({ name, protocol, port, backends }) => ({
      name,
      protocol: protocol ?? "TCP",
      port,
      nodePort: undefined,
      backends: backends.map(([text, port]) => ({
        address: address(text),
        port,
        node: undefined,
        ready: true,
      })),
    })),
    place: HERE,
  };
}

export function snapshot(given: {
  namespaces?: readonly Namespace[];
  nodes?: readonly ClusterNode[];
  endpoints?: readonly Endpoint[];
  services?: readonly Service[];
  networkSets?: readonly NetworkSet[];
  clusterPrefixes?: readonly string[];
}): Snapshot {
  return {
    namespaceByName: new Map((given.namespaces ?? []).map((one) => [one.name, one])),
    nodeByName: new Map((given.nodes ?? []).map((one) => [one.name, one])),
    endpoints: given.endpoints ?? [],
    pools: [],
    hostEndpoints: [],
    felixByScope: new Map(),
    hostNetworkPods: [],
    blindSpots: [],
    services: given.services ?? [],
    membersByService: new Map(),
    serviceAccounts: new Map(),
    networkSets: given.networkSets ?? [],
    addressesByDomain: new Map(),
    answersByDomain: new Map(),
    clusterPrefixes: (given.clusterPrefixes ?? []).map(prefix),
  };
}

export interface RuleText {
  action?: PolicyRule["action"];
  peers?: readonly PolicyPeer[];
  ports?: readonly PolicyPort[];
}

export function policy(
  fullName: string,
  given: {
    pods?: string;
    ingress?: readonly RuleText[];
    egress?: readonly RuleText[];
  },
): Policy {
  const [namespace = "", name = ""] = fullName.split("/");
  const own = (peer: PolicyPeer): PolicyPeer =>
    peer.kind === "pods" && peer.selector.namespaceSelector === undefined
      ? { ...peer, selector: { ...peer.selector, namespace } }
      : peer;
  const rules = (texts: readonly RuleText[] | undefined): PolicyRule[] | undefined =>
    texts?.map(({ action = "allow", peers, ports }, index) => {
      return { kind: "peers", index, action, peers: peers?.map(own), ports, place: HERE };
    });
  return {
    ref: { kind: "networking.k8s.io NetworkPolicy", namespace, name, place: HERE },
    tier: DEFAULT_TIER,
    order: KUBERNETES_ORDER,
    subject: {
      kind: "labels",
      namespace,
      namespaceSelector: undefined,
      podSelector: selector(given.pods ?? ""),
      text: `${namespace} ${given.pods ?? ""}`,
    },
    ingress: rules(given.ingress),
    egress: rules(given.egress),
    ingressPlace: HERE,
    egressPlace: HERE,
  };
}

/** Without a namespace text: of the policy's own namespace. */
export function pods(podText?: string, namespaceText?: string): PolicyPeer {
  return {
    kind: "pods",
    selector: {
      kind: "labels",
      namespace: undefined,
      namespaceSelector: namespaceText === undefined ? undefined : selector(namespaceText),
      podSelector: podText === undefined ? undefined : selector(podText),
    },
    place: HERE,
  };
}

export function block(text: string, except: readonly string[] = []): PolicyPeer {
  return { kind: "block", prefix: prefix(text), except: except.map(prefix), place: HERE };
}

/** `tcp:80`, `udp:1-9`, `sctp` (every port), `tcp:http` (named). */
export function port(text: string): PolicyPort {
  const [name = "", what] = text.split(":");
  const protocol = name.toUpperCase() as PortProtocol;
  if (what === undefined) return { kind: "range", protocol, first: 0, last: 65535, place: HERE };
  if (!/^\d/.test(what)) return { kind: "named", protocol, name: what, place: HERE };
  const [first, last = first] = what.split("-").map(Number);
  return { kind: "range", protocol, first: first!, last: last!, place: HERE };
}
