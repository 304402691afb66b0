/**
 * np-guard's questions about Calico policies: are two sets of policies equivalent, is one contained in
 * the other? Asked of the whole path, connection by connection.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse, parseAllDocuments } from "yaml";

import { haveOracle, oraclePath } from "./corpus.ts";
import { buildFrame, buildPcap, timed, type PacketSpec } from "./frames.ts";
import { compileObjects, judgeCapture } from "./judge.ts";

const ROOT = oraclePath(
  "np-guard_network-config-analyzer",
  "tests/calico_testcases/example_policies",
);
const there = haveOracle("np-guard_network-config-analyzer");

/** Those whose clusters are lists of pods. */
const SCHEMES = [
  "testcase1/testcase1-scheme.yaml",
  "testcase13-protocol/testcase13-scheme.yaml",
  "testcase2/testcase2-scheme.yaml",
  "testcase2tag/testcase2tag-scheme.yaml",
  "testcase3/testcase3-scheme.yaml",
  "testcase4/testcase4-scheme.yaml",
  "testcase5/testcase5-scheme.yaml",
  "testcase6/testcase6-scheme.yaml",
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

interface Query {
  readonly name: string;
  readonly equivalence?: readonly string[];
  readonly containment?: readonly string[];
  readonly twoWayContainment?: readonly string[];
  readonly expected: number;
}

interface KubernetesObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly items?: readonly KubernetesObject[];
}

function objectsOf(path: string): KubernetesObject[] {
  return parseAllDocuments(readFileSync(path, "utf8")).map(
    (document) => document.toJS() as KubernetesObject,
  );
}

/** Pods with an address each, on one node, and nothing that a policy does not see. */
function clusterOf(folder: string, scheme: Scheme): object[] {
  const pods = objectsOf(join(folder, scheme.podList)).flatMap(({ items = [] }) => items);
  const namespaces = objectsOf(join(folder, scheme.namespaceList)).flatMap(
    ({ items = [] }) => items,
  );
  return [
    ...namespaces.map((one) => ({ apiVersion: "v1", kind: "Namespace", metadata: one.metadata })),
    ...pods.map(({ metadata }, index) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata,
      spec: { nodeName: "node-1" },
      status: { podIP: `10.65.0.${index + 1}` },
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

/** Every pair of pods, and of a pod and an address outside, with every port and protocol that is named. */
function attemptsOf(cluster: readonly object[], policies: readonly object[]): PacketSpec[] {
  const pods = (cluster as { status?: { podIP: string } }[]).flatMap(
    ({ status }) => status?.podIP ?? [],
  );
  const text = JSON.stringify(policies);
  const named = [...text.matchAll(/[[,"]"?(\d{2,5})(?=[\],":])/g)].map((found) => Number(found[1]));
  const ports = new Set([80, 12345, ...named.flatMap((port) => [port, port + 1])]);
  const kinds: Pick<PacketSpec, "protocol" | "destinationPort" | "icmp">[] = [
    ...[...ports]
      .filter((port) => port > 0 && port < 65536 && port !== 4789)
      .flatMap((destinationPort) => [6, 17].map((protocol) => ({ protocol, destinationPort }))),
    ...[8, 13].map((type) => ({ protocol: 1, icmp: { type } })),
    { protocol: 47 },
  ];
  const ends = [...pods, ...OUTSIDE];
  return ends.flatMap((source) =>
    ends
      .filter(
        (destination) =>
          destination !== source && [source, destination].some((end) => pods.includes(end)),
      )
      .flatMap((destination) =>
        kinds.map((kind) => ({ source, destination, sourcePort: 40_000, ...kind })),
      ),
  );
}

/** Which of the attempts are let through, each as a connection of its own. */
async function allowed(
  objects: readonly object[],
  attempts: readonly PacketSpec[],
): Promise<boolean[]> {
  // So far apart that no attempt is an answer to one before.
  const frames = attempts.map((attempt) => buildFrame(attempt));
  const capture = buildPcap(
    timed(frames).map((frame, index) => ({ ...frame, timeNs: BigInt(index) * 1_000_000_000_000n })),
  );
  const verdicts = await judgeCapture({ compiled: compileObjects(objects), capture });
  return verdicts.map(({ verdict }) => verdict === "allow");
}

describe.skipIf(!there)("np-guard's queries", () => {
  const queries = there
    ? SCHEMES.flatMap((path) => {
        const scheme = parse(readFileSync(join(ROOT, path), "utf8")) as Scheme;
        return scheme.queries
          .filter((query) => query.equivalence ?? query.containment ?? query.twoWayContainment)
          .map((query) => ({ title: `${path}: ${query.name}`, path, scheme, query }));
      })
    : [];

  it.each(queries)("are answered so: $title", async ({ path, scheme, query }) => {
    const folder = join(ROOT, dirname(path));
    const cluster = clusterOf(folder, scheme);
    const operands = query.equivalence ?? query.containment ?? query.twoWayContainment ?? [];
    const sets = operands.map((operand) => policiesOf(folder, scheme, operand));
    const attempts = attemptsOf(cluster, sets.flat());
    const answers: boolean[][] = [];
    for (const policies of sets) answers.push(await allowed([...cluster, ...policies], attempts));
    const [first = [], ...others] = answers;
    const within = (one: readonly boolean[], other: readonly boolean[]): boolean =>
      one.every((is, index) => !is || other[index]);
    const count =
      query.equivalence !== undefined
        ? others.filter((one) => !within(one, first) || !within(first, one)).length
        : query.containment !== undefined
          ? others.filter((one) => within(one, first)).length
          : others.filter((one) => within(one, first) || within(first, one)).length;
    expect(count).toBe(query.expected);
  });

  it("are all here", () => expect(queries).toHaveLength(29));
});
