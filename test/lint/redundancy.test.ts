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
    expect(said(rules("{port: 70, endPort: 90}"))).toHaveLength(1);
    expect(said(rules("{port: 90, endPort: 100}"))).toEqual([]);
  });

  it("names one of two policies that say the same, and neither where they select others", () => {
    const spec = "{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 80}]}]}";
    expect(said(policy("a", spec), policy("b", spec))).toEqual([
      "warning REDUNDANT_POLICY: NetworkPolicy shop/b makes no difference: NetworkPolicy shop/a ingress[0] allows what it does, and isolates the same pods",
    ]);
    expect(said(...PODS, policy("a", spec), policy("b", spec))).toEqual([
      "warning REDUNDANT_POLICY: NetworkPolicy shop/b makes no difference: NetworkPolicy shop/a ingress[0] allows what it does, and isolates the same pods",
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
});
