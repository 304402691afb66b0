import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));

const CLUSTER = `
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Node, metadata: {name: n}, status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}, spec: {nodeName: n}, status: {podIP: 10.1.0.5}}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: outside}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  egress:
    - {action: Accept, to: [{domainNames: [Example.com, "*.example.org"]}]}
    - {action: Deny, to: [{networks: [0.0.0.0/0]}]}
`;

const DNS = `
# what dig said
203.0.113.7 example.com.
203.0.113.8 www.example.org api.eu.example.org
203.0.113.9 example.org
203.0.113.11 *.example.org
`;

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function explain(to: string, ...words: string[]): { verdict: string; reason: string } {
  const bin = join(ROOT, "dist/src/cli/bin.js");
  const cluster = file("cluster.yaml", CLUSTER);
  const command = ["explain", "-f", cluster, "shop/web", to, "--port", "443/tcp", "-o", "json"];
  const { stdout, stderr } = spawnSync(process.execPath, [bin, ...command, ...words], {
    encoding: "utf8",
  });
  if (stdout === "") throw new Error(stderr);
  return (JSON.parse(stdout) as { packet: { verdict: string; reason: string } }).packet;
}

describe("--dns", () => {
  it.each([
    ["203.0.113.7", "allow"],
    ["203.0.113.8", "allow"],
    ["203.0.113.11", "allow"],
    // A wildcard stands for one label or more, and not for none.
    ["203.0.113.9", "drop"],
    ["203.0.113.10", "drop"],
  ])("gives the addresses of domain names in policies: %s", (address, verdict) => {
    const dns = file("dns.txt", DNS);
    expect(explain(address, "--dns", dns)).toMatchObject({ verdict });
  });

  it("leaves undecided what hangs on a name that it does not have", () => {
    const dns = file("half.txt", "203.0.113.7 example.com");
    expect(explain("203.0.113.7", "--dns", dns)).toMatchObject({ verdict: "allow" });
    expect(explain("203.0.113.8", "--dns", dns)).toMatchObject({
      verdict: "unknown",
      reason: "outside egress[0] asks for the addresses of *.example.org, which nothing tells",
    });
    expect(explain("203.0.113.8")).toMatchObject({ verdict: "unknown" });
  });

  it("leaves undecided what may be another of the names that a pattern stands for", () => {
    const dns = file("some.txt", "203.0.113.7 example.com\n203.0.113.8 www.example.org");
    expect(explain("203.0.113.8", "--dns", dns)).toMatchObject({ verdict: "allow" });
    expect(explain("203.0.113.10", "--dns", dns)).toMatchObject({
      verdict: "unknown",
      reason: "outside egress[0] asks for the addresses of *.example.org, which nothing tells",
    });
  });
});
