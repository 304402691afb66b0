/**
 * The objects that the independent evaluator reads, as JSON has them, and what is simple to ask of them.
 * Shares no code with what is checked.
 */
import ipaddr from "ipaddr.js";
import type { RawCalico } from "./oracle-calico.ts";

/** Raw objects, as JSON has them. Everything absent is what the API server takes it for. */
export interface World {
  readonly pods: readonly RawPod[];
  readonly namespaces: readonly RawNamespace[];
  readonly policies: readonly RawPolicy[];
  readonly clusterPolicies?: readonly RawClusterPolicy[];
  readonly calico?: RawCalico | undefined;
  readonly nodes?: readonly RawNode[];
  readonly services?: readonly RawService[];
  readonly endpointSlices?: readonly RawEndpointSlice[];
}

export interface RawMetadata {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface RawPod {
  readonly kind?: string;
  readonly metadata: RawMetadata;
  readonly spec?: {
    readonly nodeName?: string;
    readonly serviceAccountName?: string;
    readonly hostNetwork?: boolean;
    readonly containers?: readonly RawContainer[];
    readonly initContainers?: readonly RawContainer[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly podIPs?: readonly { readonly ip: string }[];
  };
}

export interface RawContainer {
  readonly ports?: readonly {
    readonly name?: string;
    readonly containerPort: number;
    readonly protocol?: string;
  }[];
}

export interface RawNamespace {
  readonly metadata: RawMetadata;
}

export interface RawNode {
  readonly metadata: RawMetadata;
  readonly status?: { readonly addresses?: readonly { type?: string; address: string }[] };
}

export interface RawService {
  readonly metadata: RawMetadata;
  readonly spec: {
    readonly clusterIPs: readonly string[];
    readonly ports: readonly { name?: string; port: number; protocol?: string }[];
  };
}

export interface RawEndpointSlice {
  readonly metadata: RawMetadata;
  readonly addressType: string;
  readonly endpoints: readonly { readonly addresses: readonly string[] }[];
  readonly ports: readonly { name?: string; port: number; protocol?: string }[];
}

export interface RawSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

export interface RawPeer {
  readonly podSelector?: RawSelector;
  readonly namespaceSelector?: RawSelector;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
}

export interface RawPort {
  readonly protocol?: string;
  readonly port?: number | string;
  readonly endPort?: number;
}

export interface RawRule {
  readonly from?: readonly RawPeer[];
  readonly to?: readonly RawPeer[];
  readonly ports?: readonly RawPort[];
}

export interface RawPolicy {
  readonly metadata: RawMetadata;
  readonly spec: {
    readonly podSelector?: RawSelector;
    readonly policyTypes?: readonly string[];
    readonly ingress?: readonly RawRule[];
    readonly egress?: readonly RawRule[];
  };
}

/** AdminNetworkPolicy, BaselineAdminNetworkPolicy or ClusterNetworkPolicy. */
export interface RawClusterPolicy {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: RawMetadata;
  readonly spec: {
    readonly tier?: string;
    readonly priority?: number;
    readonly subject: RawClusterPeer;
    readonly ingress?: readonly RawClusterRule[];
    readonly egress?: readonly RawClusterRule[];
  };
}

export interface RawClusterRule {
  readonly action: string;
  readonly from?: readonly RawClusterPeer[];
  readonly to?: readonly RawClusterPeer[];
  readonly ports?: readonly RawAdminPort[];
  readonly protocols?: readonly RawProtocol[];
}

/** Exactly one of them; a subject is one of the first two. */
export interface RawClusterPeer {
  readonly namespaces?: RawSelector;
  readonly pods?: { readonly namespaceSelector?: RawSelector; readonly podSelector?: RawSelector };
  readonly nodes?: RawSelector;
  readonly networks?: readonly string[];
  readonly domainNames?: readonly string[];
}

export interface RawAdminPort {
  readonly portNumber?: { readonly protocol?: string; readonly port: number };
  readonly portRange?: { readonly protocol?: string; readonly start: number; readonly end: number };
  readonly namedPort?: string;
}

export interface RawProtocol {
  readonly tcp?: RawDestination;
  readonly udp?: RawDestination;
  readonly sctp?: RawDestination;
  readonly destinationNamedPort?: string;
}

export interface RawDestination {
  readonly destinationPort: {
    readonly number?: number;
    readonly range?: { readonly start: number; readonly end: number };
  };
}

/** The first packet of a connection. `port` is undefined for protocols without ports. */
export interface Attempt {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly port?: number | undefined;
  readonly sourcePort?: number | undefined;
}

/** Protocol numbers by their names in objects. */
export const PROTOCOLS: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

/** K-7. */
export function selects(selector: RawSelector, labels: Readonly<Record<string, string>>): boolean {
  const value = (key: string): string | undefined =>
    Object.hasOwn(labels, key) ? labels[key] : undefined;
  return (
    Object.entries(selector.matchLabels ?? {}).every(([key, wanted]) => value(key) === wanted) &&
    (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
      const has = value(key) !== undefined;
      const listed = has && values.includes(value(key)!);
      if (operator === "In") return listed;
      if (operator === "NotIn") return !listed;
      return operator === "Exists" ? has : !has;
    })
  );
}

/** The labels of a namespace, that of its name included. */
export function namespaceLabels(world: World, name: string): Readonly<Record<string, string>> {
  const namespace = world.namespaces.find(({ metadata }) => metadata.name === name);
  return { ...namespace?.metadata.labels, "kubernetes.io/metadata.name": name };
}

/** `default` where the object does not say. */
export function namespaceOf(object: { readonly metadata: RawMetadata }): string {
  return object.metadata.namespace ?? "default";
}

/** The pod that has the address: not one on the host's network (K-10), not a finished one (K-12). */
export function podAt(world: World, address: string): RawPod | undefined {
  let owners = ownersOfWorld.get(world);
  if (owners === undefined) {
    const live = world.pods.filter(
      ({ spec, status }) =>
        spec?.hostNetwork !== true && status?.phase !== "Succeeded" && status?.phase !== "Failed",
    );
    owners = new Map(live.flatMap((pod) => addressesOf(pod).map((ip) => [key(ip), pod] as const)));
    ownersOfWorld.set(world, owners);
  }
  return owners.get(key(address));
}

const ownersOfWorld = new WeakMap<World, ReadonlyMap<string, RawPod>>();

function addressesOf({ status }: RawPod): string[] {
  return [...(status?.podIPs ?? []).map(({ ip }) => ip), ...(status?.podIP ? [status.podIP] : [])];
}

/** The name of the node that has the address. */
export function nodeAt(world: World, address: string): string | undefined {
  return nodeObjectAt(world, address)?.metadata.name;
}

/** The node that has the address. */
export function nodeObjectAt(world: World, address: string): RawNode | undefined {
  return (world.nodes ?? []).find(({ status }) =>
    (status?.addresses ?? []).some(
      (one) => one.type !== "Hostname" && sameAddress(one.address, address),
    ),
  );
}

// ── Addresses ─────────────────────────────────────────────────────────────────────────────────────────

interface Bits {
  readonly width: number;
  readonly value: bigint;
}

const bitsByText = new Map<string, Bits>();

function bits(text: string): Bits {
  let known = bitsByText.get(text);
  if (known === undefined) {
    const bytes = ipaddr.parse(text).toByteArray();
    known = {
      width: bytes.length * 8,
      value: bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n),
    };
    if (bitsByText.size > 100_000) bitsByText.clear();
    bitsByText.set(text, known);
  }
  return known;
}

function key(text: string): string {
  const { width, value } = bits(text);
  return `${width}:${value}`;
}

/** In whatever spelling. */
export function sameAddress(one: string, other: string): boolean {
  return key(one) === key(other);
}

/** K-8. Host bits of the block do not count. */
export function inBlock(address: string, block: string): boolean {
  const slash = block.indexOf("/");
  const network = bits(block.slice(0, slash));
  const { width, value } = bits(address);
  const rest = BigInt(width - Number(block.slice(slash + 1)));
  return width === network.width && value >> rest === network.value >> rest;
}
