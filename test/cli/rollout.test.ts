/** `what-if --rollout-at`: the proposed policies take over in mid-capture. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

import { buildFrame, buildPcap, TCP, timed, UDP, type PacketSpec } from "../frames.ts";
import { readJunit } from "../junit.ts";
import { sarifValidator, shippedValidator } from "../schemas.ts";

const ROOT = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));

afterAll(() => {
  rmSync(folder, { recursive: true });
});

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return name;
}

function run(...words: readonly string[]) {
  const bin = join(ROOT, "dist/src/cli/bin.js");
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, "what-if", ...words], {
    encoding: "utf8",
    cwd: folder,
    env: { ...process.env, NO_COLOR: "1" },
  });
  return { status, stdout, stderr };
}

const [WEB, API, DNS, OTHER_DNS, SERVICE, OUTSIDE] = [
  ...["10.1.0.5", "10.1.0.6", "10.1.0.7", "10.1.0.8", "10.96.0.10", "203.0.113.9"],
] as const;

const pod = (namespace: string, name: string, address: string): string =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: ${namespace}, labels: {app: ${name}}}, spec: {nodeName: n, containers: [{name: c}]}, status: {podIP: ${address}}}`;
const namespaced = (name: string): string =>
  `{apiVersion: v1, kind: Namespace, metadata: {name: ${name}}}`;
const slice = (...addresses: readonly string[]): string =>
  `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: dns-1, namespace: dns, labels: {kubernetes.io/service-name: dns}}, addressType: IPv4, ports: [{name: dns, port: 53, protocol: UDP}], endpoints: [${addresses.map((address) => `{addresses: [${address}]}`).join(", ")}]}`;
const CLUSTER = [
  ...["shop", "pay", "dns"].map(namespaced),
  "{apiVersion: v1, kind: Node, metadata: {name: n}, status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}}",
  ...[pod("shop", "web", WEB), pod("pay", "api", API)],
  ...[pod("dns", "one", DNS), pod("dns", "other", OTHER_DNS)],
  `{apiVersion: v1, kind: Service, metadata: {name: dns, namespace: dns}, spec: {clusterIP: ${SERVICE}, clusterIPs: [${SERVICE}], ports: [{name: dns, protocol: UDP, port: 53}]}}`,
].join("\n---\n");

const there = (destination: string, port: number, more: Partial<PacketSpec> = {}): PacketSpec => ({
  ...{ source: WEB, destination, protocol: TCP, sourcePort: 40_000, destinationPort: port },
  ...more,
});
const back = (source: string, port: number, more: Partial<PacketSpec> = {}): PacketSpec => ({
  ...{ source, destination: WEB, protocol: TCP, sourcePort: port, destinationPort: 40_000 },
  ...more,
});
const opened = (destination: string, port: number): PacketSpec[] => [
  there(destination, port, { seq: 100 }),
  back(destination, port, { flags: "S.", seq: 900, ack: 101 }),
  there(destination, port, { flags: ".", seq: 101, ack: 901 }),
];
const LOG = there(API, 514, { protocol: UDP });
const capture = (name: string, ...specs: readonly PacketSpec[]): string =>
  file(name, buildPcap(timed(specs.map((spec, id) => buildFrame({ ...spec, id })))));

/** Each a millisecond after the other; the rollout is before the eighth. */
const TRAFFIC = capture(
  "traffic.pcap",
  ...opened(API, 8443),
  ...opened(OUTSIDE, 443),
  LOG,
  there(API, 8443, { flags: "P.", seq: 101, ack: 901 }),
  LOG,
  there(API, 8443, { seq: 500, sourcePort: 40_001 }),
);
const DENY = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: pay}
spec: {podSelector: {}, policyTypes: [Ingress]}
`;
file("cluster.yaml", CLUSTER);
file("deny.yaml", DENY);

interface Fate {
  readonly fate: string;
  readonly pair: { readonly from: string; readonly to: string; readonly port: string };
  readonly before: { readonly verdict: string };
  readonly after: { readonly verdict: string; readonly policy?: { readonly name: string } };
}

interface WhatIf {
  readonly newDrop: { readonly packets: number; readonly flows: number };
  readonly changes: readonly { readonly change: string; readonly firstPacket: number }[];
  readonly rollout?: {
    readonly time: string;
    readonly firstPacket: number;
    readonly connections: Readonly<Record<string, number>>;
    readonly fates: readonly Fate[];
  };
}

const isWhatIf = shippedValidator("what-if", true);

function ask(...words: readonly string[]): WhatIf {
  const sides = words.includes("--proposed")
    ? []
    : ["-f", "cluster.yaml", "--proposed", "deny.yaml"];
  const read = words.includes("-r") ? [] : ["-r", TRAFFIC];
  const { stdout, stderr } = run(...read, ...sides, "-o", "json", ...words);
  if (stdout === "") throw new Error(stderr);
  const what: unknown = JSON.parse(stdout);
  expect(isWhatIf(what), JSON.stringify(isWhatIf.errors)).toBe(true);
  return what as WhatIf;
}

const fatesOf = ({ rollout }: WhatIf): string[] =>
  (rollout?.fates ?? []).map(
    ({ fate, pair: { from, to, port } }) => `${fate}: ${from} -> ${to} ${port}`,
  );

describe("what-if --rollout-at", () => {
  it("lets answered connections go on, cuts what nobody has answered, and says what cannot be opened again", () => {
    const what = ask("--rollout-at", "+7ms");
    expect(what.rollout).toMatchObject({
      time: "2023-11-14T22:13:20.007000000Z",
      firstPacket: 8,
      connections: { kept: 1, lostOnReconnect: 1, cut: 1, unknown: 0 },
    });
    expect(fatesOf(what)).toEqual([
      "cut: shop/web -> pay/api 514/udp",
      "lost-on-reconnect: shop/web -> pay/api 8443/tcp",
    ]);
    const [cut] = what.rollout!.fates;
    expect(cut).toMatchObject({
      before: { verdict: "allow" },
      after: { verdict: "drop", policy: { name: "deny" } },
    });
    expect(what.changes.map(({ change, firstPacket }) => `${change} ${firstPacket}`)).toEqual([
      "new-drop 9",
      "new-drop 10",
    ]);
  });

  it("judges nothing before it by the proposed policies", () => {
    expect(ask().newDrop).toEqual({ packets: 7, flows: 3 });
    expect(ask("--rollout-at", "+9ms").newDrop).toEqual({ packets: 1, flows: 1 });
  });

  it("counts packets from the capture's first, also where only some are judged", () => {
    expect(ask("--rollout-at", "+2ms", "-c", "4").rollout?.firstPacket).toBe(3);
    const words = ["-r", TRAFFIC, "-f", "cluster.yaml", "--proposed", "deny.yaml", "-c", "4"];
    expect(run(...words, "--rollout-at", "+0s").stderr).toContain(
      "not between the capture's packets",
    );
  });

  it("leaves out connections that have expired by then", () => {
    const frames = timed([LOG, there(OUTSIDE, 80)].map((spec) => buildFrame(spec)));
    const late = frames.map((frame, index) => ({
      ...frame,
      timestampNs: frame.timestampNs + BigInt(index) * 7_200_000_000_000n,
    }));
    const idle = file("expired.pcap", buildPcap(late));
    expect(ask("-r", idle, "--rollout-at", "+20s").rollout?.connections["cut"]).toBe(1);
    expect(ask("-r", idle, "--rollout-at", "+1h").rollout?.connections["cut"]).toBe(0);
  });

  it.each([
    ["+7ms"],
    ["+0.007s"],
    ["2023-11-14T22:13:20.007Z"],
    ["2023-11-15T00:13:20.007+02:00"],
    ["1700000000.007"],
  ])("reads %s as the same time", (time) => {
    expect(ask("--rollout-at", time)).toEqual(ask("--rollout-at", "+7ms"));
  });

  it.each([
    ["tomorrow", "RFC 3339 (2026-11-23T20:41:07Z), seconds since 1970"],
    ["30s", "a time after the capture's first packet (+30s"],
    ["2023-02-30T00:00:00Z", "Expected RFC 3339"],
    ["2023-11-14T22:13:20", "Expected RFC 3339"],
    ["+1h", "not between the capture's packets, which are from 2023-11-14T22:13:20.000000000Z to"],
    ["1700000000", "not between the capture's packets"],
  ])("refuses %s", (time, why) => {
    const { status, stderr } = run(
      ...["-r", TRAFFIC, "-f", "cluster.yaml", "--proposed", "deny.yaml", "--rollout-at", time],
    );
    expect(status).toBe(2);
    expect(stderr).toContain(why);
  });

  it("needs a capture, with times", () => {
    const sides = ["-f", "cluster.yaml", "--proposed", "deny.yaml", "--rollout-at", "+1s"];
    expect(run(...sides).stderr).toContain("name one with -r FILE");
    const line = (time: string, port: number): string =>
      `${time}IP ${WEB}.${port} > ${API}.8443: Flags [S], seq 1, win 64240, length 0\n`;
    const bare = file("bare.txt", line("", 1024) + line("", 1025));
    expect(run("-r", bare, ...sides).stderr).toContain("the capture's packets have no times");
    const undated = file(
      "undated.txt",
      line("10:00:00.000000 ", 1024) + line("10:00:02.000000 ", 1025),
    );
    expect(ask("-r", undated, "--rollout-at", "+1s").newDrop.packets).toBe(1);
    const { stderr } = run("-r", undated, ...sides.slice(0, -1), "1700000000");
    expect(stderr).toContain("the capture's times have no date");
  });

  it.each([
    [[], 1],
    [["--fail-on", "new-allow"], 0],
    [["--fail-on", "any-change"], 1],
    [["--fail-on", "unknown"], 0],
    [["udp"], 1],
    [["host", OUTSIDE], 0],
  ])("trips what asks for its connections: %j", (words, code) => {
    // Packets behind the rollout show nothing: connections alone do.
    const idle = capture("idle.pcap", ...opened(API, 8443), LOG, there(OUTSIDE, 80));
    const sides = ["-f", "cluster.yaml", "--proposed", "deny.yaml", "--rollout-at", "+4ms"];
    expect(run("-r", idle, ...sides, ...words).status).toBe(code);
  });

  it("says it in words, and leaves out what is accepted", () => {
    const words = ["-r", TRAFFIC, "-f", "cluster.yaml", "--proposed", "deny.yaml"];
    const { stdout } = run(...words, "--rollout-at", "+7ms", "--no-blind-spots");
    expect(stdout).toContain(
      "From packet 8 on (2023-11-14T22:13:20.007000000Z) the proposed policies decide. 3 connections under\n  way: 1 goes on, 1 goes on, but would be dropped on reconnect, 1 is cut.",
    );
    expect(stdout).toMatch(/^CUT FROM +TO +PORT +CONNECTIONS\nshop\/web +pay\/api +514\/udp +1$/m);
    expect(stdout).toMatch(/^LOST ON RECONNECT FROM .*\nshop\/web +pay\/api +8443\/tcp +1$/m);
    // What decides was said above.
    expect(stdout.match(/after: dropped/g)).toHaveLength(1);
    const accepting = [...words, "--rollout-at", "+7ms", "--accept", "accepted.yaml"];
    expect(run(...accepting, "--update-accept").status).toBe(0);
    const accepted = run(...accepting);
    expect(accepted.status).toBe(0);
    expect(accepted.stdout).toContain("2 connections whose change is accepted: not shown.");
    expect(accepted.stdout).not.toContain("CUT FROM");
  });

  it("is in the outputs for other programs", async () => {
    const words = ["-r", TRAFFIC, "-f", "cluster.yaml", "--proposed", "deny.yaml"];
    const say = (format: string): string =>
      run(...words, "--rollout-at", "+7ms", "-o", format).stdout;
    const isSarif = sarifValidator();
    const log = JSON.parse(say("sarif")) as {
      runs: [{ results: { ruleId: string; level: string }[] }];
    };
    expect(isSarif(log), JSON.stringify(isSarif.errors)).toBe(true);
    const ids = log.runs[0].results.map(({ ruleId, level }) => `${ruleId} ${level}`);
    expect(ids).toContain("cut error");
    expect(ids).toContain("lost-on-reconnect error");
    const [suite] = await readJunit(say("junit"));
    const failed = suite!.cases.filter(({ failure }) => failure !== undefined);
    expect(failed.map(({ name }) => name)).toContain("shop/web -> pay/api 514/udp cut");
    expect(say("md")).toContain(
      "| goes on, lost on reconnect | shop/web | pay/api | 8443/tcp | 1 |",
    );
    expect(say("github")).toContain(
      "::error file=deny.yaml,line=4,title=cut%3A shop/web -> pay/api",
    );
    expect(say("json")).toBe(say("json"));
  });

  it("forgets connections of pods that are gone, and those of UDP to backends that a Service has no more", () => {
    const query = there(SERVICE, 53, { protocol: UDP });
    const answer = back(SERVICE, 53, { protocol: UDP });
    const asked = capture(
      "dns.pcap",
      query,
      answer,
      ...opened(API, 8443),
      there(OUTSIDE, 80),
      query,
    );
    const closed = DENY.replaceAll("pay", "dns");
    const compare = (...proposed: readonly string[]) => {
      const current = file("current.yaml", slice(DNS));
      const words = ["-f", "cluster.yaml", "--current", current, "--overlay"];
      const next = file("next.yaml", [...proposed, closed].join("\n---\n"));
      return ask("-r", asked, ...words, "--proposed", next, "--rollout-at", "+5ms");
    };
    // The flow goes on to the backend that it has.
    expect(compare(slice(DNS, OTHER_DNS)).newDrop.packets).toBe(0);
    expect(fatesOf(compare(slice(DNS, OTHER_DNS)))).toEqual([
      "lost-on-reconnect: shop/web -> dns/one 53/udp",
    ]);
    expect(fatesOf(compare(slice(OTHER_DNS)))).toEqual(["cut: shop/web -> dns/one 53/udp"]);
    expect(compare(slice(OTHER_DNS)).newDrop.packets).toBe(1);
  });

  it("compares a node's dumps, whose connections go on as iptables-restore leaves them", () => {
    const rules = (name: string, ...lines: readonly string[]): string => {
      const text = [
        "# Generated by iptables-save v1.8.9 (nf_tables)",
        ...["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"],
        ...[...lines, "COMMIT", ""],
      ].join("\n");
      mkdirSync(join(folder, name), { recursive: true });
      file(`${name}/iptables-save`, text);
      file(
        `${name}/ip-route.json`,
        JSON.stringify([
          { dst: "default", dev: "eth0", gateway: "192.168.0.254" },
          { dst: "10.1.0.0/24", dev: "cali1" },
        ]),
      );
      file(`${name}/ip-addr.json`, JSON.stringify([{ ifindex: 2, ifname: "eth0", addr_info: [] }]));
      return name;
    };
    const before = rules("before", "-A FORWARD -m conntrack --ctstate NEW -j ACCEPT");
    const established = "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT";
    const after = rules("after", established, "-A FORWARD -d 10.1.0.6 -j DROP");
    const strict = rules("strict", "-A FORWARD -d 10.1.0.6 -j DROP");
    const sides = ["--current", before, "--rollout-at", "+7ms", "--in-interface", "cali1"];
    expect(fatesOf(ask(...sides, "--proposed", after))).toEqual([
      `cut: ${WEB} -> ${API} 514/udp`,
      `lost-on-reconnect: ${WEB} -> ${API} 8443/tcp`,
    ]);
    expect(fatesOf(ask(...sides, "--proposed", strict))).toEqual([
      `cut: ${WEB} -> ${API} 8443/tcp`,
      `cut: ${WEB} -> ${API} 514/udp`,
    ]);
  });
});
