/**
 * The cluster at one instant: namespaces, nodes, endpoints and Services, linked and with the defaults
 * an API server would have applied. Built once from manifests; knows nothing of policies.
 */
import type { Place } from "../errors.ts";
import { sameAddress } from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";

/** Labels of one object. A `Map`, because label keys come from the input. */
export type Labels = ReadonlyMap<string, string>;

/** Everything that policies are judged against. */
export interface Snapshot {
  readonly namespaceByName: ReadonlyMap<string, Namespace>;
  readonly nodeByName: ReadonlyMap<string, ClusterNode>;
  /** Ordered by namespace, then name. Finished pods and host-network pods are not endpoints. */
  readonly endpoints: readonly Endpoint[];
  /** Host-network pods: they act as their node; kept for reports. */
  readonly hostNetworkPods: readonly HostNetworkPod[];
  /** Pods that policies do not bind, or that could undo them; ordered as endpoints are. */
  readonly blindSpots: readonly BlindSpot[];
  readonly services: readonly Service[];
  /** By `namespace/name`, of Services without an object too where something tells their endpoints. */
  readonly membersByService: ReadonlyMap<string, ServiceMembers>;
  /** Labels of service accounts, by `namespace/name`. */
  readonly serviceAccounts: ReadonlyMap<string, Labels>;
  /** Calico's; ordered by namespace, then name. */
  readonly networkSets: readonly NetworkSet[];
  /** Calico's; ordered by name. */
  readonly pools: readonly IpPool[];
  /** Calico's, by name. */
  readonly hostEndpoints: readonly HostEndpoint[];
  /**
   * How Felix is set up, by whom it is for: `default`, or `node.` and a node's name, and what the environment
   * of calico-node says: `environment`, or `environment.` and a node's name.
   */
  readonly felixByScope: ReadonlyMap<string, Partial<FelixSettings>>;
  /** What DNS tells of domain names, all of each; a name that is not there may have any addresses. */
  readonly addressesByDomain: ReadonlyMap<string, readonly Address[]>;
  /** What a capture's own DNS answers tell of domain names: each may have others. */
  readonly answersByDomain: ReadonlyMap<string, readonly Address[]>;
  /**
   * Ranges in which every address belongs to the cluster: nodes' pod CIDRs and what the user names.
   * An address in one of them that no object has is missing from the snapshot, not outside.
   */
  readonly clusterPrefixes: readonly Prefix[];
}

export interface Namespace {
  readonly name: string;
  /** `kubernetes.io/metadata.name` included. */
  readonly labels: Labels;
  /** Undefined for a namespace that only other objects mention. */
  readonly place: Place | undefined;
}

export interface ClusterNode {
  readonly name: string;
  readonly labels: Labels;
  /** Internal, external and tunnel addresses. */
  readonly addresses: readonly Address[];
  /** Internal and tunnel addresses. */
  readonly internalAddresses: readonly Address[];
  /** Those that its interfaces have: external ones only where it has no others. */
  readonly ownAddresses: readonly Address[];
  /** By which Calico's nodes know each other; at most one of a family. */
  readonly hostAddresses: readonly Address[];
  /** Those of `hostAddresses`, where Calico has noted them; at most one of a family. Absent: it has not. */
  readonly subnets?: readonly Prefix[];
  /** Of the devices by which nodes reach each other's pods. */
  readonly tunnels: readonly { readonly kind: TunnelKind; readonly address: Address }[];
  readonly place: Place | undefined;
}

/** How packets between pods are wrapped on their way from node to node. */
export type TunnelKind = "ipip" | "vxlan" | "wireguard" | "flannel";

/** A workload endpoint: a pod's interface, or the pods that a workload's template would make. */
export interface Endpoint {
  readonly namespace: string;
  /** Pod name; for a workload without pods its own name. */
  readonly name: string;
  /** `Pod`, or the workload's kind when it stands for pods that are not in the snapshot. */
  readonly kind:
    "Pod" | "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "CronJob";
  /** Owner to group by in reports: `Deployment web`; the endpoint itself when there is none. */
  readonly workload: { readonly kind: string; readonly name: string };
  readonly labels: Labels;
  /** Others that its pods have, of a workload without pods; absent: none. */
  readonly openLabels?: ReadonlyMap<string, OpenLabel>;
  readonly serviceAccount: string;
  /** One for each family; empty for a workload without pods, unless the user maps addresses to it. */
  readonly addresses: readonly Address[];
  /** More that its node translates to those, where FelixConfiguration says so. */
  readonly floatingAddresses?: readonly Address[];
  /** Undefined when the manifest does not say. */
  readonly node: string | undefined;
  /** Named container ports, those of init containers included. */
  readonly ports: readonly NamedPort[];
  /** Ports of its node that its containers ask for; absent: none. */
  readonly hostPorts?: readonly HostPort[];
  readonly place: Place;
}

/** A label that every pod of a workload has, of which the value is not known. */
export interface OpenLabel {
  /** All that there are, each at some pod; undefined: not known. */
  readonly values?: readonly string[];
  /** What they all look like; undefined: anything. */
  readonly form?: RegExp;
}

/** A port of the pod's node by which a container is reached. */
export interface HostPort {
  readonly protocol: PortProtocol;
  /** The node's. */
  readonly port: number;
  /** The container's. */
  readonly target: number;
  /** Of the node's addresses only this one; `0.0.0.0` and `::` are all of their family. Undefined: all. */
  readonly address: Address | undefined;
  /** Of an init container that goes on running. */
  readonly sidecar?: true;
  readonly place: Place;
}

export interface NamedPort {
  readonly name: string;
  readonly protocol: PortProtocol;
  readonly port: number;
  /** Of an init container: one that goes on running, or one that ends. */
  readonly init?: "sidecar" | "ends";
}

/** The protocols a NetworkPolicy and a Service can name. */
export type PortProtocol = "TCP" | "UDP" | "SCTP";

export interface HostNetworkPod {
  readonly namespace: string;
  readonly name: string;
  readonly node: string | undefined;
  readonly place: Place;
}

/** A pod, or a workload without pods, that policies do not bind, or that could undo them. */
export interface BlindSpot {
  readonly namespace: string;
  readonly name: string;
  readonly workload: Endpoint["workload"];
  readonly node: string | undefined;
  /** At least one. */
  readonly powers: readonly PodPower[];
  readonly place: Place;
}

/** What lets a pod past policies: its node's network or processes, or a right over the network. */
export type PodPower = "hostNetwork" | "hostPID" | "privileged" | "ALL" | "NET_ADMIN" | "NET_RAW";

/** A Service. Headless and ExternalName Services are kept for DNS names only. */
export interface Service {
  readonly namespace: string;
  readonly name: string;
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";
  /** Empty when headless or ExternalName, or when none was given yet. */
  readonly clusterAddresses: readonly Address[];
  /** Those in which kube-proxy serves it; none: headless, labelled so, or ExternalName. */
  readonly families: readonly Family[];
  /** Who serves it instead of kube-proxy. */
  readonly proxy?: string;
  readonly externalAddresses: readonly Address[];
  /** Of load balancers that leave them as packets' destination. */
  readonly balancerAddresses: readonly Address[];
  /** Who may use the balancer's addresses; empty: everybody. */
  readonly balancerSources: readonly Prefix[];
  /** `Local`: only to backends of the node that the connection comes by. */
  readonly internalTraffic: "Cluster" | "Local";
  readonly externalTraffic: "Cluster" | "Local";
  /** For how long a client stays with a backend; undefined: each connection on its own. */
  readonly affinitySeconds: number | undefined;
  /** At which a load balancer asks nodes whether they have backends. */
  readonly healthCheckPort: number | undefined;
  readonly ports: readonly ServicePort[];
  readonly place: Place;
}

export interface ServicePort {
  /** Undefined for the only, unnamed port. */
  readonly name: string | undefined;
  readonly protocol: PortProtocol;
  readonly port: number;
  /** At which every node takes connections for it. */
  readonly nodePort: number | undefined;
  /**
   * Endpoints that are ready, and those that still serve while they terminate, of both families, from
   * EndpointSlices, else Endpoints, else the pods that the selector chooses. Ordered by family, then as
   * text. Empty: connections are refused, unless `missing` is set.
   */
  readonly backends: readonly ServiceBackend[];
  /** The fact without which the backends cannot be told; the verdict is then `unknown`. */
  readonly missing?: string;
  /** The fact without which it cannot be told which of them a node chooses from. */
  readonly unplaced?: string;
}

export interface Backend {
  readonly address: Address;
  readonly port: number;
}

/** A backend of a Service. */
export interface ServiceBackend extends Backend {
  /** Undefined when nothing tells it. */
  readonly node: string | undefined;
  /** Its slice names no node: to kube-proxy it is on none, wherever its pod is. */
  readonly nowhere?: true;
  /** False: it terminates, and serves only where no ready one is left. */
  readonly ready: boolean;
  /** Zones and nodes whose clients it is meant for; empty or absent: everybody's. */
  readonly zoneHints?: readonly string[] | undefined;
  readonly nodeHints?: readonly string[] | undefined;
}

/**
 * The endpoints of a Service, ready or not, in no particular order: what Calico's policies mean. They are
 * those of its EndpointSlices, else of its Endpoints, else the pods that its selector chooses, whatever
 * the Service's own ports are.
 */
export interface ServiceMembers {
  /** Of endpoints without ports too. */
  readonly addresses: readonly Address[];
  readonly ports: readonly (Backend & { readonly protocol: PortProtocol })[];
  /** The fact without which it is not known whether there are others. */
  readonly missing?: string;
}

/** Addresses that have labels as endpoints do. */
export interface NetworkSet {
  /** Undefined for a GlobalNetworkSet. */
  readonly namespace: string | undefined;
  readonly name: string;
  readonly labels: Labels;
  readonly prefixes: readonly Prefix[];
  readonly place: Place;
}

/** A range that Calico gives addresses from. */
export interface IpPool {
  readonly prefix: Prefix;
  /** What pods of it send elsewhere than to pools gets a node's address as its source. */
  readonly natOutgoing: boolean;
  readonly forPods: boolean;
  /** Pods get addresses from it, or tunnels: it is not for load balancers only. */
  readonly ofNetwork: boolean;
  /** How what goes to its pods is wrapped. */
  readonly tunnel: "ipip" | "vxlan" | undefined;
  /** And not only between subnets. */
  readonly wrapsAlways: boolean;
}

/** An interface of a node that Calico's policies bind, or all of its interfaces. */
export interface HostEndpoint {
  readonly name: string;
  /** Its own, and those that its profiles hand on. */
  readonly labels: Labels;
  /** Undefined when the manifest does not say: it binds nothing. */
  readonly node: string | undefined;
  /** `*`: all that have no endpoint of their own. Undefined: the one that has one of `addresses`. */
  readonly interfaceName: string | undefined;
  readonly addresses: readonly Address[];
  readonly ports: readonly NamedPort[];
  /** Names of profiles, asked in this order where no policy decides. */
  readonly profiles: readonly { readonly name: string; readonly place: Place }[];
  readonly place: Place;
}

/** What of Felix's configuration changes its tables. */
export interface FelixSettings {
  /** Ports that no policy of a host endpoint can close. */
  readonly failsafeInbound: readonly FailsafePort[];
  readonly failsafeOutbound: readonly FailsafePort[];
  /** What becomes of what a pod sends to its own node, once its policies have let it go. */
  readonly endpointToHost: "accept" | "drop" | "return";
  /** What conntrack calls INVALID is dropped before any policy. */
  readonly dropsInvalid: boolean;
  readonly vxlanPort: number;
  /** Undefined: where some pool says so. */
  readonly ipip: boolean | undefined;
  readonly vxlan: boolean | undefined;
  /** The port of each family that has it. */
  readonly wireguardPorts: { readonly [F in Family]: number | undefined };
  /** Where it says that it takes what nodes themselves send each other, too; undefined: not. */
  readonly wireguardHosts: Place | undefined;
  /** Other hosts that may send wrapped packets. */
  readonly externalNodes: readonly Prefix[];
  /** What pods send to nodes keeps its source, whatever the pools say. */
  readonly spareNodes: boolean;
  /** The source ports that it may get by TCP and UDP; undefined: any. */
  readonly outgoingPorts: { readonly first: number; readonly last: number } | undefined;
  /** Pods may send packets inside of VXLAN or IPIP. */
  readonly podsMayVxlan: boolean;
  readonly podsMayIpip: boolean;
  /** What comes to a pod's floating address is translated. */
  readonly floatingAddresses: boolean;
  /** Without it Felix makes no tables of IPv6. */
  readonly policesIpv6: boolean;
}

export interface FailsafePort {
  readonly protocol: number;
  readonly port: number;
  /** Undefined: from or to everywhere. */
  readonly prefix: Prefix | undefined;
  /** Undefined: Felix's own default. */
  readonly place: Place | undefined;
}

/**
 * Tells whether labels and addresses of all nodes are known: every node that a pod names has an object,
 * and every object an address.
 */
export function knowsNodes({ nodeByName, endpoints, hostNetworkPods }: Snapshot): boolean {
  return (
    nodeByName.size > 0 &&
    [...nodeByName.values()].every(({ addresses }) => addresses.length > 0) &&
    [endpoints, hostNetworkPods]
      .flat()
      .every(({ node }) => node === undefined || nodeByName.has(node))
  );
}

/** The names of all nodes that anything names, in their order. */
export function nodeNames({
  nodeByName,
  endpoints,
  hostNetworkPods,
  hostEndpoints,
  services,
}: Snapshot): string[] {
  const names = new Set(nodeByName.keys());
  const backends = services.flatMap(({ ports }) => ports.flatMap((port) => port.backends));
  for (const { node } of [endpoints, hostNetworkPods, hostEndpoints, backends].flat()) {
    if (node !== undefined) names.add(node);
  }
  return [...names].sort();
}

/**
 * The addresses that are told of a domain name, or of names that `*.` and a name stand for. Answers count
 * where not all of them are told otherwise.
 */
export function domainAddresses(pattern: string, snapshot: Snapshot): readonly Address[] {
  const { addressesByDomain, answersByDomain } = snapshot;
  const told = addressesOf(pattern, addressesByDomain);
  if (knowsDomain(pattern, snapshot)) return told;
  const answered = addressesOf(pattern, answersByDomain).filter(
    (address) => !told.some((other) => sameAddress(address, other)),
  );
  return [...told, ...answered];
}

function addressesOf(pattern: string, byDomain: Snapshot["addressesByDomain"]): Address[] {
  const key = domainKey(pattern);
  if (!key.startsWith("*.")) return [...(byDomain.get(key) ?? [])];
  const told = [...byDomain].filter(([name]) => domainMatches(pattern, name));
  return told.flatMap(([, addresses]) => addresses);
}

/**
 * Tells whether a pattern stands for a name, which is as `domainKey` writes it.
 *
 * > `*.kubernetes.io` matches subdomains of kubernetes.io: one or more entire labels.
 */
export function domainMatches(pattern: string, name: string): boolean {
  const key = domainKey(pattern);
  return key.startsWith("*.") ? name.endsWith(key.slice(1)) : name === key;
}

/**
 * Tells whether all addresses of a domain name are told. Of the names that `*.` stands for there are
 * always others: only what is told of the pattern itself says that there are not.
 */
export function knowsDomain(pattern: string, { addressesByDomain }: Snapshot): boolean {
  return addressesByDomain.has(domainKey(pattern));
}

/** A domain name without what makes no difference: case, and the dot at the end. */
export function domainKey(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

/** The name people know an endpoint by: `namespace/name`. */
export function endpointName(endpoint: {
  readonly namespace: string;
  readonly name: string;
}): string {
  return `${endpoint.namespace}/${endpoint.name}`;
}
