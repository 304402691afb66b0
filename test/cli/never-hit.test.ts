/** `lint -r`: rules and policies that a capture never meets, and those that only nearly are. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));

const pod = (name: string, ip: string): string =>
  `{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: ${name}, labels: {app: ${name}}}, spec: {containers: [{name: c, image: i}], nodeName: n1}, status: {phase: Running, podIPs: [{ip: ${ip}}]}}`;
const from = (name: string, port: number): string =>
  `{from: [{podSelector: {matchLabels: {app: ${name}}}}], ports: [{port: ${port}}]}`;
const policy = (name: string, ...spec: readonly string[]): string =>
  `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: shop, name: ${name}}, spec: {podSelector: {matchLabels: {app: ${name}}}, ${spec.join("\n")}}}`;

writeFileSync(
  join(folder, "cluster.yaml"),
  [
    `{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDR: 10.1.1.0/24}, status: {addresses: [{type: InternalIP, address: 192.168.7.1}]}}`,
    ...[pod("web", "10.1.1.2"), pod("db", "10.1.1.3"), pod("idle", "10.1.1.4")],
  ].join("\n---\n"),
);
// The rules of db are on lines 1 to 3, idle is on line 5, nobody on line 7.
writeFileSync(
  join(folder, "policies.yaml"),
  [
    policy(
      "db",
      "policyTypes: [Ingress, Egress], ingress: [",
      `${from("web", 5432)},`,
      `${from("web", 22)}]`,
    ),
    policy("idle", "ingress: []"),
    policy("nobody", "ingress: []"),
  ].join("\n---\n"),
);

const line = (source: string, destination: string, flags: string): string =>
  `12:00:00.000000 IP ${source} > ${destination}: Flags [${flags}], seq 1, win 512, length 0\n`;
const WEB = "10.1.1.2.40000";
const NO_PROOF =
  "What no packet of the capture meets (NEVER_HIT_...), one that it does not have may still meet.";

/** Codes with the lines of the policies that they are said of. */
function neverHit(capture: string, ...words: readonly string[]) {
  writeFileSync(join(folder, "capture.txt"), capture);
  const bin = join(ROOT, "dist/src/cli/bin.js");
  const named = ["-f", "cluster.yaml", "-f", "policies.yaml", "-r", "capture.txt", "-o", "json"];
  const { status, stdout } = spawnSync(process.execPath, [bin, "lint", ...named, ...words], {
    ...{ encoding: "utf8", cwd: folder },
  });
  const { findings, limits } = JSON.parse(stdout) as {
    readonly findings: readonly { code: string; severity: string; line: number; message: string }[];
    readonly limits: readonly string[];
  };
  const own = findings.filter(({ code }) => code.startsWith("NEVER_HIT"));
  expect(own.filter(({ severity }) => severity !== "note")).toEqual([]);
  return {
    ...{ status, limits },
    found: own.map((each) => `${each.line} ${each.code}`),
    messages: own.map(({ message }) => message),
  };
}

describe("lint -r", () => {
  it("names rules that nothing matches, and policies that nothing meets", () => {
    const { found, limits, messages } = neverHit(line(WEB, "10.1.1.3.5432", "S"));
    expect(found).toEqual(["1 NEVER_HIT_POLICY", "3 NEVER_HIT_RULE", "5 NEVER_HIT_POLICY"]);
    expect(limits).toEqual([NO_PROOF]);
    expect(messages).toEqual([
      "no packet of the capture is matched or dropped by egress of NetworkPolicy shop/db",
      "no packet of the capture is matched by ingress[1] of NetworkPolicy shop/db",
      "no packet of the capture is matched or dropped by NetworkPolicy shop/idle",
    ]);
  });

  it("takes a policy for met whose isolation dropped a packet", () => {
    const { found } = neverHit(
      line(WEB, "10.1.1.3.80", "S") + line("10.1.1.3.40000", "10.1.1.2.80", "S"),
    );
    expect(found).toEqual(["2 NEVER_HIT_RULE", "3 NEVER_HIT_RULE", "5 NEVER_HIT_POLICY"]);
  });

  it.each([
    ["the client", WEB, "10.1.1.3.22"],
    ["the server", "10.1.1.3.22", WEB],
  ])(
    "takes rules for hit that may have let through what began before the capture: %s is seen first",
    (_, source, destination) => {
      const { found, limits } = neverHit(line(source, destination, "."));
      expect(found).toEqual(["1 NEVER_HIT_POLICY", "2 NEVER_HIT_RULE", "5 NEVER_HIT_POLICY"]);
      expect(limits).toEqual([
        NO_PROOF,
        "1 packet of connections that began before the capture: each rule that lets such a connection begin, from either end, counts as hit.",
      ]);
    },
  );

  it("says nothing of the kind where such packets are judged as new ones", () => {
    const { found, limits } = neverHit(line("10.1.1.3.22", WEB, "."), ...["--midstream", "cold"]);
    // The server's packet is the first of a connection to the client's port, which no rule allows.
    expect(found).toEqual(["1 NEVER_HIT_POLICY", "5 NEVER_HIT_POLICY"]);
    expect(limits).toEqual([NO_PROOF]);
  });

  it("says nothing of a capture that is damaged", () => {
    const { found, status } = neverHit(line(WEB, "10.1.1.3.5432", "S"), "-r", "missing.pcap");
    expect(found).toEqual([]);
    expect(status).not.toBe(0);
  });

  it("trips gates that ask for it, and no other", () => {
    const capture = line(WEB, "10.1.1.3.5432", "S");
    const gate = (what: string) => neverHit(capture, "--fail-on", what).status;
    expect(["none", "NEVER_HIT_RULE", "NEVER_HIT_POLICY", "note"].map(gate)).toEqual([0, 1, 1, 1]);
  });

  it("names a node's rules that nothing matches, in built-in chains and those that are entered", () => {
    const rules = [
      "# Generated by iptables-save v1.8.9 (legacy)",
      ...["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]"],
      ...[":WEB - [0:0]", ":DB - [0:0]"],
      "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
      "-A FORWARD -p tcp -m tcp --dport 80 -j WEB",
      "-A FORWARD -p tcp -m tcp --dport 5432 -j DB",
      "-A WEB -s 10.1.1.3/32 -j DROP",
      "-A WEB -s 10.1.1.2/32 -j RETURN",
      "-A WEB -s 10.1.1.2/32 -p tcp -j DROP",
      "-A WEB -j ACCEPT",
      "-A WEB -s 10.1.1.4/32 -j DROP",
      "-A DB -j ACCEPT",
      ...["COMMIT", ""],
    ].join("\n");
    const link = (index: number, ip: string): string =>
      `{"ifindex": ${index}, "ifname": "eth${index}", "addr_info": [{"family": "inet", "local": "${ip}", "prefixlen": 24}]}`;
    const route = (index: number, to: string): string =>
      `{"dst": "${to}", "dev": "eth${index}", "table": "main", "scope": "link"}`;
    writeFileSync(join(folder, "iptables-save"), rules);
    writeFileSync(join(folder, "addresses"), `[${link(1, "10.1.1.1")}, ${link(2, "10.1.2.1")}]`);
    writeFileSync(
      join(folder, "routes"),
      `[${route(1, "10.1.1.0/24")}, ${route(2, "10.1.2.0/24")}]`,
    );
    writeFileSync(join(folder, "node.txt"), line(WEB, "10.1.2.9.80", "S"));
    const files = ["--iptables", "iptables-save", "--addresses", "addresses", "--routes", "routes"];
    const bin = join(ROOT, "dist/src/cli/bin.js");
    const words = ["lint", ...files, "-r", "node.txt", "-o", "json"];
    const { stdout, stderr } = spawnSync(process.execPath, [bin, ...words], {
      ...{ encoding: "utf8", cwd: folder },
    });
    const { findings, limits } = JSON.parse(stdout) as {
      readonly findings: readonly { code: string; line: number }[];
      readonly limits: readonly string[];
    };
    expect(findings.map((each) => `${each.line} ${each.code}`)).toEqual([
      "8 NEVER_HIT_RULE",
      "10 NEVER_HIT_RULE",
      "11 NEVER_HIT_RULE",
      "13 COVERED_RULE",
      "14 NEVER_HIT_RULE",
      "15 UNREACHED_RULE",
    ]);
    expect(limits).toEqual([
      NO_PROOF,
      "Not listed: 1 more chain, of which no packet of the capture matches a rule.",
    ]);
    expect(stderr).toContain("no --ip6tables: every IPv6 packet is unknown [INCOMPLETE_DUMP]");
  });
});
