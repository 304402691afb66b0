/**
 * Seeded clusters of Services of every kind, as objects: two nodes with pods of both families, policies
 * that tell clients apart, and who may be reached how. Made to be judged from node-1.
 */
import type { Random } from "./random.ts";

/** One endpoint of a Service, as the slice says it. */
export interface RawServiceEndpoint {
  readonly addresses: readonly [four: string, six: string];
  /** Undefined: nothing tells it. */
  readonly node: string | undefined;
  readonly state: "ready" | "not ready" | "terminating";
  readonly zones: readonly string[];
}

/** A Service with what its slices say. */
export interface RandomService {
  readonly name: string;
  readonly protocol: "TCP" | "UDP" | "SCTP";
  readonly port: number;
  readonly targetPort: number;
  readonly nodePort: number | undefined;
  /** IPv4, IPv6. */
  readonly clusterIPs: readonly string[];
  readonly externalIPs: readonly string[];
  readonly balancer: readonly { readonly ip: string; readonly ipMode?: "VIP" | "Proxy" }[];
  readonly sourceRanges: readonly string[];
  readonly internal: "Cluster" | "Local";
  readonly external: "Cluster" | "Local";
  /** Undefined: no session affinity. */
  readonly affinitySeconds: number | undefined;
  readonly endpoints: readonly RawServiceEndpoint[];
}

/** A port of its node by which a pod is reached. */
export interface RandomHostPort {
  readonly protocol: "TCP" | "UDP" | "SCTP";
  readonly port: number;
  readonly target: number;
  /** Undefined: at all of the node's addresses. */
  readonly ip: string | undefined;
}

/** A cluster. */
export interface ServiceWorld {
  readonly nodes: readonly {
    readonly name: string;
    /** Undefined: it has no such label. */
    readonly zone: string | undefined;
    readonly addresses: readonly [string, string];
    /** Of its devices that wrap packets; undefined: no object tells it. */
    readonly tunnels: readonly [four: string | undefined, six: string | undefined];
  }[];
  readonly pods: readonly {
    readonly name: string;
    /** Undefined: no object tells it. */
    readonly node: string | undefined;
    readonly addresses: readonly [string, string];
    readonly hostPorts: readonly RandomHostPort[];
  }[];
  readonly services: readonly RandomService[];
  /** What nodes do with the sources of what pods send out; undefined: no object tells. */
  readonly outgoing: "masqueraded" | "kept" | undefined;
  /** How nodes wrap what they send to pods elsewhere. */
  readonly wrapping: Wrapping;
  /** NetworkPolicies, as objects. */
  readonly policies: readonly object[];
  /** As `kubectl get -o json` prints them. */
  readonly objects: readonly object[];
}

/** By family: in which mode, and whether WireGuard takes what it can. */
export type Wrapping = readonly [Mode, Mode];
type Mode = "Never" | "Always" | "CrossSubnet" | "WireGuard";

/** Addresses outside of the cluster. */
export const CLIENTS = ["192.0.2.10", "192.0.2.200", "2001:db8::10", "2001:db8::ff00"];
const SOURCE_RANGES = ["192.0.2.0/25", "2001:db8::/120", "10.244.0.0/16", "192.168.7.1/32"];

const POOLS = ["10.244.0.0/16", "fd00:244::/48"];

function pool(cidr: string, mode: Mode, outgoing: ServiceWorld["outgoing"]): object {
  // IPIP is IPv4's alone.
  const key = cidr.includes(":") || cidr.length % 2 === 0 ? "vxlanMode" : "ipipMode";
  return {
    apiVersion: "crd.projectcalico.org/v1",
    kind: "IPPool",
    metadata: { name: cidr.replace(/\W/g, "-") },
    spec: {
      cidr,
      natOutgoing: outgoing === "masqueraded",
      [key]: mode === "WireGuard" ? "Never" : mode,
    },
  };
}

/**
 * Draws a cluster.
 *
 * @param between for all nodes seen as one: more of them, of which objects tell less; `bare`: nodes wrap nothing
 */
export function randomServiceWorld(random: Random, between?: "bare" | "wrapped"): ServiceWorld {
  const several = between !== undefined;
  const names = ["node-1", "node-2", ...(several && random.chance(0.5) ? ["node-3"] : [])];
  const modes = (): Mode =>
    between === "wrapped" ? random.pick(["Never", "Always", "CrossSubnet", "WireGuard"]) : "Never";
  const wrapping = [modes(), modes()] as const;
  const tunnelled = between === "wrapped" && random.chance(0.7);
  const told = (address: string): string | undefined =>
    tunnelled && random.chance(0.7) ? address : undefined;
  const nodes = names.map((name, index) => ({
    name,
    zone: several && random.chance(0.2) ? undefined : `zone-${index % 2}`,
    addresses: [`192.168.7.${index + 1}`, `fd00:7::${index + 1}`] as const,
    tunnels: [told(`10.244.${index}.1`), told(`fd00:244:0:${index + 2}::1`)] as const,
  }));
  const unplaced = several && random.chance(0.4);
  const pods = Array.from({ length: 8 }, (_, index) => {
    const node = index % nodes.length;
    return {
      name: `pod-${index}`,
      node: unplaced && random.chance(0.3) ? undefined : nodes[node]!.name,
      addresses: [`10.244.${node}.${index + 2}`, `fd00:244:0:${node + 2}::${index + 2}`] as const,
      hostPorts: random.chance(0.5) ? [randomHostPort(random, index, nodes[node]!)] : [],
    };
  });
  const services = Array.from({ length: 12 }, (_, index) =>
    randomService(random, index, { nodes, pods, between }),
  );
  const outgoing = random.pick(["masqueraded", "kept", undefined] as const);
  const policies = Array.from({ length: random.below(4) }, (_, index) =>
    randomPolicy(random, index, several ? [...PEERS, ...PEERS_OF_TUNNELS] : PEERS),
  );
  return withObjects({ nodes, pods, services, outgoing, wrapping, policies });
}

/** The world with pods on nodes, those that no object places, and whoever of their Services' endpoints is one. */
export function placePods(
  world: ServiceWorld,
  nodeOf: (pod: string) => string | undefined,
): ServiceWorld {
  const pods = world.pods.map((pod) => ({ ...pod, node: pod.node ?? nodeOf(pod.name) }));
  const nodeAt = (address: string): string | undefined =>
    pods.find(({ addresses }) => addresses.some((own) => own === address))?.node;
  const services = world.services.map((service) => ({
    ...service,
    endpoints: service.endpoints.map((one) => ({
      ...one,
      node: one.node ?? nodeAt(one.addresses[0]),
    })),
  }));
  return { ...world, pods, services };
}

/** The world with the objects that tell all of it. */
export function withObjects(world: Omit<ServiceWorld, "objects">): ServiceWorld {
  const { nodes, pods, services, outgoing, wrapping, policies } = world;
  const objects = [
    ...(outgoing === undefined
      ? []
      : POOLS.map((cidr, family) => pool(cidr, wrapping[family]!, outgoing))),
    ...(wrapping.includes("WireGuard") ? [wireguard(wrapping)] : []),
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "a" } },
    ...nodes.map(({ name, zone, addresses, tunnels }, index) => ({
      apiVersion: "v1",
      kind: "Node",
      metadata: {
        name,
        labels: zone === undefined ? {} : { "topology.kubernetes.io/zone": zone },
        annotations: tunnelAnnotations(tunnels, wrapping),
      },
      spec: { podCIDRs: [`10.244.${index}.0/24`, `fd00:244:0:${index + 2}::/64`] },
      status: { addresses: addresses.map((address) => ({ type: "InternalIP", address })) },
    })),
    ...pods.map(({ name, node, addresses, hostPorts }, index) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "a", labels: { app: `app-${index % 4}` } },
      spec: { nodeName: node, containers: [{ name: "c", ports: hostPorts.map(containerPort) }] },
      status: { phase: "Running", podIPs: addresses.map((ip) => ({ ip })) },
    })),
    ...services.flatMap(serviceObjects),
    ...policies,
  ];
  return { ...world, objects };
}

function containerPort({ protocol, port, target, ip }: RandomHostPort): object {
  return { protocol, containerPort: target, hostPort: port, hostIP: ip };
}

function wireguard(wrapping: Wrapping): object {
  return {
    apiVersion: "projectcalico.org/v3",
    kind: "FelixConfiguration",
    metadata: { name: "default" },
    spec: {
      wireguardEnabled: wrapping[0] === "WireGuard",
      wireguardEnabledV6: wrapping[1] === "WireGuard",
    },
  };
}

function tunnelAnnotations(
  [four, six]: ServiceWorld["nodes"][number]["tunnels"],
  [mode, mode6]: Wrapping,
): object {
  const key = mode === "WireGuard" ? "IPv4WireguardInterfaceAddr" : "IPv4IPIPTunnelAddr";
  const key6 = mode6 === "WireGuard" ? "IPv6WireguardInterfaceAddr" : "IPv6VXLANTunnelAddr";
  return {
    ...(four === undefined ? {} : { [`projectcalico.org/${key}`]: four }),
    ...(six === undefined ? {} : { [`projectcalico.org/${key6}`]: six }),
  };
}

/** Of its own, or that of a node port; no two pods have the same. */
function randomHostPort(
  random: Random,
  index: number,
  { addresses }: ServiceWorld["nodes"][number],
): RandomHostPort {
  return {
    protocol: random.pick(["TCP", "UDP", "SCTP"]),
    port: random.chance(0.3) ? 30_000 + index : 9000 + index,
    target: random.pick([8080, 80]),
    ip: random.pick([undefined, undefined, undefined, "0.0.0.0", "::", ...addresses]),
  };
}

function randomService(
  random: Random,
  index: number,
  {
    nodes,
    pods,
    between,
  }: Pick<ServiceWorld, "nodes" | "pods"> & { readonly between: "bare" | "wrapped" | undefined },
): RandomService {
  const kind = random.pick(["ClusterIP", "NodePort", "LoadBalancer", "external"] as const);
  const four = random.chance(0.9);
  const six = !four || random.chance(0.7);
  const own = (addresses: readonly string[]): string[] =>
    addresses.filter((address) => (address.includes(":") ? six : four));
  const holders = [
    ...pods,
    ...nodes.map(({ name, addresses }) => ({ name, node: name, addresses })),
  ];
  const hinted = random.chance(0.2);
  const balancer = own([`203.0.113.${index + 1}`, `2001:db8:1::${index + 1}`]).map((ip) => ({
    ip,
    ...(random.chance(0.3) ? { ipMode: random.pick(["VIP", "Proxy"] as const) } : {}),
  }));
  return {
    name: `service-${index}`,
    protocol: random.pick(["TCP", "UDP", "SCTP"]),
    port: random.pick([80, 443, 5000]),
    targetPort: random.pick([8080, 80]),
    nodePort: kind === "NodePort" || kind === "LoadBalancer" ? 30000 + index : undefined,
    clusterIPs: own([`10.96.0.${index + 10}`, `fd00:96::${index + 10}`]),
    externalIPs:
      kind === "external" || random.chance(0.1)
        ? own([`198.51.100.${index + 1}`, `2001:db8:2::${index + 1}`])
        : [],
    balancer: kind === "LoadBalancer" ? balancer : [],
    sourceRanges: random.chance(0.5) ? random.some(SOURCE_RANGES, 1, 3) : [],
    internal: random.chance(0.2) ? "Local" : "Cluster",
    external: random.chance(0.5) ? "Local" : "Cluster",
    affinitySeconds:
      between === "wrapped" ? random.pick(AFFINITIES) : random.chance(0.3) ? 10_800 : undefined,
    endpoints: asToldBySome(
      random.some(holders, random.chance(0.8) ? 1 : 0, random.pick([1, 1, 2, 3])).map((one) => ({
        addresses: one.addresses,
        node: one.node,
        state: random.pick([
          "ready",
          "ready",
          "ready",
          "ready",
          "not ready",
          "terminating",
        ] as const),
        zones: hinted ? [random.pick(nodes).zone ?? "zone-1"] : [],
      })),
    ),
  };
}

/** Slices place all of theirs; Endpoints of a selector, which do not, know neither of hints nor of who terminates. */
function asToldBySome(endpoints: readonly RawServiceEndpoint[]): readonly RawServiceEndpoint[] {
  if (areAllPlaced(endpoints)) return endpoints;
  return endpoints.map((one) => ({
    ...one,
    state: one.state === "ready" ? "ready" : "not ready",
    zones: [],
  }));
}

function areAllPlaced(endpoints: readonly RawServiceEndpoint[]): boolean {
  return endpoints.every(({ node }) => node !== undefined);
}

const AFFINITIES = [undefined, undefined, 5, 60, 10_800];

function affinityOf({ affinitySeconds }: RandomService): object {
  if (affinitySeconds === undefined) return { sessionAffinity: "None" };
  const clientIP = { timeoutSeconds: affinitySeconds };
  return { sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP } };
}

const CONDITIONS = {
  ready: { ready: true },
  "not ready": { ready: false, serving: false },
  terminating: { ready: false, serving: true, terminating: true },
} as const;

function serviceObjects(service: RandomService): object[] {
  const { name, protocol, port, targetPort, nodePort, clusterIPs, externalIPs } = service;
  const metadata = { name, namespace: "a" };
  const type =
    service.balancer.length > 0
      ? "LoadBalancer"
      : nodePort === undefined
        ? "ClusterIP"
        : "NodePort";
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata,
      spec: {
        type,
        clusterIP: clusterIPs[0],
        clusterIPs,
        externalIPs,
        loadBalancerSourceRanges: service.sourceRanges,
        internalTrafficPolicy: service.internal,
        externalTrafficPolicy: service.external,
        ...affinityOf(service),
        ...(areAllPlaced(service.endpoints) ? {} : { selector: { service: name } }),
        ports: [{ name: "p", protocol, port, targetPort, nodePort }],
      },
      status: { loadBalancer: { ingress: service.balancer } },
    },
    ...(areAllPlaced(service.endpoints) ? slicesOf(service) : [endpointsOf(service)]),
  ];
}

function endpointsOf({ name, protocol, targetPort, endpoints }: RandomService): object {
  const inState = (state: RawServiceEndpoint["state"]): object[] =>
    endpoints
      .filter((one) => one.state === state)
      .flatMap(({ addresses, node }) => addresses.map((ip) => ({ ip, nodeName: node })));
  return {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: { name, namespace: "a" },
    subsets: [
      {
        addresses: inState("ready"),
        notReadyAddresses: inState("not ready"),
        ports: [{ name: "p", protocol, port: targetPort }],
      },
    ],
  };
}

function slicesOf({ name, protocol, targetPort, endpoints }: RandomService): object[] {
  return (["IPv4", "IPv6"] as const).map((addressType, family) => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${name}-${addressType.toLowerCase()}`,
      namespace: "a",
      labels: { "kubernetes.io/service-name": name },
    },
    addressType,
    ports: [{ name: "p", protocol, port: targetPort }],
    endpoints: endpoints.map(({ addresses, node, state, zones }) => ({
      addresses: [addresses[family]],
      nodeName: node,
      conditions: CONDITIONS[state],
      ...(zones.length === 0 ? {} : { hints: { forZones: zones.map((zone) => ({ name: zone })) } }),
    })),
  }));
}

const PEERS = [
  { ipBlock: { cidr: "192.0.2.0/25" } },
  { ipBlock: { cidr: "192.168.7.0/24" } },
  { ipBlock: { cidr: "2001:db8::/120" } },
  { ipBlock: { cidr: "fd00:7::/64" } },
  { ipBlock: { cidr: "10.96.0.0/16" } },
  { podSelector: { matchLabels: { app: "app-1" } } },
  { podSelector: {} },
];

/** They have addresses of the pods' ranges, which need not be told. */
const PEERS_OF_TUNNELS = [
  { ipBlock: { cidr: "10.244.0.0/16", except: ["10.244.0.0/24"] } },
  { ipBlock: { cidr: "10.244.1.0/24" } },
  { ipBlock: { cidr: "10.244.0.1/32" } },
  { ipBlock: { cidr: "fd00:244::/48" } },
  { ipBlock: { cidr: "fd00:244:0:3::/64" } },
];

/** Tells clients of the two halves of a range apart, nodes from pods, and pods from each other. */
function randomPolicy(random: Random, index: number, peers: readonly object[]): object {
  const ingress = random.chance(0.6);
  const rule = { [ingress ? "from" : "to"]: random.some(peers, 1, 4) };
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: `policy-${index}`, namespace: "a" },
    spec: {
      podSelector: random.chance(0.4) ? {} : { matchLabels: { app: `app-${random.below(4)}` } },
      policyTypes: [ingress ? "Ingress" : "Egress"],
      [ingress ? "ingress" : "egress"]: [rule],
    },
  };
}
