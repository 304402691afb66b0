import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { buildFrame, buildPcap, START_NS, UDP } from "../frames.ts";

const ROOT = join(import.meta.dirname, "../..");
const EXAMPLE = "examples/dns-forgotten";
const CAPTURE = `${EXAMPLE}/traffic.pcapng`;
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));

function run(...words: string[]) {
  return runWith({}, ...words);
}

function runWith(options: { input?: string | Uint8Array }, ...words: string[]) {
  const bin = join(ROOT, "dist/src/cli/bin.js");
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...words], {
    cwd: ROOT,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
    ...options,
  });
  return { status, stdout, stderr };
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe("--help", () => {
  it("says of captures, and of nothing else, that several are merged by time", () => {
    for (const command of ["replay", "what-if", "lint", "test", "explain", "compile"]) {
      const options = run(command, "--help")
        .stdout.replaceAll(/\s+/g, " ")
        .split(/ (?=-\w, --)/);
      const merged = options.filter((option) => option.includes("repeatable: merged by time"));
      expect(
        merged.map((option) => option.slice(0, 10)),
        command,
      ).toEqual(
        options.filter((option) => option.startsWith("-r, --read")).map(() => "-r, --read"),
      );
    }
  });
});

describe("replay", () => {
  it("does not say that everything is allowed where host endpoints drop", () => {
    const host = (profiles: string): string =>
      file(
        `host${profiles.length}.yaml`,
        `{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h}, spec: {node: n, interfaceName: "*", profiles: [${profiles}]}}`,
      );
    const said = (profiles: string): string =>
      run("replay", "-r", CAPTURE, "-f", host(profiles)).stderr.replaceAll(/\s+/g, " ");
    expect(said("")).toContain("everything is allowed, but what host endpoints drop that no");
    expect(said("projectcalico-default-allow")).toContain("everything is allowed [NO_POLICIES]");
  });

  it("prints one object a packet as ndjson, in capture order", () => {
    const { status, stdout } = run("replay", "-r", CAPTURE, "-f", EXAMPLE, "-o", "ndjson");
    const packets = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { packet: number; time: string; verdict: string });
    expect(status).toBe(0);
    expect(packets.map(({ packet }) => packet)).toEqual(packets.map((_, index) => index + 1));
    expect(packets[0]).toMatchObject({ time: "2026-11-23T20:41:07.000000000Z" });
    expect(packets[21]).toMatchObject({
      verdict: "drop",
      protocol: "udp",
      destination: "10.96.0.10",
      from: "shop/checkout",
      to: "kube-system/coredns",
      state: "NEW",
      outInterface: null,
      policy: {
        kind: "NetworkPolicy",
        namespace: "shop",
        name: "checkout-egress",
        direction: "egress",
        rule: null,
        file: `${EXAMPLE}/policies.yaml`,
      },
    });
  });

  it("follows connections as --sysctl tells beside manifests, and judges by these", () => {
    const [client, server] = [
      { address: "10.1.1.12", port: 40_000 },
      { address: "10.1.2.53", port: 53 },
    ] as const;
    const frameOf = (from: typeof client | typeof server, to: typeof from): Uint8Array =>
      buildFrame({
        ...{ protocol: UDP, source: from.address, sourcePort: from.port },
        ...{ destination: to.address, destinationPort: to.port },
      });
    const capture = buildPcap([
      { bytes: frameOf(client, server), timestampNs: START_NS },
      { bytes: frameOf(server, client), timestampNs: START_NS + 5_000_000_000n },
    ]);
    const replay = (...words: string[]) =>
      run("replay", "-r", file("slow.pcap", capture), "-f", EXAMPLE, "-o", "ndjson", ...words);
    const timeout = "net.netfilter.nf_conntrack_udp_timeout";
    const stateOf = (seconds: number): unknown =>
      (
        JSON.parse(replay("--sysctl", `${timeout}=${seconds}`).stdout.trim().split("\n")[1]!) as {
          state: unknown;
        }
      ).state;
    expect([30, 4].map(stateOf)).toEqual(["ESTABLISHED", "NEW"]);
    const sides = ["--current", `${EXAMPLE}/policies.yaml`, "--proposed", EXAMPLE];
    for (const words of [
      ["replay", "-f", EXAMPLE],
      ["what-if", ...sides],
    ]) {
      const { status, stderr } = run(...words, "-r", CAPTURE, "--sysctl", "foo=1");
      expect(status).toBe(2);
      expect(stderr).toContain("foo is not a switch that is modelled [BAD_DUMP]");
    }
    expect(run("lint", "-f", EXAMPLE, "--sysctl", "foo=1").status).toBe(2);
    expect(replay("--sysctl", "net.ipv4.ip_forward=0").stderr).toContain(
      "--sysctl net.ipv4.ip_forward=0 changes nothing: it is about a node's dumps, and none are named [VAIN_OPTION]",
    );
  });

  it("counts packets, flows and rules as json that adds up", () => {
    const { stdout } = run("replay", "-r", CAPTURE, "-f", EXAMPLE, "-o", "json");
    const report = JSON.parse(stdout) as {
      packets: number;
      verdicts: Record<string, number>;
      flows: { packets: number; verdict: string }[];
      rules: { chain: string; packets: number }[];
    };
    const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
    expect(report.packets).toBe(33);
    expect(sum(Object.values(report.verdicts))).toBe(33);
    const dropped = report.flows.filter(({ verdict }) => verdict === "drop");
    expect(sum(dropped.map(({ packets }) => packets))).toBe(report.verdicts["drop"]);
    expect(report.rules.find(({ chain }) => chain === "FORWARD")?.packets).toBeGreaterThan(0);
  });

  it("reads a capture from standard input", () => {
    const input = readFileSync(join(ROOT, CAPTURE));
    const piped = runWith({ input }, "replay", "-r", "-", "-f", EXAMPLE, "-o", "json");
    const named = run("replay", "-r", CAPTURE, "-f", EXAMPLE, "-o", "json");
    expect(JSON.parse(piped.stdout)).toEqual(JSON.parse(named.stdout));
  });

  it("exits 1 when a gate trips, and 0 when none does", () => {
    const gated = ["replay", "-r", CAPTURE, "-f", EXAMPLE, "--fail-on"];
    expect(run(...gated, "drop").status).toBe(1);
    expect(run(...gated, "unknown").status).toBe(0);
  });

  it("reports what was read of a damaged capture, and exits 3", () => {
    const whole = readFileSync(join(ROOT, CAPTURE));
    const cut = file("cut.pcapng", whole.subarray(0, whole.length - 30));
    const { status, stdout, stderr } = run("replay", "-r", cut, "-f", EXAMPLE, "-o", "json");
    expect(status).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ packets: 32 });
    expect(stderr).toContain("[TRUNCATED_CAPTURE]");
  });

  it("reports what was read of a text of which a line cannot be read, and exits 3", () => {
    const packet = "10:00:00.000000 IP 10.0.0.1.4000 > 10.0.0.2.53: UDP, length 0";
    const text = file("damaged.txt", `${packet}\n${packet.replace("10.0.0.2", "10.0.0.256")}\n`);
    const { status, stdout, stderr } = run("replay", "-r", text, "-f", EXAMPLE, "-o", "json");
    expect(status).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ packets: 1, partial: "damaged" });
    expect(stderr).toContain("damaged.txt:2:");
    expect(stderr).toContain("[UNREADABLE_PACKET_LINE]");
  });

  it.each([
    ["an unknown option", ["replay", "--raed", "x"], "did you mean"],
    ["no capture", ["replay", "-f", EXAMPLE], "-r FILE"],
    ["a capture that is not there", ["replay", "-r", "none.pcap", "-f", EXAMPLE], "none.pcap"],
    ["a folder as capture", ["replay", "-r", EXAMPLE, "-f", EXAMPLE], "folder"],
    ["policies as capture", ["replay", "-r", `${EXAMPLE}/policies.yaml`, "-f", EXAMPLE], "capture"],
    ["a capture as manifest", ["replay", "-r", CAPTURE, "-f", CAPTURE], CAPTURE],
    ["a file without an option", ["replay", "-r", CAPTURE, EXAMPLE], `${EXAMPLE} is a file`],
    ["an unknown command", ["reply"], "did you mean"],
    ["a node that is not there", ["compile", "-f", EXAMPLE, "--node", "worker-3"], "worker-3"],
    ["a pod that is not there", ["explain", "-f", EXAMPLE, "shop/chekout", "shop/cart"], "chekout"],
  ])("answers %s with a sentence and exit 2", (_, words, part) => {
    const { status, stdout, stderr } = run(...words);
    expect(status).toBe(2);
    expect(stdout).toBe("");
    expect(stderr.toLowerCase()).toContain(part.toLowerCase());
    expect(stderr).not.toMatch(/\bat .*:\d+:\d+\)|bug/);
  });

  it("points to a misspelt field with a caret and a suggestion", () => {
    const policy = file(
      "misspelt.yaml",
      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: a }\n" +
        "spec:\n  podSelector: {}\n  ingress:\n    - ports:\n        - protocl: TCP\n",
    );
    const { status, stderr } = run("replay", "-r", CAPTURE, "-f", policy);
    expect(status).toBe(2);
    expect(stderr).toContain(`${policy}:8:11: error:`);
    expect(stderr).toContain('did you mean "protocol"');
    expect(stderr).toMatch(/8 \| {9}- protocl: TCP\n *\| {11}\^/);
  });

  it("writes to a file as a whole or not at all", () => {
    const target = join(folder, "report.json");
    run("replay", "-r", CAPTURE, "-f", EXAMPLE, "-o", `json=${target}`);
    expect(JSON.parse(readFileSync(target, "utf8"))).toMatchObject({ packets: 33 });
  });

  it("lets no name steer the terminal", () => {
    const evil = "evil\\u001b]0;owned\\u0007\\nverdict: allow";
    const manifest = file(
      "evil.yaml",
      `apiVersion: v1\nkind: Pod\nmetadata: { name: "${evil}", namespace: x }\n` +
        "spec: { containers: [] }\nstatus: { podIPs: [{ ip: 10.1.1.10 }] }\n---\n" +
        `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n` +
        `metadata: { name: "${evil}", namespace: x }\n` +
        "spec: { podSelector: {}, policyTypes: [Egress] }\n",
    );
    for (const format of ["text", "json", "ndjson"]) {
      const { stdout, stderr } = run("replay", "-r", CAPTURE, "-f", manifest, "-o", format);
      expect(`${stdout}${stderr}`).toContain("evil");

      expect(`${stdout}${stderr}`).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
      expect(stdout).not.toMatch(/^verdict: allow/m);
    }
  });
});

describe("explain", () => {
  it("shows the walk and the line it comes from, for two ends", () => {
    const words = ["explain", "-f", EXAMPLE, "shop/cart", "payments/api", "--port", "8443/tcp"];
    const { status, stdout } = run(...words);
    expect(status).toBe(0);
    expect(stdout).toContain("8443/tcp: drop");
    expect(stdout).toContain("payments/default-deny");
    expect(stdout).toMatch(/\+ filter:cali-tw-cali[0-9a-f]{11}:rule:\d+/);
  });

  it("says the same of a captured packet as replay does", () => {
    const words = ["explain", "-f", EXAMPLE, "-r", CAPTURE, "--packet", "22"];
    expect(run(...words).stdout).toContain("53/udp");
    expect(run(...words).stdout).toContain("10.96.0.10/32, has 10.1.2.53");
  });
});

describe("compile", () => {
  it.each([
    ["ignore", 1, "warning: 1 staged policy is left out: --staged enforce judges as if"],
    ["ignore", 2, "warning: 2 staged policies are left out"],
    ["ignore", 2, "warning: there is no policy that is enforced in "],
    ["enforce", 2, ""],
  ])("with --staged %s says of %i staged policies: %s", (mode, count, sentence) => {
    const policies = Array.from(
      { length: count },
      (_, index) =>
        `{apiVersion: projectcalico.org/v3, kind: StagedNetworkPolicy, metadata: {name: p${index}}}`,
    );
    const pod = "{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {podIP: 10.0.0.1}}";
    const path = file("staged.yaml", [pod, ...policies].join("\n---\n"));
    const { status, stderr } = run("compile", "-f", path, "--staged", mode);
    expect(status).toBe(0);
    if (sentence === "") expect(stderr).not.toContain("policy");
    else expect(stderr).toContain(sentence);
  });

  it("asks for the node whose interfaces host endpoints bind", () => {
    const documents = [
      "{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 192.168.7.1}]}}",
      "{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h}, spec: {node: n1, interfaceName: '*'}}",
    ];
    const path = file("host.yaml", documents.join("\n---\n"));
    expect(run("compile", "-f", path)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining(
        "host.yaml:3:73: host endpoints bind interfaces of one node: name it with --node n1",
      ) as string,
    });
    expect(run("compile", "-f", path, "--node", "n1").status).toBe(0);
  });

  it("prints the same text on every run", () => {
    const words = ["compile", "-f", EXAMPLE, "--node", "worker-1", "-o", "iptables-save"];
    const { status, stdout } = run(...words);
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^-A cali-FORWARD -i cali\+ -m comment --comment "cali:[\w-]{16}" -j cali-from-wl-dispatch$/m,
    );
    expect(run(...words).stdout).toBe(stdout);
  });
});
