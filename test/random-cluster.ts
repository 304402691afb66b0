/**
 * Seeded random clusters, policies and connection attempts. Values are drawn from small pools, so that
 * labels, blocks and ports meet often, and attempts lie on the edges of what the policies say.
 */
import type {
  Attempt,
  RawClusterPeer,
  RawClusterPolicy,
  RawClusterRule,
  RawEndpointSlice,
  RawNamespace,
  RawNode,
  RawPeer,
  RawPod,
  RawPolicy,
  RawPort,
  RawRule,
  RawSelector,
  RawService,
  World,
} from "./oracle.ts";
import type { RawCalico } from "./oracle-calico.ts";
import type { Random } from "./random.ts";
import { ACCOUNTS, randomCalico } from "./random-calico.ts";

/** A world whose optional lists are there. */
export type RandomWorld = Required<World>;

/** How large a cluster is drawn. */
export interface ClusterSize {
  readonly pods: number;
  readonly policies: number;
  /** Cluster-wide policies; none when absent. */
  readonly clusterPolicies?: number;
  /** Some of these have equal priorities: the API leaves open which decides. */
  readonly ties?: boolean;
  /** Calico's policies, and what goes with them; none when absent. */
  readonly calico?: number;
  /** With them, host endpoints on this node. */
  readonly hostsOn?: string;
  /** Some of these name domains, whose addresses nothing tells. */
  readonly domains?: boolean;
  /** There are no Node objects: which addresses nodes have is not known. */
  readonly nodeless?: boolean;
  /** Most policies of namespaces and of Calico stand where the one before does, and select the same. */
  readonly grouped?: boolean;
}

const NAMESPACES = ["alpha", "beta", "gamma", "delta"];
const KEYS = ["app", "tier", "env"];
const VALUES = ["web", "db", "x"];
const PORTS = [80, 81, 443, 8080, 53];
const PORT_NAMES = ["http", "dns", "metrics"];
const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;
const NODES = ["node-1", "node-2", "node-3"];
const NODE_LABELS = [{ app: "web", env: "x" }, { tier: "db" }, {}];

/** Draws a cluster with its policies. */
export function randomWorld(random: Random, size: ClusterSize): RandomWorld {
  const namespaces = NAMESPACES.slice(0, 1 + random.below(NAMESPACES.length)).map(
    (name): RawNamespace => ({ metadata: { name, labels: randomLabels(random) } }),
  );
  const names = namespaces.map(({ metadata }) => metadata.name);
  const nodes = NODES.slice(0, 1 + random.below(NODES.length)).map(
    (name, index): RawNode & { spec: unknown } => ({
      metadata: { name, labels: NODE_LABELS[index]! },
      spec: { podCIDRs: [`10.244.${index}.0/24`, `fd00:244:0:${index}::/64`] },
      status: {
        addresses: [
          { type: "InternalIP", address: `192.168.7.${index + 1}` },
          { type: "InternalIP", address: `fd00:7::${index + 1}` },
          { type: "Hostname", address: name },
        ],
      },
    }),
  );
  const pods = Array.from({ length: size.pods }, (_, index): RawPod => {
    const node = random.below(nodes.length);
    // Addresses near powers of two, so that blocks of every length divide them.
    const host = 2 + ((index * 7) % 250);
    const ips = [`10.244.${node}.${host}`, `fd00:244:0:${node}::${host.toString(16)}`];
    const hostNetwork = random.chance(0.05);
    const phase = random.chance(0.06) ? random.pick(["Succeeded", "Failed"]) : "Running";
    const shown = random.chance(0.85) ? ips : [random.pick(ips)];
    const container = (): { name: string; image: string; ports: object[] } => ({
      name: `c${random.below(1000000)}`,
      image: "example.test/image",
      ports: random.some(PORT_NAMES, 0, 2).map((name) => ({
        name,
        containerPort: random.pick(PORTS),
        protocol: random.pick(PROTOCOLS),
      })),
    });
    return {
      metadata: {
        name: `pod-${index}`,
        namespace: random.pick(names),
        ...(random.chance(0.9) ? { labels: randomLabels(random) } : {}),
      },
      spec: {
        nodeName: nodes[node]!.metadata.name,
        ...(hostNetwork ? { hostNetwork } : {}),
        containers: Array.from({ length: 1 + random.below(2) }, container) as never,
        ...(random.chance(0.2) ? { initContainers: [container()] as never } : {}),
      },
      status: {
        phase,
        podIPs: hostNetwork
          ? nodes[node]!.status!.addresses!.slice(0, 2).map(({ address: ip }) => ({ ip }))
          : shown.map((ip) => ({ ip })),
      },
    };
  });
  const draft: RandomWorld = {
    namespaces,
    nodes,
    pods,
    policies: [],
    clusterPolicies: [],
    calico: undefined,
    ...randomServices(random, pods, names),
  };
  const drawn = Array.from({ length: size.policies }, (_, index) =>
    randomPolicy(random, `policy-${index}`, random.pick(names), draft),
  );
  const policies =
    size.grouped === true
      ? likeTheOneBefore(random, drawn, (policy, before) => ({
          metadata: { ...policy.metadata, namespace: before.metadata.namespace! },
          spec: { ...policy.spec, podSelector: before.spec.podSelector ?? {} },
        }))
      : drawn;
  const clusterPolicies = randomClusterPolicies(random, size, draft);
  const nodesShown = size.nodeless === true ? [] : nodes;
  const world = { ...draft, nodes: nodesShown, policies, clusterPolicies };
  return size.calico === undefined
    ? world
    : withCalico(random, world, { ...size, policies: size.calico });
}

/** Changes most items of a list, by the one before each. */
function likeTheOneBefore<T>(
  random: Random,
  items: readonly T[],
  change: (item: T, before: T) => T,
): T[] {
  return items.reduce<T[]>((all, item) => {
    const before = all.at(-1);
    return [...all, before !== undefined && random.chance(0.7) ? change(item, before) : item];
  }, []);
}

function withCalico(
  random: Random,
  world: RandomWorld,
  given: { readonly policies: number; readonly hostsOn?: string; readonly grouped?: boolean },
): RandomWorld {
  const pods = world.pods.map((pod, index) => ({
    ...pod,
    spec: { ...pod.spec, serviceAccountName: ACCOUNTS[index % ACCOUNTS.length]! },
  }));
  const block = (): string => randomBlock(random, world).cidr;
  const { policies, hostsOn, grouped } = given;
  const calico = randomCalico({ random, world, block, policies, hostsOn });
  if (grouped !== true) return { ...world, pods, calico };
  const alike = likeTheOneBefore(random, calico.policies, ({ kind, metadata, spec }, before) => {
    // The rules of a policy are for its kind.
    if (kind !== before.kind) return { kind, metadata, spec };
    const { ingress = before.spec.ingress, egress = before.spec.egress } = spec;
    return {
      kind,
      metadata: { ...before.metadata, name: metadata.name },
      spec: {
        ...before.spec,
        ...(ingress === undefined ? {} : { ingress }),
        ...(egress === undefined || before.spec.preDNAT === true ? {} : { egress }),
      },
    };
  });
  return { ...world, pods, calico: { ...calico, policies: alike } };
}

function randomServices(
  random: Random,
  pods: readonly RawPod[],
  namespaces: readonly string[],
): { services: RawService[]; endpointSlices: RawEndpointSlice[] } {
  const services: RawService[] = [];
  const endpointSlices: RawEndpointSlice[] = [];
  for (let index = 0; index < 3; index++) {
    const namespace = random.pick(namespaces);
    const name = `service-${index}`;
    const ports = random.some(PROTOCOLS, 1, 2).map((protocol, at) => ({
      name: `port-${at}`,
      protocol,
      port: random.pick([80, 443, 53]),
    }));
    // Several names for one number are legal when the protocols differ.
    const clusterIPs = [`10.96.0.${index + 10}`, `fd00:96::${index + 10}`];
    services.push({
      metadata: { name, namespace },
      spec: { clusterIPs, ports, type: "ClusterIP", ipFamilies: ["IPv4", "IPv6"] } as never,
    });
    const live = pods.filter(
      (pod) => pod.metadata.namespace === namespace && pod.spec?.hostNetwork !== true,
    );
    const targets = random
      .some(live, random.chance(0.85) ? 1 : 0, random.chance(0.7) ? 1 : 3)
      .filter(isRunning);
    for (const addressType of ["IPv4", "IPv6"]) {
      const addresses = targets
        .flatMap(({ status }) => status?.podIPs ?? [])
        .map(({ ip }) => ip)
        .filter((ip) => ip.includes(":") === (addressType === "IPv6"));
      endpointSlices.push({
        metadata: {
          name: `${name}-${addressType.toLowerCase()}`,
          namespace,
          labels: { "kubernetes.io/service-name": name },
        },
        addressType,
        endpoints: addresses.map((address) => ({
          addresses: [address],
          conditions: { ready: true },
        })),
        ports: ports.map(({ name: portName, protocol }) => ({
          // Of a name that the Service does not have: no backend, and all the same an endpoint for policies.
          name: random.chance(0.1) ? `no-${portName}` : portName,
          protocol,
          port: random.pick(PORTS),
        })),
      });
    }
  }
  return { services, endpointSlices };
}

function isRunning({ status }: RawPod): boolean {
  return status?.phase === "Running";
}

function randomLabels(random: Random): Record<string, string> {
  return Object.fromEntries(random.some(KEYS, 0, 3).map((key) => [key, random.pick(VALUES)]));
}

function randomSelector(random: Random): RawSelector {
  if (random.chance(0.2)) return {};
  const matchLabels = Object.fromEntries(
    random.some(KEYS, 0, 1).map((key) => [key, random.pick(VALUES)]),
  );
  const matchExpressions = random.some(KEYS, 0, random.chance(0.5) ? 0 : 2).map((key) => {
    const operator = random.pick(["In", "NotIn", "Exists", "DoesNotExist"]);
    return operator === "In" || operator === "NotIn"
      ? { key, operator, values: random.some([...VALUES, "never"], 1, 2) }
      : { key, operator };
  });
  return {
    ...(random.chance(0.7) ? { matchLabels } : {}),
    ...(matchExpressions.length > 0 ? { matchExpressions } : {}),
  };
}

function randomPolicy(
  random: Random,
  name: string,
  namespace: string,
  world: RandomWorld,
): RawPolicy {
  const rules = (side: "from" | "to"): RawRule[] =>
    Array.from({ length: random.below(4) }, () => randomRule(random, side, world));
  const types = random.pick([
    undefined,
    [],
    ["Ingress"],
    ["Egress"],
    ["Ingress", "Egress"],
    ["Egress", "Ingress"],
  ]);
  return {
    metadata: { name, namespace },
    spec: {
      podSelector: randomSelector(random),
      ...(types === undefined ? {} : { policyTypes: types }),
      ...(random.chance(0.7) ? { ingress: rules("from") } : {}),
      ...(random.chance(0.6) ? { egress: rules("to") } : {}),
    },
  };
}

function randomRule(random: Random, side: "from" | "to", world: RandomWorld): RawRule {
  const peers = Array.from({ length: random.below(3) }, () => randomPeer(random, world));
  const many = random.chance(0.05);
  const ports = Array.from({ length: many ? 20 : random.below(4) }, (_, index) =>
    many && random.chance(0.8) ? { port: 1000 + 7 * index, protocol: "TCP" } : randomPort(random),
  );
  return {
    ...(peers.length > 0 || random.chance(0.3) ? { [side]: peers } : {}),
    ...(ports.length > 0 || random.chance(0.2) ? { ports } : {}),
  };
}

function randomPeer(random: Random, world: RandomWorld): RawPeer {
  switch (random.below(5)) {
    case 0:
      return { podSelector: randomSelector(random) };
    case 1:
      return { namespaceSelector: randomNamespaceSelector(random, world) };
    case 2:
      return {
        namespaceSelector: randomNamespaceSelector(random, world),
        podSelector: randomSelector(random),
      };
    default:
      return { ipBlock: randomBlock(random, world) };
  }
}

function randomNamespaceSelector(random: Random, world: RandomWorld): RawSelector {
  if (random.chance(0.6)) return randomSelector(random);
  const { name } = random.pick(world.namespaces).metadata;
  return { matchLabels: { "kubernetes.io/metadata.name": name } };
}

/** A block around an address that packets come from, and blocks cut out around such addresses. */
function randomBlock(random: Random, world: RandomWorld): NonNullable<RawPeer["ipBlock"]> {
  const six = random.chance(0.4);
  const candidates = blockCentres(world).filter((address) => address.includes(":") === six);
  const centre = random.pick(candidates);
  const lengths = six
    ? [0, 16, 32, 48, 64, 100, 120, 126, 128]
    : [0, 8, 12, 16, 20, 24, 28, 30, 31, 32];
  const length = random.pick(lengths);
  const width = six ? 128 : 32;
  // Host bits are left in now and then: the API server takes them, and masks them.
  const cidr = random.chance(0.1) ? `${centre}/${length}` : prefixText(centre, length);
  const inside = lengths.filter((one) => one > length);
  const except = random.chance(0.5)
    ? random
        .some(inside, 0, 2)
        .map((one) => prefixText(nearby(random, centre, width - length), one))
    : undefined;
  return { cidr, ...(except === undefined ? {} : { except }) };
}

function blockCentres(world: RandomWorld): string[] {
  return [
    ...world.pods.flatMap(({ status }) => status?.podIPs ?? []).map(({ ip }) => ip),
    ...OUTSIDE,
    "192.168.7.1",
    "fd00:7::1",
  ];
}

/** Addresses outside of the cluster, some beside each other at a block's edge. */
const OUTSIDE = [
  "203.0.113.7",
  "203.0.113.8",
  "203.0.113.127",
  "203.0.113.128",
  "198.51.100.0",
  "198.51.100.255",
  "10.245.0.1",
  "8.8.8.8",
  "2001:db8::7",
  "2001:db8::8",
  "2001:db8:0:1::",
  "2001:db8:0:0:ffff:ffff:ffff:ffff",
  "2600::1",
];

// ── Cluster-wide policies ─────────────────────────────────────────────────────────────────────────────

const ADMIN = ["AdminNetworkPolicy", "ClusterNetworkPolicy Admin"] as const;
const BASELINE = ["BaselineAdminNetworkPolicy", "ClusterNetworkPolicy Baseline"] as const;

function randomClusterPolicies(
  random: Random,
  { clusterPolicies: count = 0, ties = false, domains = false }: ClusterSize,
  world: RandomWorld,
): RawClusterPolicy[] {
  const drawn = Array.from({ length: count }, (_, index): RawClusterPolicy => {
    const what = random.pick(random.chance(0.6) ? ADMIN : BASELINE);
    const [kind = "", tier] = what.split(" ");
    const newer = kind === "ClusterNetworkPolicy";
    const baseline = kind === "BaselineAdminNetworkPolicy";
    const rules = (side: "from" | "to"): RawClusterRule[] =>
      Array.from({ length: random.below(4) }, () =>
        randomClusterRule(random, { side, kind, domains, world }),
      );
    return {
      apiVersion: `policy.networking.k8s.io/${newer ? "v1alpha2" : "v1alpha1"}`,
      kind,
      metadata: { name: baseline ? "default" : `cluster-${index}` },
      spec: {
        ...(tier === undefined ? {} : { tier }),
        // Few numbers, so that some are equal.
        ...(baseline ? {} : { priority: ties ? random.pick([0, 5, 5, 5, 10, 1000]) : index }),
        subject: randomPods(random, world),
        ...(random.chance(0.8) ? { ingress: rules("from") } : {}),
        ...(random.chance(0.8) ? { egress: rules("to") } : {}),
      },
    };
  });
  // There is one baseline of the older kind.
  const name = ({ kind, metadata }: RawClusterPolicy): string => `${kind} ${metadata.name}`;
  return drawn.filter(
    (one, index) => drawn.findIndex((each) => name(each) === name(one)) === index,
  );
}

interface ClusterRuleDraw {
  readonly side: "from" | "to";
  readonly kind: string;
  readonly domains: boolean;
  readonly world: RandomWorld;
}

function randomClusterRule(random: Random, draw: ClusterRuleDraw): RawClusterRule {
  const { side, kind, world } = draw;
  const newer = kind === "ClusterNetworkPolicy";
  const accept = newer ? "Accept" : "Allow";
  const baseline = kind === "BaselineAdminNetworkPolicy";
  const action = random.pick(baseline ? [accept, "Deny"] : [accept, "Deny", "Pass"]);
  const domains = draw.domains && side === "to" && action === accept && !baseline;
  const peers = Array.from({ length: 1 + random.below(2) }, (): RawClusterPeer => {
    if (domains && random.chance(0.1)) return { domainNames: ["example.com", "*.example.org"] };
    switch (side === "from" ? 0 : random.below(5)) {
      case 3: {
        const count = 1 + random.below(3);
        return {
          networks: [
            ...new Set(Array.from({ length: count }, () => randomBlock(random, world).cidr)),
          ],
        };
      }
      case 4:
        return { nodes: randomSelector(random) };
      default:
        return randomPods(random, world);
    }
  });
  const rule: RawClusterRule = { action, [side]: peers };
  if (random.chance(0.4)) return rule;
  const podsOnly = peers.every(({ namespaces, pods }) => (namespaces ?? pods) !== undefined);
  const many = random.chance(0.05);
  const ports = Array.from({ length: many ? 20 : 1 + random.below(3) }, (_, index) => {
    const protocol = many ? "TCP" : random.pick(PROTOCOLS);
    const first = many ? 1000 + 7 * index : random.pick([1, 79, 80, 81, 443, 8080]);
    const last = random.chance(0.3) ? first + 1 + random.below(3) : first;
    return { protocol, first, last, name: random.pick(PORT_NAMES), named: random.chance(0.2) };
  });
  return newer
    ? {
        ...rule,
        protocols: ports.map(({ protocol, first, last, name, named }) =>
          named && podsOnly
            ? { destinationNamedPort: name }
            : {
                [protocol.toLowerCase()]: {
                  destinationPort:
                    first === last ? { number: first } : { range: { start: first, end: last } },
                },
              },
        ),
      }
    : {
        ...rule,
        ports: ports.map(({ protocol, first, last, name, named }) => {
          if (named && podsOnly) return { namedPort: name };
          const said = protocol === "TCP" && random.chance(0.5) ? {} : { protocol };
          return first === last
            ? { portNumber: { ...said, port: first } }
            : { portRange: { ...said, start: first, end: last } };
        }),
      };
}

/** What a subject is, and most peers. */
function randomPods(random: Random, world: RandomWorld): RawClusterPeer {
  const namespaceSelector = randomNamespaceSelector(random, world);
  if (random.chance(0.4)) return { namespaces: namespaceSelector };
  return { pods: { namespaceSelector, podSelector: randomSelector(random) } };
}

function randomPort(random: Random): RawPort {
  const protocol = random.chance(0.3) ? {} : { protocol: random.pick(PROTOCOLS) };
  switch (random.below(6)) {
    case 0:
      return protocol;
    case 1:
      return { ...protocol, port: random.pick(PORT_NAMES) };
    case 2: {
      const port = random.pick([1, 79, 80, 81, 8080, 65535]);
      const ends = [port, port + 1, port + 2, 443, 65535].filter(
        (end) => end >= port && end < 65536,
      );
      return { ...protocol, port, endPort: random.pick(ends) };
    }
    default:
      return { ...protocol, port: random.pick(PORTS) };
  }
}

// ── Attempts ──────────────────────────────────────────────────────────────────────────────────────────

/** An attempt with a source port; every packet of it carries both. */
export interface RandomAttempt extends Attempt {
  readonly sourcePort: number;
}

/** Draws an attempt: mostly between pods, or a pod and an edge of a block, at a port some rule names. */
export function randomAttempt(random: Random, world: RandomWorld): RandomAttempt {
  const six = random.chance(0.4);
  const family = (addresses: readonly string[]): string[] =>
    addresses.filter((address) => address.includes(":") === six);
  const pods = family(
    world.pods
      .filter((pod) => isRunning(pod) && pod.spec?.hostNetwork !== true)
      .flatMap(({ status }) => status!.podIPs!.map(({ ip }) => ip)),
  );
  const nodes = family(
    world.nodes.flatMap(({ status }) => status!.addresses!.map(({ address }) => address)),
  ).filter((address) => /[.:]/.test(address));
  const outside = family(once(outsideOfWorld, world, outsideAddresses));
  const services = family(world.services.flatMap(({ spec }) => [...spec.clusterIPs]));
  const protocol = random.pick([6, 6, 6, 17, 17, 132, six ? 58 : 1, 47]);
  const withPorts = protocol === 6 || protocol === 17 || protocol === 132;
  const attempt = (source: string, destination: string): RandomAttempt => ({
    source,
    destination,
    protocol,
    port: withPorts ? random.pick(once(portsOfWorld, world, edgePorts)) : undefined,
    sourcePort: 32768 + random.below(28000),
  });
  const pod = (): string => random.pick(pods.length > 0 ? pods : outside);
  switch (random.below(12)) {
    case 0:
    case 1:
      return attempt(random.pick(outside), pod());
    case 2:
    case 3:
      return attempt(pod(), random.pick(outside));
    case 4:
      return attempt(random.pick(nodes.length > 0 ? nodes : outside), pod());
    case 5:
      return attempt(pod(), random.pick(nodes.length > 0 ? nodes : outside));
    case 6:
    case 7:
      return serviceAttempt(random, world, { ...attempt(pod(), random.pick(services)) });
    default:
      return attempt(pod(), pod());
  }
}

/** Only ports that the Service has: what else its address gets is no question of policy. */
function serviceAttempt(random: Random, world: RandomWorld, attempt: RandomAttempt): RandomAttempt {
  const service = world.services.find(({ spec }) => spec.clusterIPs.includes(attempt.destination))!;
  const { port, protocol } = random.pick(service.spec.ports);
  return { ...attempt, port, protocol: { TCP: 6, UDP: 17, SCTP: 132 }[protocol ?? "TCP"]! };
}

const outsideOfWorld = new WeakMap<RandomWorld, readonly string[]>();
const portsOfWorld = new WeakMap<RandomWorld, readonly number[]>();

/** Computes a world's list once. */
function once<T extends object>(
  cache: WeakMap<RandomWorld, T>,
  world: RandomWorld,
  compute: (world: RandomWorld) => T,
): T {
  const known = cache.get(world) ?? compute(world);
  cache.set(world, known);
  return known;
}

function outsideAddresses(world: RandomWorld): string[] {
  const blocks = world.policies
    .flatMap(({ spec }): RawRule[] => [...(spec.ingress ?? []), ...(spec.egress ?? [])])
    .flatMap((rule) => [...(rule.from ?? []), ...(rule.to ?? [])])
    .flatMap(({ ipBlock }) =>
      ipBlock === undefined ? [] : [ipBlock.cidr, ...(ipBlock.except ?? [])],
    );
  const calico = (world.calico?.policies ?? [])
    .flatMap(({ spec }) => [...(spec.ingress ?? []), ...(spec.egress ?? [])])
    .flatMap(({ source = {}, destination = {} }) => [source, destination])
    .flatMap(({ nets = [], notNets = [] }) => [...nets, ...notNets]);
  const sets = (world.calico?.networkSets ?? []).flatMap(({ spec }) => spec.nets);
  const networks = world.clusterPolicies
    .flatMap(({ spec }) => spec.egress ?? [])
    .flatMap(({ to = [] }) => to.flatMap((peer) => peer.networks ?? []));
  return [
    ...new Set([...OUTSIDE, ...[...blocks, ...networks, ...calico, ...sets].flatMap(edges)]),
  ].filter(isOutside);
}

/** First and last address of a block, and those just outside of it. */
function edges(block: string): string[] {
  const [address = "", length = ""] = block.split("/");
  const six = address.includes(":");
  const rest = BigInt((six ? 128 : 32) - Number(length));
  const first = (toNumber(address) >> rest) << rest;
  const last = first + (1n << rest) - 1n;
  const most = (1n << (six ? 128n : 32n)) - 1n;
  return [first - 1n, first, last, last + 1n]
    .filter((value) => value >= 0n && value <= most)
    .map((value) => toText(value, six));
}

/** An ordinary unicast address that is in none of the cluster's ranges. */
function isOutside(address: string): boolean {
  if (address.includes(":")) {
    const high = Number(toNumber(address) >> 112n);
    return high >= 0x2000 && high < 0x4000;
  }
  const first = Number(address.split(".")[0]);
  return (
    first > 0 &&
    first < 224 &&
    first !== 127 &&
    !/^(10\.244|10\.96|192\.168\.7|169\.254)\./.test(address)
  );
}

function edgePorts(world: RandomWorld): number[] {
  const rules = world.policies.flatMap(({ spec }): RawRule[] => [
    ...(spec.ingress ?? []),
    ...(spec.egress ?? []),
  ]);
  const named = rules
    .flatMap((rule): readonly RawPort[] => rule.ports ?? [])
    .flatMap(({ port, endPort }) => [port, endPort])
    .filter((port) => typeof port === "number");
  const near = named.flatMap((port) => [port - 1, port, port + 1]);
  return [...PORTS, ...PORTS, ...near].filter((port) => port > 0 && port < 65536 && port !== 4789);
}

// ── Addresses as numbers ──────────────────────────────────────────────────────────────────────────────

function toNumber(address: string): bigint {
  if (!address.includes(":")) {
    return address.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  }
  const [head = "", tail] = address.split("::");
  const words = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const front = words(head);
  const back = tail === undefined ? [] : words(tail);
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => "0");
  return [...front, ...zeros, ...back].reduce(
    (sum, word) => (sum << 16n) | BigInt(`0x${word}`),
    0n,
  );
}

function toText(value: bigint, six: boolean): string {
  const count = six ? 8 : 4;
  const size = six ? 16n : 8n;
  const parts = Array.from({ length: count }, (_, index) =>
    Number((value >> (size * BigInt(count - 1 - index))) & ((1n << size) - 1n)),
  );
  if (!six) return parts.join(".");
  return parts.map((part) => part.toString(16)).join(":");
}

function prefixText(address: string, length: number): string {
  const six = address.includes(":");
  const rest = BigInt((six ? 128 : 32) - length);
  return `${toText((toNumber(address) >> rest) << rest, six)}/${length}`;
}

/** An address that differs in its last bits only: it stays in the block that leaves them open. */
function nearby(random: Random, address: string, openBits: number): string {
  const six = address.includes(":");
  const open = Math.min(openBits, random.pick([0, 1, 2, 8]));
  const flips = BigInt(random.below(2 ** open));
  return toText(toNumber(address) ^ flips, six);
}

function calicoObjects({
  tiers,
  policies,
  networkSets,
  serviceAccounts,
  hostEndpoints = [],
  profiles = [],
  felix = [],
}: RawCalico): object[] {
  // As stored or as in the API: they are the same.
  const apiVersion = "projectcalico.org/v3";
  const stored = "crd.projectcalico.org/v1";
  return [
    ...tiers.map((tier) => ({ ...tier, apiVersion, kind: "Tier" })),
    ...policies.map((policy, index) => ({
      ...policy,
      apiVersion: index % 3 === 0 ? stored : apiVersion,
    })),
    ...networkSets.map((set) => ({
      ...set,
      apiVersion,
      kind: set.metadata.namespace === undefined ? "GlobalNetworkSet" : "NetworkSet",
    })),
    ...serviceAccounts.map((one) => ({ ...one, apiVersion: "v1", kind: "ServiceAccount" })),
    ...hostEndpoints.map((one) => ({ ...one, apiVersion: stored, kind: "HostEndpoint" })),
    ...profiles.map((one) => ({ ...one, apiVersion, kind: "Profile" })),
    ...felix.map((one) => ({ ...one, apiVersion, kind: "FelixConfiguration" })),
  ];
}

/** The world as objects that a manifest would hold, each with its apiVersion and kind. */
export function worldObjects(world: World): object[] {
  const named = (apiVersion: string, kind: string, objects: readonly object[]): object[] =>
    objects.map((object) => ({ ...object, apiVersion, kind }));
  return [
    ...named("v1", "Namespace", world.namespaces),
    ...named("v1", "Node", world.nodes ?? []),
    ...named("v1", "Pod", world.pods),
    ...named("v1", "Service", world.services ?? []),
    ...named("discovery.k8s.io/v1", "EndpointSlice", world.endpointSlices ?? []),
    ...named("networking.k8s.io/v1", "NetworkPolicy", world.policies),
    ...(world.clusterPolicies ?? []),
    ...(world.calico === undefined ? [] : calicoObjects(world.calico)),
  ];
}
