import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

import { buildFrame, buildPcap, TCP, timed } from "../frames.ts";
import { shippedValidator } from "../schemas.ts";

const ROOT = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));

const CLUSTER = `
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Node, metadata: {name: n}, status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}, spec: {podCIDR: 10.1.0.0/16}}
---
{apiVersion: v1, kind: Node, metadata: {name: other}, status: {addresses: [{type: InternalIP, address: 192.168.0.2}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: n, containers: [{name: c, ports: [{name: http, containerPort: 80}]}]}
status: {podIP: 10.1.0.5}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec:
  nodeName: n
  initContainers: [{name: i, ports: [{name: setup, containerPort: 9000}]}]
  containers: [{name: c, ports: [{name: sql, containerPort: 5432}]}]
status: {podIP: 10.1.0.6}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
  egress:
    - to: [{ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {cidr: 192.168.0.0/16}}, {ipBlock: {cidr: 203.0.113.0/24}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - {from: [{podSelector: {}}], ports: [{port: setup}, {port: 5432}]}
`;

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const cluster = file("cluster.yaml", CLUSTER);
const bin = join(ROOT, "dist/src/cli/bin.js");

function run(...words: string[]): { stdout: string; stderr: string; status: number | null } {
  return spawnSync(process.execPath, [bin, ...words], { encoding: "utf8" });
}

function explain(dialect: string, from: string, to: string, port: string): string {
  const words = ["explain", "-f", cluster, "--dialect", dialect, from, to, "--port", port];
  const { stdout, stderr } = run(...words, "-o", "json");
  if (stdout === "") throw new Error(stderr);
  return (JSON.parse(stdout) as { packet: { verdict: string } }).packet.verdict;
}

const DIALECTS = ["calico", "kube-network-policies", "cilium", "kube-router", "generic"] as const;

/** What each of the dialects says, in their order. */
const ASKED: readonly (readonly [string, string, string, string, string])[] = [
  ["an ipBlock and a pod", "shop/web", "10.1.0.6", "5432/tcp", "allow allow drop allow unknown"],
  ["an ipBlock and a node", "shop/web", "192.168.0.2", "22/tcp", "allow allow drop allow unknown"],
  [
    "an ipBlock and the outside",
    "shop/web",
    "203.0.113.9",
    "443/tcp",
    "allow allow allow allow allow",
  ],
  ["no ipBlock", "shop/web", "198.51.100.9", "443/tcp", "drop drop drop drop drop"],
  [
    "a rule without ports and a ping",
    "shop/web",
    "203.0.113.9",
    "icmp",
    "allow allow allow allow unknown",
  ],
  ["a rule with ports and a ping", "shop/web", "shop/db", "icmp", "drop drop drop allow unknown"],
  ["SCTP", "shop/web", "203.0.113.9", "9/sctp", "allow allow drop allow unknown"],
  ["a pod to itself", "shop/web", "shop/web", "80/tcp", "allow allow allow allow allow"],
  ["itself by its Service", "shop/web", "10.96.0.1", "80/tcp", "drop drop allow allow unknown"],
  ["the pod's own node", "192.168.0.1", "shop/web", "80/tcp", "allow unknown allow allow allow"],
  ["another node", "192.168.0.2", "shop/web", "80/tcp", "drop drop drop drop drop"],
  ["a port of an init container", "203.0.113.9", "shop/db", "9000/tcp", "drop drop drop drop drop"],
];

describe("--dialect", () => {
  it.each(ASKED)("answers what the API leaves open: %s", (_name, from, to, port, verdicts) => {
    const said = DIALECTS.map((dialect) => explain(dialect, from, to, port));
    expect(said.join(" ")).toBe(verdicts);
  });

  it("compiles kube-router's own tables, which judge as they are", () => {
    const words = ["compile", "-f", cluster, "--dialect", "kube-router", "--node", "n"];
    const { stdout, stderr } = run(...words);
    expect(stderr).toBe("");
    expect(stdout).not.toContain("cali");
    expect(stdout).toContain("-A FORWARD -j KUBE-ROUTER-FORWARD");
    expect(stdout).toMatch(
      /-A KUBE-POD-FW-\w{16} -d 10\.1\.0\.6\/32 -j KUBE-NWPLCY-\w{16}\n.*-s 10\.1\.0\.6\/32 -j KUBE-NWPLCY-DEFAULT/,
    );
    expect(run(...words, "-o", "ipset-save").stdout).toMatch(/^create KUBE-DST-\w{16} hash:net/m);
  });

  it("tells which of kube-router's rules come to other than the API says", () => {
    const path = file(
      "quirks.yaml",
      `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: blocks, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{podSelector: {}}]}]
  egress:
    - to: [{ipBlock: {cidr: 203.0.0.0/8}}, {ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.9/32]}}]
    - {to: [{ipBlock: {cidr: 198.51.100.0/24}}], ports: [{port: http}]}
`,
    );
    const pods = CLUSTER.slice(0, CLUSTER.indexOf("apiVersion: networking.k8s.io"));
    const files = ["-f", file("pods.yaml", pods.replace(/---\s*$/, "")), "-f", path];
    const verdicts = (to: string, port: string): string[] =>
      (["calico", "kube-router"] as const).map((dialect) => {
        const asked = ["shop/db", to, "--port", port, "--dialect", dialect, "-o", "json"];
        const { stdout, stderr } = run("explain", ...files, ...asked);
        if (stdout === "") throw new Error(stderr);
        return (JSON.parse(stdout) as { packet: { verdict: string } }).packet.verdict;
      });
    // What one block excepts is excepted from the rule's others.
    expect(verdicts("203.0.113.9", "1/tcp")).toEqual(["allow", "drop"]);
    expect(verdicts("203.0.113.8", "1/tcp")).toEqual(["allow", "allow"]);
    // The policy's ingress rule lets its pods' egress through, too.
    expect(verdicts("shop/web", "1/tcp")).toEqual(["drop", "allow"]);
    expect(verdicts("198.51.100.9", "icmp")).toEqual(["drop", "allow"]);
  });

  it("says what is open, and whom it is left to", () => {
    const words = ["explain", "-f", cluster, "shop/web", "10.1.0.6", "--port", "5432/tcp"];
    expect(run(...words, "--dialect", "generic").stdout.replace(/\s+/g, " ")).toContain(
      "shop/web egress[0] hangs on more than it says: the API does not say whether an ipBlock means pods, too",
    );
    expect(run(...words, "--dialect", "cilium").stdout.replace(/\s+/g, " ")).toContain(
      "peer needs an address in 10.0.0.0/8 outside the cluster (Cilium), is pod shop/db",
    );
  });

  it("refuses policies that the dialect does not have, where they are", () => {
    const path = file(
      "admin.yaml",
      `apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: a}
spec: {priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{nodes: {}}]}]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: b}
spec: {types: [Ingress]}
`,
    );
    const refused = (dialect: string): string =>
      run("explain", "-f", cluster, "-f", path, "--dialect", dialect, "shop/web", "shop/db").stderr;
    const cilium = refused("cilium");
    expect(cilium).toContain(`${path}:2:7: error: AdminNetworkPolicy of`);
    expect(cilium).toContain(`${path}:7:7: error: GlobalNetworkPolicy of`);
    expect(cilium).toContain("[UNSUPPORTED_KIND]");
    expect(refused("kube-network-policies")).toMatch(
      /:4:\d+: error: AdminNetworkPolicy a chooses nodes, and kube-network-policies takes that.*UNSUPPORTED_FEATURE/,
    );
    expect(refused("generic")).not.toContain("AdminNetworkPolicy");
  });

  it("compares what the dialects make of a capture, and lists the flows that differ", () => {
    const capture = join(folder, "traffic.pcap");
    const from = (port: number, to: string, destinationPort: number): Uint8Array =>
      buildFrame({
        source: "10.1.0.5",
        destination: to,
        protocol: TCP,
        sourcePort: port,
        destinationPort,
      });
    const frames = [
      from(1001, "10.1.0.6", 5432),
      from(1002, "203.0.113.9", 443),
      from(1003, "10.1.0.6", 5432),
      from(1004, "198.51.100.9", 443),
    ];
    writeFileSync(capture, buildPcap(timed(frames)));
    const words = ["replay", "-r", capture, "-f", cluster, "--compare-dialects"];
    const json: unknown = JSON.parse(run(...words, "-o", "json").stdout);
    const validate = shippedValidator("compare-dialects", true);
    expect(validate(json), JSON.stringify(validate.errors)).toBe(true);
    expect(json).toMatchObject({
      packets: 4,
      dialects: DIALECTS,
      refused: [],
      alike: { packets: 2, flows: 2 },
      differ: { packets: 2, flows: 2 },
      differences: [
        {
          certain: true,
          pair: { from: "shop/web", to: "shop/db", port: "5432/tcp" },
          firstPacket: 1,
          verdicts: {
            calico: { verdict: "allow" },
            cilium: { verdict: "drop" },
            generic: { verdict: "unknown" },
          },
        },
        { firstPacket: 3 },
      ],
    });
    const { stdout, status } = run(...words);
    expect(status).toBe(0);
    expect(stdout).toContain("Not everywhere the same: shop/web -> shop/db 5432/tcp.");
    expect(stdout).toMatch(/calico, kube-network-policies.*: allow \(/);
    expect(stdout).toContain("cilium: drop (no egress rule of the policies selecting shop/web");
    expect(run(...words, "host", "203.0.113.9").stdout).toContain("The same by calico");
    expect(run(...words, "--fail-on", "drop").stderr).toContain("has no single verdict");
  });

  it("prints no tables of who has none", () => {
    const { status, stderr } = run("compile", "-f", cluster, "--dialect", "cilium");
    expect(status).toBe(2);
    expect(stderr).toContain("there are no tables to print");
  });
});
