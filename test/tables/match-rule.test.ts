/** What rules of Calico's ask of the tables beside their own chain: sets, families, and what is said. */
import { describe, expect, it } from "vitest";
import type { Diagnostic } from "../../src/errors.ts";
import { setNameOf } from "../../src/match/set.ts";
import { compileCluster } from "../../src/tables/compile.ts";
import { renderIpsets } from "../../src/tables/ipset.ts";
import { renderRule } from "../../src/tables/iptables.ts";
import { load } from "../cluster/load.ts";

const CLUSTER = `
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: x, labels: {app: web}}, spec: {containers: [{ports: [{name: http, containerPort: 80}]}]}, status: {podIP: 10.0.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: x, labels: {app: db}}, spec: {}, status: {podIPs: [{ip: 10.0.0.2}, {ip: 'fd00::2'}]}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: all, labels: {app: db}}, spec: {nets: [0.0.0.0/0, 'fd00:1::/64']}}
---
{apiVersion: v1, kind: Service, metadata: {name: s, namespace: x}, spec: {clusterIP: 10.96.0.1, ports: [{port: 5432}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s, namespace: x, labels: {kubernetes.io/service-name: s}}, addressType: IPv4, ports: [{port: 5432}], endpoints: [{addresses: [10.0.0.2], conditions: {ready: false}}]}
`;

function compiled(rule: string, more = "") {
  const policy = `{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: p}, spec: {selector: app == 'web', ingress: [${rule}]${more}}}`;
  const { snapshot, policies, said } = load(`${CLUSTER}---\n${policy}\n`);
  expect(said.filter((one) => one.includes("error"))).toEqual([]);
  const diagnostics: Diagnostic[] = [];
  const { rulesets } = compileCluster(snapshot, policies, { node: undefined }, (one) =>
    diagnostics.push(one),
  );
  const linesOf = (chain: string): string[][] =>
    rulesets.map(({ family, tables }) =>
      tables.flatMap(({ chains }) =>
        chains
          .filter(({ name }) => name === chain)
          .flatMap(({ name, rules }) =>
            rules.map((one) =>
              renderRule(name, one, family)
                .replace(`-A ${chain} `, "")
                .replace(/-m comment --comment "GlobalNetworkPolicy p (in|e)gress" (?=.)/, "")
                .replaceAll(/cali([46])0(\w+):\S+/g, "$2$1"),
            ),
          ),
      ),
    );
  const lines = linesOf("cali-pi-gnp/p");
  const sets = renderIpsets(rulesets)
    .split("\n")
    .flatMap((line) => /^add cali([46])0(\w+):\S+ (.*)$/.exec(line)?.slice(1).join(" ") ?? []);
  const egress = linesOf("cali-po-gnp/p")[0]!;
  return { four: lines[0]!, six: lines[1]!, egress, sets, diagnostics };
}

const ALLOW = "-j MARK --set-xmark 0x10000/0x10000";

/** The members of the sets that the rules of a policy for web ask for, by the policy's chain. */
function setsByChain(manifests: string): Map<string, string[]> {
  const { snapshot, policies, said } = load(manifests);
  expect(said).toEqual([]);
  const [four] = compileCluster(snapshot, policies, { node: undefined }, () => undefined).rulesets;
  const added = renderIpsets([four]).split("\n");
  const membersOf = (set: string): string[] =>
    added.flatMap((line) => (line.startsWith(`add ${set} `) ? line.split(" ").slice(2) : []));
  const chains = four.tables.flatMap((table) => table.chains);
  return new Map(
    chains
      .filter(({ name }) => name.startsWith("cali-pi-"))
      .map(({ name, rules }) => [
        name.replace("cali-pi-", ""),
        rules
          .flatMap(({ matches }) => matches)
          .flatMap((match) => (match.kind === "set" ? membersOf(setNameOf(match.set, 4)) : [])),
      ]),
  );
}

describe("a rule of Calico's", () => {
  it("asks for the addresses of endpoints and network sets; all of IPv4 are two halves (A-12)", () => {
    const { four, six, sets } = compiled("{action: Allow, source: {selector: app == 'db'}}");
    expect(four).toEqual([`-m set --match-set s4 src ${ALLOW}`]);
    expect(six).toEqual([`-m set --match-set s6 src ${ALLOW}`]);
    expect(sets).toEqual([
      "4 s 0.0.0.0/1",
      "4 s 10.0.0.2",
      "4 s 128.0.0.0/1",
      "6 s fd00::2",
      "6 s fd00:1::/64",
    ]);
  });

  it("asks for a Service's endpoints, ready or not, with their ports as a destination (A-14)", () => {
    const services = "{services: {name: s, namespace: x}}";
    const { four, egress, sets } = compiled(
      `{action: Allow, source: ${services}}`,
      `, egress: [{action: Allow, destination: ${services}}]`,
    );
    expect(four).toEqual([`-m set --match-set svcnoport4 src ${ALLOW}`]);
    expect(egress).toEqual([`-m set --match-set svc4 dst,dst ${ALLOW}`]);
    expect(sets).toEqual(["4 svc 10.0.0.2,tcp:5432", "4 svcnoport 10.0.0.2"]);
  });

  it("does not exist for a family that its lists leave empty (A-15)", () => {
    expect(compiled("{action: Allow, source: {nets: [1.0.0.0/8, 'fd00::/8']}}").six).toEqual([
      `-s fd00::/8 ${ALLOW}`,
    ]);
    for (const side of ["{nets: [1.0.0.0/8]}", "{notNets: [1.0.0.0/8]}"]) {
      const { four, six } = compiled(`{action: Allow, source: ${side}}`);
      expect(four).toHaveLength(1);
      // Only the chain's title.
      expect(six).toEqual(['-m comment --comment "GlobalNetworkPolicy p ingress"']);
    }
    expect(compiled("{action: Allow, source: {notNets: [0.0.0.0/0]}}").four).toEqual([
      '-m comment --comment "GlobalNetworkPolicy p ingress"',
    ]);
  });

  it("names the other protocol only where none is asked for: a rule has room for one", () => {
    expect(compiled("{action: Allow, notProtocol: TCP}").four).toEqual([`! -p tcp ${ALLOW}`]);
    expect(compiled("{action: Allow, protocol: UDP, notProtocol: TCP}").four).toEqual([
      `-p udp ${ALLOW}`,
    ]);
    expect(compiled("{action: Allow, protocol: TCP, notProtocol: 6}").four).toHaveLength(1);
  });

  it("that is rendered wider than the policy is told of, once (R-14)", () => {
    const rule =
      "{action: Allow, protocol: TCP, source: {nets: [1.0.0.0/8, 2.0.0.0/8]}, destination: {nets: [3.0.0.0/8, 4.0.0.0/8], ports: [80, http]}}";
    const said = compiled(rule).diagnostics.filter(({ code }) => code === "WIDER_RULE");
    expect(said.map(({ severity, message }) => `${severity}: ${message}`)).toEqual([
      "warning: GlobalNetworkPolicy p ingress[0]: the rendered rule is wider than the policy, as Felix renders three lists of ports and prefixes in one rule; verdicts are those of the tables",
    ]);
    const narrower = rule.replace(", 4.0.0.0/8", "");
    expect(compiled(narrower).diagnostics).toEqual([]);
  });

  it("of a policy for hosts only binds no pod", () => {
    for (const more of ["preDNAT: true", "doNotTrack: true"]) {
      expect(compiled("{action: Deny}", `, applyOnForward: true, ${more}`).four).toEqual([]);
    }
    expect(compiled("{action: Deny}", ", applyOnForward: true").four).toHaveLength(2);
  });
});

describe("peers of two APIs that choose the same namespaces", () => {
  const NAMED = "{matchLabels: {kubernetes.io/metadata.name: x}}";
  const BOTH = ["10.0.0.1", "203.0.113.0/24"];
  const PODS = ["10.0.0.1"];
  const cluster = `
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: x, labels: {app: web}}, spec: {}, status: {podIP: 10.0.0.1}}
---
{apiVersion: projectcalico.org/v3, kind: NetworkSet, metadata: {name: s, namespace: x}, spec: {nets: [203.0.113.0/24]}}
`;
  const calico = (selector: string): string =>
    `{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: p}, spec: {selector: all(), ingress: [{action: Allow, source: {namespaceSelector: ${JSON.stringify(selector)}}}]}}`;
  const admin = (namespaces: string): string =>
    `{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {name: q}, spec: {priority: 5, subject: {namespaces: {}}, ingress: [{action: Allow, from: [{namespaces: ${namespaces}}]}]}}`;
  const clusterWide = (namespaces: string): string =>
    `{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: q}, spec: {tier: Admin, priority: 5, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: ${namespaces}}]}]}}`;

  it.each([
    ["all()", "AdminNetworkPolicy", admin("{}")],
    ["all()", "ClusterNetworkPolicy", clusterWide("{}")],
    ['kubernetes.io/metadata.name == "x"', "AdminNetworkPolicy", admin(NAMED)],
    ['kubernetes.io/metadata.name == "x"', "ClusterNetworkPolicy", clusterWide(NAMED)],
  ])(
    "mean pods only in Kubernetes' words, and network sets too in Calico's: %s beside %s (A-12)",
    (selector, _kind, other) => {
      const members = (...policies: string[]): (string[] | undefined)[] => {
        const byChain = [...setsByChain([cluster, ...policies].join("\n---\n"))];
        return ["gnp/p", "q"].map((ending) => byChain.find(([name]) => name.endsWith(ending))?.[1]);
      };
      expect(members(calico(selector))).toEqual([BOTH, undefined]);
      expect(members(other)).toEqual([undefined, PODS]);
      expect(members(calico(selector), other)).toEqual([BOTH, PODS]);
      expect(members(other, calico(selector))).toEqual([BOTH, PODS]);
    },
  );
});
