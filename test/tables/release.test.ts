/** The same policies as the tables of older releases, and what they make of packets. */
import { describe, expect, it } from "vitest";
import { renderIptables, renderRule } from "../../src/tables/iptables.ts";
import { compileCluster } from "../../src/tables/compile.ts";
import type { CompiledCluster } from "../../src/tables/compile.ts";
import { formatDiagnostic } from "../../src/errors.ts";
import { load } from "../cluster/load.ts";
import { judgeCapture } from "../judge.ts";
import { buildFrame, buildPcap, timed } from "../frames.ts";
import { makeRandom } from "../random.ts";
import { randomAttempt, randomWorld, worldObjects } from "../random-cluster.ts";

const CLUSTER = `
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: default, labels: {app: web}}, spec: {}, status: {podIP: 10.0.0.1}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: allow-web, namespace: default}, spec: {podSelector: {}, ingress: [{}]}}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: block}
spec:
  order: 1
  ingress:
  - {action: Deny, protocol: TCP, source: {nets: [1.0.0.0/8], notNets: [1.2.0.0/16]}}
  - {action: Pass, source: {nets: [3.0.0.0/8, 4.0.0.0/8]}}
---
{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: default.own, namespace: default}, spec: {order: 2}}
`;

function compiled(minor: number | undefined, text = CLUSTER): CompiledCluster {
  const { snapshot, policies } = load(text);
  const calicoVersion = minor === undefined ? undefined : { minor };
  return compileCluster(snapshot, policies, { node: undefined, calicoVersion }, () => undefined);
}

/** The rules of policies, and the jumps to them. */
function policyRules(minor: number | undefined): string[] {
  const [{ tables }] = compiled(minor).rulesets;
  return tables.flatMap(({ chains }) =>
    chains.flatMap(({ name, rules }) =>
      rules.map((rule) => renderRule(name, rule, 4)).filter((line) => line.includes("cali-pi-")),
    ),
  );
}

/** Chains with rules, each once, and the order of the jumps to them. */
function chainsOf(minor: number | undefined): { chains: string[]; jumps: string[] } {
  const lines = policyRules(minor);
  const jumps = lines.flatMap((line) => / -j (cali-pi-.*)$/.exec(line)?.[1] ?? []);
  const chains = lines.flatMap((line) => /^-A (cali-pi-\S+)/.exec(line)?.[1] ?? []);
  return { chains: [...new Set(chains)], jumps };
}

describe("asOfRelease", () => {
  // R-3; the hashes are those of Calico's own chains.
  it.each([
    [
      undefined,
      ["cali-pi-gnp/block", "cali-pi-_YPD8W88K14HmJMMDc_x", "cali-pi-_l7X9Omtz7dibbh9L3Lp"],
    ],
    [
      31,
      [
        "cali-pi-_uU7LF3i5CZkbs9fB1kq",
        "cali-pi-_J8LmQL-GwUiLsARZFmG",
        "cali-pi-_Vm_1cJRadOrYgBn0juc",
      ],
    ],
    [
      29,
      [
        "cali-pi-_uU7LF3i5CZkbs9fB1kq",
        "cali-pi-_J8LmQL-GwUiLsARZFmG",
        "cali-pi-_Vm_1cJRadOrYgBn0juc",
      ],
    ],
    [28, ["cali-pi-default.block", "cali-pi-default/default.own", "cali-pi-_QMREAWxglfqoREwyt41"]],
  ])("names the policies' chains as 3.%s does", (minor, names) => {
    const { chains, jumps } = chainsOf(minor);
    expect(jumps).toEqual(names);
    expect(chains).toEqual(names.toSorted());
  });

  //
  it.each([
    [
      30,
      [
        '-m comment --comment "Policy default.block ingress" -j MARK --set-xmark 0x80000/0x180000',
        "-s 1.2.0.0/16 -j MARK --set-xmark 0x0/0x80000",
        "-s 1.0.0.0/8 -p tcp -m mark --mark 0x80000/0x80000 -j MARK --set-xmark 0x40000/0x40000",
        "-m mark --mark 0x40000/0x40000 -j DROP",
        "-j MARK --set-xmark 0x0/0x180000",
        "-s 3.0.0.0/8 -j MARK --set-xmark 0x80000/0x80000",
        "-s 4.0.0.0/8 -j MARK --set-xmark 0x80000/0x80000",
        "-m mark --mark 0x80000/0x80000 -j MARK --set-xmark 0x20000/0x20000",
      ],
    ],
    [
      29,
      [
        '-m comment --comment "Policy default.block ingress" -j MARK --set-xmark 0x40000/0xc0000',
        "-s 1.2.0.0/16 -j MARK --set-xmark 0x0/0x40000",
        "-s 1.0.0.0/8 -p tcp -m mark --mark 0x40000/0x40000 -j DROP",
        "-j MARK --set-xmark 0x0/0xc0000",
        "-s 3.0.0.0/8 -j MARK --set-xmark 0x40000/0x40000",
        "-s 4.0.0.0/8 -j MARK --set-xmark 0x40000/0x40000",
        "-m mark --mark 0x40000/0x40000 -j MARK --set-xmark 0x20000/0x20000",
      ],
    ],
  ])("has the mark bits and denials of 3.%s", (minor, rules) => {
    const [block = ""] = chainsOf(minor).jumps;
    const own = policyRules(minor).filter((line) => line.startsWith(`-A ${block} `));
    expect(own.map((line) => line.slice(`-A ${block} `.length))).toEqual(rules);
  });

  it("changes no verdict", async () => {
    const random = makeRandom(3);
    const world = randomWorld(random, { pods: 20, policies: 8, clusterPolicies: 6 });
    const frames = Array.from({ length: 1500 }, (_, index) => {
      const { port, ...attempt } = randomAttempt(random, world);
      return buildFrame({ ...attempt, destinationPort: port, sourcePort: 20_000 + index });
    });
    const text = worldObjects(world)
      .map((one) => JSON.stringify(one))
      .join("\n---\n");
    const answers: string[] = [];
    for (const minor of [undefined, 31, 29, 28]) {
      const verdicts = await judgeCapture({
        compiled: compiled(minor, text),
        capture: buildPcap(timed(frames)),
      });
      answers.push(verdicts.map(({ verdict, reason }) => `${verdict} ${reason}`).join("\n"));
    }
    expect(new Set(answers).size).toBe(1);
    expect(answers[0]).toContain("drop");
  });

  it.each([undefined, 31, 28])("prints no rule that only tries ties, as of 3.%s", (minor) => {
    const policy = (name: string, action: string): string =>
      `{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: ${name}}, spec: {tier: Admin, priority: 5, subject: {namespaces: {}}, ingress: [{action: ${action}, from: [{namespaces: {}}]}]}}`;
    const [pod = ""] = CLUSTER.split("---");
    const text = [pod, policy("one", "Deny"), policy("two", "Accept")].join("\n---\n");
    const [ruleset] = compiled(minor, text).rulesets;
    expect(renderIptables(ruleset)).toContain("-j cali-pi-");
    expect(renderIptables(ruleset)).not.toContain("-m tie");
  });

  it.each([
    [undefined, []],
    [
      31,
      [
        "a.yaml:3:74: error: Calico NetworkPolicy x/p has the name x/default.p before Calico 3.32, as has Calico NetworkPolicy x/default.p at a.yaml:1:74 [DUPLICATE_OBJECT]",
      ],
    ],
  ])("as of 3.%s refuses policies that are one to it", (minor, expected) => {
    const policy = (name: string): string =>
      `{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: ${name}, namespace: x}}`;
    const said: string[] = [];
    const { snapshot, policies } = load(`${policy("default.p")}\n---\n${policy("p")}\n`);
    const calicoVersion = minor === undefined ? undefined : { minor };
    compileCluster(snapshot, policies, { node: undefined, calicoVersion }, (one) =>
      said.push(formatDiagnostic(one)),
    );
    expect(said).toEqual(expected);
  });

  it("tells equal policies apart by namespace and long name before 3.32 (A-2)", () => {
    const policy = (kind: string, name: string, namespace: string): string =>
      `{apiVersion: projectcalico.org/v3, kind: ${kind}, metadata: {name: ${name}${namespace}}, spec: {order: 1, selector: "!has(${name})"}}`;
    const text = [
      "{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: a}, spec: {}, status: {podIP: 10.0.0.1}}",
      policy("NetworkPolicy", "b", ", namespace: a"),
      policy("GlobalNetworkPolicy", "a", ""),
      policy("GlobalNetworkPolicy", "c", ""),
    ].join("\n---\n");
    const order = (minor: number | undefined): string[] => {
      const [{ tables }] = compiled(minor, text).rulesets;
      const rules = tables.flatMap(({ chains }) => chains.flatMap((chain) => chain.rules));
      return rules.flatMap(({ target }) =>
        target?.kind === "JUMP" && target.chain.startsWith("cali-pi-") ? [target.chain] : [],
      );
    };
    expect(order(undefined)).toEqual(["cali-pi-gnp/a", "cali-pi-np/a/b", "cali-pi-gnp/c"]);
    expect(order(28)).toEqual(["cali-pi-a/default.b", "cali-pi-default.a", "cali-pi-default.c"]);
  });
});
