/** Rules that make no difference, as findings: what is said, where, and of which rule. */
import { describe, expect, it } from "vitest";

import { findingsOf } from "./manifests.ts";

const policy = (name: string, spec: string): string =>
  `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: shop, name: ${name}}, spec: ${spec}}`;
const calico = (name: string, spec: string): string =>
  `{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {namespace: shop, name: ${name}}, spec: ${spec}}`;
const pod = (name: string, ip: string): string =>
  `{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: ${name}, labels: {app: ${name}, tier: ${name}}}, spec: {nodeName: n1, containers: [{name: c, image: i}]}, status: {phase: Running, podIPs: [{ip: ${ip}}]}}`;
const PODS = [pod("web", "10.1.1.2"), pod("db", "10.1.1.3"), pod("api", "10.1.1.4")];
const CODES = ["REDUNDANT_RULE", "REDUNDANT_POLICY", "SHADOWED_RULE", "OTHER_END_DENIES"];

/** `severity CODE message` of those findings, without places in messages. */
function said(...texts: readonly string[]): string[] {
  return findingsOf(texts.join("\n---\n"))
    .filter(({ code }) => CODES.includes(code))
    .map(
      ({ severity, code, message }) =>
        `${severity} ${code}: ${message.replace(/ \(lint.yaml:\d+\)/g, "")}`,
    );
}

describe("findRedundancy", () => {
  it("tells of a rule within others of its policy, in every cluster", () => {
    const narrow = policy("p", "{podSelector: {}, ingress: [{ports: [{port: 80}]}, {}]}");
    const wide =
      "warning REDUNDANT_RULE: NetworkPolicy shop/p ingress[0] makes no difference: NetworkPolicy shop/p ingress[1] allows all that it means";
    expect(said(narrow)).toEqual([wide]);
    expect(said(...PODS, narrow)).toEqual([wide]);
    const other = policy(
      "p",
      "{podSelector: {}, ingress: [{ports: [{port: 80}]}, {ports: [{port: 81}]}]}",
    );
    expect(said(other)).toEqual([]);
    expect(said(...PODS, other)).toEqual([]);
  });

  it("puts the peers and ports of several rules together", () => {
    const rules = (last: string): string =>
      policy(
        "p",
        `{podSelector: {}, ingress: [{ports: [{port: 1, endPort: 80}]}, {ports: [{port: 81, endPort: 99}]}, {ports: [${last}]}]}`,
      );
    expect(said(rules("{port: 70, endPort: 90}"))).toEqual([
      "warning REDUNDANT_RULE: NetworkPolicy shop/p ingress[2] makes no difference: NetworkPolicy shop/p ingress[0] and NetworkPolicy shop/p ingress[1] together allow all that it means",
    ]);
    expect(said(rules("{port: 90, endPort: 100}"))).toEqual([]);
  });

  it("names one of two policies that say the same, and neither where they select others", () => {
    const spec = "{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 80}]}]}";
    expect(said(policy("a", spec), policy("b", spec))).toEqual([
      "warning REDUNDANT_POLICY: NetworkPolicy shop/b makes no difference: NetworkPolicy shop/a allows what it does, and isolates the same pods",
    ]);
    expect(said(...PODS, policy("a", spec), policy("b", spec))).toEqual([
      "warning REDUNDANT_POLICY: NetworkPolicy shop/b makes no difference: NetworkPolicy shop/a allows what it does, and isolates the same pods",
    ]);
    expect(said(...PODS, policy("a", spec), policy("b", spec.replace("web", "db")))).toEqual([]);
  });

  it("tells what only the pods there are make useless", () => {
    const texts = (from: string): string[] => [
      policy(
        "a",
        "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]}",
      ),
      policy(
        "b",
        `{podSelector: {matchLabels: {tier: web}}, ingress: [{from: [{podSelector: {matchExpressions: [{key: tier, operator: In, values: [${from}]}]}}]}]}`,
      ),
    ];
    expect(said(...PODS, ...texts("db, later"))).toEqual([
      "note REDUNDANT_POLICY: NetworkPolicy shop/b makes no difference, with the pods there are: without it every verdict would be the same",
    ]);
    expect(said(...PODS, ...texts("api"))).toEqual([]);
    expect(said(...texts("db, later"))).toEqual([]);
  });

  it("leaves alone a policy without rules: it closes what is to come", () => {
    const deny = policy("deny", "{podSelector: {}}");
    const allow = policy("allow", "{podSelector: {}, ingress: [{ports: [{port: 80}]}]}");
    expect(said(...PODS, deny, allow)).toEqual([]);
  });

  it("tells of rules that earlier ones shadow", () => {
    const shadowed = calico(
      "c",
      "{selector: all(), ingress: [{action: Deny, protocol: TCP}, {action: Allow, protocol: TCP, destination: {ports: [80]}}, {action: Allow}]}",
    );
    expect(said(shadowed)).toEqual([
      "warning SHADOWED_RULE: Calico NetworkPolicy shop/c ingress[1] never decides: Calico NetworkPolicy shop/c ingress[0] denies all that it means, and comes first",
    ]);
    const logged = calico(
      "c",
      "{selector: all(), ingress: [{action: Log, protocol: TCP}, {action: Allow, protocol: TCP, destination: {ports: [80]}}]}",
    );
    expect(said(logged)).toEqual([]);
    expect(said(...PODS, logged)).toEqual([]);
  });

  it("tells of what the other end drops", () => {
    const egress = policy(
      "out",
      "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}]}",
    );
    const ingress = (from: string): string =>
      policy(
        "in",
        `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: ${from}}}}]}]}`,
      );
    expect(said(...PODS, egress, ingress("api"))).toEqual([
      "warning OTHER_END_DENIES: NetworkPolicy shop/out egress[0] allows what the ingress policies of the other end drop anyway, with the pods there are",
    ]);
    expect(said(...PODS, egress, ingress("web"))).toEqual([]);
  });

  it("names all policies that do together what one does", () => {
    const spec = (direction: string, ports: string): string =>
      `{podSelector: {}, policyTypes: [${direction}], ${direction.toLowerCase()}: [{ports: [${ports}]}]}`;
    const both =
      "{podSelector: {}, ingress: [{ports: [{port: 80}]}], egress: [{ports: [{port: 81}]}]}";
    expect(
      said(
        policy("a", spec("Ingress", "{port: 80}")),
        policy("b", spec("Egress", "{port: 80, endPort: 90}")),
        policy("c", both),
      ),
    ).toEqual([
      "warning REDUNDANT_POLICY: NetworkPolicy shop/c makes no difference: NetworkPolicy shop/a and NetworkPolicy shop/b together allow what it does, and isolate the same pods",
    ]);
  });

  it("does not say that rules of other actions allow it", () => {
    const rule = (action: string, start: number, end: number): string =>
      `{action: ${action}, from: [{namespaces: {}}], ports: [{portRange: {protocol: TCP, start: ${start}, end: ${end}}}]}`;
    const admin = `{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {name: a}, spec: {priority: 5, subject: {namespaces: {}}, ingress: [${rule("Allow", 70, 79)}, ${rule("Deny", 80, 90)}, ${rule("Allow", 75, 85)}]}}`;
    expect(said(admin)).toEqual([
      "warning SHADOWED_RULE: AdminNetworkPolicy a ingress[2] never decides: AdminNetworkPolicy a ingress[0] and AdminNetworkPolicy a ingress[1] together decide all that it means, and come first",
    ]);
  });

  it.each([
    [
      "a rule for one family, before one for both",
      "{action: Deny, source: {notNets: [10.9.0.0/16]}}",
      '{action: Allow, source: {notNets: [10.9.0.0/16, "fd09::/16"]}}',
    ],
    [
      "a rule whose tables match more than it says",
      "{action: Allow, protocol: TCP, source: {nets: [10.0.0.0/16, 10.2.0.0/16], ports: [1, 2]}, destination: {ports: [80]}}",
      "{action: Deny, protocol: TCP, source: {nets: [10.0.0.0/16, 10.2.0.0/16], ports: [1, 2]}, destination: {nets: [10.1.0.0/16, 10.3.0.0/16], ports: [80]}}",
    ],
  ])("does not take for covered: %s", (_, first, second) => {
    const spec = `{selector: all(), types: [Ingress], ingress: [${first}, ${second}]}`;
    expect(said(calico("c", spec))).toEqual([]);
  });

  it("says nothing of one for host endpoints by one for pods", () => {
    const global = (name: string, spec: string): string =>
      `{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: ${name}}, spec: {${spec}}}`;
    const first = global("a", "order: 1, selector: all(), ingress: [{action: Allow}]");
    const other = (what: string): string =>
      global("b", `order: 2, selector: all(), ${what} types: [Ingress], ingress: [{action: Deny}]`);
    expect(said(first, other("applyOnForward: true,"))).toEqual([]);
    expect(said(first, other("applyOnForward: true, preDNAT: true,"))).toEqual([]);
    expect(said(first, other(""))).toHaveLength(1);
  });

  it("leaves alone a Kubernetes policy that another one's denial would come before without it", () => {
    const narrow = policy("a", "{podSelector: {}, ingress: [{ports: [{port: 80}]}]}");
    const denial = calico("b", "{order: 1000, selector: all(), ingress: [{action: Deny}]}");
    const wide = policy("c", "{podSelector: {}, ingress: [{}]}");
    expect(said(narrow, denial.replace("1000", "1001"), wide)).toEqual([
      "warning REDUNDANT_POLICY: NetworkPolicy shop/a makes no difference: NetworkPolicy shop/c allows what it does, and isolates the same pods",
    ]);
    expect(said(narrow, denial, wide)).toEqual([]);
  });

  it.each([
    ["{action: Deny, protocol: ICMP, icmp: {type: 8, code: 0}}", "{protocol: ICMP}"],
    [
      "{action: Deny, protocol: ICMP, icmp: {type: 8, code: 0}}",
      "{protocol: ICMP, icmp: {type: 8}}",
    ],
    ["{action: Deny, protocol: ICMPv6, icmp: {type: 128}}", "{protocol: ICMPv6}"],
  ])("knows of other codes and queries of ICMP: %s", (denied, allowed) => {
    const web = pod("web", "10.1.1.2}, {ip: fd00::2");
    const rules = `[${denied}, ${allowed.replace("{", "{action: Allow, ")}]`;
    expect(
      said(web, calico("c", `{selector: all(), types: [Ingress], ingress: ${rules}}`)),
    ).toEqual([]);
  });

  it("knows that pods send to groups, too", () => {
    const deny = policy("deny", "{podSelector: {}, policyTypes: [Egress]}");
    const names = policy(
      "names",
      "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 224.0.0.251/32}}], ports: [{port: 5353, protocol: UDP}]}]}",
    );
    expect(said(...PODS, deny, names)).toEqual([]);
  });

  it("tells of the first pods whose traffic a rule would decide, whatever ports the pods have", () => {
    const named = (name: string, app: string, port: string): string =>
      `{apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: ${name}, labels: {app: ${app}}}, spec: {nodeName: n, containers: [{name: c, image: i, ports: [${port}]}]}, status: {phase: Running, podIPs: [{ip: 10.1.1.${name.slice(1)}}]}}`;
    const [http, web] = ["{name: http, containerPort: 80}", "{name: web, containerPort: 8080}"];
    const pods = [
      named("p1", "odd", http),
      named("p2", "x", web),
      named("p3", "x", `${http}, {name: more, containerPort: 81}`),
      named("p4", "x", http),
      named("p5", "me", "{name: other, containerPort: 99}"),
    ];
    const x = "to: [{podSelector: {matchLabels: {app: x}}}]";
    const notOdd =
      "to: [{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [odd]}]}}]";
    const rules = `{${x}, ports: [{port: http}]}, {${x}, ports: [{port: web}]}, {${notOdd}, ports: [{port: http}, {port: web}]}`;
    const spec = `{podSelector: {matchLabels: {app: me}}, policyTypes: [Egress], egress: [${rules}]}`;
    expect(said(...pods, policy("p", spec))).toEqual([
      "note SHADOWED_RULE: NetworkPolicy shop/p egress[2] never decides, with the pods there are: earlier rules do, such as NetworkPolicy shop/p egress[1], which allows",
    ]);
  });
});
