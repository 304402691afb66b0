/** Real outputs against the JSON Schemas that the package ships: valid, and nothing in them that is not named. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ValidateFunction } from "ajv";
import { describe, expect, it } from "vitest";
import { buildFrame, buildPcap, timed } from "./frames.ts";
import { makeRandom } from "./random.ts";
import { randomAttempt, randomWorld, worldObjects } from "./random-cluster.ts";
import { shippedValidator } from "./schemas.ts";

const ROOT = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));
const file = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

function run(...words: readonly string[]): string {
  const { stdout, stderr } = spawnSync(process.execPath, ["dist/src/cli/bin.js", ...words], {
    cwd: ROOT,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (stdout === "") throw new Error(stderr);
  return stdout;
}

/** A random cluster with traffic between its ends, half of it backwards, and its end cut off. */
function randomInputs(seed: number) {
  const random = makeRandom(seed);
  const world = randomWorld(random, { pods: 10, policies: 6, clusterPolicies: 2, calico: 3 });
  const items = worldObjects(world);
  const frames = Array.from({ length: 300 }, (_, id) => {
    const { source, destination, protocol, port } = randomAttempt(random, world);
    const ends = random.chance(0.3) ? [destination, source] : [source, destination];
    return buildFrame({
      ...{ source: ends[0]!, destination: ends[1]!, protocol, id },
      ...{ sourcePort: 20_000 + random.below(3), destinationPort: port },
    });
  });
  const isPolicy = (object: object): boolean => /Policy$/.test((object as { kind: string }).kind);
  const list = (name: string, some: readonly object[]): string =>
    file(name, JSON.stringify({ apiVersion: "v1", kind: "List", items: some }));
  return {
    cluster: list("cluster.json", items),
    without: list(
      "without.json",
      items.filter((object) => !isPolicy(object)),
    ),
    traffic: file("traffic.pcap", buildPcap(timed(frames)).subarray(0, -3)),
  };
}

const EXAMPLE = ["-f", "examples/dns-forgotten"];
const PCAP = "examples/dns-forgotten/traffic.pcapng";
const EXAMPLE_POLICIES = "examples/dns-forgotten/policies.yaml";
const TEXT = "examples/dns-forgotten/traffic.txt";
const ENTRIES = `
- {from: shop/cart, to: [kube-system/kube-dns, nobody/there, 10.1.1.200], port: [53/udp, icmp], expect: allow}
- {from: shop/checkout, to: kube-system/coredns, port: 53/udp, expect: drop, policy: a/b, reason: c}
- {from: [], to: shop/cart, expect: unknown}
`;

const { cluster, without, traffic } = randomInputs(7);
const OUTPUTS: readonly (readonly [schema: string, words: readonly string[]])[] = [
  ["replay", ["replay", "-r", PCAP, ...EXAMPLE, "-o", "json"]],
  ["replay", ["replay", "-r", traffic, "-f", cluster, "-o", "json"]],
  ["replay-packet", ["replay", "-r", PCAP, ...EXAMPLE, "-o", "ndjson"]],
  ["replay-packet", ["replay", "-r", TEXT, "-r", PCAP, ...EXAMPLE, "-o", "ndjson"]],
  ["replay-packet", ["replay", "-r", traffic, "-f", cluster, "-o", "ndjson"]],
  ["what-if", ["what-if", "-r", traffic, "-f", without, "--proposed", cluster, "--overlay"]],
  ["what-if", ["what-if", "-r", traffic, "--current", cluster]],
  ["what-if", ["what-if", "-r", PCAP, ...EXAMPLE, "--proposed", EXAMPLE_POLICIES, "--overlay"]],
  ["test", ["test", file("expected.yaml", ENTRIES), ...EXAMPLE]],
  ["compare-dialects", ["replay", "-r", PCAP, ...EXAMPLE, "--compare-dialects", "-o", "json"]],
  ["lint", ["lint", ...EXAMPLE]],
  ["explain-pod", ["explain", ...EXAMPLE, "shop/checkout"]],
  ["explain-policy", ["explain", ...EXAMPLE, "-r", PCAP, "--policy", "shop/checkout-egress"]],
  ["lint", ["lint", "-f", cluster]],
  ["lint", ["lint", "-f", cluster, "-r", traffic]],
];

function faultsOf(validate: ValidateFunction, value: unknown): string[] {
  if (validate(value)) return [];
  return (validate.errors ?? []).map(
    ({ instancePath, message, params }) =>
      `${instancePath} ${message ?? ""} ${JSON.stringify(params)}`,
  );
}

describe("the JSON Schemas", () => {
  it.each(OUTPUTS)("%s fits what is written: %j", (schema, words) => {
    const lines = schema === "replay-packet";
    const own =
      words[0] === "what-if" && words.includes("--current") ? ["--proposed", without] : [];
    const format = words[0] === "replay" ? [] : ["-o", "json"];
    const text = run(...words, ...own, ...format);
    const values = (lines ? text.trim().split("\n") : [text]).map(
      (each) => JSON.parse(each) as unknown,
    );
    for (const closed of [false, true]) {
      const validate = shippedValidator(schema, closed);
      expect(values.flatMap((value) => faultsOf(validate, value)).slice(0, 5)).toEqual([]);
    }
  });

  const names = [
    "replay",
    "replay-packet",
    "what-if",
    "test",
    "lint",
    "explain-pod",
    "explain-policy",
  ];
  it.each(names)("%s refuses what is none", (schema) => {
    expect(shippedValidator(schema, false)({ packets: "many", verdict: "perhaps" })).toBe(false);
  });

  it("are all tried here, and shipped", () => {
    const shipped = readdirSync(join(ROOT, "schemas")).map((name) => name.split(".")[0]);
    const tried = new Set(["common", ...OUTPUTS.map(([schema]) => schema)]);
    expect(shipped.sort()).toEqual([...tried].sort());
    const { files } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
      readonly files: readonly string[];
    };
    expect(files).toContain("schemas");
  });
});
