/**
 * The corpus's oracles as one form: a world of raw objects, and connection attempts with the answer that
 * others computed. Reads files beside the repository; says so and gives nothing where they are absent.
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { parseAllDocuments } from "yaml";

import type {
  Attempt,
  RawNamespace,
  RawNode,
  RawPod,
  RawPolicy,
  RawPort,
  RawRule,
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
    readonly networkpolicy?: readonly RawPolicy[];
    readonly namespace?: readonly RawNamespace[];
    readonly pod?: readonly RawPod[];
    readonly p: { srcIP: string; dstIP: string; dstPort: number; proto: string };
    readonly expect: boolean;
  }[];
}

/** The cases whose policies are NetworkPolicies, without those marked as differing from the API. */
export function readPolicyAgentCases(): CorpusCase[] {
  const vectors: PolicyAgentVectors = JSON.parse(
    readFileSync(oraclePath("kube-network-policies/vectors.json"), "utf8"),
  );
  return vectors.cases
    .filter(
      (one) =>
        one.quirk === undefined &&
        one.networkpolicy?.every((policy) => "podSelector" in policy.spec) === true,
    )
    .map((one) => ({
      name: `${one.func}: ${one.name}`,
      world: {
        pods: one.pod ?? [],
        namespaces: one.namespace ?? [],
        nodes: [{ ...NODE, metadata: { name: "testnode" } }],
        policies: one.networkpolicy ?? [],
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

// ── np-guard ──────────────────────────────────────────────────────────────────────────────────────────

interface ConnectionList {
  readonly input: string;
  readonly exact_dir: boolean;
  readonly other_lines: number;
  readonly connections: readonly { src: string; dst: string; conn: string }[];
}

/** Kinds whose presence changes connections by something that is not a NetworkPolicy. */
const OTHER_POLICY_KINDS =
  /^(Baseline)?Admin\w*Policy$|UserDefinedNetwork$|^NetworkAttachment|^MultiNetwork|^VirtualMachine/;

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
 * The folders in which only NetworkPolicies decide. Workloads become pods with addresses of our own, as
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
  const namespaces = objects.filter(
    ({ kind }) => kind === "Namespace",
  ) as unknown as RawNamespace[];
  const lines = list.connections.filter(({ src }) => !src.startsWith("{"));
  const linesByPair = new Map<string, string[]>();
  for (const { src, dst, conn } of lines) {
    const pair = `${rangeOf(src) === undefined ? src : "*"} ${rangeOf(dst) === undefined ? dst : "*"}`;
    linesByPair.set(pair, [...(linesByPair.get(pair) ?? []), `${src}|${dst}|${conn}`]);
  }
  const ports = portsToProbe(lines, policies);
  const outside = addressesToProbe(lines, policies);
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
    world: { pods, namespaces, policies, nodes: [NODE] },
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
  const around = [...numbers, ...written, 33333].flatMap((port) => [port - 1, port, port + 1]);
  return [...new Set(around)].filter((port) => port >= 1 && port <= 65535).sort((a, b) => a - b);
}

function addressesToProbe(
  lines: ConnectionList["connections"],
  policies: readonly RawPolicy[],
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
