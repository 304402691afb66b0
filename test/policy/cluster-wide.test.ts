import { describe, expect, it } from "vitest";

import { formatSelector } from "../../src/cluster/selector.ts";
import type { LabelSelector } from "../../src/cluster/selector.ts";
import { formatPrefix } from "../../src/net/address.ts";
import type { PolicyPeer, PolicyPort, PolicyRule } from "../../src/policy/model.ts";
import { load } from "../cluster/load.ts";

const KINDS = {
  anp: ["v1alpha1", "AdminNetworkPolicy", "p"],
  banp: ["v1alpha1", "BaselineAdminNetworkPolicy", "default"],
  cnp: ["v1alpha2", "ClusterNetworkPolicy", "p"],
  beta: ["v1beta1", "ClusterNetworkPolicy", "p"],
} as const;

/** An object of a kind; each field of its spec has a column of its own. */
function manifest(kind: keyof typeof KINDS, spec: string): string {
  const [version, name, object] = KINDS[kind];
  return `{apiVersion: policy.networking.k8s.io/${version}, kind: ${name}, metadata: {name: ${object}}, spec: {${spec}}}`;
}

const ALL = "subject: {namespaces: {}}";
const ADMIN = `tier: Admin, priority: 7, ${ALL}`;
const PEER = "namespaces: {}";

/** What is said, without the file and the place. */
function said(kind: keyof typeof KINDS, spec: string): string[] {
  return load(manifest(kind, spec)).said.map((one) => one.replace(/^a\.yaml:1:\d+: /, ""));
}

function show(kind: keyof typeof KINDS, spec: string): string {
  const loaded = load(manifest(kind, spec));
  expect(loaded.said).toEqual([]);
  const { tier, order, subject, ingress, egress } = loaded.policies[0]!;
  if (subject.kind !== "labels") throw new Error("the subject is an expression");
  const rules = (list: readonly PolicyRule[] | undefined): string =>
    list === undefined ? "-" : list.map(showRule).join(", ");
  const selectors = `${showSelector(subject.namespaceSelector)}/${showPods(subject.podSelector)}`;
  return `${tier.name}:${order} ${selectors} ingress ${rules(ingress)} egress ${rules(egress)}`;
}

function showSelector(selector: LabelSelector | undefined): string {
  return selector === undefined ? "" : formatSelector(selector);
}

function showPods(selector: LabelSelector | undefined): string {
  return selector?.requirements.length === 0 ? "" : showSelector(selector);
}

function showRule(rule: PolicyRule): string {
  if (rule.kind !== "peers") throw new Error("the rule is none of peers");
  const { action, peers, ports } = rule;
  const portsText = ports === undefined ? "any" : ports.map(showPort).join("|");
  return `${action} ${(peers ?? []).map(showPeer).join("|")}:${portsText}`;
}

function showPeer(peer: PolicyPeer): string {
  switch (peer.kind) {
    case "pods":
      return `${showSelector(peer.selector.namespaceSelector)}/${showPods(peer.selector.podSelector)}`;
    case "block":
      return "block";
    case "networks":
      return peer.prefixes.map(formatPrefix).join("+");
    case "nodes":
      return `nodes ${showSelector(peer.nodeSelector)}`;
    case "domains":
      return peer.domainNames.join("+");
  }
}

function showPort(port: PolicyPort): string {
  return port.kind === "named"
    ? `${port.protocol ?? "any"}/${port.name}`
    : `${port.protocol}/${port.first}-${port.last}`;
}

describe("cluster-wide policies", () => {
  it.each([
    // P-1, P-2: tiers, priorities, and directions without rules, which are left alone.
    ["anp", `priority: 0, ${ALL}`, "adminnetworkpolicy:0 <all>/ ingress - egress -"],
    ["banp", `${ALL}, ingress: []`, "baselineadminnetworkpolicy:0 <all>/ ingress - egress -"],
    ["cnp", ADMIN, "kube-admin:7 <all>/ ingress - egress -"],
    [
      "cnp",
      `tier: Baseline, priority: 1000, ${ALL}`,
      "kube-baseline:1000 <all>/ ingress - egress -",
    ],
    [
      "beta",
      "tier: Admin, priority: 1, subject: {pods: {podSelector: {matchLabels: {a: b}}}}",
      "kube-admin:1 <all>/a=b ingress - egress -",
    ],
    // P-5: peers.
    [
      "cnp",
      `${ADMIN}, ingress: [{action: Accept, from: [{namespaces: {matchLabels: {a: b}}}, {pods: {namespaceSelector: {}, podSelector: {matchLabels: {c: d}}}}]}]`,
      "kube-admin:7 <all>/ ingress allow a=b/|<all>/c=d:any egress -",
    ],
    [
      "cnp",
      `${ADMIN}, egress: [{action: Pass, to: [{networks: [10.0.0.0/8, "fd00::/8"]}, {nodes: {}}]}, {action: Accept, to: [{domainNames: [example.com, "*.example.org"]}]}]`,
      "kube-admin:7 <all>/ ingress - egress pass 10.0.0.0/8+fd00::/8|nodes <all>:any, allow example.com+*.example.org:any",
    ],
    // P-6: protocols.
    [
      "cnp",
      `${ADMIN}, ingress: [{name: x, action: Deny, from: [{${PEER}}], protocols: [{tcp: {destinationPort: {number: 80}}}, {udp: {destinationPort: {range: {start: 1, end: 2}}}}, {sctp: {destinationPort: {number: 9}}}, {destinationNamedPort: http}]}]`,
      "kube-admin:7 <all>/ ingress deny <all>/:TCP/80-80|UDP/1-2|SCTP/9-9|any/http egress -",
    ],
    // P-8: ports.
    [
      "anp",
      `priority: 1, ${ALL}, egress: [{action: Allow, to: [{${PEER}}], ports: [{portNumber: {port: 80}}, {portRange: {protocol: UDP, start: 5, end: 6}}, {namedPort: http}]}]`,
      "adminnetworkpolicy:1 <all>/ ingress - egress allow <all>/:TCP/80-80|UDP/5-6|any/http",
    ],
  ] as const)("reads %s {%s}", (kind, spec, expected) => {
    expect(show(kind, spec)).toBe(expected);
  });

  it.each([
    ["anp", ALL, "spec.priority: is required [MISSING_FIELD]"],
    ["anp", `priority: 1001, ${ALL}`, "spec.priority: 1001 is no priority: 0 to 1000 [BAD_VALUE]"],
    ["anp", "priority: 1", "spec.subject: is required [MISSING_FIELD]"],
    [
      "anp",
      "priority: 1, subject: {}",
      "spec.subject: must have exactly one of namespaces, pods [BAD_VALUE]",
    ],
    ["anp", `priority: 1, tier: Admin, ${ALL}`, 'spec.tier: unknown field "tier" [UNKNOWN_FIELD]'],
    [
      "cnp",
      `tier: admin, priority: 1, ${ALL}`,
      'spec.tier: "admin" is no tier: one of Admin, Baseline (did you mean "Admin"?) [BAD_VALUE]',
    ],
    [
      "cnp",
      `${ADMIN}, ingress: [{action: Allow, from: [{${PEER}}]}]`,
      'spec.ingress[0].action: "Allow" is no action: one of Accept, Deny, Pass [BAD_VALUE]',
    ],
    [
      "banp",
      `${ALL}, ingress: [{action: Pass, from: [{${PEER}}]}]`,
      'spec.ingress[0].action: "Pass" is no action: one of Allow, Deny [BAD_VALUE]',
    ],
    [
      "cnp",
      `${ADMIN}, ingress: [{from: [{${PEER}}]}]`,
      "spec.ingress[0].action: is required [MISSING_FIELD]",
    ],
    [
      "cnp",
      `${ADMIN}, ingress: [{action: Deny, from: []}]`,
      "spec.ingress[0].from: is empty: at least one item [BAD_VALUE]",
    ],
    [
      "cnp",
      `${ADMIN}, ingress: [{action: Deny, to: [{${PEER}}]}]`,
      'spec.ingress[0].to: unknown field "to" (did you mean "from"?) [UNKNOWN_FIELD]',
    ],
    [
      "cnp",
      `${ADMIN}, ingress: [{action: Deny, from: [{networks: [10.0.0.0/8]}]}]`,
      'spec.ingress[0].from[0].networks: unknown field "networks" [UNKNOWN_FIELD]',
    ],
    [
      "cnp",
      `${ADMIN}, ingress: [{action: Deny, from: [{}]}]`,
      "spec.ingress[0].from[0]: must have exactly one of namespaces, pods [BAD_PEER]",
    ],
    [
      "cnp",
      `${ADMIN}, ingress: [{action: Deny, from: [{${PEER}}], ports: []}]`,
      'spec.ingress[0].ports: unknown field "ports" [UNKNOWN_FIELD]',
    ],
    [
      "cnp",
      `${ADMIN}, ingress: [{action: Deny, from: [{${PEER}}], protocols: [{tcp: {}}]}]`,
      "spec.ingress[0].protocols[0].tcp: must have destinationPort [BAD_PORT]",
    ],
    [
      "cnp",
      `${ADMIN}, ingress: [{action: Deny, from: [{${PEER}}], protocols: [{tcp: {destinationPort: {range: {start: 5, end: 5}}}}]}]`,
      "spec.ingress[0].protocols[0].tcp.destinationPort.range: port range 5-5: start must be less than end [BAD_PORT_RANGE]",
    ],
    [
      "cnp",
      `${ADMIN}, ingress: [{action: Deny, from: [{${PEER}}], protocols: [{tcp: {destinationPort: {number: 0}}}]}]`,
      "spec.ingress[0].protocols[0].tcp.destinationPort.number: 0 is no port: 1 to 65535 [BAD_PORT]",
    ],
    [
      "cnp",
      `${ADMIN}, egress: [{action: Deny, to: [{domainNames: [a.b]}]}]`,
      "spec.egress[0]: domainNames can be accepted only: what Deny would do is not defined [BAD_PEER]",
    ],
    [
      "cnp",
      `${ADMIN}, egress: [{action: Accept, to: [{domainNames: ["a.*.b"]}]}]`,
      'spec.egress[0].to[0].domainNames[0]: "a.*.b" is no domain name: labels with dots between, "*" for the first [BAD_VALUE]',
    ],
    [
      "banp",
      `${ALL}, egress: [{action: Allow, to: [{domainNames: [a.b]}]}]`,
      'spec.egress[0].to[0].domainNames: unknown field "domainNames" [UNKNOWN_FIELD]',
    ],
    [
      "beta",
      `${ADMIN}, egress: [{action: Deny, to: [{networks: [10.1.0.0/8]}]}]`,
      "spec.egress[0].to[0].networks[0]: 10.1.0.0/8 has bits behind the prefix: read as 10.0.0.0/8 [BAD_PREFIX]",
    ],
    [
      "anp",
      `priority: 1, ${ALL}, ingress: [{action: Deny, from: [{${PEER}}], ports: [{portNumber: {port: 1, protocol: ICMP}}]}]`,
      'spec.ingress[0].ports[0].portNumber.protocol: "ICMP" is no protocol: TCP, UDP or SCTP [BAD_VALUE]',
    ],
    [
      "anp",
      `priority: 1, ${ALL}, ingress: [{action: Deny, from: [{namespaces: {sameLabels: [a]}}]}]`,
      "spec.ingress[0].from[0].namespaces.sameLabels: is of the API before release 0.1.2, and is not judged: choose the namespaces by their labels [UNSUPPORTED_FEATURE]",
    ],
  ] as const)("refuses %s {%s}", (kind, spec, sentence) => {
    const found = said(kind, spec).filter((one) => one.startsWith("error: "));
    expect(found).toContain(`error: ${sentence}`);
    expect(load(manifest(kind, spec)).policies).toEqual([]);
  });

  it.each([
    ["rules", 25, `${ADMIN}, ingress: [ITEMS]`, `{action: Deny, from: [{${PEER}}]}`],
    ["peers", 25, `${ADMIN}, ingress: [{action: Deny, from: [ITEMS]}]`, `{${PEER}}`],
    [
      "protocols",
      25,
      `${ADMIN}, ingress: [{action: Deny, from: [{${PEER}}], protocols: [ITEMS]}]`,
      "{destinationNamedPort: a}",
    ],
    ["networks", 25, `${ADMIN}, egress: [{action: Deny, to: [{networks: [ITEMS]}]}]`, "10.0.0.0/8"],
  ])("takes as many %s as the API does", (_, most, spec, item) => {
    const items = (count: number): string =>
      spec.replace("ITEMS", Array.from({ length: count }, () => item).join(", "));
    expect(said("cnp", items(most))).toEqual([]);
    expect(said("cnp", items(most + 1)).join()).toMatch(
      /^error: .*: has 26 items: at most 25 \[BAD_VALUE\]$/,
    );
  });

  it.each([
    [
      "anp",
      `priority: 1, ${ALL}, egress: [{action: Deny, to: [{pods: {podSelector: {}}}]}]`,
      "warning: spec.egress[0].to[0].pods.namespaceSelector: absent, which selects every namespace: write {} to say so [MISSING_FIELD]",
    ],
    [
      "cnp",
      `${ADMIN}, egress: [{action: Deny, to: [{networks: [10.1.0.0/8]}]}]`,
      "warning: spec.egress[0].to[0].networks[0]: 10.1.0.0/8 has bits behind the prefix: read as 10.0.0.0/8 [BAD_PREFIX]",
    ],
    [
      "cnp",
      `${ADMIN}, egress: [{action: Deny, to: [{nodes: {}}, {${PEER}}], protocols: [{destinationNamedPort: http}]}]`,
      "warning: spec.egress[0]: named ports are those of pods: of the peers that are none only the other ports match [BAD_PORT]",
    ],
    [
      "anp",
      `priority: 1, ${ALL}, ingress: [{action: Deny, from: [{pods: {namespaces: {namespaceSelector: {matchLabels: {a: b}}}, podSelector: {}}}]}]`,
      "warning: spec.ingress[0].from[0].pods.namespaces.namespaceSelector: is of the API before release 0.1.2: later ones have the selector one step further out, and ignore this one [UNSUPPORTED_FEATURE]",
    ],
  ] as const)("warns of %s {%s} and goes on", (kind, spec, sentence) => {
    expect(said(kind, spec)).toEqual([sentence]);
    expect(load(manifest(kind, spec)).policies).toHaveLength(1);
  });

  it("knows one baseline policy of the older kind", () => {
    const text = manifest("banp", ALL).replace("name: default", "name: other");
    expect(load(text).said).toEqual([
      'a.yaml:1:100: error: metadata.name: "other": the one baseline policy of a cluster is named "default" [BAD_VALUE]',
    ]);
  });
});
