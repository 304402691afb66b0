/** Expected verdicts: what holds, what fails and why, what is refused, and that no question leaks into another. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readJunit } from "../junit.ts";

const ROOT = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));

function run(...words: readonly string[]) {
  const bin = join(ROOT, "dist/src/cli/bin.js");
  const { GITHUB_STEP_SUMMARY: _, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, "test", ...words], {
    encoding: "utf8",
    cwd: folder,
    env: { ...env, NO_COLOR: "1" },
  });
  return { status, stdout, stderr };
}

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return name;
}

const pod = (name: string, address: string, owner: string): string =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: shop, labels: {app: ${name}},
    ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: ${owner}, uid: u, controller: true}]},
    spec: {nodeName: n}, status: {podIP: ${address}}}`;

const CLUSTER = [
  "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}",
  "{apiVersion: v1, kind: Node, metadata: {name: n}, status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}}",
  pod("web-0", "10.1.0.5", "web"),
  pod("web-1", "10.1.0.6", "web"),
  pod("api-0", "10.1.0.7", "api"),
  "{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop}, spec: {clusterIP: 10.96.0.10, clusterIPs: [10.96.0.10], selector: {app: api-0}, ports: [{port: 80, targetPort: 8443}]}}",
  "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: None, selector: {app: web-0}, ports: [{port: 80, targetPort: 8443}]}}",
  "{apiVersion: v1, kind: Pod, metadata: {name: agent, namespace: shop}, spec: {nodeName: n, hostNetwork: true}, status: {podIP: 192.168.0.1}}",
  "{apiVersion: apps/v1, kind: Deployment, metadata: {name: batch, namespace: shop}, spec: {template: {metadata: {labels: {app: batch}}, spec: {}}}}",
  "",
].join("\n---\n");

const POLICIES = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api-0}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: web-0}}}, {podSelector: {matchLabels: {app: batch}}}]
      ports: [{port: 8443}]
`;

const FILES = ["-f", file("cluster.yaml", CLUSTER), "-f", file("policies.yaml", POLICIES)];
const ask = (text: string, ...words: readonly string[]) =>
  run(file("expected.yaml", text), ...FILES, ...words);

interface Report {
  readonly expectations: number;
  readonly failed: number;
  readonly questions: number;
  readonly results: readonly {
    readonly line: number;
    readonly from: string;
    readonly to: string;
    readonly port?: string;
    readonly passed: boolean;
    readonly fault?: string;
    readonly questions: number;
    readonly failing: number;
    readonly answer?: { readonly verdict: string; readonly from?: string; readonly to?: string };
  }[];
}

const report = (text: string): Report => JSON.parse(ask(text, "-o", "json").stdout) as Report;

describe("netverdict test", () => {
  it.each([
    ["{from: shop/web-0, to: shop/api-0, port: 8443/tcp, expect: allow}", 1],
    ["{from: shop/web-0, to: shop/api-0, port: 8443, expect: allow, policy: shop/api}", 1],
    [
      "{from: shop/web-0, to: shop/api-0, port: 8443, expect: allow, policy: NetworkPolicy shop/api}",
      1,
    ],
    [
      "{from: shop/web-0, to: statefulset/shop/api, port: 80, expect: drop, reason: no ingress rule}",
      1,
    ],
    ["{from: shop/web-0, to: service/shop/api, port: 80, expect: allow}", 1],
    ["{from: shop/web-0, to: [shop/api, pod/shop/api-0], port: 8443, expect: allow}", 2],
    ["{from: shop/web-1, to: shop/api-0, port: [8443, 80/udp, icmp], expect: drop}", 3],
    ["{from: 203.0.113.9, to: shop/web, port: 80, expect: allow}", 2],
    ["{from: shop/batch, to: [shop/api-0, 10.1.0.7], port: 8443, expect: allow}", 2],
    ["{from: 10.1.0.99, to: shop/api-0, port: 8443, expect: unknown, reason: no pod has}", 1],
    // Of a workload that talks to itself, only what goes from one pod to another is meant.
    ["{from: shop/web, to: shop/web, port: 80, expect: allow}", 2],
    ["{from: shop/api, to: shop/web, expect: allow}", 2],
    // What leads to the pods themselves has no ports of its own.
    ["{from: shop/api, to: shop/web, port: 80, expect: allow}", 2],
  ])("holds: %s", (entry, questions) => {
    const { stdout, status } = ask(`[${entry}]`, "-o", "json");
    const { failed, questions: asked } = JSON.parse(stdout) as Report;
    expect({ status, failed, asked }).toEqual({ status: 0, failed: 0, asked: questions });
  });

  it("says what was expected, what it is, by which rule, and which pods", () => {
    const text = [
      "# of the shop",
      "- from: shop/web",
      "  to: shop/api-0",
      "  port: 8443/tcp",
      "  expect: allow",
      "- {from: shop/web-0, to: shop/api-0, port: 8443/tcp, expect: drop}",
    ].join("\n");
    const { stdout, status } = ask(text);
    expect(status).toBe(1);
    expect(stdout.split("\n")).toEqual([
      "2 of 2 expectations fail.",
      "2 expectations, 3 connections asked about",
      "",
      "FAILED FROM  TO          PORT      EXPECTED  GOT",
      "shop/web     shop/api-0  8443/tcp  allow     drop",
      "  expected.yaml:2:3",
      "  no ingress rule of the policies selecting shop/api-0 matches",
      "  NetworkPolicy shop/api ingress  policies.yaml:5",
      "  nearest: shop/api ingress[0] port 8443/TCP matches; peer needs app=web-0, has app=web-1",
      "    policies.yaml:7",
      "  1 of 2 pairs of pods, such as shop/web-1 -> shop/api-0",
      "shop/web-0   shop/api-0  8443/tcp  drop      allow",
      "  expected.yaml:6:3",
      "  shop/api ingress[0] allows it",
      "  NetworkPolicy shop/api ingress[0]  policies.yaml:7",
      "",
    ]);
  });

  it.each([
    ["{from: shop/wbe, to: shop/api-0, port: 8443, expect: drop}", 'did you mean "shop/web"?'],
    ["{from: shop/web, to: other/api, port: 8443, expect: drop}", "has this name"],
    ["{from: shop/agent, to: shop/api-0, port: 80, expect: drop}", "name that (192.168.0.1)"],
    [
      "{from: shop/web, to: shop/api, port: 80/tcp, expect: drop}",
      "80/tcp is the Service's port, which leads to 8443: say service/shop/api, or statefulset/shop/api for its pods",
    ],
    [
      "{from: shop/web, to: deployment/shop/api, port: 80, expect: drop}",
      'has this name (did you mean "shop/api"?)',
    ],
    ["{from: [], to: shop/api-0, port: 8443, expect: drop}", "an empty list"],
    ["{from: shop/web, to: shop/api-0, port: [], expect: drop}", "an empty list"],
    ["{from: shop/web, to: shop/api-0, expect: drop}", "port is missing"],
    ["{from: shop/web, to: 2001:db8::1, port: 80, expect: drop}", "no address family in common"],
    [
      "{from: shop/web-1, to: shop/api-0, port: 8443, expect: drop, policy: shop/apo}",
      'did you mean "shop/api"?',
    ],
    [
      "{from: shop/web-1, to: shop/api-0, port: 8443, expect: drop, reason: egress}",
      'for the reason "egress"',
    ],
  ])("fails what says nothing, or holds for another reason: %s", (entry, sentence) => {
    const { stdout, status } = ask(`[${entry}]`, "-o", "github");
    expect(status).toBe(1);
    expect(stdout).toContain(sentence);
    expect(stdout).toMatch(/^::error file=expected\.yaml,line=1,/);
  });

  it.each([
    [
      "- {from: a/b, to: c/d, prot: 80, expect: drop}",
      '1:24: error: [0].prot: unknown field "prot" (did you mean "port"?)',
    ],
    ["- {from: a/b, to: c/d, port: 80, expect: deny}", 'did you mean "drop"?'],
    ["- {from: a/b, to: c/d, port: 80, expect: alow}", 'did you mean "allow"?'],
    ["- {from: a/b, to: c/d, port: 80/tpc, expect: drop}", "1:30: error"],
    ["- {from: a/b, port: 80, expect: drop}", "to is missing"],
    ["- a/b", "must be a map"],
    ["{expectation: []}", 'did you mean "expectations"?'],
    ["{expectations: [{from: a/b, to: c/d, expect: 3}]}", "1:46: error"],
    ["{kind: Pod, apiVersion: v1}", "it goes behind -f"],
    ["expectations: [", "[BAD_YAML]"],
    ["", "there are no expectations"],
  ])("refuses a file that is none: %s", (text, message) => {
    const { status, stderr, stdout } = ask(text);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain(message);
    expect(stderr).toContain("expected.yaml:");
  });

  it("reads several files and folders, and needs one", () => {
    mkdirSync(join(folder, "all/below"), { recursive: true });
    const entry = "- {from: shop/web-0, to: shop/api-0, port: 8443/tcp, expect: allow}";
    file("all/one.yaml", entry);
    file("all/below/two.yml", `expectations:\n${entry}\n---\n${entry}`);
    const { stdout } = run("all", file("three.yaml", entry), ...FILES, "-o", "json");
    expect((JSON.parse(stdout) as Report).expectations).toBe(4);
    expect(run(...FILES).status).toBe(2);
    expect(run("nothing.yaml", ...FILES).stderr).toContain("no such file or folder");
  });

  it("asks each question on its own, by whatever a node's rules remember", () => {
    const rules = [
      "*filter",
      ":INPUT DROP [0:0]",
      ":FORWARD DROP [0:0]",
      "-A FORWARD -p tcp -m tcp --dport 80 -m connlimit --connlimit-upto 1 --connlimit-mask 32 --connlimit-saddr -j ACCEPT",
      "-A FORWARD -p tcp -m tcp --dport 81 -m recent --rcheck --name seen -j ACCEPT",
      "-A FORWARD -p tcp -m tcp --dport 81 -m recent --set --name seen -j DROP",
      "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT",
      "COMMIT",
      "",
    ].join("\n");
    mkdirSync(join(folder, "node"), { recursive: true });
    file("node/iptables-save", rules);
    file("node/ip-route.json", '[{"dst": "default", "dev": "eth0", "flags": []}]');
    const link = '"ifindex": 2, "flags": ["UP"], "link_type": "ether"';
    file("node/ip-addr.json", `[{"ifname": "eth0", ${link}, "addr_info": []}]`);
    const entry = (port: number, verdict: string): string =>
      `- {from: 10.0.0.7, to: 10.0.0.9, port: ${port}, expect: ${verdict}}\n`;
    const all = [entry(80, "allow"), entry(81, "drop"), entry(82, "drop")].join("").repeat(3);
    const expected = file("expected.yaml", all);
    const words = ["--node-state", "node", "--in-interface", "eth0", "-o", "json"];
    const { stdout, stderr, status } = run(expected, ...words);
    expect(stderr).not.toContain("error");
    expect(JSON.parse(stdout)).toMatchObject({ expectations: 9, failed: 0, questions: 9 });
    expect(status).toBe(0);
    const noPort = run(
      file("odd.yaml", "[{from: 10.0.0.7, to: 10.0.0.9, expect: drop}]"),
      ...words,
    );
    expect(noPort.stdout).toContain("port is missing");
  });

  it("writes JUnit's XML: a suite for each file, a case for each expectation", async () => {
    const odd = "shop/<web>&'\\a]]>";
    const text = `- {from: [shop/web-0, "${odd}"], to: shop/api-0, port: 8443, expect: allow}`;
    const { stdout } = ask(text, "-o", "junit");
    expect(stdout).toContain('file="expected.yaml" line="1"');
    expect(await readJunit(stdout)).toEqual([
      {
        name: "expected.yaml",
        cases: [
          { name: "shop/web-0 -> shop/api-0 8443/tcp: allow" },
          {
            name: "shop/<web>&'\\x07]]> -> shop/api-0 8443/tcp: allow",
            failure: expect.stringContaining("has this name") as string,
          },
        ],
      },
    ]);
  });

  it("says the same to the byte, and at most ten annotations", () => {
    const text = "- {from: shop/web-1, to: shop/api-0, port: 8443, expect: allow}\n".repeat(13);
    const first = ask(text, "-o", "github").stdout;
    expect(first.split("\n").filter((line) => line.startsWith("::error"))).toHaveLength(10);
    expect(first).toContain("and 3 more failures");
    expect(ask(text, "-o", "github").stdout).toBe(first);
    expect(report(text).results.map(({ line }) => line)).toEqual(
      Array.from({ length: 13 }, (_, index) => index + 1),
    );
  });
});
