/** What CI systems read of a what-if: SARIF by its published schema, and JUnit by a common reader. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { buildFrame, buildPcap, ICMP, TCP, timed, UDP, type PacketSpec } from "../frames.ts";
import { readJunit } from "../junit.ts";
import { sarifValidator } from "../schemas.ts";

const ROOT = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return name;
}

const CLUSTER = readFileSync(join(ROOT, "examples/dns-forgotten/cluster.yaml"), "utf8");
const POLICIES = readFileSync(join(ROOT, "examples/dns-forgotten/policies.yaml"), "utf8");
file("cluster.yaml", CLUSTER);
file("policies.yaml", POLICIES);
file("none.yaml", "{apiVersion: v1, kind: Namespace, metadata: {name: nothing}}");

const [FRONTEND, CHECKOUT, CART, DNS] = ["10.1.1.10", "10.1.1.11", "10.1.1.12", "10.96.0.10"];

/** Flows from client ports that begin there, in this order. */
function capture(name: string, firstPort: number, backwards: boolean): string {
  const ends: readonly PacketSpec[] = [
    { source: FRONTEND, destination: DNS, protocol: UDP, destinationPort: 53 },
    { source: CHECKOUT, destination: DNS, protocol: UDP, destinationPort: 53 },
    { source: CART, destination: DNS, protocol: UDP, destinationPort: 53 },
    { source: FRONTEND, destination: "203.0.113.9", protocol: TCP, destinationPort: 443 },
    { source: FRONTEND, destination: "203.0.113.9", protocol: ICMP },
    { source: FRONTEND, destination: "10.1.2.77", protocol: TCP, destinationPort: 443 },
  ];
  const frames = (backwards ? ends.toReversed() : ends).map((spec, id) =>
    buildFrame({
      ...spec,
      id,
      ...(spec.protocol === ICMP ? {} : { sourcePort: firstPort + id }),
    }),
  );
  return file(name, buildPcap(timed(frames)));
}

const TRAFFIC = capture("traffic.pcap", 40_000, false);

function whatIf(format: string, ...words: readonly string[]) {
  const bin = join(ROOT, "dist/src/cli/bin.js");
  const sides = ["--current", "none.yaml", "--proposed", "policies.yaml"];
  const own = words.includes("--proposed") ? [] : sides;
  const read = words.includes("-r") ? [] : ["-r", TRAFFIC];
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [bin, "what-if", ...read, "-f", "cluster.yaml", "-o", format, ...own, ...words],
    { encoding: "utf8", cwd: folder },
  );
  return { status, stdout, stderr };
}

interface Sarif {
  readonly runs: readonly [
    {
      readonly tool: { readonly driver: { readonly rules: readonly { readonly id: string }[] } };
      readonly invocations: readonly [{ readonly executionSuccessful: boolean }];
      readonly results: readonly {
        readonly ruleId: string;
        readonly ruleIndex: number;
        readonly level: string;
        readonly message: { readonly text: string };
        readonly locations: readonly {
          readonly physicalLocation: {
            readonly artifactLocation: { readonly uri: string };
            readonly region: { readonly startLine: number; readonly startColumn: number };
          };
        }[];
        readonly partialFingerprints: Readonly<Record<string, string>>;
        readonly suppressions?: readonly object[];
        readonly properties?: object;
      }[];
    },
  ];
}

/** The log of a run, once it is valid. */
function sarif(...words: readonly string[]): Sarif["runs"][0] {
  const { stdout, stderr } = whatIf("sarif", ...words);
  if (stdout === "") throw new Error(stderr);
  const log: unknown = JSON.parse(stdout);
  expect(isSarif(log), JSON.stringify(isSarif.errors)).toBe(true);
  return (log as Sarif).runs[0];
}

const isSarif = sarifValidator();

const fingerprints = (run: Sarif["runs"][0]): string[] =>
  run.results.map(({ partialFingerprints }) => partialFingerprints["netverdictChange/v1"]!).sort();

describe("what-if -o sarif", () => {
  it("has a rule for each kind of change, and each result at its policy's line", () => {
    const { tool, results, invocations } = sarif();
    expect(tool.driver.rules.map(({ id }) => id)).toEqual([
      ...["new-drop", "new-allow", "unknown", "cut", "lost-on-reconnect"],
    ]);
    expect(invocations[0].executionSuccessful).toBe(true);
    const lines = POLICIES.split("\n");
    for (const { ruleId, ruleIndex, locations } of results) {
      expect(tool.driver.rules[ruleIndex]?.id).toBe(ruleId);
      const { artifactLocation, region } = locations[0]!.physicalLocation;
      expect(artifactLocation.uri).toBe("policies.yaml");
      expect(lines[region.startLine - 1]?.slice(region.startColumn - 1)).toMatch(/^\S/);
    }
    const drop = results.find(({ message }) => message.text.startsWith("shop/checkout"));
    expect(drop).toMatchObject({ ruleId: "new-drop", level: "error" });
    expect(drop?.message.text).toContain(
      "shop/checkout -> kube-system/coredns 53/udp newly dropped",
    );
    expect(drop?.message.text).toContain("nearest: shop/checkout-egress egress[1]");
  });

  it("tells changes apart by what they are, not by ports of clients, numbers of packets, lines or order", () => {
    const first = fingerprints(sarif());
    expect(new Set(first).size).toBe(first.length);
    expect(first.length).toBeGreaterThan(3);
    const other = capture("other.pcap", 50_123, true);
    expect(fingerprints(sarif("-r", other))).toEqual(first);
    const moved = file("moved.yaml", `# moved\n\n${POLICIES}`);
    expect(fingerprints(sarif("--proposed", moved))).toEqual(first);
    const back = ["--current", "policies.yaml", "--proposed", "none.yaml"];
    expect(fingerprints(sarif(...back)).some((each) => first.includes(each))).toBe(false);
  });

  it("says the same to the byte, and marks what is accepted as suppressed", () => {
    expect(whatIf("sarif").stdout).toBe(whatIf("sarif").stdout);
    const { results } = sarif("--accept", "accepted.yaml", "--update-accept");
    // What the capture does not show cannot be accepted.
    const captured = results.filter(({ properties }) => properties !== undefined);
    expect(captured.length).toBeGreaterThan(3);
    expect(captured.every(({ suppressions }) => suppressions?.length === 1)).toBe(true);
  });

  it("is valid of names that no address holds, and of what was not read to its end", () => {
    const odd = file("odd name%é#.yaml", POLICIES);
    const cut = file("cut.pcap", readFileSync(join(folder, TRAFFIC)).subarray(0, -3));
    const { results, invocations } = sarif("-r", cut, "--proposed", odd);
    expect(results[0]!.locations[0]!.physicalLocation.artifactLocation.uri).toBe(
      "odd%20name%25%C3%A9%23.yaml",
    );
    expect(invocations[0].executionSuccessful).toBe(false);
  });

  it("has no results where nothing changes", () => {
    const { results } = sarif("--current", "policies.yaml", "--proposed", "policies.yaml");
    expect(results).toEqual([]);
  });
});

describe("what-if -o junit", () => {
  const casesOf = async (...words: readonly string[]) => {
    const { stdout, status } = whatIf("junit", ...words);
    const [suite] = await readJunit(stdout);
    if (suite === undefined) throw new Error("there is no suite");
    const failed = suite.cases.filter(({ failure }) => failure !== undefined);
    // It fails whenever the command does.
    expect(failed.length > 0).toBe(status !== 0);
    return { ...suite, failed: failed.map(({ name }) => name) };
  };
  const DROP = "shop/checkout -> kube-system/coredns 53/udp newly dropped";

  it("fails a case for each change that a gate asks for, with what decides", async () => {
    const { cases, failed } = await casesOf();
    expect(failed).toContain(DROP);
    const { failure } = cases.find(({ name }) => name === DROP)!;
    expect(failure).toContain("before: allowed (no policy isolates it for egress)");
    expect(failure).toContain("NetworkPolicy shop/checkout-egress egress  policies.yaml:");
  });

  it.each([
    [["--fail-on", "new-allow"], []],
    [
      ["--fail-on", "unknown"],
      ["can be decided", "shop/frontend -> 10.1.2.77 443/tcp cannot be compared"],
    ],
    [["--accept", "all.yaml", "--update-accept"], []],
    [["udp", "and", "src", "host", CHECKOUT], [DROP]],
    [["--current", "policies.yaml", "--proposed", "policies.yaml"], []],
  ])("fails what trips, and nothing else: %j", async (words, names) => {
    expect((await casesOf(...words)).failed).toEqual(names);
  });

  it("fails where a capture is damaged", async () => {
    const cut = file("cut.pcap", readFileSync(join(folder, TRAFFIC)).subarray(0, -3));
    const words = ["-r", cut, "--fail-on", "new-allow"];
    expect((await casesOf(...words)).failed).toEqual(["is read to its end"]);
  });

  it("is written beside other outputs of one run", async () => {
    const { stdout } = whatIf("sarif=all.sarif", "-o", "junit=all.xml", "-o", "json");
    expect(JSON.parse(stdout)).toHaveProperty("changes");
    expect(readFileSync(join(folder, "all.sarif"), "utf8")).toBe(whatIf("sarif").stdout);
    expect(await readJunit(readFileSync(join(folder, "all.xml"), "utf8"))).toHaveLength(1);
  });
});
