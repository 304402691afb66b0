import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

import { haveLab } from "../kernel-lab/have-lab.ts";
import { buildDns } from "../dns.ts";
import type { DnsRecordSpec, DnsSpec } from "../dns.ts";
import { buildFrame, buildPcap, TCP, UDP } from "../frames.ts";
import type { TimedFrame } from "../frames.ts";

const ROOT = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));

const CLUSTER = `
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Node, metadata: {name: n}, status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec: {nodeName: n}
status: {podIPs: [{ip: 10.1.0.5}, {ip: "fd00:1::5"}]}
---
{apiVersion: v1, kind: Pod, metadata: {name: job, namespace: shop}, spec: {nodeName: n}, status: {podIP: 10.1.0.6}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: tools, labels: {free: "yes"}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: free, namespace: tools}, spec: {nodeName: n}, status: {podIP: 10.1.0.7}}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: outside}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {matchExpressions: [{key: free, operator: DoesNotExist}]}}
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
      reason:
        "outside egress[0] asks for the addresses of *.example.org, which nothing tells for certain",
    });
    expect(explain("203.0.113.8")).toMatchObject({ verdict: "unknown" });
  });

  it("leaves undecided what may be another of the names that a pattern stands for", () => {
    const dns = file("some.txt", "203.0.113.7 example.com\n203.0.113.8 www.example.org");
    expect(explain("203.0.113.8", "--dns", dns)).toMatchObject({ verdict: "allow" });
    expect(explain("203.0.113.10", "--dns", dns)).toMatchObject({
      verdict: "unknown",
      reason:
        "outside egress[0] asks for the addresses of *.example.org, which nothing tells for certain",
    });
  });
});

const POD = "10.1.0.5";
const RESOLVER = "10.1.0.53";

/** A packet of a pod to an address, at a second of the capture. */
function packet(
  second: number,
  to: string,
  flags = "S",
  sourcePort = 40_000,
  source = POD,
): TimedFrame {
  const ends = { source, sourcePort, destination: to, destinationPort: 443 };
  return at(second, buildFrame({ ...ends, protocol: TCP, flags }));
}

/** What comes back. */
function reply(second: number, from: string, flags: string): TimedFrame {
  const ends = { source: from, sourcePort: 443, destination: POD, destinationPort: 40_000 };
  return at(second, buildFrame({ ...ends, protocol: TCP, flags }));
}

/** Who asks and who answers, where that is not the usual. */
interface Lookup {
  readonly client?: string;
  readonly server?: string;
  readonly port?: number;
  readonly id?: number;
  readonly type?: DnsSpec["type"];
}

/** A pod's question, and the answer with one address. */
function lookup(second: number, name: string, address: string, seconds = 300): TimedFrame[] {
  const record = { name, type: "A", data: address.split(".").map(Number), seconds } as const;
  return [question(second, name), answer(second, name, [record])];
}

function question(second: number, name: string, given: Lookup = {}): TimedFrame {
  const { client = POD, server = RESOLVER, port = 50_000, ...asked } = given;
  const ends = {
    ...{ source: client, sourcePort: port },
    ...{ destination: server, destinationPort: 53 },
  };
  const payload = buildDns({ name, answers: [], flags: 0x0100, ...asked });
  return at(second, buildFrame({ ...ends, protocol: UDP, payload }));
}

function answer(
  second: number,
  name: string,
  answers: readonly DnsRecordSpec[],
  given: Lookup = {},
): TimedFrame {
  const { client = POD, server = RESOLVER, port = 50_000, ...asked } = given;
  const ends = {
    ...{ source: server, sourcePort: 53 },
    ...{ destination: client, destinationPort: port },
  };
  const payload = buildDns({ name, answers, ...asked });
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
  manifests = CLUSTER,
): string[] {
  const cluster = file("cluster.yaml", manifests);
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
    ...lookup(0, "example.com", "203.0.113.7"),
    question(1, "api.eu.example.org"),
    answer(1, "api.eu.example.org", [
      { name: "api.eu.example.org", type: "CNAME", data: "lb.cdn.example" },
      { name: "lb.cdn.example", type: "A", data: [203, 0, 113, 8] },
    ]),
    ...lookup(2, "example.org", "203.0.113.9"),
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
    const read = ["-r", capture("explained.pcap", story), "--packet", "7"];
    const { stdout } = run(["explain", "-f", cluster, ...read, "-o", "json"]);
    expect(JSON.parse(stdout)).toMatchObject({ packet: { verdict: "allow" } });
  });

  it("count for bench, too", () => {
    const cluster = file("cluster.yaml", CLUSTER);
    const words = ["bench", "-f", cluster, "-r", capture("measured.pcap", story), "-o", "json"];
    const verdicts = (more: readonly string[]): unknown => {
      const { stdout } = run([...words, "--repeats", "1", ...more]);
      return (JSON.parse(stdout) as { verdicts: unknown }).verdicts;
    };
    expect(verdicts([])).toMatchObject({ allow: 2 });
    expect(verdicts(["--no-dns-answers"])).toMatchObject({ allow: 0 });
  });

  it.runIf(haveLab())("count for verify, too: the kernel has them", () => {
    const cluster = file("cluster.yaml", CLUSTER);
    const read = ["-r", capture("verified.pcap", story), "--node", "n"];
    const { stdout } = run(["verify", "-f", cluster, ...read, "-o", "json"]);
    expect(JSON.parse(stdout)).toMatchObject({
      ...{ unknown: { "not-modelled": 1 }, differences: [] },
    });
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

  it("are not taken by a rollout, which is said", () => {
    const before = file("rolled-before.yaml", CLUSTER);
    const after = file("rolled-after.yaml", CLUSTER.replace(/.*domainNames.*\n/, ""));
    const read = ["-r", capture("rolled.pcap", story), "--rollout-at", "+2s", "--no-blind-spots"];
    const compare = ["what-if", "--current", before, "--proposed", after, ...read];
    expect(run(compare).stderr).toContain("with --rollout-at a capture's DNS answers tell no");
    expect(run([...compare, "--no-dns-answers"]).stderr).not.toContain("DNS answers");
  });

  it("count for rules that lint calls never hit", () => {
    const cluster = file("linted.yaml", CLUSTER);
    const frames = [...lookup(0, "example.com", "203.0.113.7"), packet(1, "203.0.113.7")];
    const words = ["lint", "-f", cluster, "-r", capture("linted.pcap", frames)];
    const undecided = (...more: readonly string[]): string | undefined =>
      /(\d+) packets? could not be decided/.exec(run([...words, ...more]).stdout)?.[1];
    // Question and answer themselves are about an address that another name may have.
    expect([undecided(), undecided("--no-dns-answers")]).toEqual(["2", "3"]);
  });

  it("tell nothing of an address that has packets before the first answer", () => {
    const frames = [
      packet(0, "203.0.113.7"),
      ...lookup(1, "example.com", "203.0.113.7"),
      packet(2, "203.0.113.7", "S", 40_001),
    ];
    expect(verdictsTo("203.0.113.7", frames)).toEqual(["unknown", "unknown"]);
  });

  it("tell nothing of an address that is connected to after its lifetime", () => {
    const frames = [
      ...lookup(0, "example.com", "203.0.113.7", 10),
      packet(5, "203.0.113.7"),
      packet(11, "203.0.113.7", "S", 40_001),
    ];
    expect(verdictsTo("203.0.113.7", frames)).toEqual(["unknown", "unknown"]);
    const again = [...frames.slice(0, 3), ...lookup(9, "example.com", "203.0.113.7", 10)];
    expect(verdictsTo("203.0.113.7", [...again, ...frames.slice(3)])).toEqual(["allow", "allow"]);
  });

  it("need not last longer than the connection's first packet", () => {
    const frames = [
      ...lookup(0, "example.com", "203.0.113.7", 10),
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

  it("count behind more questions than are remembered, answered or not", () => {
    const flood = Array.from({ length: 66_000 }, (_, index) =>
      question(0, "example.com", { port: 1024 + (index % 60_000), id: index % 65_536 }),
    );
    const frames = [...flood, ...lookup(1, "example.com", "203.0.113.7"), packet(2, "203.0.113.7")];
    expect(verdictsTo("203.0.113.7", frames, ["tcp"])).toEqual(["allow"]);
  });

  it("are not read from standard input, which is said", () => {
    const cluster = file("cluster.yaml", CLUSTER);
    const words = ["replay", "-f", cluster, "-r", "-", "-o", "ndjson"];
    const { stdout, stderr } = run(words, buildPcap(story));
    expect(stderr).toContain("note: - can be read once only");
    expect(stdout).toContain('"unknown"');
  });

  it("are told by whole messages only", () => {
    const [asked, first, ...others] = story;
    if (asked === undefined || first === undefined) throw new Error("no answer");
    for (let length = 14; length < first.bytes.length; length += 29) {
      const cut = { ...first, bytes: first.bytes.subarray(0, length) };
      expect(verdictsTo("203.0.113.7", [asked, cut, ...others])).toEqual(["unknown"]);
    }
  });

  const RECORD = { name: "example.com", type: "A", data: [203, 0, 113, 7] } as const;

  it.each<[string, readonly TimedFrame[], string]>([
    ["who has asked", [question(0, "Example.COM"), answer(0, "eXample.com", [RECORD])], "allow"],
    ["nobody", [answer(0, "example.com", [RECORD])], "unknown"],
    [
      "who asks only then",
      [answer(0, "example.com", [RECORD]), question(1, "example.com")],
      "unknown",
    ],
    ["another id", exchange({ id: 1 }, { id: 2 }), "unknown"],
    ["another port", exchange({ port: 50_000 }, { port: 50_001 }), "unknown"],
    ["another type", exchange({ type: "AAAA" }, { type: "A" }), "unknown"],
    ["a server that was not asked", exchange({}, { server: "198.51.100.53" }), "unknown"],
    ["another server that was asked", exchange({ server: "198.51.100.53" }), "allow"],
    [
      "another name",
      [question(0, "www.example.org"), answer(0, "example.com", [RECORD])],
      "unknown",
    ],
    // > Trying to establish new connection using DNS records that are expired is not guaranteed to work.
    [
      "who may not keep it",
      [question(0, "example.com"), answer(0, "example.com", [{ ...RECORD, seconds: 0 }])],
      "unknown",
    ],
  ])("are answers to %s", (_, frames, verdict) => {
    const all = [...frames, packet(3, "203.0.113.7")];
    expect(verdictsTo("203.0.113.7", all)).toEqual([verdict]);
  });

  function exchange(asked: Lookup, answered: Lookup = asked): TimedFrame[] {
    return [question(0, "example.com", asked), answer(0, "example.com", [RECORD], answered)];
  }

  // > If the Pod fails to send a DNS request, traffic is not guaranteed to flow.
  it("tell nothing where a pod connects that was not answered, unless no name is asked for of it", () => {
    const mine = [...exchange({}), packet(3, "203.0.113.7")];
    const others = packet(4, "203.0.113.7", "S", 40_001, "10.1.0.6");
    expect(verdictsTo("203.0.113.7", [...mine, others])).toEqual(["unknown", "unknown"]);
    const told = [...mine, ...exchange({ client: "10.1.0.6" }), others];
    expect(verdictsTo("203.0.113.7", told)).toEqual(["allow", "allow"]);
    const free = packet(4, "203.0.113.7", "S", 40_001, "10.1.0.7");
    expect(verdictsTo("203.0.113.7", [...mine, free])).toEqual(["allow", "allow"]);
    // Neither do others' packets that come first.
    expect(verdictsTo("203.0.113.7", [free, ...mine])).toEqual(["allow", "allow"]);
  });

  it("are the pod's, by whichever of its addresses it asks and connects", () => {
    const data = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    const record = { name: "example.com", type: "AAAA", data } as const;
    const frames = [
      question(0, "example.com", { type: "AAAA" }),
      answer(0, "example.com", [record], { type: "AAAA" }),
      packet(3, "2001:db8::7", "S", 40_000, "fd00:1::5"),
    ];
    const ruled = CLUSTER.replace("[0.0.0.0/0]", '[0.0.0.0/0, "::/0"]');
    expect(verdictsTo("2001:db8::7", frames, [], ruled)).toEqual(["allow"]);
  });
});
