/** Stories of changes that people roll out, and the flips that they make; and flips against two replays. */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

import { buildFrame, buildPcap, TCP, timed, UDP, type PacketSpec } from "../frames.ts";
import { makeRandom } from "../random.ts";
import { randomAttempt, randomWorld, worldObjects } from "../random-cluster.ts";

const ROOT = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));

function run(words: readonly string[], options: { cwd?: string; input?: Uint8Array } = {}) {
  const bin = join(ROOT, "dist/src/cli/bin.js");
  const { GITHUB_STEP_SUMMARY: _, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...words], {
    encoding: "utf8",
    env: { ...env, NO_COLOR: "1" },
    maxBuffer: 1 << 28,
    ...options,
  });
  return { status, stdout, stderr };
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

interface Change {
  readonly change: string;
  readonly source: string;
  readonly sourcePort?: number;
  readonly pair: { readonly from: string; readonly to: string; readonly port: string };
  readonly packets: number;
  readonly firstPacket: number;
  readonly before: { readonly verdict: string };
  readonly after: {
    readonly verdict: string;
    readonly policy?: { readonly name: string; readonly line: number };
    readonly nearest?: { readonly reason: string };
  };
}

interface WhatIf {
  readonly packets: number;
  readonly flows: number;
  readonly newDrop: { readonly packets: number; readonly flows: number };
  readonly newAllow: { readonly packets: number; readonly flows: number };
  readonly unchanged: { readonly packets: number; readonly flows: number };
  readonly unknown: { readonly packets: number; readonly flows: number };
  readonly changes: readonly Change[];
  readonly blindSpots: readonly {
    readonly change: string;
    readonly from: readonly string[];
    readonly to: readonly string[];
    readonly services: readonly { readonly protocol: string; readonly ports?: number[][] }[];
  }[];
}

const [WEB, API, DNS, SERVICE, OUTSIDE] = [
  "10.1.0.5",
  "10.1.0.6",
  "10.1.0.7",
  "10.96.0.10",
  "203.0.113.9",
];

const PAYMENTS =
  "{apiVersion: v1, kind: Namespace, metadata: {name: payments, labels: {team: pay}}}";
const API_POD = `
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: payments, labels: {app: api}}
spec: {nodeName: n, containers: [{name: c, ports: [{name: https, containerPort: 8443}]}]}
status: {podIP: ${API}}
`;
const CLUSTER = [
  "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}",
  PAYMENTS,
  "{apiVersion: v1, kind: Namespace, metadata: {name: kube-system}}",
  "{apiVersion: v1, kind: Node, metadata: {name: n}, status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}}",
  `{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}, spec: {nodeName: n}, status: {podIP: ${WEB}}}`,
  API_POD,
  `{apiVersion: v1, kind: Pod, metadata: {name: coredns, namespace: kube-system, labels: {k8s-app: kube-dns}}, spec: {nodeName: n}, status: {podIP: ${DNS}}}`,
  `{apiVersion: v1, kind: Service, metadata: {name: kube-dns, namespace: kube-system}, spec: {clusterIP: ${SERVICE}, clusterIPs: [${SERVICE}], selector: {k8s-app: kube-dns}, ports: [{name: dns, protocol: UDP, port: 53}]}}`,
].join("\n---\n");

const TRAFFIC = (() => {
  const dns = { protocol: UDP, sourcePort: 40_001, destinationPort: 53 };
  const talk = (destination: string, port: number, sourcePort: number): PacketSpec[] => {
    const there = { source: WEB, destination, protocol: TCP, sourcePort, destinationPort: port };
    const back = {
      ...{ source: destination, destination: WEB, protocol: TCP },
      ...{ sourcePort: port, destinationPort: sourcePort },
    };
    return [
      { ...there, seq: 100 },
      { ...back, flags: "S.", seq: 900, ack: 101 },
      { ...there, flags: ".", seq: 101, ack: 901 },
    ];
  };
  const specs = [
    { source: WEB, destination: SERVICE, ...dns },
    ...talk(API, 8443, 40_002),
    ...talk(OUTSIDE, 443, 40_003),
  ];
  return buildPcap(timed(specs.map((spec, id) => buildFrame({ ...spec, id }))));
})();

const policy = (name: string, namespace: string, spec: string): string =>
  `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: ${spec}`;
const egress = (...rules: readonly string[]): string =>
  policy("web", "shop", `{podSelector: {}, policyTypes: [Egress], egress: [${rules.join(", ")}]}`);

const TO_API =
  "{to: [{namespaceSelector: {}, podSelector: {matchLabels: {app: api}}}], ports: [{port: 8443}]}";
const TO_DNS =
  "{to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{protocol: UDP, port: 53}]}";
const TO_OUTSIDE = "{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}";
const FROM_NOBODY = "{podSelector: {}, policyTypes: [Ingress]}";
const TO_NAMED_PORT = policy(
  "api",
  "payments",
  "{podSelector: {}, ingress: [{ports: [{port: https}]}]}",
);
const TO_TEAM = egress(
  "{to: [{namespaceSelector: {matchLabels: {team: pay}}}]}",
  TO_DNS,
  TO_OUTSIDE,
);
const NEW_TIER = `
{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: security}, spec: {order: 10}}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: security.no-outside}
spec:
  tier: security
  selector: all()
  types: [Egress]
  egress:
    - {action: Deny, destination: {nets: [203.0.113.0/24]}}
    - {action: Pass}
`;

const [API_FLOW, DNS_FLOW, OUTSIDE_FLOW] = [
  "new-drop shop/web -> payments/api 8443/tcp",
  "new-drop shop/web -> kube-system/coredns 53/udp",
  "new-drop shop/web -> outside 443/tcp",
];

function flipsOf(what: WhatIf): string[] {
  return what.changes.map(
    ({ change, pair: { from, to, port } }) => `${change} ${from} -> ${to} ${port}`,
  );
}

describe("what-if", () => {
  const capture = file("traffic.pcap", TRAFFIC);
  const cluster = file("cluster.yaml", CLUSTER);
  const ask = (current: string, proposed: string, ...words: readonly string[]) =>
    run([
      ...["what-if", "-r", capture, "-f", cluster],
      ...(current === "" ? [] : ["--current", file("current.yaml", current)]),
      ...["--proposed", file("proposed.yaml", proposed), ...words],
    ]);
  const compare = (current: string, proposed: string, ...words: readonly string[]): WhatIf => {
    const { stdout, stderr } = ask(current, proposed, "-o", "json", ...words);
    if (stdout === "") throw new Error(stderr);
    return JSON.parse(stdout) as WhatIf;
  };

  it.each([
    ["an egress policy that forgets DNS", "", egress(TO_API, TO_OUTSIDE), [], [DNS_FLOW]],
    [
      "a namespace's label that is renamed",
      TO_TEAM,
      PAYMENTS.replace("team: pay", "team: payments"),
      ["--overlay"],
      [API_FLOW],
    ],
    [
      "a port's name that is changed on the pod",
      TO_NAMED_PORT,
      API_POD.replace("https", "tls"),
      ["--overlay"],
      [API_FLOW],
    ],
    ["a default deny", "", policy("deny", "payments", FROM_NOBODY), [], [API_FLOW]],
    [
      "a Calico tier above",
      egress(TO_API, TO_DNS, TO_OUTSIDE),
      NEW_TIER,
      ["--overlay"],
      [OUTSIDE_FLOW],
    ],
    [
      "a ClusterIP in an ipBlock",
      egress(TO_API, TO_DNS, TO_OUTSIDE),
      egress(TO_API, `{to: [{ipBlock: {cidr: ${SERVICE}/32}}]}`, TO_OUTSIDE),
      [],
      [DNS_FLOW],
    ],
    [
      "exceptions that are widened",
      egress(TO_API, TO_DNS, TO_OUTSIDE),
      egress(TO_API, TO_DNS, TO_OUTSIDE.replace("10.0.0.0/8", "10.0.0.0/8, 203.0.0.0/8")),
      [],
      [OUTSIDE_FLOW],
    ],
  ])("shows the flow that %s drops, and nothing else", (_, current, proposed, words, flips) => {
    const forth = compare(current, proposed, ...words);
    expect(flipsOf(forth)).toEqual(flips);
    expect(forth.newDrop.flows).toBe(1);
    expect(forth.unchanged.flows).toBe(2);
    // Taken back, the same flow is newly allowed.
    if (words.length > 0) return;
    const back = current === "" ? egress(TO_API, TO_DNS, TO_OUTSIDE) : current;
    expect(flipsOf(compare(proposed, back))).toEqual(
      flips.map((flip) => flip.replace("new-drop", "new-allow")),
    );
  });

  it("names --overlay where an object of the proposed ones is there already, and it would help", () => {
    const renamed = PAYMENTS.replace("team: pay", "team: payments");
    const { status, stderr } = ask(TO_TEAM, renamed);
    expect(status).toBe(2);
    expect(stderr).toContain(
      `error: Namespace payments is already at ${cluster}:3:1 (with --overlay it takes the other's place) [DUPLICATE_OBJECT]`,
    );
    // Not where the proposed ones have it twice, and not of what --current has.
    for (const [current, proposed] of [
      ["", `${TO_TEAM}\n---\n${TO_TEAM}`],
      [renamed, TO_TEAM],
    ] as const) {
      const twice = ask(current, proposed);
      expect(twice.status).toBe(2);
      expect(twice.stderr).toContain("[DUPLICATE_OBJECT]");
      expect(twice.stderr).not.toContain("--overlay");
    }
  });

  it("says what decides on both sides, at the line, and what came nearest", () => {
    file("proposed.yaml", egress(TO_API, TO_OUTSIDE));
    // Short names, as lines are wrapped.
    const words = ["-r", "traffic.pcap", "-f", "cluster.yaml", "--proposed", "proposed.yaml"];
    const { stdout, status } = run(["what-if", ...words, "--no-blind-spots", "--no-hints"], {
      cwd: folder,
    });
    expect(status).toBe(1);
    expect(stdout.split("\n")).toEqual([
      "Newly dropped: shop/web -> kube-system/coredns 53/udp.",
      "7 packets, 3 flows: 1 newly dropped, 0 newly allowed, 2 unchanged, 0 unknown",
      "",
      "NEWLY DROPPED FROM  TO                   PORT    FLOWS  PACKETS",
      "shop/web            kube-system/coredns  53/udp      1        1",
      "  before: allowed (no policy isolates it for egress)",
      "  after: dropped (no egress rule of the policies selecting shop/web matches)",
      "  NetworkPolicy shop/web egress  proposed.yaml:4",
      "  nearest: shop/web egress[1] peer needs an address in 0.0.0.0/0 except 10.0.0.0/8, has 10.1.0.7",
      "    proposed.yaml:4",
      "  10.1.0.5:40001 -> 10.96.0.10:53: packet 1",
      "",
    ]);
  });

  it.each([
    [[], 1],
    [["--fail-on", "new-allow"], 0],
    [["--fail-on", "any-change"], 1],
    [["--fail-on", "unknown"], 0],
    [["tcp"], 0],
    [["dst", "port", "53"], 1],
  ])("trips the gates that are asked for: %j", (words, status) => {
    expect(ask("", egress(TO_API, TO_OUTSIDE), ...words).status).toBe(status);
  });

  it("leaves accepted changes out, and warns of those that are gone", () => {
    const accepted = join(folder, "accepted.yaml");
    const dropsDns = egress(TO_API, TO_OUTSIDE);
    expect(ask("", dropsDns, "--accept", accepted).stderr).toContain("--update-accept writes it");
    expect(ask("", dropsDns, "--accept", accepted, "--update-accept").status).toBe(0);
    expect(readFileSync(accepted, "utf8")).toContain("port: 53/udp");
    const again = ask("", dropsDns, "--accept", accepted);
    expect(again.status).toBe(0);
    expect(again.stdout).toContain("1 accepted change (1 packet): not shown.");
    // What is accepted for one flow is not for another.
    expect(ask("", egress(TO_API), "--accept", accepted).status).toBe(1);
    const gone = ask("", egress(TO_API, TO_DNS, TO_OUTSIDE), "--accept", accepted);
    expect(gone.stderr).toContain("[ACCEPTED_ABSENT]");
  });

  it.each([
    ["[{change: new-drop, from: a, to: b, prot: 1}]", 'unknown field "prot"'],
    ["[{change: gone, from: a, to: b, port: c}]", "change must be one of"],
    ["[{change: new-drop, from: a, to: b}]", "port must be a string"],
    ["a: b", "expected a list"],
  ])("refuses a list of accepted changes that is none: %s", (text, message) => {
    const accepted = file("odd.yaml", text);
    const { status, stderr } = ask("", egress(TO_API), "--accept", accepted);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr).toContain(`${accepted}:1:`);
  });

  it("reads what a commit has", () => {
    const work = mkdtempSync(join(tmpdir(), "netverdict-git-"));
    const git = (...words: string[]): void => {
      execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@t", ...words], { cwd: work });
    };
    git("init", "-q", "-b", "main", ".");
    mkdirSync(join(work, "policies"));
    writeFileSync(join(work, "policies/web.yaml"), egress(TO_API, TO_DNS, TO_OUTSIDE));
    writeFileSync(join(work, "policies/notes.txt"), "not a manifest");
    git("add", "-A");
    git("commit", "-qm", "policies");
    writeFileSync(join(work, "policies/web.yaml"), egress(TO_API, TO_OUTSIDE));
    cpSync(capture, join(work, "t.pcap"));
    const words = [
      "what-if",
      "-r",
      "t.pcap",
      "-f",
      cluster,
      "--proposed",
      "policies",
      "-o",
      "json",
    ];
    const { stdout } = run([...words, "--current", "git:main:policies"], { cwd: work });
    expect(flipsOf(JSON.parse(stdout) as WhatIf)).toEqual([DNS_FLOW]);
    const missing = run([...words, "--current", "git:main:nothing"], { cwd: work });
    expect(missing.status).toBe(2);
    expect(missing.stderr).toContain("main has no such file or folder");
    const noCommit = run([...words, "--current", "git:other:policies"], { cwd: work });
    expect(noCommit.stderr).toContain("git knows no commit other here\n");
    symlinkSync("../policies/web.yaml", join(work, "policies/again.yaml"));
    symlinkSync("policies", join(work, "link"));
    git("add", "-A");
    git("commit", "-qm", "links");
    for (const [path, link, target] of [
      ["policies", "policies/again.yaml", "policies/web.yaml"],
      ["link", "link", "policies"],
    ] as const) {
      expect(run([...words, "--current", `git:main:${path}`], { cwd: work }).stderr).toContain(
        `git:main:${path}: ${link} is a symbolic link, which is not followed in a commit: name git:main:${target}\n`,
      );
    }
  });

  it("says why there is no commit", () => {
    const git = (cwd: string, ...words: string[]): void => {
      execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@t", ...words], { cwd });
    };
    const ask = (cwd: string): string =>
      run(["what-if", "-f", cluster, "--proposed", "git:main:policies"], { cwd }).stderr;
    const [bare, empty, full] = ["bare", "empty", "full"].map((name) => {
      const path = join(mkdtempSync(join(tmpdir(), "netverdict-git-")), name);
      mkdirSync(path);
      return path;
    }) as [string, string, string];
    expect(ask(bare)).toContain("git:main:policies: this is no git repository\n");
    git(empty, "init", "-q", "-b", "main", ".");
    expect(ask(empty)).toContain("git:main:policies: the git repository has no commit yet\n");
    git(full, "init", "-q", "-b", "other", ".");
    for (const message of ["one", "two"]) git(full, "commit", "-q", "--allow-empty", "-m", message);
    const shallow = join(full, "shallow");
    git(full, "clone", "-q", "--depth", "1", `file://${full}`, shallow);
    expect(ask(shallow)).toContain(
      "git knows no commit main here: this is a shallow clone, which has only some",
    );
  });

  it("compares the dumps of two nodes", () => {
    const rules = (...lines: readonly string[]): string =>
      [
        ...["# Generated by iptables-save v1.8.9 on Fri Nov 27 10:00:00 2026", "*filter"],
        ...[":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", ...lines],
        ...["COMMIT", ""],
      ].join("\n");
    const node = (name: string, text: string): string => {
      const path = join(folder, name);
      mkdirSync(path, { recursive: true });
      writeFileSync(join(path, "iptables-save"), text);
      writeFileSync(
        join(path, "ip-route.json"),
        '[{"dst": "default", "dev": "eth0", "flags": []}]',
      );
      const link = '"ifindex": 2, "flags": ["UP"], "link_type": "ether"';
      writeFileSync(join(path, "ip-addr.json"), `[{"ifname": "eth0", ${link}, "addr_info": []}]`);
      return path;
    };
    const [before, after] = [
      node("before", rules()),
      node("after", rules("-A FORWARD -p tcp -m tcp --dport 443 -j DROP")),
    ];
    const { stdout, stderr } = run([
      ...["what-if", "-r", capture, "--in-interface", "eth0", "-o", "json"],
      ...["--current", before, "--proposed", after],
    ]);
    expect(stderr).not.toContain("error");
    const { changes, newDrop } = JSON.parse(stdout) as WhatIf;
    expect(newDrop).toEqual({ packets: 2, flows: 1 });
    expect(changes.map(({ before: one, after: other }) => [one.verdict, other.verdict])).toEqual([
      ["allow", "drop"],
    ]);
  });

  it("annotates the policy's line, and escapes what names hold", () => {
    const { stdout } = ask("", egress(TO_API, TO_OUTSIDE), "-o", "github");
    expect(stdout).toMatch(
      /^::error file=[^\n]*proposed\.yaml,line=\d+,title=newly dropped%3A shop\/web -> kube-system\/coredns 53\/udp::dropped /,
    );
    expect(stdout.trim().split("\n")).toHaveLength(1);
    const markdown = ask("", egress(TO_API, TO_OUTSIDE), "-o", "md").stdout;
    expect(markdown).toContain(
      "| newly dropped | shop/web | kube-system/coredns | 53/udp | 1 | 1 |",
    );
  });

  it("lists what changes beside what was captured, and all of it without a capture", () => {
    const [current, proposed] = [
      egress(TO_API, TO_DNS, TO_OUTSIDE),
      egress(TO_API, TO_DNS, TO_OUTSIDE.replace("10.0.0.0/8", "10.0.0.0/8, 203.0.112.0/22")),
    ];
    const spots = ({ blindSpots }: WhatIf): string[] =>
      blindSpots.map(({ change, from, to, services }) =>
        [
          change,
          from,
          to,
          services.map(({ protocol, ports }) => `${protocol} ${(ports ?? []).join()}`),
        ].join("|"),
      );
    const rest = "udp 0,4788,4790,65535,sctp 0,65535,icmp 8,8,13,13,15,15,17,17,other protocols ";
    const wide = "new-drop|shop/web|203.0.112.0/22|";
    // The capture has one of the ports.
    const ports = "tcp 0,442,444,65535,";
    expect(spots(compare(current, proposed))).toEqual([`${wide}${ports}${rest}`]);
    const names = [file("now.yaml", current), file("then.yaml", proposed)];
    const all = run([
      ...["what-if", "-f", cluster, "--current", names[0]!, "--proposed", names[1]!],
      ...["-o", "json"],
    ]);
    expect(all.status).toBe(1);
    expect(spots(JSON.parse(all.stdout) as WhatIf)).toEqual([`${wide}tcp 0,65535,${rest}`]);
    expect(compare(current, proposed, "--no-blind-spots").blindSpots).toBeNull();
    // Another order of the same rules changes nothing.
    const same = file("same.yaml", egress(TO_OUTSIDE, TO_API, TO_DNS));
    const none = run(["what-if", "-f", cluster, "--current", names[0]!, "--proposed", same]);
    expect(none.status).toBe(0);
    expect(none.stdout).toMatch(/^Nothing changes for any traffic\.\n/);
  });

  it("says of which family and of which clients' ports a row is", () => {
    const pod = (name: string, ipv4: string, ipv6: string): string =>
      `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: shop, labels: {app: ${name}}}, spec: {nodeName: n}, status: {podIPs: [{ip: ${ipv4}}, {ip: "${ipv6}"}]}}`;
    const dual = file(
      "dual.yaml",
      [
        "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}",
        pod("web", WEB, "fd00::5"),
        pod("api", API, "fd00::6"),
      ].join("\n---\n"),
    );
    const calico = (rules: string): string => `
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: p, namespace: shop}
spec: {selector: app == 'api', types: [Ingress], ingress: [${rules}]}
`;
    const rows = (rules: string): string[] => {
      const words = [
        ...["--current", file("now.yaml", calico("{action: Allow}"))],
        ...["--proposed", file("then.yaml", calico(`${rules}, {action: Allow}`))],
      ];
      const { stdout } = run(["what-if", "-f", dual, ...words]);
      return stdout.split("\n").filter((line) => line.startsWith("newly dropped: "));
    };
    expect(rows("{action: Deny, protocol: TCP, destination: {ports: [80]}}")).toEqual([
      "newly dropped: outside, shop/web -> shop/api: tcp 80",
    ]);
    expect(rows("{action: Deny, ipVersion: 6, protocol: TCP, destination: {ports: [80]}}")).toEqual(
      ["newly dropped: outside, shop/web -> shop/api: tcp 80 (IPv6)"],
    );
    expect(rows("{action: Deny, ipVersion: 4, protocol: SCTP}")).toEqual([
      "newly dropped: outside, shop/web -> shop/api: sctp (IPv4)",
    ]);
    expect(rows("{action: Deny, protocol: SCTP, source: {ports: [53]}}")).toEqual([
      "newly dropped: outside, shop/web -> shop/api: sctp from port 53",
    ]);
    expect(
      rows(
        "{action: Deny, protocol: SCTP, source: {ports: [53]}}, {action: Deny, protocol: SCTP, destination: {ports: ['1:9']}}",
      ),
    ).toEqual([
      "newly dropped: outside, shop/web -> shop/api: sctp from port 53",
      "newly dropped: outside, shop/web -> shop/api: sctp 1-9 from port 0-52,54-65535",
    ]);
  });

  it("does not take a flow that goes on, being established, for one that shows its class", () => {
    const specs = [40_002, 40_002].map((sourcePort, index) => ({
      ...{ source: WEB, destination: API, protocol: TCP, sourcePort, destinationPort: 8443 },
      ...{ flags: ".", seq: 101 + index, ack: 901, id: index },
    }));
    const midstream = file("midstream.pcap", buildPcap(timed(specs.map(buildFrame))));
    const { stdout } = run([
      ...["what-if", "-r", midstream, "-f", cluster, "-o", "json"],
      ...["--proposed", file("deny.yaml", policy("deny", "payments", FROM_NOBODY))],
    ]);
    const what = JSON.parse(stdout) as WhatIf;
    expect(what.changes).toEqual([]);
    const spot = what.blindSpots.find(
      ({ from, to }) => from.includes("shop/web") && to.includes("payments/api"),
    );
    expect(spot?.services[0]).toEqual({ protocol: "tcp", ports: [[0, 65_535]] });
  });

  it("says in its first sentence which flows cannot be compared", () => {
    const frame = buildFrame({
      ...{ source: WEB, destination: "10.1.0.99", protocol: TCP, id: 1 },
      ...{ sourcePort: 40_004, destinationPort: 443 },
    });
    const { stdout } = run([
      ...["what-if", "-r", file("nobody.pcap", buildPcap(timed([frame]))), "-f", cluster],
      ...["--cluster-cidr", "10.1.0.0/16", "--no-blind-spots"],
      ...["--current", file("now.yaml", TO_NAMED_PORT)],
      ...["--proposed", file("same.yaml", TO_NAMED_PORT)],
    ]);
    expect(stdout).toMatch(/^Nothing changes for this capture; 1 flow cannot be compared\.\n/);
  });

  it("trips --fail-on unknown without a capture, where a class of traffic cannot be compared", () => {
    const domains = file(
      "domains.yaml",
      `apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: outside}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  egress: [{action: Accept, to: [{domainNames: [example.com]}]}, {action: Deny, to: [{networks: [203.0.113.0/24]}]}]
`,
    );
    const words = ["what-if", "-f", cluster, "--proposed", domains];
    const { stdout, status } = run([...words, "--fail-on", "unknown"]);
    expect(stdout).toContain("cannot be compared: ");
    expect(status).toBe(1);
    expect(run([...words, "--fail-on", "new-allow"]).status).toBe(0);
    const deny = file("deny.yaml", policy("deny", "payments", FROM_NOBODY));
    const known = ["what-if", "-f", cluster, "--proposed", deny, "--fail-on", "unknown"];
    expect(run(known).status).toBe(0);
  });

  it.each([
    ["an expression", ["tcp"], "no capture"],
    ["nothing else to look at", ["--no-blind-spots"], "no capture"],
    ["changes to accept", ["--accept", "a.yaml"], "names changes that a capture shows"],
    ["a gate that is none", ["--fail-on", "new-dorp"], "Allowed choices are new-drop"],
    ["standard input twice", ["--current", "-", "--proposed", "-"], "- stands for several inputs"],
  ])("is refused without a capture with %s", (_, words, message) => {
    const proposed = file("p.yaml", egress(TO_API));
    const { status, stderr } = run(["what-if", "-f", cluster, "--proposed", proposed, ...words]);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  });

  it("finds what changes by way of a node's port, and for a pod that moves", () => {
    const service = `
{apiVersion: v1, kind: Service, metadata: {name: api, namespace: payments}, spec: {type: NodePort, clusterIP: 10.96.0.11,
 clusterIPs: [10.96.0.11], selector: {app: api}, ports: [{port: 80, targetPort: 8443, nodePort: 30080}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: m}, status: {addresses: [{type: InternalIP, address: 192.168.0.2}]}}
`;
    const more = file("more.yaml", service);
    const deny = file("deny.yaml", policy("deny", "payments", FROM_NOBODY));
    const moved = file("moved.yaml", API_POD.replace("nodeName: n,", "nodeName: m,"));
    const all = (...words: readonly string[]): string[] =>
      (
        JSON.parse(
          run(["what-if", "-f", cluster, "-f", more, ...words, "-o", "json"]).stdout,
        ) as WhatIf
      ).blindSpots.map(({ change, from, to }) => `${change} ${from.join()} -> ${to.join()}`);
    const ports = all("--proposed", deny).filter((line) => / -> node\//.test(line));
    expect(ports).toContain("new-drop outside,node/m -> node/n");
    expect(ports).toContain("new-drop shop/web -> node/n,node/m");
    const github = run(["what-if", "-f", cluster, "-f", more, "--proposed", deny, "-o", "github"]);
    expect(github.stdout).toContain(`::error file=${deny},line=4,title=newly dropped%3A outside`);
    // What another node sends to a Service is translated there.
    const ofNode = all("--proposed", deny, "--node", "n");
    expect(ofNode.filter((line) => line.includes("node/m"))).toEqual([
      "new-drop outside,node/m -> payments/api",
      "new-drop outside,node/m -> node/n",
    ]);
    expect(ofNode.some((line) => line.includes("-> service/payments/api"))).toBe(true);
    const moves = all("--current", deny, "--proposed", deny, "--proposed", moved, "--overlay");
    expect(moves).toContain("new-drop node/n -> payments/api");
    expect(moves).toContain("new-allow node/m -> payments/api");
  });

  it("reads a capture from standard input once, for both", () => {
    const words = [
      "what-if",
      "-f",
      cluster,
      "--proposed",
      file("p.yaml", egress(TO_API)),
      "-o",
      "json",
      "--no-hints",
    ];
    const piped = run([...words, "-r", "-"], { input: TRAFFIC });
    expect(piped.stdout).toBe(run([...words, "-r", capture]).stdout);
  });

  it("says the same of every packet as two replays do", () => {
    let [flips, packets] = [0, 0];
    for (let seed = 1; seed <= 12; seed++) {
      const random = makeRandom(seed * 31);
      const world = randomWorld(random, { pods: 12, policies: 10, clusterPolicies: 3, calico: 5 });
      const isPolicy = (object: object): boolean =>
        /Policy$/.test((object as { kind: string }).kind);
      const objects = worldObjects(world);
      const list = (name: string, items: readonly object[]): string =>
        file(name, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
      const rest = list(
        "rest.json",
        objects.filter((object) => !isPolicy(object)),
      );
      const policies = objects.filter(isPolicy);
      const sides = [0, 1].map((side) =>
        list(
          `side-${side}.json`,
          policies.filter(() => random.below(10) < 7),
        ),
      );
      const frames = Array.from({ length: 400 }, (_, id) => {
        const { source, destination, protocol, port } = randomAttempt(random, world);
        const ends = random.below(10) < 3 ? [destination, source] : [source, destination];
        return buildFrame({
          ...{ source: ends[0]!, destination: ends[1]!, protocol, id },
          ...{ sourcePort: 20_000 + random.below(3), destinationPort: port },
        });
      });
      const traffic = file("random.pcap", buildPcap(timed(frames)));
      const verdicts = sides.map((side) =>
        run(["replay", "-r", traffic, "-f", rest, "-f", side, "-o", "ndjson"])
          .stdout.trim()
          .split("\n")
          .map((line) => (JSON.parse(line) as { verdict: string }).verdict),
      );
      const counts = { "new-drop": 0, "new-allow": 0, unknown: 0, unchanged: 0 };
      for (const [index, before] of verdicts[0]!.entries()) {
        const after = verdicts[1]![index]!;
        if (before === "unknown" || after === "unknown") counts.unknown++;
        else if (before === after) counts.unchanged++;
        else counts[after === "drop" ? "new-drop" : "new-allow"]++;
      }
      const { stdout, stderr } = run([
        ...["what-if", "-r", traffic, "-f", rest, "-o", "json", "--no-hints"],
        ...["--current", sides[0]!, "--proposed", sides[1]!],
      ]);
      if (stdout === "") throw new Error(`seed ${seed}: ${stderr}`);
      const what = JSON.parse(stdout) as WhatIf;
      const told = [what.newDrop, what.newAllow, what.unknown, what.unchanged];
      expect(
        told.map((count) => count.packets),
        `seed ${seed}`,
      ).toEqual(Object.values(counts));
      const changed = what.changes.filter(({ change }) => change !== "unknown");
      const sum = changed.reduce((total, change) => total + change.packets, 0);
      expect(sum, `seed ${seed}`).toBe(counts["new-drop"] + counts["new-allow"]);
      flips += sum;
      packets += what.packets;
    }
    console.log(`what-if: ${packets} packets, ${flips} flips, as two replays have them`);
    expect(flips).toBeGreaterThan(100);
  });
});
