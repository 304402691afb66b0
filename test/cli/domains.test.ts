import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

import { buildDns } from "../dns.ts";
import type { DnsRecordSpec } from "../dns.ts";
import { buildFrame, buildPcap, TCP, UDP } from "../frames.ts";
import type { TimedFrame } from "../frames.ts";

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

const POD = "10.1.0.5";

/** A packet of the pod and an address, at a second of the capture. */
function packet(second: number, to: string, flags = "S", sourcePort = 40_000): TimedFrame {
  const ends = { source: POD, sourcePort, destination: to, destinationPort: 443 };
  return at(second, buildFrame({ ...ends, protocol: TCP, flags }));
}

/** What comes back. */
function reply(second: number, from: string, flags: string): TimedFrame {
  const ends = { source: from, sourcePort: 443, destination: POD, destinationPort: 40_000 };
  return at(second, buildFrame({ ...ends, protocol: TCP, flags }));
}

/** An answer with one address, for a name or an alias of it. */
function answer(second: number, name: string, address: string, seconds = 300): TimedFrame {
  const data = address.split(".").map(Number);
  return answers(second, name, [{ name, type: "A", data, seconds }]);
}

function answers(second: number, name: string, records: readonly DnsRecordSpec[]): TimedFrame {
  const ends = { source: "10.1.0.53", sourcePort: 53, destination: POD, destinationPort: 50_000 };
  const payload = buildDns({ name, answers: records });
  return at(second, buildFrame({ ...ends, protocol: UDP, payload }));
}

function at(second: number, bytes: Uint8Array): TimedFrame {
  return { bytes, timestampNs: BigInt(1_700_000_000 + second) * 1_000_000_000n };
}

function run(
  words: readonly string[],
  input?: Uint8Array,
): { readonly stdout: string; readonly stderr: string } {
  const bin = join(ROOT, "dist/src/cli/bin.js");
  return spawnSync(process.execPath, [bin, ...words], { encoding: "utf8", input });
}

function capture(name: string, frames: readonly TimedFrame[]): string {
  const path = join(folder, name);
  writeFileSync(path, buildPcap(frames));
  return path;
}

/** What is said of packets to an address, in order. */
function verdictsTo(
  to: string,
  frames: readonly TimedFrame[],
  words: readonly string[] = [],
): string[] {
  const cluster = file("cluster.yaml", CLUSTER);
  const read = ["-r", capture("story.pcap", frames)];
  const { stdout, stderr } = run(["replay", "-f", cluster, ...read, "-o", "ndjson", ...words]);
  if (stdout === "") throw new Error(stderr);
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { destination?: string; verdict: string })
    .filter((line) => JSON.stringify(line.destination ?? "").includes(to))
    .map(({ verdict }) => verdict);
}

describe("the capture's DNS answers", () => {
  const story = [
    answer(0, "example.com", "203.0.113.7"),
    answers(1, "api.eu.example.org", [
      { name: "api.eu.example.org", type: "CNAME", data: "lb.cdn.example" },
      { name: "lb.cdn.example", type: "A", data: [203, 0, 113, 8] },
    ]),
    answer(2, "example.org", "203.0.113.9"),
    packet(3, "203.0.113.7"),
    packet(4, "203.0.113.8"),
    packet(5, "203.0.113.9"),
  ];

  it.each([
    ["203.0.113.7", "allow"],
    ["203.0.113.8", "allow"],
    // A name that no rule asks for: the address may be another name's, too.
    ["203.0.113.9", "unknown"],
  ])("give addresses of domain names in policies: %s", (address, verdict) => {
    expect(verdictsTo(address, story)).toEqual([verdict]);
  });

  it("count for explain, too", () => {
    const cluster = file("cluster.yaml", CLUSTER);
    const read = ["-r", capture("explained.pcap", story), "--packet", "4"];
    const { stdout } = run(["explain", "-f", cluster, ...read, "-o", "json"]);
    expect(JSON.parse(stdout)).toMatchObject({ packet: { verdict: "allow" } });
  });

  it("count for what-if, too: of the packet that is dropped without the rule it is known", () => {
    const before = file("before.yaml", CLUSTER);
    const after = file("after.yaml", CLUSTER.replace(/.*domainNames.*\n/, ""));
    const read = ["-r", capture("changed.pcap", story), "--no-blind-spots"];
    const compare = ["what-if", "--current", before, "--proposed", after, ...read];
    expect(run(compare).stdout).toMatch(/203\.0\.113\.7/);
    expect(run([...compare, "--fail-on", "new-drop"])).toMatchObject({ status: 1 });
    expect(run([...compare, "--no-dns-answers"])).toMatchObject({ status: 0 });
  });

  it("tell nothing of an address that has packets before the first answer", () => {
    const frames = [
      packet(0, "203.0.113.7"),
      answer(1, "example.com", "203.0.113.7"),
      packet(2, "203.0.113.7", "S", 40_001),
    ];
    expect(verdictsTo("203.0.113.7", frames)).toEqual(["unknown", "unknown"]);
  });

  it("tell nothing of an address that is connected to after its lifetime", () => {
    const frames = [
      answer(0, "example.com", "203.0.113.7", 10),
      packet(5, "203.0.113.7"),
      packet(11, "203.0.113.7", "S", 40_001),
    ];
    expect(verdictsTo("203.0.113.7", frames)).toEqual(["unknown", "unknown"]);
    const again = [...frames.slice(0, 2), answer(9, "example.com", "203.0.113.7", 10)];
    expect(verdictsTo("203.0.113.7", [...again, ...frames.slice(2)])).toEqual(["allow", "allow"]);
  });

  it("need not last longer than the connection's first packet", () => {
    const frames = [
      answer(0, "example.com", "203.0.113.7", 10),
      packet(5, "203.0.113.7"),
      reply(6, "203.0.113.7", "SA"),
      packet(7, "203.0.113.7", "A"),
      packet(40, "203.0.113.7", "PA"),
    ];
    expect(verdictsTo("203.0.113.7", frames)[0]).toBe("allow");
    // Nothing was heard of it for so long that it may be gone.
    const late = [...frames, packet(140, "203.0.113.7", "PA")];
    expect(verdictsTo("203.0.113.7", late)[0]).toBe("unknown");
  });

  it("add nothing to what --dns says, and are left alone with --no-dns-answers", () => {
    const dns = file("whole.txt", "203.0.113.77 example.com\n203.0.113.78 *.example.org\n");
    expect(verdictsTo("203.0.113.7", story, ["--dns", dns])).toEqual(["drop"]);
    expect(verdictsTo("203.0.113.7", story, ["--no-dns-answers"])).toEqual(["unknown"]);
  });

  it("are not read from standard input, which is said", () => {
    const cluster = file("cluster.yaml", CLUSTER);
    const words = ["replay", "-f", cluster, "-r", "-", "-o", "ndjson"];
    const { stdout, stderr } = run(words, buildPcap(story));
    expect(stderr).toContain("note: - can be read once only");
    expect(stdout).toContain('"unknown"');
  });

  it("are told by whole messages only", () => {
    const [first, ...others] = story;
    if (first === undefined) throw new Error("no answer");
    for (let length = 14; length < first.bytes.length; length += 29) {
      const cut = { ...first, bytes: first.bytes.subarray(0, length) };
      expect(verdictsTo("203.0.113.7", [cut, ...others])).toEqual(["unknown"]);
    }
  });
});
