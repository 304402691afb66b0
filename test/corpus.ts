/**
 * The corpus's oracles as one form: a world of raw objects, and connection attempts with the answer that
 * others computed. Reads files beside the repository; says so and gives nothing where they are absent.
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { parseAllDocuments } from "yaml";

import type {
  Attempt,
  RawClusterPeer,
  RawClusterPolicy,
  RawClusterRule,
  RawNamespace,
  RawNode,
  RawPod,
  RawPolicy,
  RawPort,
  RawRule,
  RawSelector,
  World,
} from "./oracle.ts";

/** One world and what is expected in it. */
export interface CorpusCase {
  readonly name: string;
  readonly world: World;
  readonly expectations: readonly Expectation[];
}

export interface Expectation {
  /** For messages: `x/a -> x/b`. */
  readonly name: string;
  readonly attempt: Attempt;
  readonly allowed: boolean;
}

const ORACLES = join(import.meta.dirname, "../../shared/corpus/oracles");

/** Tells whether an oracle is there; prints that its test skips when not. */
export function haveOracle(name: string): boolean {
  const there = existsSync(join(ORACLES, name));
  if (!there) console.log(`skipped: the corpus has no oracles/${name} beside this repository`);
  return there;
}

/** Path of a file or folder of an oracle. */
export function oraclePath(...parts: readonly string[]): string {
  return join(ORACLES, ...parts);
}

const PROTOCOL_NUMBERS: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

/** A node that has every address of a world whose source names none. */
const NODE: RawNode = {
  metadata: { name: "node-1" },
  status: { addresses: [{ type: "InternalIP", address: "172.31.255.1" }] },
};

// ── Kubernetes end-to-end tests ───────────────────────────────────────────────────────────────────────

interface E2eVectors {
  readonly cases: readonly {
    readonly name: string;
    readonly steps: readonly {
      readonly policies: readonly RawPolicy[];
      readonly namespaces: Readonly<Record<string, Readonly<Record<string, string>>>>;
      readonly pods: readonly {
        readonly namespace: string;
        readonly name: string;
        readonly labels: Readonly<Record<string, string>>;
        readonly ip: string;
        readonly ports: readonly { name: string; containerPort: number; protocol: string }[];
      }[];
      readonly port: number;
      readonly protocol: string;
      readonly expect_from_to: Readonly<Record<string, Readonly<Record<string, boolean>>>>;
    }[];
  }[];
}

/** Every step of every case; pairs of a pod with itself are left out, as upstream does. */
export function readE2eCases(): CorpusCase[] {
  const vectors: E2eVectors = JSON.parse(
    readFileSync(oraclePath("k8s-e2e-netpol/vectors.json"), "utf8"),
  );
  return vectors.cases.flatMap(({ name, steps }) =>
    steps.map((step, index) => {
      const ipByName = new Map(step.pods.map((pod) => [`${pod.namespace}/${pod.name}`, pod.ip]));
      return {
        name: `${name}, step ${index + 1}`,
        world: {
          pods: step.pods.map(({ namespace, name: pod, labels, ip, ports }) => ({
            metadata: { namespace, name: pod, labels },
            spec: { nodeName: "node-1", containers: [{ ports }] },
            status: { podIPs: [{ ip }] },
          })),
          namespaces: Object.entries(step.namespaces).map(([namespace, labels]) => ({
            metadata: { name: namespace, labels },
          })),
          nodes: [NODE],
          policies: step.policies,
        },
        expectations: Object.entries(step.expect_from_to).flatMap(([from, row]) =>
          Object.entries(row)
            .filter(([to]) => to !== from)
            .map(([to, allowed]) => ({
              name: `${from} -> ${to} ${step.protocol} ${step.port}`,
              attempt: {
                source: ipByName.get(from)!,
                destination: ipByName.get(to)!,
                protocol: PROTOCOL_NUMBERS[step.protocol]!,
                port: step.port,
              },
              allowed,
            })),
        ),
      };
    }),
  );
}

// ── kube-network-policies ─────────────────────────────────────────────────────────────────────────────

interface PolicyAgentVectors {
  readonly cases: readonly {
    readonly func: string;
    readonly name: string;
    readonly quirk?: string;
    readonly networkpolicy?: readonly (RawPolicy | RawClusterPolicy)[];
    readonly namespace?: readonly RawNamespace[];
    readonly pod?: readonly RawPod[];
    readonly p: { srcIP: string; dstIP: string; dstPort: number; proto: string };
    readonly expect: boolean;
  }[];
}

/** The cases of whole policies, without those marked as differing from the API. */
export function readPolicyAgentCases(): CorpusCase[] {
  const vectors: PolicyAgentVectors = JSON.parse(
    readFileSync(oraclePath("kube-network-policies/vectors.json"), "utf8"),
  );
  return vectors.cases
    .filter((one) => one.quirk === undefined && one.networkpolicy !== undefined)
    .map((one) => ({
      name: `${one.func}: ${one.name}`,
      world: {
        pods: one.pod ?? [],
        namespaces: one.namespace ?? [],
        nodes: [{ ...NODE, metadata: { name: "testnode" } }],
        policies: (one.networkpolicy ?? []).filter(isNetworkPolicy),
        clusterPolicies: (one.networkpolicy ?? []).filter(isClusterWide),
      },
      expectations: [
        {
          name: `${one.p.srcIP} -> ${one.p.dstIP} ${one.p.proto} ${one.p.dstPort}`,
          attempt: {
            source: one.p.srcIP,
            destination: one.p.dstIP,
            protocol: PROTOCOL_NUMBERS[one.p.proto]!,
            port: one.p.dstPort,
          },
          allowed: one.expect,
        },
      ],
    }));
}

function isNetworkPolicy(policy: RawPolicy | RawClusterPolicy): policy is RawPolicy {
  return !isClusterWide(policy);
}

function isClusterWide(policy: RawPolicy | RawClusterPolicy): policy is RawClusterPolicy {
  return "subject" in policy.spec;
}

// ── policy-assistant ──────────────────────────────────────────────────────────────────────────────────

interface AssistantVectors {
  readonly cases: readonly {
    readonly func: string;
    readonly name: string;
    readonly namespaces: readonly { name: string; labels: Readonly<Record<string, string>> }[];
    readonly pods: readonly {
      readonly namespace: string;
      readonly name: string;
      readonly labels: Readonly<Record<string, string>>;
      readonly ports: readonly { port: number; protocol: string; portName: string }[];
    }[];
    readonly policies: readonly (RawPolicy & EarlyPolicy)[];
    readonly probe_ports: readonly (readonly [number, string])[];
    readonly default_ingress: string;
    readonly default_egress: string;
    readonly non_default_ingress: readonly AssistantPoint[];
    readonly non_default_egress: readonly AssistantPoint[];
  }[];
}

interface AssistantPoint {
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly protocol: string;
}

/** Every case, as points between two pods: a pod with itself is left out, as its tool does. */
export function readAssistantCases(): CorpusCase[] {
  const vectors: AssistantVectors = JSON.parse(
    readFileSync(oraclePath("policy-assistant/vectors.json"), "utf8"),
  );
  return vectors.cases.map((one): CorpusCase => {
    const addressOf = new Map(
      one.pods.map(({ namespace, name }, index) => [
        `${namespace}/${name}`,
        `100.127.0.${index + 1}`,
      ]),
    );
    const clusterWide = one.policies.filter(({ kind }) => kind !== "NetworkPolicy");
    const world: World = {
      pods: one.pods.map(({ namespace, name, labels, ports }) => ({
        metadata: { namespace, name, labels },
        spec: {
          nodeName: "node-1",
          containers: ports.map(({ port, protocol, portName }) => ({
            ports: [{ name: portName, containerPort: port, protocol }],
          })),
        },
        status: { podIPs: [{ ip: addressOf.get(`${namespace}/${name}`)! }] },
      })),
      namespaces: one.namespaces.map(({ name, labels }) => ({ metadata: { name, labels } })),
      nodes: [NODE],
      policies: one.policies.filter(({ kind }) => kind === "NetworkPolicy"),
      clusterPolicies: clusterWide.map(inTodaysForm),
    };
    const allowed = (point: AssistantPoint, direction: "ingress" | "egress"): boolean => {
      const listed = one[`non_default_${direction}`].some((each) =>
        (["from", "to", "port", "protocol"] as const).every((key) => each[key] === point[key]),
      );
      return (one[`default_${direction}`] === "allowed") !== listed;
    };
    const names = [...addressOf.keys()];
    const points = names.flatMap((from) =>
      names
        .filter((to) => to !== from)
        .flatMap((to) =>
          one.probe_ports.map(([port, protocol]): AssistantPoint => ({ from, to, port, protocol })),
        ),
    );
    return {
      name: `${one.func}: ${one.name}`,
      world,
      expectations: points.map((point) => ({
        name: `${point.from} -> ${point.to} ${point.protocol} ${point.port}`,
        attempt: {
          source: addressOf.get(point.from)!,
          destination: addressOf.get(point.to)!,
          protocol: PROTOCOL_NUMBERS[point.protocol]!,
          port: point.port,
        },
        allowed: allowed(point, "ingress") && allowed(point, "egress"),
      })),
    };
  });
}

/** As these tables have them: the API before release 0.1.2. */
interface EarlyPolicy extends RawClusterPolicy {
  readonly spec: RawPolicy["spec"] & RawClusterPolicy["spec"];
}

interface EarlyNamespaces {
  readonly namespaceSelector?: RawSelector;
  readonly sameLabels?: readonly string[];
  readonly notSameLabels?: readonly string[];
}

/**
 * Writes a policy in today's form. The labels that namespaces have in common with the subject's are ones
 * that the subject is chosen by in all of these policies.
 */
function inTodaysForm(policy: EarlyPolicy): RawClusterPolicy {
  const { subject } = policy.spec;
  const { matchLabels = {} } = subject.namespaces ?? subject.pods?.namespaceSelector ?? {};
  const related = (operator: "In" | "NotIn", keys: readonly string[]): RawSelector => ({
    matchExpressions: keys.map((key) => ({ key, operator, values: [matchLabels[key]!] })),
  });
  const selector = (early: EarlyNamespaces): RawSelector => {
    if (early.sameLabels !== undefined) return related("In", early.sameLabels);
    if (early.notSameLabels !== undefined) return related("NotIn", early.notSameLabels);
    return early.namespaceSelector!;
  };
  const peer = (early: RawClusterPeer & { pods?: { namespaces?: EarlyNamespaces } }) =>
    early.namespaces !== undefined
      ? { namespaces: selector(early.namespaces as EarlyNamespaces) }
      : {
          pods: {
            namespaceSelector: selector(early.pods!.namespaces!),
            podSelector: early.pods!.podSelector!,
          },
        };
  const rules = (list: readonly RawClusterRule[] | undefined): RawClusterRule[] | undefined =>
    list?.map(({ from, to, ...rule }) => ({
      ...rule,
      ...(from === undefined ? {} : { from: from.map(peer) }),
      ...(to === undefined ? {} : { to: to.map(peer) }),
    }));
  const { ingress, egress, ...spec } = policy.spec as RawClusterPolicy["spec"];
  return {
    ...policy,
    spec: { ...spec, ingress: rules(ingress) ?? [], egress: rules(egress) ?? [] },
  };
}

// ── np-guard ──────────────────────────────────────────────────────────────────────────────────────────

interface ConnectionList {
  readonly input: string;
  readonly exact_dir: boolean;
  readonly other_lines: number;
  readonly connections: readonly { src: string; dst: string; conn: string }[];
}

/** Kinds whose presence changes connections by something that is no policy of ours. */
const OTHER_POLICY_KINDS = /UserDefinedNetwork$|^NetworkAttachment|^MultiNetwork|^VirtualMachine/;

const WORKLOAD_KINDS =
  /^(Deployment|ReplicaSet|StatefulSet|DaemonSet|Job|CronJob|ReplicationController)$/;

type AnyObject = {
  readonly kind?: string;
  readonly items?: readonly AnyObject[];
  readonly metadata?: RawPod["metadata"] & {
    readonly ownerReferences?: readonly { name: string; kind?: string }[];
  };
  readonly spec?: unknown;
};

/** Files of a folder, in name order, as `{ file, text }`. */
export function readFolder(folder: string): { file: string; text: string }[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => /\.(ya?ml|json)$/.test(file))
    .sort()
    .map((file) => ({ file, text: readFileSync(join(folder, file), "utf8") }));
}

/**
 * The folders in which only policies that we judge decide. Workloads become pods with addresses of our own, as
 * that tool knows none: it compares no pod with an ipBlock, and leaves host networks and finished pods
 * aside. Its "all connections" are those of TCP, UDP and SCTP.
 */
export function readConnectionListCases(): { cases: CorpusCase[]; folders: string[] } {
  const root = oraclePath("np-guard_netpol-analyzer");
  const lists: ConnectionList[] = JSON.parse(readFileSync(join(root, "index.json"), "utf8"));
  const cases: CorpusCase[] = [];
  const folders: string[] = [];
  for (const list of lists) {
    if (!list.exact_dir || list.other_lines > 0) continue;
    const folder = join(root, list.input);
    const objects = readFolder(folder).flatMap(({ file, text }) => {
      // The expected output lies in some of the folders; it is no object.
      return file.includes("connlist_output") ? [] : objectsOf(text);
    });
    if (objects.some(({ kind }) => OTHER_POLICY_KINDS.test(kind ?? ""))) continue;
    folders.push(folder);
    cases.push(connectionListCase(list, objects));
  }
  return { cases, folders };
}

function objectsOf(text: string): AnyObject[] {
  const unrolled = (object: AnyObject | null): AnyObject[] =>
    object === null || typeof object !== "object"
      ? []
      : Array.isArray(object.items)
        ? object.items.flatMap(unrolled)
        : [object];
  return parseAllDocuments(text).flatMap((document) =>
    unrolled(document.errors.length > 0 ? null : (document.toJS() as AnyObject | null)),
  );
}

function connectionListCase(list: ConnectionList, objects: readonly AnyObject[]): CorpusCase {
  const peers = objects.flatMap(peersOf);
  const pods = peers.map(({ pod }, index): RawPod => {
    const ip = `100.127.${index >> 7}.${(index & 127) + 1}`;
    const { nodeName: _node, hostNetwork: _host, ...spec } = pod.spec ?? {};
    const { name, namespace = "default", labels = {} } = pod.metadata;
    return {
      metadata: { name: `${name}-${index}`, namespace, labels },
      spec: { ...spec, nodeName: "node-1" },
      status: { podIPs: [{ ip }] },
    };
  });
  const policies = objects.filter(({ kind }) => kind === "NetworkPolicy") as unknown as RawPolicy[];
  const clusterPolicies = objects.filter(({ kind }) =>
    /^(Baseline)?AdminNetworkPolicy$/.test(kind ?? ""),
  ) as unknown as RawClusterPolicy[];
  const namespaces = objects.filter(
    ({ kind }) => kind === "Namespace",
  ) as unknown as RawNamespace[];
  const lines = list.connections.filter(({ src }) => !src.startsWith("{"));
  const linesByPair = new Map<string, string[]>();
  for (const { src, dst, conn } of lines) {
    const pair = `${rangeOf(src) === undefined ? src : "*"} ${rangeOf(dst) === undefined ? dst : "*"}`;
    linesByPair.set(pair, [...(linesByPair.get(pair) ?? []), `${src}|${dst}|${conn}`]);
  }
  const ports = portsToProbe(lines, policies, clusterPolicies);
  const outside = addressesToProbe(lines, [...policies, ...clusterPolicies]);
  const expectations: Expectation[] = [];
  const expect = (source: End, destination: End): void => {
    const pair = `${source.peer ?? "*"} ${destination.peer ?? "*"}`;
    const texts = (linesByPair.get(pair) ?? [])
      .map((line) => line.split("|"))
      .filter(
        ([src = "", dst = ""]) =>
          (source.peer !== undefined || inRange(source.address, src)) &&
          (destination.peer !== undefined || inRange(destination.address, dst)),
      )
      .map(([, , conn = ""]) => conn);
    for (const [protocolName, protocol] of Object.entries(PROTOCOL_NUMBERS)) {
      for (const port of ports) {
        expectations.push({
          name: `${source.peer ?? source.address} -> ${destination.peer ?? destination.address} ${protocolName} ${port}`,
          attempt: { source: source.address, destination: destination.address, protocol, port },
          allowed: texts.some((text) => connectionIncludes(text, protocolName, port)),
        });
      }
    }
  };
  const ends = pods.map(({ status }, index): End => {
    return { peer: peers[index]!.peer, address: status!.podIPs![0]!.ip };
  });
  for (const source of ends) {
    for (const destination of ends)
      if (source.peer !== destination.peer) expect(source, destination);
    for (const address of outside) {
      expect(source, { peer: undefined, address });
      expect({ peer: undefined, address }, source);
    }
  }
  return {
    name: list.input.replace("tests/", ""),
    world: { pods, namespaces, policies, clusterPolicies, nodes: [NODE] },
    expectations,
  };
}

interface End {
  /** Undefined: outside the cluster. */
  readonly peer: string | undefined;
  readonly address: string;
}

/** A pod or a workload's pod, and the name that tool prints for it. */
function peersOf(object: AnyObject): { peer: string; pod: RawPod }[] {
  const { kind = "", metadata } = object;
  if (metadata === undefined) return [];
  const namespace = metadata.namespace ?? "default";
  if (kind === "Pod") {
    // A static pod is owned by its node.
    const owner = metadata.ownerReferences?.find((reference) => reference.kind !== "Node");
    const peer = `${namespace}/${owner?.name ?? metadata.name}[${owner?.kind ?? "Pod"}]`;
    return [{ peer, pod: object as unknown as RawPod }];
  }
  if (!WORKLOAD_KINDS.test(kind)) return [];
  interface Template {
    readonly metadata?: { readonly labels?: Record<string, string> };
    readonly spec?: RawPod["spec"];
  }
  const spec = object.spec as
    { template?: Template; jobTemplate?: { spec?: { template?: Template } } } | undefined;
  const template = spec?.template ?? spec?.jobTemplate?.spec?.template;
  const pod: RawPod = {
    metadata: { name: metadata.name, namespace, labels: template?.metadata?.labels ?? {} },
    ...(template?.spec === undefined ? {} : { spec: template.spec }),
  };
  return [{ peer: `${namespace}/${metadata.name}[${kind}]`, pod }];
}

function rangeOf(text: string): readonly [number, number] | undefined {
  const parts = /^([\d.]+)-([\d.]+)\[External\]$/.exec(text);
  return parts === null ? undefined : [ipv4(parts[1]!), ipv4(parts[2]!)];
}

function inRange(address: string, text: string): boolean {
  const range = rangeOf(text);
  const value = ipv4(address);
  return range !== undefined && value >= range[0] && value <= range[1];
}

function connectionIncludes(text: string, protocol: string, port: number): boolean {
  if (text === "All Connections") return true;
  let current = "";
  return text.split(",").some((part) => {
    const words = part.trim().split(" ");
    if (words.length === 2) current = words[0]!;
    const [first, last] = words.at(-1).split("-").map(Number);
    return current === protocol && port >= first! && port <= (last ?? first!);
  });
}

function portsToProbe(
  lines: ConnectionList["connections"],
  policies: readonly RawPolicy[],
  clusterPolicies: readonly RawClusterPolicy[],
): number[] {
  const numbers = lines.flatMap(({ conn }) => (conn.match(/\d+/g) ?? []).map(Number));
  const rules = policies.flatMap(({ spec }): RawRule[] => [
    ...(spec.ingress ?? []),
    ...(spec.egress ?? []),
  ]);
  const written = rules
    .flatMap((rule): readonly RawPort[] => rule.ports ?? [])
    .flatMap(({ port, endPort }) => [port, endPort])
    .filter((port) => typeof port === "number");
  const ranges = clusterPolicies
    .flatMap(({ spec }): RawClusterRule[] => [...(spec.ingress ?? []), ...(spec.egress ?? [])])
    .flatMap(({ ports = [] }) => ports)
    .flatMap(({ portNumber, portRange }) => [portNumber?.port, portRange?.start, portRange?.end])
    .filter((port) => port !== undefined);
  const around = [...numbers, ...written, ...ranges, 33333].flatMap((port) => [
    port - 1,
    port,
    port + 1,
  ]);
  return [...new Set(around)].filter((port) => port >= 1 && port <= 65535).sort((a, b) => a - b);
}

function addressesToProbe(
  lines: ConnectionList["connections"],
  policies: readonly object[],
): string[] {
  const ends = lines
    .flatMap(({ src, dst }) => [rangeOf(src), rangeOf(dst)])
    .flatMap((r) => r ?? []);
  const blocks = JSON.stringify(policies).match(/\d+\.\d+\.\d+\.\d+\/\d+/g) ?? [];
  const edges = blocks.flatMap((block) => {
    const [address = "", bits = ""] = block.split("/");
    const size = 2 ** (32 - Number(bits));
    const first = Math.floor(ipv4(address) / size) * size;
    return [first - 1, first, first + size - 1, first + size];
  });
  return [...new Set([...ends, ...edges, ipv4("9.9.9.9")])]
    .filter(isOrdinary)
    .map((value) => [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join("."));
}

/** Leaves out addresses that no packet is routed to, and ours. */
function isOrdinary(value: number): boolean {
  const top = Math.floor(value / 2 ** 24);
  return top > 0 && top < 224 && top !== 127 && Math.floor(value / 2 ** 16) !== 100 * 256 + 127;
}

function ipv4(text: string): number {
  return text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}
