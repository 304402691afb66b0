/**
 * np-guard's questions about Calico policies: are two sets of policies equivalent, is one contained in
 * the other, would anything change without a policy or a rule? Asked of compiled tables, connection by
 * connection.
 *
 * Left out: connectivityMap, whose answer is always 0. Of semanticDiff there is the list that it prints.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse, parseAllDocuments } from "yaml";

import { appendOpening, type Opening } from "../src/capture/opening.ts";
import { buildSnapshot } from "../src/cluster/build.ts";
import { parseManifests } from "../src/cluster/manifest.ts";
import { loadProgramMatcher } from "../src/cli/matcher.ts";
import { formatAddress, parseAddress } from "../src/net/address.ts";
import { lowerPolicies } from "../src/policy/index.ts";
import { policySelects } from "../src/policy/selects.ts";
import { decidingOrigin } from "../src/report/reason.ts";
import { haveOracle, oraclePath } from "./corpus.ts";
import { compileObjects } from "./judge.ts";
import { findingsOf } from "./lint/manifests.ts";

const ROOT = oraclePath(
  "np-guard_network-config-analyzer",
  "tests/calico_testcases/example_policies",
);
const there = haveOracle("np-guard_network-config-analyzer");

/**
 * Not there: schemes with profiles of namespaces that deny, which no Kubernetes cluster has, or with fields that
 * profiles do not have, and one with a selector that Calico refuses.
 */
const SCHEMES = [
  "calico-demo/comparsion-scheme.yaml",
  "calico-demo/demo-forbids-scheme.yaml",
  "calico-demo/demo-permits-scheme.yaml",
  "testcase1/testcase1-scheme.yaml",
  "testcase13-protocol/testcase13-scheme.yaml",
  "testcase2/testcase2-scheme.yaml",
  "testcase2tag/testcase2tag-scheme.yaml",
  "testcase3/testcase3-scheme.yaml",
  "testcase4/testcase4-scheme.yaml",
  "testcase5/testcase5-scheme.yaml",
  "testcase6/testcase6-scheme.yaml",
  "testcase7/testcase7-combined-peercontainer-scheme.yaml",
  "testcase7/testcase7-scheme.yaml",
  "testcase8/testcase8-scheme.yaml",
  "testcase9/testcase9-scheme.yaml",
];

interface Scheme {
  readonly podList: string;
  readonly namespaceList: string;
  readonly networkConfigList: readonly {
    readonly name: string;
    readonly networkPolicyList?: readonly string[];
  }[];
  readonly queries: readonly Query[];
}

/** What is asked; each of the names of sets of policies. */
const KINDS = [
  "equivalence",
  "containment",
  "twoWayContainment",
  "vacuity",
  "redundancy",
  "interferes",
  "pairwiseInterferes",
  "permits",
  "forbids",
  "disjointness",
  "emptiness",
  "sanity",
] as const;

type QueryKind = (typeof KINDS)[number];

type Query = { readonly [K in QueryKind]?: readonly string[] } & {
  readonly name: string;
  readonly expected: number;
};

interface KubernetesObject {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly items?: readonly KubernetesObject[];
  readonly spec?: {
    readonly ingress?: readonly object[];
    readonly egress?: readonly object[];
    readonly serviceAccountName?: string;
    readonly ports?: readonly { name: string; protocol: string; port: number }[];
  };
}

function objectsOf(path: string): KubernetesObject[] {
  return parseAllDocuments(readFileSync(path, "utf8"))
    .map((document) => document.toJS() as KubernetesObject | null)
    .filter((object) => object !== null);
}

/** Pods with an address each, on one node, and nothing that a policy does not see. */
function clusterOf(folder: string, scheme: Scheme): object[] {
  const listed = (path: string): KubernetesObject[] =>
    objectsOf(join(folder, path)).flatMap(({ items = [] }) => items);
  const pods = listed(scheme.podList);
  return [
    ...listed(scheme.namespaceList).map((one) => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: one.metadata,
    })),
    ...pods.map(({ kind, metadata, spec }, index) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        ...metadata,
        // What Calico adds by itself, and its names of interfaces.
        name: `${index}-${metadata.name}`,
        labels: Object.fromEntries(
          Object.entries(metadata.labels ?? {}).filter(
            ([key]) => kind === "Pod" || !key.startsWith("projectcalico.org/"),
          ),
        ),
      },
      spec: {
        nodeName: "node-1",
        ...(kind === "Pod"
          ? {}
          : {
              serviceAccountName: metadata.labels?.["projectcalico.org/serviceaccount"],
              containers: [
                {
                  name: "all",
                  ports: (spec?.ports ?? []).map(({ name, protocol, port }) => ({
                    name,
                    protocol,
                    containerPort: port,
                  })),
                },
              ],
            }),
      },
      status: { podIP: `10.65.${index >> 7}.${(index & 127) + 1}` },
    })),
  ];
}

/** The policies of `CONFIG`, or one of them: `CONFIG/NAME`, `CONFIG/NAMESPACE/NAME`. */
function policiesOf(folder: string, scheme: Scheme, operand: string): KubernetesObject[] {
  const [config = "", ...name] = operand.split("/");
  const list = scheme.networkConfigList.find((one) => one.name === config)!.networkPolicyList ?? [];
  const all = list.flatMap((file) => objectsOf(join(folder, file)));
  const text = ({ metadata }: KubernetesObject): string =>
    metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`;
  return name.length === 0 ? all : all.filter((policy) => text(policy) === name.join("/"));
}

const OUTSIDE = ["8.8.8.8", "203.0.113.9"];

/** Every pair of pods, and of a pod and an address outside or that is named, with every port and protocol that is. */
function attemptsOf(cluster: readonly object[], policies: readonly object[]): Opening[] {
  const pods = (cluster as { status?: { podIP: string } }[]).flatMap(
    ({ status }) => status?.podIP ?? [],
  );
  const text = JSON.stringify(policies);
  const named = [...text.matchAll(/[[,"]"?(\d{2,5})(?=[\],":])/g)].map((found) => Number(found[1]));
  const ports = new Set([80, 12345, ...named.flatMap((port) => [port, port + 1])]);
  const kinds: Omit<Opening, "source" | "destination">[] = [
    ...[...ports]
      .filter((port) => port > 0 && port < 65536 && port !== 4789)
      .flatMap((destinationPort) =>
        [6, 17, 132].map((protocol) => ({ protocol, destinationPort })),
      ),
    ...[8, 13].map((icmpType) => ({ protocol: 1, destinationPort: undefined, icmpType })),
    { protocol: 47, destinationPort: undefined },
  ];
  const nets = [...text.matchAll(/"([1-9][\d.]+)\/\d+"/g)].map((found) => found[1]!);
  const outside = new Set([...OUTSIDE, ...nets].filter((address) => !pods.includes(address)));
  const ends = [...pods, ...outside].map((text) => parseAddress(text)!);
  const isPod = (index: number): boolean => index < pods.length;
  return ends.flatMap((source, from) =>
    ends.flatMap((destination, to) =>
      from === to || !(isPod(from) || isPod(to))
        ? []
        : kinds.map((kind) => ({ source, destination, ...kind })),
    ),
  );
}

/** What becomes of an attempt; `named`: a policy's own rule lets it through. */
interface Answer {
  readonly allowed: boolean;
  readonly named: boolean;
}

const REFUSED: Answer = { allowed: false, named: false };

/** What becomes of attempts, each a connection of its own. */
function answersOf(objects: readonly object[], attempts: readonly Opening[]): Answer[] {
  const matcher = loadProgramMatcher(compileObjects(objects), {
    midstream: "cold",
    conntrackMax: 1000,
    tracePacket: undefined,
  });
  const answers: Answer[] = [];
  const { batch } = matcher;
  for (let first = 0; first < attempts.length; first += batch.capacity) {
    batch.clear();
    for (const attempt of attempts.slice(first, first + batch.capacity)) {
      appendOpening(batch, attempt);
    }
    matcher.ask();
    for (let index = 0; index < batch.count; index++) {
      if (matcher.verdictAt(index) !== "allow") {
        answers.push(REFUSED);
        continue;
      }
      const decider = decidingOrigin(matcher.packetVerdict(index, []));
      answers.push({ allowed: true, named: decider?.kind === "policy-rule" });
    }
  }
  return answers;
}

/** The first lets through nothing that the second does not. */
function within(one: readonly Answer[], other: readonly Answer[]): boolean {
  return one.every(({ allowed }, index) => !allowed || other[index]!.allowed);
}

function same(one: readonly Answer[], other: readonly Answer[]): boolean {
  return within(one, other) && within(other, one);
}

/** A query's sets of policies, and what becomes of the same attempts by them. */
class Asked {
  readonly #cluster: readonly object[];
  readonly #attempts: readonly Opening[];
  readonly #answers = new Map<readonly object[], Answer[]>();

  constructor(cluster: readonly object[], policies: readonly object[]) {
    this.#cluster = cluster;
    this.#attempts = attemptsOf(cluster, policies);
  }

  by(policies: readonly object[]): Answer[] {
    const known = this.#answers.get(policies);
    if (known !== undefined) return known;
    const answers = answersOf([...this.#cluster, ...policies], this.#attempts);
    this.#answers.set(policies, answers);
    return answers;
  }

  /** The addresses of the pods that each policy selects. */
  captured(policies: readonly object[]): Set<string>[] {
    const list = { apiVersion: "v1", kind: "List", items: [...this.#cluster, ...policies] };
    const text = JSON.stringify(list);
    const objects = parseManifests([{ file: "cluster.json", text }], () => undefined);
    const snapshot = buildSnapshot(
      objects,
      { clusterPrefixes: [], endpoints: [] },
      () => undefined,
    );
    return lowerPolicies(objects, () => undefined).map(
      (policy) =>
        new Set(
          snapshot.endpoints
            .filter((endpoint) => policySelects(policy, endpoint, snapshot))
            .flatMap(({ addresses }) => addresses.map((one) => one.words.join("."))),
        ),
    );
  }

  /** A policy or a rule means no pod. */
  meansNobody(policies: readonly object[]): boolean {
    const text = [...this.#cluster, ...policies].map((one) => JSON.stringify(one)).join("\n---\n");
    return findingsOf(text).some(
      ({ code }) => code === "SELECTS_NOTHING" || code === "PEER_MATCHES_NOTHING",
    );
  }

  /** The second lets pods that the first has policies for do more than the first does. */
  interferes(first: readonly object[], second: readonly object[]): boolean {
    const captured = this.captured(first);
    const isCaptured = ({ source, destination }: Opening): boolean =>
      [source, destination].some((end) => captured.some((some) => some.has(end.words.join("."))));
    const [before, after] = [this.by(first), this.by(second)];
    return this.#attempts.some(
      (attempt, index) => isCaptured(attempt) && after[index]!.allowed && !before[index]!.allowed,
    );
  }

  /** How many policies, and rules of the others, could go without any change. */
  redundancies(policies: readonly KubernetesObject[]): number {
    const whole = this.by(policies);
    let count = 0;
    for (const policy of policies) {
      const others = policies.filter((one) => one !== policy);
      if (same(whole, this.by(others))) {
        count++;
        continue;
      }
      for (const direction of ["ingress", "egress"] as const) {
        const rules = policy.spec?.[direction] ?? [];
        for (const rule of rules) {
          const rest = rules.filter((one) => one !== rule);
          const changed = { ...policy, spec: { ...policy.spec, [direction]: rest } };
          if (same(whole, this.by([...others, changed]))) count++;
        }
      }
    }
    return count;
  }
}

const NO_POLICIES: readonly object[] = [];

/** What the tool counts. */
function countOf(
  kind: QueryKind,
  sets: readonly (readonly KubernetesObject[])[],
  asked: Asked,
): number {
  const [first = [], ...others] = sets;
  const count = (holds: (one: readonly KubernetesObject[]) => boolean): number =>
    others.filter(holds).length;
  switch (kind) {
    case "equivalence":
      return count((one) => !same(asked.by(first), asked.by(one)));
    case "containment":
      return count((one) => within(asked.by(one), asked.by(first)));
    case "twoWayContainment": {
      // 1: the first contains the second, 2: the second the first, 3: they are the same.
      const [a, b] = [asked.by(first), asked.by(others[0] ?? [])];
      return (within(b, a) ? 1 : 0) + (within(a, b) ? 2 : 0);
    }
    case "vacuity":
      return sets.filter((one) => same(asked.by(one), asked.by(NO_POLICIES))).length;
    case "redundancy":
      return sets.reduce((sum, one) => sum + asked.redundancies(one), 0);
    case "interferes":
      return count((one) => asked.interferes(first, one));
    case "pairwiseInterferes":
      return sets
        .flatMap((one, index) => sets.slice(index + 1).map((other) => [one, other] as const))
        .filter(([one, other]) => asked.interferes(one, other) || asked.interferes(other, one))
        .length;
    case "permits":
      return count((one) => {
        const base = asked.by(first);
        return asked.by(one).some(({ named }, index) => named && !base[index]!.allowed);
      });
    case "forbids":
      return count((one) => {
        const base = asked.by(first);
        return asked.by(one).some(({ named }, index) => named && base[index]!.allowed);
      });
    case "emptiness":
      return sets.filter((one) => asked.meansNobody(one)).length;
    case "sanity":
      // > Includes emptiness, vacuity and redundancies.
      return (["emptiness", "vacuity", "redundancy"] as const).reduce(
        (sum, each) => sum + countOf(each, sets, asked),
        0,
      );
    case "disjointness":
      return sets.reduce((sum, one) => {
        const captured = asked.captured(one);
        const overlaps = captured.flatMap((some, index) =>
          captured.slice(index + 1).filter((other) => [...some].some((pod) => other.has(pod))),
        );
        return sum + overlaps.length;
      }, 0);
  }
}

type ClusterObject = KubernetesObject & { readonly status?: { readonly podIP: string } };

/** A line of `src_ns: [NAMES] src_pods: [LABEL=VALUE] dst: 0.0.0.0/0 conn: CONNECTIONS` means it. */
function isListed(line: string, attempt: Opening, cluster: readonly ClusterObject[]): boolean {
  const isEnd = (side: "src" | "dst", end: Opening["source"]): boolean => {
    const pod = cluster.find(({ status }) => status?.podIP === formatAddress(end));
    const outside = line.includes(`${side}: 0.0.0.0/0`);
    if (outside || pod === undefined) return outside && pod === undefined;
    const [, names = "", label = ""] =
      new RegExp(`${side}_ns: \\[(.*?)\\] ${side}_pods: \\[(.*?)\\]`).exec(line) ?? [];
    const [key = "", value] = label.split("=");
    const { namespace = "default", labels } = pod.metadata;
    return names.split(",").includes(namespace) && (label === "*" || labels?.[key] === value);
  };
  const [, connections] = /conn: (.*)$/.exec(line) ?? [];
  const fits = connections === "All connections" || attempt.protocol !== 6;
  return fits && isEnd("src", attempt.source) && isEnd("dst", attempt.destination);
}

describe.skipIf(!there)("np-guard's queries", () => {
  const queries = there
    ? SCHEMES.flatMap((path) => {
        const scheme = parse(readFileSync(join(ROOT, path), "utf8")) as Scheme;
        return scheme.queries.flatMap((query) =>
          KINDS.filter((kind) => query[kind] !== undefined).map((kind) => ({
            title: `${path}: ${query.name}`,
            path,
            scheme,
            query,
            kind,
          })),
        );
      })
    : [];

  it.each(queries)("are answered so: $title", ({ path, scheme, query, kind }) => {
    const folder = join(ROOT, dirname(path));
    const cluster = clusterOf(folder, scheme);
    const sets = (query[kind] ?? []).map((operand) => policiesOf(folder, scheme, operand));
    expect(countOf(kind, sets, new Asked(cluster, sets.flat()))).toBe(query.expected);
  });

  it("list what other policies let pass besides", () => {
    const path = "testcase8/testcase8-scheme.yaml";
    const scheme = parse(readFileSync(join(ROOT, path), "utf8")) as Scheme;
    const folder = join(ROOT, dirname(path));
    const cluster = clusterOf(folder, scheme);
    const sets = [
      "np1/kube-system/ingress-networkpolicy-with-conflict-destination",
      "global-allow-all",
    ].map((operand) => policiesOf(folder, scheme, operand));
    const printed = join(ROOT, "../expected_output/testcase8-semantic-diff-query.txt");
    const lines = readFileSync(printed, "utf8")
      .split("\n")
      .filter((line) => line.startsWith("src"));
    const attempts = attemptsOf(cluster, sets.flat());
    const [before, after] = sets.map((one) => answersOf([...cluster, ...one], attempts));
    const wrong = attempts.filter((attempt, index) => {
      const isAdded = after![index]!.allowed && !before![index]!.allowed;
      return isAdded !== lines.some((line) => isListed(line, attempt, cluster as ClusterObject[]));
    });
    expect(lines).toHaveLength(5);
    expect(wrong).toEqual([]);
  });

  it("are all here", () => expect(queries).toHaveLength(106));
});
