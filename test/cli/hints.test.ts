/** Hints by kinds of policies and ways of writing them; what they leave closed, and where there is none. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

import { buildFrame, buildPcap, ICMP, TCP, timed, type PacketSpec } from "../frames.ts";
import { applyHints, type HintsJson } from "../hints.ts";
import { makeRandom } from "../random.ts";
import { randomAttempt, randomWorld, worldObjects } from "../random-cluster.ts";
import { sarifValidator } from "../schemas.ts";

const ROOT = join(import.meta.dirname, "../..");
const [WEB, CART, API, OUTSIDE] = ["10.1.0.5", "10.1.0.6", "10.1.0.7", "203.0.113.9"];

const pod = (namespace: string, name: string, address: string, labels = `{app: ${name}}`): string =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: ${namespace}, labels: ${labels}}, spec: {nodeName: n, containers: [{name: c, ports: [{name: https, containerPort: 8443}]}]}, status: {podIP: ${address}}}`;
const CLUSTER = [
  "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}",
  "{apiVersion: v1, kind: Namespace, metadata: {name: payments}}",
  "{apiVersion: v1, kind: Node, metadata: {name: n}, status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}}",
  pod("shop", "web", WEB),
  pod("shop", "cart", CART),
  pod("payments", "api", API),
].join("\n---\n");

const FLOW: PacketSpec = {
  ...{ source: WEB, destination: API, protocol: TCP, sourcePort: 40_000, destinationPort: 8443 },
  seq: 100,
};

interface WhatIf {
  readonly rollout: { readonly fates: readonly { readonly fate: string }[] } | null;
  readonly newDrop: { readonly flows: number };
  readonly newAllow: { readonly flows: number };
  readonly blindSpots: readonly { readonly change: string }[];
  readonly hints: HintsJson | null;
}

interface Story {
  /** Beside the manifests and the capture. */
  readonly more?: readonly string[];
  readonly proposed: string;
  readonly current?: string;
  readonly cluster?: string;
  /** None: no capture is given. */
  readonly flows?: readonly PacketSpec[];
}

function tell({ proposed, current, cluster = CLUSTER, flows = [FLOW], more = [] }: Story) {
  const folder = mkdtempSync(join(tmpdir(), "netverdict-"));
  writeFileSync(join(folder, "cluster.yaml"), cluster);
  writeFileSync(join(folder, "proposed.yaml"), proposed);
  if (current !== undefined) writeFileSync(join(folder, "current.yaml"), current);
  const frames = flows.map((flow, id) => buildFrame({ ...flow, id }));
  writeFileSync(join(folder, "t.pcap"), buildPcap(timed(frames)));
  const words = [
    ...["what-if", "-f", "cluster.yaml", "--proposed", "proposed.yaml", ...more],
    ...(flows.length === 0 ? [] : ["-r", "t.pcap"]),
    ...(current === undefined ? [] : ["--current", "current.yaml"]),
  ];
  const run = (format: string, variables: Readonly<Record<string, string>> = {}): string => {
    const bin = join(ROOT, "dist/src/cli/bin.js");
    const { GITHUB_STEP_SUMMARY: _, ...env } = process.env;
    const { stdout, stderr } = spawnSync(process.execPath, [bin, ...words, "-o", format], {
      ...{ encoding: "utf8", cwd: folder, env: { ...env, ...variables } },
    });
    if (stdout === "") throw new Error(stderr);
    return stdout;
  };
  return { folder, run, what: (): WhatIf => JSON.parse(run("json")) as WhatIf };
}

/** The hints of a story, once it is seen that they mend it and open nothing. */
function mend(story: Story): HintsJson {
  const { folder, what } = tell(story);
  const broken = what();
  expect(broken.newDrop.flows).toBeGreaterThan(0);
  const { hints } = broken;
  if (hints === null) throw new Error("there are no hints");
  expect(hints.without).toEqual([]);
  applyHints(hints, folder);
  const mended = what();
  expect([mended.newDrop.flows, mended.newAllow.flows]).toEqual([0, 0]);
  const opens = (spots: WhatIf["blindSpots"]): number =>
    spots.filter(({ change }) => change === "new-allow").length;
  expect(opens(mended.blindSpots)).toBe(opens(broken.blindSpots));
  return hints;
}

const policy = (name: string, namespace: string, spec: string): string =>
  `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: ${spec}\n`;
const admin = (spec: string): string =>
  `apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: strict}\nspec: ${spec}\n`;
const calico = (spec: string): string =>
  `apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: strict}\nspec: ${spec}\n`;
const EVERYBODY = "subject: {namespaces: {}}";
const ways = ({ hints }: HintsJson): (string | undefined)[] =>
  hints.flatMap(({ edits }) => edits.map(({ way, list }) => `${way} ${list ?? "policy"}`));

const CLOSED = [
  policy("out", "shop", "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}"),
  policy("in", "payments", "{podSelector: {matchLabels: {app: api}}}"),
].join("---\n");

describe("hints", () => {
  it.each([
    ["both ends, neither with a list", CLOSED, ["in spec.egress", "in spec.ingress"]],
    [
      "a list that is empty",
      policy("in", "payments", "{podSelector: {matchLabels: {app: api}}, ingress: []}"),
      ["in spec.ingress"],
    ],
    [
      "a rule in flow style",
      policy(
        "in",
        "payments",
        "{podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: [{port: 8443}]}]}",
      ),
      ["in spec.ingress[0].from"],
    ],
    [
      "JSON",
      JSON.stringify({
        apiVersion: "networking.k8s.io/v1",
        kind: "NetworkPolicy",
        metadata: { name: "in", namespace: "payments" },
        spec: { podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }] },
      }),
      ["in spec.ingress"],
    ],
    [
      "an AdminNetworkPolicy that denies, behind a rule that allows others",
      admin(
        `{priority: 5, ${EVERYBODY}, ingress: [{action: Allow, from: [{namespaces: {matchLabels: {x: y}}}]}, {action: Deny, from: [{namespaces: {}}]}]}`,
      ),
      ["above spec.ingress"],
    ],
    [
      "a ClusterNetworkPolicy that denies what leaves",
      admin(
        `{tier: Admin, priority: 5, ${EVERYBODY}, egress: [{action: Deny, to: [{namespaces: {matchLabels: {kubernetes.io/metadata.name: payments}}}]}]}`,
      )
        .replace("v1alpha1", "v1alpha2")
        .replace("AdminNetworkPolicy", "ClusterNetworkPolicy"),
      ["first spec.egress"],
    ],
    [
      "a Calico policy that denies some and lets nobody else in",
      calico(
        "{selector: app == 'api', types: [Ingress], ingress: [{action: Deny, source: {selector: app == 'cart'}}]}",
      ),
      ["first spec.ingress"],
    ],
    [
      "a Calico policy and, behind it, a NetworkPolicy",
      `${calico("{order: 1, selector: app == 'api', types: [Ingress], ingress: [{action: Allow, source: {selector: app == 'cart'}}, {action: Deny, source: {selector: app == 'web'}}]}")}---\n${CLOSED}`,
      ["in spec.egress", "above spec.ingress"],
    ],
  ])("are made for %s", (_, proposed, expected) => {
    expect(ways(mend({ proposed }))).toEqual(expected);
  });

  it("leave closed what today is closed: a narrower rule is taken", () => {
    // Today cart may not; a rule in the policy of both would let it.
    const current = policy(
      "out",
      "shop",
      "{podSelector: {matchLabels: {app: cart}}, policyTypes: [Egress]}",
    );
    const proposed = policy(
      "out",
      "shop",
      `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: ${OUTSIDE}/32}}]}]}`,
    );
    const hints = mend({ current, proposed });
    expect(ways(hints)).toEqual(["new policy"]);
    expect(hints.hints[0]?.edits[0]?.yaml).toContain("app: web");
  });

  it("say what else passes again, as it does today", () => {
    const proposed = policy(
      "out",
      "shop",
      `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: ${OUTSIDE}/32}}]}]}`,
    );
    expect(mend({ proposed }).hints[0]?.alsoAllows).toEqual(["shop/cart -> payments/api tcp 8443"]);
  });

  it("leave closed the pods of a workload that are closed today", () => {
    const replica = (name: string, address: string): string =>
      pod("shop", name, address, `{app: web, replica: ${name}}`).replace(
        "labels:",
        "ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: u, controller: true}], labels:",
      );
    const cluster = [
      CLUSTER.replace(pod("shop", "web", WEB), replica("web-0", WEB)),
      replica("web-1", "10.1.0.9"),
    ].join("\n---\n");
    const spec = (from: string): string => `{podSelector: {}, ingress: [{from: [${from}]}]}`;
    const shop = "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}";
    const current = policy(
      "in",
      "payments",
      spec(`{${shop}, podSelector: {matchLabels: {replica: web-0}}}`),
    );
    const proposed = policy("in", "payments", spec("{podSelector: {}}"));
    const { hints } = tell({ cluster, current, proposed }).what();
    expect(hints?.hints).toEqual([]);
    expect(hints?.without[0]?.why).toContain("would open more: shop/web -> payments/api");
  });

  it("are taken back where two of them together open what neither does", () => {
    const LEDGER = "10.1.0.8";
    const cluster = [CLUSTER, pod("payments", "ledger", LEDGER)].join("\n---\n");
    const shop = "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}";
    const into = (...apps: readonly string[]): string =>
      policy(
        "in",
        "payments",
        `{podSelector: {}, ingress: [{from: [${apps.map((app) => `{${shop}, podSelector: {matchLabels: {app: ${app}}}}`).join(", ")}], ports: [{port: 8443}]}]}`,
      );
    const out = (whom: string, to: string): string =>
      policy(
        "out",
        "shop",
        `{podSelector: ${whom}, policyTypes: [Egress], egress: [{to: [${to}]}]}`,
      );
    const api =
      "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: payments}}, podSelector: {matchLabels: {app: api}}}";
    const { hints } = tell({
      cluster,
      current: [out("{matchLabels: {app: web}}", api), into("web", "cart")].join("---\n"),
      proposed: [out("{}", `{ipBlock: {cidr: ${OUTSIDE}/32}}`), into("cart")].join("---\n"),
      flows: [FLOW, { ...FLOW, source: CART, destination: LEDGER }],
    }).what();
    expect(hints?.hints.map(({ mends }) => mends.map(({ to }) => to))).toEqual([["payments/api"]]);
    expect(hints?.without.map(({ why }) => why)).toEqual([
      "beside the other rules here, one for it would open more: shop/web -> payments/ledger tcp 8443",
    ]);
  });

  it("are made of all traffic where no capture is given", () => {
    const ports = (port: number): string =>
      policy(
        "in",
        "payments",
        `{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}], ports: [{port: ${port}}]}]}`,
      );
    const story = { current: ports(8443), proposed: ports(8444), flows: [] };
    const { folder, what, run } = tell(story);
    const before = what();
    expect(before.blindSpots.filter(({ change }) => change === "new-drop")).toHaveLength(1);
    if (before.hints === null) throw new Error("there are no hints");
    expect(before.hints.without).toEqual([]);
    expect(ways(before.hints)).toEqual(["in spec.ingress[0].ports"]);
    expect(run("text")).toMatch(
      /ALL THAT CHANGES[^]*TO LET THEM PASS AGAIN\n[^]*pass with these rules; nothing opens that is closed today\.\n$/,
    );
    applyHints(before.hints, folder);
    expect(what().blindSpots.map(({ change }) => change)).toEqual(["new-allow"]);
  });

  it("name a prefix where one is lost, and mend a peer whatever its ports", () => {
    const out = (to: string): string =>
      policy("out", "shop", `{podSelector: {}, policyTypes: [Egress], egress: [{to: [${to}]}]}`);
    const block = (except: string): string =>
      out(`{ipBlock: {cidr: 203.0.0.0/16, except: [${except}]}}`).replace(
        "]}}]}]",
        "]}}], ports: [{port: 443}]}]",
      );
    const narrowed = tell({
      ...{ current: block("203.0.1.0/24"), proposed: block("203.0.0.0/23"), flows: [] },
    }).what();
    expect(narrowed.hints?.hints[0]?.edits[0]?.yaml).toBe("- ipBlock:\n    cidr: 203.0.0.0/24\n");
    const peer = (label: string): string =>
      out(`{namespaceSelector: {matchLabels: {team: ${label}}}}`);
    const today = CLUSTER.replace("name: payments}", "name: payments, labels: {team: old}}");
    const overlaid = tell({
      ...{ cluster: today, current: peer("old"), flows: [], more: ["--overlay"] },
      proposed:
        "{apiVersion: v1, kind: Namespace, metadata: {name: payments, labels: {team: new}}}",
    }).what();
    expect(overlaid.hints?.hints[0]?.edits[0]?.yaml).toContain("team: new");
  });

  it("are made for connections that a rollout would lose", () => {
    const packet = (own: Partial<PacketSpec>): PacketSpec => ({ ...FLOW, ...own });
    const back = { source: API, destination: WEB, sourcePort: 8443, destinationPort: 40_000 };
    const flows = [
      packet({ flags: "S" }),
      packet({ ...back, flags: "S.", seq: 300, ack: 101 }),
      packet({ flags: ".", seq: 101, ack: 301 }),
      packet({ flags: ".", seq: 101, ack: 301 }),
    ];
    const { folder, what, run } = tell({
      ...{ proposed: CLOSED, flows, more: ["--rollout-at", "+0.0025s", "--no-blind-spots"] },
    });
    const before = what();
    expect(before.rollout?.fates.map(({ fate }) => fate)).toEqual(["lost-on-reconnect"]);
    if (before.hints === null) throw new Error("there are no hints");
    expect(before.hints.hints.map(({ checked }) => checked.capture)).toEqual([true]);
    expect(run("text")).toMatch(/cuts or loses none/);
    applyHints(before.hints, folder);
    expect(what().rollout?.fates).toEqual([]);
  });

  it("are none for a node's dumps, which is said", () => {
    const { folder } = tell({ proposed: CLOSED });
    const dump = (verdict: string): string =>
      `# Generated by iptables-save v1.8.9 (legacy)\n*filter\n:FORWARD ${verdict} [0:0]\nCOMMIT\n`;
    for (const [name, verdict] of [
      ["a", "ACCEPT"],
      ["b", "DROP"],
    ] as const) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, "iptables-save"), dump(verdict));
      writeFileSync(
        join(folder, name, "ip-route.json"),
        '[{"dst": "default", "dev": "eth0", "gateway": "192.168.0.2", "table": "main"}]',
      );
      writeFileSync(
        join(folder, name, "ip-addr.json"),
        '[{"ifindex": 2, "ifname": "eth0", "addr_info": [{"family": "inet", "local": "192.168.0.1", "prefixlen": 24}]}]',
      );
    }
    const bin = join(ROOT, "dist/src/cli/bin.js");
    const words = ["what-if", "-r", "t.pcap", "--current", "a", "--proposed", "b"];
    const { stdout } = spawnSync(process.execPath, [bin, ...words], {
      ...{ encoding: "utf8", cwd: folder },
    });
    expect(stdout).toMatch(
      /no rule for 10\.1\.0\.5 -> 10\.1\.0\.7 8443\/tcp: a node's dumps are compared/,
    );
  });

  it("mend several pairs at once where one rule does", () => {
    const proposed = policy("in", "payments", "{podSelector: {matchLabels: {app: api}}}");
    const cluster = CLUSTER.replace("{app: cart}", "{app: web}");
    const flows = [FLOW, { ...FLOW, source: CART }];
    const { hints } = mend({ proposed, cluster, flows });
    expect(hints.map(({ mends }) => mends.map(({ from }) => from))).toEqual([
      ["shop/web", "shop/cart"],
    ]);
  });

  it.each([
    [
      "ICMP, which a NetworkPolicy cannot name",
      policy("in", "payments", "{podSelector: {matchLabels: {app: api}}}"),
      [{ source: WEB, destination: API, protocol: ICMP }],
      "a NetworkPolicy cannot name ICMP",
    ],
    [
      "addresses outside that an AdminNetworkPolicy cannot name",
      admin(
        `{priority: 5, ${EVERYBODY}, egress: [{action: Deny, to: [{networks: [203.0.113.0/24]}]}]}`,
      ),
      Array.from({ length: 40 }, (_, index) => ({
        ...FLOW,
        destination: `203.0.113.${index + 1}`,
      })),
      "40 pairs of addresses",
    ],
  ])("are none for %s, and why is said", (_, proposed, flows, why) => {
    const { hints } = tell({ proposed, flows }).what();
    expect(hints?.hints).toEqual([]);
    expect(hints?.without[0]?.why).toContain(why);
  });

  it("are fixes in SARIF, below the annotation and in the comment", () => {
    const { run } = tell({ proposed: CLOSED });
    const isSarif = sarifValidator();
    const log = JSON.parse(run("sarif")) as {
      runs: { results: { fixes?: { artifactChanges: object[] }[] }[] }[];
    };
    expect(isSarif(log), JSON.stringify(isSarif.errors)).toBe(true);
    expect(log.runs[0]?.results[0]?.fixes?.[0]?.artifactChanges).toHaveLength(2);
    expect(run("github")).toMatch(/^::error .*%0Aadd to spec\.egress of NetworkPolicy shop\/out /);
    expect(run("md")).toContain("```yaml\n- to:\n    - namespaceSelector:\n");
    expect(run("json")).toBe(run("json"));
  });

  it("stay within what GitHub takes, however much is dropped", () => {
    const names = Array.from({ length: 30 }, (_, index) => `w${index}`);
    const cluster = [
      CLUSTER,
      ...names.map((name, index) => pod("shop", name, `10.1.1.${index + 1}`)),
    ];
    const { folder, run, what } = tell({
      proposed: policy("in", "payments", "{podSelector: {matchLabels: {app: api}}}"),
      cluster: cluster.join("\n---\n"),
      flows: names.map((_, index) => ({ ...FLOW, source: `10.1.1.${index + 1}` })),
    });
    const { hints } = what();
    expect(hints?.hints).toHaveLength(20);
    expect(hints?.without[0]?.why).toContain("for the first 20 pairs only");
    const summary = join(folder, "summary.md");
    const lines = run("github", { GITHUB_STEP_SUMMARY: summary }).trim().split("\n");
    expect(lines.filter((line) => /^::(error|warning)/.test(line))).toHaveLength(10);
    expect(lines.at(-1)).toContain("and 20 more changes");
    expect(statSync(summary).size).toBeLessThan(1 << 20);
  });

  it("let no packet pass that today's policies drop, and all that they are for", () => {
    let [mended, packets] = [0, 0];
    for (let seed = 1; seed <= 4; seed++) {
      const random = makeRandom(seed * 77);
      const world = randomWorld(random, {
        ...{ pods: 8, policies: 5, clusterPolicies: seed % 3, calico: seed % 2 },
      });
      const objects = worldObjects(world);
      const isPolicy = (object: object): boolean =>
        /Policy$/.test((object as { kind: string }).kind);
      const folder = mkdtempSync(join(tmpdir(), "netverdict-"));
      const list = (name: string, items: readonly object[]): string => {
        const text = JSON.stringify({ apiVersion: "v1", kind: "List", items });
        writeFileSync(join(folder, name), text);
        return name;
      };
      list(
        "cluster.json",
        objects.filter((object) => !isPolicy(object)),
      );
      const policies = objects.filter(isPolicy);
      for (const side of ["current.json", "proposed.json"])
        list(
          side,
          policies.filter(() => random.below(10) < 6),
        );
      const frames = Array.from({ length: 300 }, (_, id) => {
        const { source, destination, protocol, port } = randomAttempt(random, world);
        const ends = { source, destination, protocol, id, destinationPort: port };
        return buildFrame({ ...ends, sourcePort: 20_000 + id });
      });
      writeFileSync(join(folder, "t.pcap"), buildPcap(timed(frames)));
      const bin = join(ROOT, "dist/src/cli/bin.js");
      const run = (...words: readonly string[]): string => {
        const { stdout, stderr } = spawnSync(process.execPath, [bin, ...words], {
          ...{ encoding: "utf8", cwd: folder, maxBuffer: 1 << 26 },
        });
        if (stdout === "") throw new Error(`seed ${seed}: ${stderr}`);
        return stdout;
      };
      const verdicts = (...files: readonly string[]): string[] =>
        run(
          ...["replay", "-r", "t.pcap", "-f", "cluster.json", "-o", "ndjson"],
          ...files.flatMap((file) => ["-f", file]),
        )
          .trim()
          .split("\n")
          .map((line) => (JSON.parse(line) as { verdict: string }).verdict);
      const [today, proposed] = [verdicts("current.json"), verdicts("proposed.json")];
      const asked = ["what-if", "-r", "t.pcap", "-f", "cluster.json", "-o", "json"];
      const sides = ["--current", "current.json", "--proposed", "proposed.json"];
      // What begins a list that a hint before has begun is told in the next round.
      const news: string[] = [];
      for (let round = 0; round < 4; round++) {
        const own = news.flatMap((file) => ["--proposed", file]);
        const { hints } = JSON.parse(run(...asked, ...sides, ...own)) as WhatIf;
        if (hints === null || hints.hints.length === 0) break;
        // The list is JSON: a policy of its own goes into a file of its own.
        for (const { way, yaml } of hints.hints.flatMap(({ edits }) => edits)) {
          if (way !== "new") continue;
          const file = `new-${news.length}.yaml`;
          writeFileSync(join(folder, file), yaml);
          news.push(file);
        }
        const whole = hints.hints.filter(({ edits }) =>
          edits.every(({ way, insertion }) => way === "new" || insertion !== undefined),
        );
        const inPlace = whole.map((hint) => ({
          ...hint,
          edits: hint.edits.filter(({ way }) => way !== "new"),
        }));
        applyHints({ ...hints, hints: inPlace }, folder);
      }
      const hinted = verdicts("proposed.json", ...news);
      for (const [index, verdict] of hinted.entries()) {
        const opens = verdict === "allow" && proposed[index] === "drop" && today[index] === "drop";
        expect(opens, `seed ${seed}, packet ${index + 1}`).toBe(false);
        if (verdict === "allow" && proposed[index] === "drop") mended++;
      }
      packets += hinted.length;
    }
    console.log(`hints: ${packets} packets, ${mended} pass again`);
    expect(mended).toBeGreaterThan(10);
  });
});
