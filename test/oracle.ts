/**
 * The independent evaluator: says whether a connection attempt is allowed straight from the Pod,
 * Namespace, Node, Service, EndpointSlice and NetworkPolicy objects, by rules K-1 to K-14 of
 * docs/semantics.md. Shares no code with what it checks; expects objects that an API server accepted.
 */
import ipaddr from "ipaddr.js";

/** Raw objects, as JSON has them. Everything absent is what the API server takes it for. */
export interface World {
  readonly pods: readonly RawPod[];
  readonly namespaces: readonly RawNamespace[];
  readonly policies: readonly RawPolicy[];
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

interface RawContainer {
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

/** The first packet of a connection. `port` is undefined for protocols without ports. */
export interface Attempt {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly port?: number | undefined;
}

/** One pod's say in one direction. */
export interface Decision {
  readonly allowed: boolean;
  /** `namespace/name` of the policies that isolate the pod; empty: it is not isolated. */
  readonly isolating: readonly string[];
  /** Those of them with a rule that allows the attempt. */
  readonly allowing: readonly string[];
}

export interface Answer {
  /** Undefined when a Service's backends would fare differently. */
  readonly allowed: boolean | undefined;
  /** Undefined when the source is no pod, or policy has no say; likewise `ingress`. */
  readonly egress: Decision | undefined;
  readonly ingress: Decision | undefined;
}

const PROTOCOLS: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

/** Says whether the attempt is allowed, after a Service's translation (K-9, KP-3, KP-4). */
export function judgeAttempt(world: World, attempt: Attempt): Answer {
  const backends = backendsOf(world, attempt);
  if (backends === undefined) return judgeTranslated(world, attempt);
  // > no endpoints at all: REJECT
  if (backends.length === 0) return { allowed: false, egress: undefined, ingress: undefined };
  const answers = backends.map((backend) => judgeTranslated(world, backend));
  const [first] = answers;
  const same = answers.every((answer) => answer.allowed === first?.allowed);
  const only = answers.length === 1 ? first : undefined;
  return {
    allowed: same ? first?.allowed : undefined,
    egress: only?.egress,
    ingress: only?.ingress,
  };
}

function judgeTranslated(world: World, attempt: Attempt): Answer {
  const source = podAt(world, attempt.source);
  const destination = podAt(world, attempt.destination);
  // A pod talking to its own address never leaves it; through a Service it does (row 4 of section 19).
  if (sameAddress(attempt.source, attempt.destination) && !("service" in attempt)) {
    return { allowed: true, egress: undefined, ingress: undefined };
  }
  const egress = source && decide(world, source, "Egress", attempt);
  // > Traffic to a pod from its own node is always allowed (K-10).
  const fromOwnNode =
    destination !== undefined &&
    nodeAt(world, attempt.source) !== undefined &&
    nodeAt(world, attempt.source) === destination.spec?.nodeName;
  const ingress =
    destination && !fromOwnNode ? decide(world, destination, "Ingress", attempt) : undefined;
  return { allowed: (egress?.allowed ?? true) && (ingress?.allowed ?? true), egress, ingress };
}

function decide(world: World, pod: RawPod, type: "Ingress" | "Egress", attempt: Attempt): Decision {
  const isolating = world.policies.filter(
    (policy) =>
      namespaceOf(policy) === namespaceOf(pod) &&
      selects(policy.spec.podSelector ?? {}, pod.metadata.labels ?? {}) &&
      typesOf(policy).includes(type),
  );
  const allowing = isolating.filter(({ metadata, spec }) =>
    (type === "Ingress" ? (spec.ingress ?? []) : (spec.egress ?? [])).some(
      (rule) =>
        peersAllow(world, metadata.namespace ?? "default", type, rule, attempt) &&
        portsAllow(world, rule.ports ?? [], attempt),
    ),
  );
  const named = (policies: readonly RawPolicy[]): string[] =>
    policies.map((policy) => `${namespaceOf(policy)}/${policy.metadata.name}`).sort();
  return {
    allowed: isolating.length === 0 || allowing.length > 0,
    isolating: named(isolating),
    allowing: named(allowing),
  };
}

/** K-3. Absent and empty `policyTypes` mean the same; so do absent and empty `egress` here. */
function typesOf({ spec }: RawPolicy): readonly string[] {
  if (spec.policyTypes !== undefined && spec.policyTypes.length > 0) return spec.policyTypes;
  return (spec.egress ?? []).length > 0 ? ["Ingress", "Egress"] : ["Ingress"];
}

function peersAllow(
  world: World,
  namespace: string,
  type: "Ingress" | "Egress",
  rule: RawRule,
  attempt: Attempt,
): boolean {
  const peers = (type === "Ingress" ? rule.from : rule.to) ?? [];
  const address = type === "Ingress" ? attempt.source : attempt.destination;
  // > If this field is empty or missing, this rule matches all (K-4).
  if (peers.length === 0) return true;
  const pod = podAt(world, address);
  return peers.some(({ ipBlock, namespaceSelector, podSelector }) => {
    if (ipBlock !== undefined) {
      const excepted = (ipBlock.except ?? []).some((except) => inBlock(address, except));
      return inBlock(address, ipBlock.cidr) && !excepted;
    }
    if (pod === undefined) return false;
    const namespaceFits =
      namespaceSelector === undefined
        ? namespaceOf(pod) === namespace
        : selects(namespaceSelector, namespaceLabels(world, namespaceOf(pod)));
    return namespaceFits && selects(podSelector ?? {}, pod.metadata.labels ?? {});
  });
}

function portsAllow(world: World, ports: readonly RawPort[], attempt: Attempt): boolean {
  // > If this field is empty or missing, this rule matches all ports; in Calico all protocols (K-11).
  if (ports.length === 0) return true;
  return ports.some(({ protocol = "TCP", port, endPort }) => {
    if (PROTOCOLS[protocol] !== attempt.protocol) return false;
    if (port === undefined) return true;
    if (attempt.port === undefined) return false;
    if (typeof port === "number") return attempt.port >= port && attempt.port <= (endPort ?? port);
    const { containers = [], initContainers = [] } = podAt(world, attempt.destination)?.spec ?? {};
    return [...containers, ...initContainers]
      .flatMap((container) => container.ports ?? [])
      .some(
        (named) =>
          named.name === port &&
          (named.protocol ?? "TCP") === protocol &&
          named.containerPort === attempt.port,
      );
  });
}

/** K-7. */
function selects(selector: RawSelector, labels: Readonly<Record<string, string>>): boolean {
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

function namespaceLabels(world: World, name: string): Readonly<Record<string, string>> {
  const namespace = world.namespaces.find(({ metadata }) => metadata.name === name);
  return { ...namespace?.metadata.labels, "kubernetes.io/metadata.name": name };
}

function namespaceOf(object: { readonly metadata: RawMetadata }): string {
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

function nodeAt(world: World, address: string): string | undefined {
  return (world.nodes ?? []).find(({ status }) =>
    (status?.addresses ?? []).some(
      (one) => one.type !== "Hostname" && sameAddress(one.address, address),
    ),
  )?.metadata.name;
}

/** Where the Service at the attempt's destination sends it; undefined when there is none. */
function backendsOf(
  world: World,
  attempt: Attempt,
): (Attempt & { readonly service: string })[] | undefined {
  for (const service of world.services ?? []) {
    if (!service.spec.clusterIPs.some((ip) => sameAddress(ip, attempt.destination))) continue;
    const port = service.spec.ports.find(
      (one) => one.port === attempt.port && PROTOCOLS[one.protocol ?? "TCP"] === attempt.protocol,
    );
    if (port === undefined) continue;
    const family = attempt.destination.includes(":") ? "IPv6" : "IPv4";
    return (world.endpointSlices ?? [])
      .filter(
        (slice) =>
          slice.addressType === family &&
          namespaceOf(slice) === namespaceOf(service) &&
          slice.metadata.labels?.["kubernetes.io/service-name"] === service.metadata.name,
      )
      .flatMap((slice) =>
        slice.ports
          .filter((one) => (one.name ?? "") === (port.name ?? ""))
          .flatMap((target) =>
            slice.endpoints.flatMap(({ addresses }) =>
              addresses.map((destination) => ({
                ...attempt,
                destination,
                port: target.port,
                service: service.metadata.name,
              })),
            ),
          ),
      );
  }
  return undefined;
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

function sameAddress(one: string, other: string): boolean {
  return key(one) === key(other);
}

/** K-8. Host bits of the block do not count. */
function inBlock(address: string, block: string): boolean {
  const slash = block.indexOf("/");
  const network = bits(block.slice(0, slash));
  const { width, value } = bits(address);
  const rest = BigInt(width - Number(block.slice(slash + 1)));
  return width === network.width && value >> rest === network.value >> rest;
}
