import { describe, expect, it } from "vitest";

import { formatExpression } from "../../src/cluster/selector-expression.ts";
import { formatPlace } from "../../src/errors.ts";
import { formatPrefix } from "../../src/net/address.ts";
import { checkPolicies } from "../../src/policy/check.ts";
import type { MatchRule, Policy, RulePort, RuleSide } from "../../src/policy/model.ts";
import { formatPolicyRef } from "../../src/policy/model.ts";
import { sortPolicies } from "../../src/policy/order.ts";
import { parseManifests } from "../../src/cluster/manifest.ts";
import { lowerPolicies } from "../../src/policy/index.ts";
import { formatDiagnostic } from "../../src/errors.ts";
import { load } from "../cluster/load.ts";

type Kind =
  | "NetworkPolicy"
  | "GlobalNetworkPolicy"
  | "StagedNetworkPolicy"
  | "StagedGlobalNetworkPolicy"
  | "StagedKubernetesNetworkPolicy"
  | "Tier";

function object(kind: Kind, spec: string, name = "p", apiVersion = "projectcalico.org/v3"): string {
  const global = kind.includes("Global") || kind === "Tier";
  const metadata = global ? `{name: ${name}}` : `{name: ${name}, namespace: x}`;
  return `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: ${metadata}\nspec:\n  ${spec}\n`;
}

function fine(text: string): Policy {
  const { policies, said } = load(text);
  expect(said).toEqual([]);
  return policies[0]!;
}

const subject = ({ subject: chosen }: Policy): string =>
  chosen.kind === "expression" ? formatExpression(chosen.expression) : "";

function shape({ ingress, egress }: Policy): string {
  const rules = (list: Policy["ingress"]): string => (list === undefined ? "-" : `${list.length}`);
  return `${rules(ingress)} ${rules(egress)}`;
}

describe("a policy of Calico's", () => {
  // Each row: the spec, then how many rules there are for ingress and egress (A-3).
  it.each([
    ["{}", "0 -"],
    ["{ingress: [], egress: []}", "0 -"],
    ["{ingress: [{action: Allow}]}", "1 -"],
    ["{egress: [{action: Allow}]}", "- 1"],
    ["{ingress: [{action: Allow}], egress: [{action: Deny}]}", "1 1"],
    ["{types: [], egress: [{action: Allow}]}", "- 1"],
    ["{types: [Egress]}", "- 0"],
    ["{types: [Ingress, Egress], egress: [{action: Allow}]}", "0 1"],
    ["{types: [Ingress], egress: [{action: Allow}]}", "0 -"],
  ])("applies to the directions of %s", (spec, expected) => {
    expect(shape(fine(object("NetworkPolicy", spec)))).toBe(expected);
  });

  // A-4
  it.each<[Kind, string, string]>([
    ["NetworkPolicy", "{}", 'projectcalico.org/namespace == "x"'],
    ["NetworkPolicy", "{selector: all()}", '(all() && projectcalico.org/namespace == "x")'],
    [
      "NetworkPolicy",
      "{selector: a == 'b', serviceAccountSelector: has(c)}",
      '(a == "b" && projectcalico.org/namespace == "x" && has(pcsa.c))',
    ],
    [
      "NetworkPolicy",
      "{selector: all(), serviceAccountSelector: all()}",
      '(all() && projectcalico.org/namespace == "x" && all())',
    ],
    ["GlobalNetworkPolicy", "{}", "all()"],
    ["GlobalNetworkPolicy", '{selector: "!has(a)"}', "!has(a)"],
    ["GlobalNetworkPolicy", "{namespaceSelector: all()}", "has(projectcalico.org/namespace)"],
    [
      "GlobalNetworkPolicy",
      "{selector: all(), namespaceSelector: team == 'a'}",
      '(has(projectcalico.org/namespace) && pcns.team == "a")',
    ],
    [
      "GlobalNetworkPolicy",
      "{serviceAccountSelector: all()}",
      "has(projectcalico.org/serviceaccount)",
    ],
  ])("selects, as %s %s, %s", (kind, spec, expected) => {
    expect(subject(fine(object(kind, spec)))).toBe(expected);
  });

  it("is the same as it is stored", () => {
    const spec = "{selector: a == 'b', order: 5.5, ingress: [{action: Pass}]}";
    const policy = fine(object("GlobalNetworkPolicy", spec, "p", "crd.projectcalico.org/v1"));
    expect(formatPolicyRef(policy.ref)).toBe("GlobalNetworkPolicy p");
    expect(policy.order).toBe(5.5);
  });

  it("points at its parts", () => {
    const text = `${object("NetworkPolicy", "selector: all()")}  types:\n  - Egress\n  ingress:\n  - action: Allow\n  egress:\n  - action: Deny\n`;
    const policy = fine(text);
    expect(formatPlace(policy.egressPlace)).toBe("a.yaml:7:5");
    expect(formatPlace(policy.egress![0]!.place)).toBe("a.yaml:11:5");
    expect(formatPlace(policy.ref.place)).toBe("a.yaml:3:18");
  });
});

// ── Rules ─────────────────────────────────────────────────────────────────────────────────────────────

const showPort = (port: RulePort): string =>
  port.kind === "named" ? port.name : `${port.first}-${port.last}`;

function showSide(side: RuleSide): string {
  const lists: [string, string][] = [
    ["nets", side.nets.map(formatPrefix).join()],
    ["notNets", side.notNets.map(formatPrefix).join()],
    ["is", side.selector === undefined ? "" : formatExpression(side.selector.expression)],
    ["not", side.notSelector === undefined ? "" : formatExpression(side.notSelector.expression)],
    ["ports", side.ports.map(showPort).join()],
    ["notPorts", side.notPorts.map(showPort).join()],
    ["service", side.service === undefined ? "" : `${side.service.namespace}/${side.service.name}`],
  ];
  return lists
    .filter(([, text]) => text !== "")
    .map(([key, text]) => `${key} ${text}`)
    .join("; ");
}

function showRule(rule: MatchRule): string {
  const { action, family, protocol, notProtocol, icmp, notIcmp, source, destination } = rule;
  const type = (one: MatchRule["icmp"]) => one && `${one.type}/${one.code ?? "any"}`;
  return [
    action,
    family && `ipv${family}`,
    protocol && `protocol ${protocol}`,
    notProtocol && `not protocol ${notProtocol}`,
    icmp && `icmp ${type(icmp)}`,
    notIcmp && `not icmp ${type(notIcmp)}`,
    showSide(source) && `from {${showSide(source)}}`,
    showSide(destination) && `to {${showSide(destination)}}`,
  ]
    .filter((text) => text !== undefined && text !== "")
    .join(" ");
}

function ruleOf(rule: string, kind: Kind = "NetworkPolicy"): string {
  return showRule(fine(object(kind, `{ingress: [${rule}]}`)).ingress![0] as MatchRule);
}

const OWN = 'projectcalico.org/namespace == "x"';

describe("a rule of Calico's", () => {
  it.each([
    ["{action: Allow}", "allow"],
    ["{action: Log}", "log"],
    ["{action: Deny, ipVersion: 6, protocol: tcp}", "deny ipv6 protocol 6"],
    ['{action: Pass, protocol: "17"}', "pass protocol 17"],
    ["{action: Pass, protocol: UDPLite}", "pass protocol 136"],
    ["{action: Pass, notProtocol: SCTP}", "pass not protocol 132"],
    ["{action: Allow, protocol: ICMP}", "allow ipv4 protocol 1"],
    ["{action: Allow, protocol: ICMPv6, icmp: {type: 128}}", "allow ipv6 protocol 58 icmp 128/any"],
    ["{action: Allow, protocol: 1}", "allow protocol 1"],
    ["{action: Allow, protocol: 1, icmp: {type: 8, code: 0}}", "allow ipv4 protocol 1 icmp 8/0"],
    ["{action: Allow, protocol: ICMP, notICMP: {type: 8}}", "allow ipv4 protocol 1 not icmp 8/any"],
    ["{action: Allow, notProtocol: ICMP}", "allow not protocol 1"],
    [
      "{action: Allow, source: {nets: [10.0.0.0/8, 1.2.3.4], notNets: [10.0.0.1]}}",
      "allow from {nets 10.0.0.0/8,1.2.3.4/32; notNets 10.0.0.1/32}",
    ],
    [
      '{action: Allow, protocol: TCP, destination: {ports: [80, "81", "90:100", http], notPorts: [85]}}',
      "allow protocol 6 to {ports 80-80,81-81,90-100,http; notPorts 85-85}",
    ],
  ])("reads %s (A-9)", (rule, expected) => {
    expect(ruleOf(rule)).toBe(expected);
  });

  // A-10, A-11: in a namespace, then cluster-wide.
  it.each([
    ["{selector: a == 'b'}", `is (${OWN} && a == "b")`, 'is a == "b"'],
    ["{selector: all()}", `is (${OWN} && all())`, "is all()"],
    ["{selector: ''}", "", ""],
    ["{notSelector: has(a)}", `is ${OWN}; not has(a)`, "not has(a)"],
    [
      "{namespaceSelector: all()}",
      "is has(projectcalico.org/namespace)",
      "is has(projectcalico.org/namespace)",
    ],
    [
      "{namespaceSelector: global()}",
      "is !has(projectcalico.org/namespace)",
      "is !has(projectcalico.org/namespace)",
    ],
    [
      "{namespaceSelector: '!global()'}",
      "is has(projectcalico.org/namespace)",
      "is has(projectcalico.org/namespace)",
    ],
    [
      "{namespaceSelector: has(a) && !global()}",
      "is (has(pcns.a) && has(projectcalico.org/namespace))",
      "is (has(pcns.a) && has(projectcalico.org/namespace))",
    ],
    ["{notSelector: global()}", `is ${OWN}; not global()`, "not global()"],
    [
      "{namespaceSelector: a != 'b', selector: \"!has(c) || d in {'e'}\"}",
      'is (pcns.a != "b" && (!has(c) || d in {"e"}))',
      'is (pcns.a != "b" && (!has(c) || d in {"e"}))',
    ],
    [
      "{serviceAccounts: {names: [b, a]}}",
      `is (${OWN} && projectcalico.org/serviceaccount in {"a", "b"})`,
      'is projectcalico.org/serviceaccount in {"a", "b"}',
    ],
    [
      "{serviceAccounts: {names: [a], selector: has(c)}, selector: has(d)}",
      `is (${OWN} && ((has(pcsa.c) && projectcalico.org/serviceaccount in {"a"}) && has(d)))`,
      'is ((has(pcsa.c) && projectcalico.org/serviceaccount in {"a"}) && has(d))',
    ],
    ["{nets: [10.0.0.0/8]}", "nets 10.0.0.0/8", "nets 10.0.0.0/8"],
    ["{services: {name: s, namespace: n}}", "service n/s", "service n/s"],
  ])("chooses by %s", (side, namespaced, global) => {
    const rule = `{action: Allow, source: ${side}}`;
    expect(ruleOf(rule)).toBe(namespaced === "" ? "allow" : `allow from {${namespaced}}`);
    expect(ruleOf(rule, "GlobalNetworkPolicy")).toBe(
      global === "" ? "allow" : `allow from {${global}}`,
    );
  });

  it("takes a Service to be of the policy's namespace", () => {
    expect(ruleOf("{action: Allow, source: {services: {name: s}}}")).toBe(
      "allow from {service x/s}",
    );
  });

  // What calicoctl and Calico's API server refuse and its CRDs do not, as Felix takes it.
  it.each([
    [
      "{action: Allow, source: {nets: [10.0.0.1/8]}}",
      "allow from {nets 10.0.0.0/8}",
      "source.nets[0]: has bits behind the prefix: read as 10.0.0.0/8",
    ],
    [
      "{action: Allow, source: {nets: [10.0.0.0/8]}, destination: {notNets: ['fd00::/8']}}",
      "allow from {nets 10.0.0.0/8} to {notNets fd00::/8}",
      "destination.notNets[0]: is IPv6 in a rule of IPv4: Calico's API refuses that",
    ],
    [
      "{action: Allow, ipVersion: 6, source: {nets: [10.0.0.0/8]}}",
      "allow ipv6 from {nets 10.0.0.0/8}",
      "source.nets[0]: is IPv4 in a rule of IPv6: Calico's API refuses that",
    ],
  ])("reads %s with a warning (A-15)", (rule, expected, message) => {
    const { policies, said } = load(object("NetworkPolicy", `{ingress: [${rule}]}`));
    expect(showRule(policies[0]!.ingress![0] as MatchRule)).toBe(expected);
    expect(said).toHaveLength(1);
    expect(said[0]).toContain(`warning: spec.ingress[0].${message} [BAD_PREFIX]`);
  });
});

describe("a policy of Calico's with a fault", () => {
  const place = (column: number): string => `a.yaml:5:${column}`;

  it.each<[Kind, string, number, string]>([
    [
      "NetworkPolicy",
      "{selectr: a}",
      4,
      'spec.selectr: unknown field "selectr" (did you mean "selector"?) [UNKNOWN_FIELD]',
    ],
    [
      "NetworkPolicy",
      "{namespaceSelector: has(a)}",
      4,
      'spec.namespaceSelector: unknown field "namespaceSelector" [UNKNOWN_FIELD]',
    ],
    [
      "NetworkPolicy",
      "{selector: a = 'b'}",
      16,
      'spec.selector: expected "==", not "=" [BAD_SELECTOR]',
    ],
    [
      "NetworkPolicy",
      "{selector: global()}",
      14,
      "spec.selector: global() is for a rule's namespaceSelector [BAD_SELECTOR]",
    ],
    [
      "NetworkPolicy",
      "{order: first}",
      11,
      'spec.order: must be a number, not "first" [BAD_VALUE]',
    ],
    [
      "NetworkPolicy",
      "{types: [ingress]}",
      12,
      'spec.types[0]: "ingress" is no policy type: Ingress or Egress (did you mean "Ingress"?) [BAD_VALUE]',
    ],
    [
      "NetworkPolicy",
      "{ingress: [{}]}",
      14,
      "spec.ingress[0].action: the rule has no action [MISSING_FIELD]",
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: allow}]}",
      23,
      'spec.ingress[0].action: "allow" is no action: Allow, Deny, Pass, Log (did you mean "Allow"?) [BAD_VALUE]',
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, protocol: TPC}]}",
      40,
      'spec.ingress[0].protocol: "TPC" is no protocol: TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite, or a number from 1 to 255 [BAD_VALUE]',
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, protocol: 256}]}",
      40,
      "spec.ingress[0].protocol: 256 is no protocol: 1 to 255 [BAD_VALUE]",
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, ipVersion: 5}]}",
      41,
      "spec.ingress[0].ipVersion: must be 4 or 6 [BAD_VALUE]",
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, ipVersion: 6, protocol: ICMP}]}",
      41,
      "spec.ingress[0].ipVersion: must be 4 with this protocol [BAD_VALUE]",
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, icmp: {type: 8}}]}",
      36,
      "spec.ingress[0].icmp: needs protocol ICMP or ICMPv6 beside it [BAD_VALUE]",
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, protocol: ICMP, icmp: {code: 8}}]}",
      59,
      "spec.ingress[0].icmp.code: needs an ICMP type beside it [BAD_VALUE]",
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, protocol: ICMP, icmp: {type: 255}}]}",
      59,
      "spec.ingress[0].icmp.type: 255 is no ICMP type: 0 to 254 [BAD_VALUE]",
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, destination: {ports: [80]}}]}",
      51,
      "spec.ingress[0].destination.ports: the rule needs protocol TCP, UDP or SCTP: others have no ports [BAD_PORT]",
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, protocol: TCP, destination: {ports: [0]}}]}",
      67,
      "spec.ingress[0].destination.ports[0]: 0 is no port: 1 to 65535 [BAD_PORT]",
    ],
    [
      "NetworkPolicy",
      '{ingress: [{action: Allow, protocol: TCP, destination: {ports: ["9:8"]}}]}',
      67,
      "spec.ingress[0].destination.ports[0]: port range 9:8: end is below start [BAD_PORT_RANGE]",
    ],
    [
      "NetworkPolicy",
      '{ingress: [{action: Allow, protocol: TCP, destination: {ports: ["a b"]}}]}',
      67,
      'spec.ingress[0].destination.ports[0]: "a b" is no port: a number, a range such as "80:90", or a port\'s name [BAD_PORT]',
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, source: {nets: [10.0/8]}}]}",
      46,
      'spec.ingress[0].source.nets[0]: "10.0/8" is no prefix or address: ADDRESS/BITS or ADDRESS [BAD_PREFIX]',
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, source: {selector: 'a &'}}]}",
      52,
      'spec.ingress[0].source.selector: expected an operator such as "==" behind the label, not "&" [BAD_SELECTOR]',
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, source: {namespaceSelector: 'global() || has(a)'}}]}",
      58,
      "spec.ingress[0].source.namespaceSelector: global() may not stand beside && or || in a namespaceSelector [BAD_SELECTOR]",
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, source: {namespaceSelector: '!global() && has(a)'}}]}",
      58,
      "spec.ingress[0].source.namespaceSelector: global() may not stand beside && or || in a namespaceSelector [BAD_SELECTOR]",
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, notProtocol: ICMP, ipVersion: 6}]}",
      60,
      "spec.ingress[0].ipVersion: must be 4 with this protocol [BAD_VALUE]",
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, destination: {services: {name: a}}}]}",
      54,
      "spec.ingress[0].destination.services: may not be the destination of a rule in ingress [BAD_PEER]",
    ],
    [
      "NetworkPolicy",
      "{egress: [{action: Allow, source: {services: {name: a}}}]}",
      48,
      "spec.egress[0].source.services: may not be the source of a rule in egress [BAD_PEER]",
    ],
    [
      "GlobalNetworkPolicy",
      "{types: [Egress, Ingress, Egress]}",
      29,
      'spec.types[2]: "Egress" is there twice [BAD_VALUE]',
    ],
    [
      "NetworkPolicy",
      "{performanceHints: [AssumeNeededOnEveryNode, Junk]}",
      48,
      'spec.performanceHints[1]: "Junk" is no performance hint: AssumeNeededOnEveryNode [BAD_VALUE]',
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, source: {services: {namespace: a}}}]}",
      49,
      "spec.ingress[0].source.services: must specify a service name [MISSING_FIELD]",
    ],
    [
      "GlobalNetworkPolicy",
      "{ingress: [{action: Allow, source: {services: {name: a}}}]}",
      49,
      "spec.ingress[0].source.services: must specify the service's namespace: the policy is in none [MISSING_FIELD]",
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, source: {services: {name: a}, selector: all()}}]}",
      70,
      "spec.ingress[0].source.selector: may not stand beside services of spec.ingress[0].source [BAD_PEER]",
    ],
    [
      "NetworkPolicy",
      "{ingress: [{action: Allow, http: {methods: [GET]}}]}",
      36,
      "spec.ingress[0].http: HTTP requests are not judged: the packet filter sees none of them, Envoy enforces this [UNSUPPORTED_FEATURE]",
    ],
    [
      "NetworkPolicy",
      "{egress: [{action: Allow, destination: {domains: [a.b]}}]}",
      52,
      "spec.egress[0].destination.domains: domain names are not read: which addresses they stand for is known to no manifest [UNSUPPORTED_FEATURE]",
    ],
    [
      "GlobalNetworkPolicy",
      "{preDNAT: true}",
      13,
      "spec.preDNAT: needs applyOnForward: true beside it [BAD_VALUE]",
    ],
    [
      "GlobalNetworkPolicy",
      "{preDNAT: true, doNotTrack: true, applyOnForward: true}",
      13,
      "spec.preDNAT: may not stand beside doNotTrack [BAD_VALUE]",
    ],
    [
      "GlobalNetworkPolicy",
      "{preDNAT: true, applyOnForward: true, types: [Egress]}",
      48,
      "spec.types: preDNAT policies have no egress [BAD_VALUE]",
    ],
    [
      "StagedNetworkPolicy",
      "{stagedAction: set}",
      18,
      'spec.stagedAction: "set" is no staged action: Set, Delete, Learn, Ignore (did you mean "Set"?) [BAD_VALUE]',
    ],
    [
      "StagedKubernetesNetworkPolicy",
      "{podSelector: {}, stagedAction: Set, tier: a}",
      40,
      'spec.tier: unknown field "tier" [UNKNOWN_FIELD]',
    ],
    [
      "Tier",
      "{order: 1, defaultAction: Allow}",
      29,
      'spec.defaultAction: "Allow" is no default: Deny or Pass [BAD_VALUE]',
    ],
    [
      "Tier",
      "{ordr: 1}",
      4,
      'spec.ordr: unknown field "ordr" (did you mean "order"?) [UNKNOWN_FIELD]',
    ],
  ])("is refused: %s %s", (kind, spec, column, message) => {
    const { policies, said } = load(object(kind, spec));
    expect(said).toEqual([`${place(column)}: error: ${message}`]);
    expect(policies).toEqual([]);
  });

  it("is told once of each list that is none", () => {
    const spec =
      "{preDNAT: true, applyOnForward: true, types: Egress, ingress: {action: Allow}, " +
      "egress: [{action: Allow, destination: {nets: 10.0.0.0/8, notNets: {a: b}}}]}";
    const { said } = load(object("GlobalNetworkPolicy", spec));
    expect(said.map((line) => line.replace(/^.*?error: /, "")).toSorted()).toEqual([
      "spec.egress: preDNAT policies have no egress rules [BAD_VALUE]",
      'spec.egress[0].destination.nets: must be a list, not "10.0.0.0/8" [BAD_VALUE]',
      "spec.egress[0].destination.notNets: must be a list, not a map [BAD_VALUE]",
      "spec.ingress: must be a list, not a map [BAD_VALUE]",
      'spec.types: must be a list, not "Egress" [BAD_VALUE]',
    ]);
  });
});

describe("tiers", () => {
  it("come by order, then name; policies in them by order, then name, namespace and kind (A-1, A-2)", () => {
    const policy = (name: string, tier: string, order?: number): string =>
      object(
        "GlobalNetworkPolicy",
        `{tier: ${tier}${order === undefined ? "" : `, order: ${order}`}}`,
        name,
      );
    const { policies, said } = load(
      [
        object("Tier", "{order: 2000000}", "late"),
        object("Tier", "{}", "last"),
        object("Tier", "{order: 10}", "first-b"),
        object("Tier", "{order: 10, defaultAction: Pass}", "first-a"),
        policy("g", "last", 1),
        policy("f", "late", 1),
        policy("e", "default"),
        policy("d", "default", 2),
        policy("c", "default", -1.5),
        policy("b", "first-b", 1),
        policy("a", "first-a", 1),
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: k, namespace: x}\nspec: {podSelector: {}}\n",
        object("NetworkPolicy", "{order: 1000}", "k"),
      ].join("---\n"),
    );
    expect(said).toEqual([]);
    const order = sortPolicies(policies);
    expect(order.map(({ ref, tier }) => `${tier.name} ${ref.kind} ${ref.name}`)).toEqual([
      "first-a projectcalico.org GlobalNetworkPolicy a",
      "first-b projectcalico.org GlobalNetworkPolicy b",
      "default projectcalico.org GlobalNetworkPolicy c",
      "default projectcalico.org GlobalNetworkPolicy d",
      "default networking.k8s.io NetworkPolicy k",
      "default projectcalico.org NetworkPolicy k",
      "default projectcalico.org GlobalNetworkPolicy e",
      "late projectcalico.org GlobalNetworkPolicy f",
      "last projectcalico.org GlobalNetworkPolicy g",
    ]);
    expect(order.map(({ tier }) => tier.defaultAction).slice(0, 3)).toEqual([
      "pass",
      "deny",
      "deny",
    ]);
  });

  it("that do not exist are refused: nothing tells when they are asked", () => {
    const { said } = load(object("GlobalNetworkPolicy", "{tier: defualt}"));
    expect(said).toEqual([
      'a.yaml:5:10: error: spec.tier: there is no Tier "defualt": give its object too, which says when the tier is asked (did you mean "default"?) [UNKNOWN_TIER]',
    ]);
    expect(load(object("StagedGlobalNetworkPolicy", "{tier: defualt}")).said).toEqual([
      expect.stringContaining("a.yaml:5:10: warning: spec.tier: "),
    ]);
  });

  it("that Calico makes cannot be changed", () => {
    const fixed = load(object("Tier", "{order: 5, defaultAction: Pass}", "default"));
    expect(fixed.said).toEqual([
      "a.yaml:5:3: error: spec: tier default has order 1000000 and default deny, and no other [BAD_VALUE]",
    ]);
    expect(load(object("Tier", "{order: 1000000, defaultAction: Deny}", "default")).said).toEqual(
      [],
    );
  });
});

describe("staged policies", () => {
  const texts = [
    object("NetworkPolicy", "{order: 1}", "kept"),
    object("NetworkPolicy", "{order: 1}", "changed"),
    object("NetworkPolicy", "{order: 1}", "deleted"),
    object("StagedNetworkPolicy", "{order: 2}", "changed"),
    object("StagedNetworkPolicy", "{stagedAction: Delete}", "deleted"),
    object("StagedNetworkPolicy", "{stagedAction: Learn}", "learnt"),
    object("StagedGlobalNetworkPolicy", "{stagedAction: Ignore}", "ignored"),
    object("StagedGlobalNetworkPolicy", "{}", "new"),
    object("StagedKubernetesNetworkPolicy", "{podSelector: {}}", "kept"),
  ].join("---\n");
  const lowered = (staged: "enforce" | "ignore"): string[] => {
    const said: string[] = [];
    const objects = parseManifests([{ file: "a.yaml", text: texts }], (one) =>
      said.push(formatDiagnostic(one)),
    );
    const policies = lowerPolicies(objects, (one) => said.push(formatDiagnostic(one)), { staged });
    expect(said).toEqual([]);
    return policies.map(({ ref, order }) => `${formatPolicyRef(ref)} ${order}`);
  };

  it.each(["ignore", "enforce"] as const)("of a tier that nobody gave: %s", (staged) => {
    const text = object("StagedNetworkPolicy", "{tier: sec}", "a");
    const objects = parseManifests([{ file: "a.yaml", text }], () => undefined);
    const said: string[] = [];
    lowerPolicies(objects, ({ severity, code }) => said.push(`${severity} ${code}`), { staged });
    expect(said).toEqual([`${staged === "ignore" ? "warning" : "error"} UNKNOWN_TIER`]);
  });

  it("have no effect by themselves (A-6)", () => {
    expect(lowered("ignore")).toEqual([
      "Calico NetworkPolicy x/changed 1",
      "Calico NetworkPolicy x/deleted 1",
      "Calico NetworkPolicy x/kept 1",
    ]);
  });

  it("take the place of what they name when they are enforced", () => {
    expect(lowered("enforce")).toEqual([
      "StagedGlobalNetworkPolicy new Infinity",
      "StagedNetworkPolicy x/changed 2",
      "Calico NetworkPolicy x/kept 1",
      "StagedKubernetesNetworkPolicy x/kept 1000",
    ]);
  });
});

describe("profiles", () => {
  const profile = (name: string, spec: string): string[] => [
    ...load(
      `apiVersion: projectcalico.org/v3\nkind: Profile\nmetadata: {name: ${name}}\nspec: ${spec}\n`,
    ).said,
  ];

  it("that a cluster makes are accepted (A-7)", () => {
    const all =
      "{ingress: [{action: Allow}], egress: [{action: Allow, source: {}}], labelsToApply: {pcns.a: b}}";
    expect(profile("kns.default", all)).toEqual([]);
    expect(profile("ksa.default.default", "{labelsToApply: {pcsa.a: b}}")).toEqual([]);
    expect(profile("projectcalico-default-allow", all)).toEqual([]);
  });

  // Each row: the profile's name, its labels, and what is said of them.
  it.each<[string, string, string[]]>([
    ["kns.x", "{pcns.env: a}", []],
    ["kns.x", "{pcns.env: a, pcns.projectcalico.org/name: x}", []],
    ["kns.x", "{pcns.env: b}", ['label pcns.env "a"']],
    ["kns.x", "{pcns.env: a, pcns.more: b}", ["no label pcns.more"]],
    ["kns.x", "{}", ['label pcns.env "a"']],
    ["kns.x", "{pcns.env: a, pcns.projectcalico.org/name: y}", ['/name "x"']],
    ["ksa.x.web", "{pcsa.team: t}", []],
    ["ksa.x.web", "{pcsa.team: u}", ['label pcsa.team "t"']],
    ["kns.other", "{pcns.env: b}", []],
  ])("have the labels of their objects: %s with %s", (name, labels, expected) => {
    const rules = name.startsWith("kns.")
      ? "ingress: [{action: Allow}], egress: [{action: Allow}], "
      : "";
    const { said } = load(
      [
        "{apiVersion: v1, kind: Namespace, metadata: {name: x, labels: {env: a}}}",
        "{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: x, labels: {team: t}}}",
        `{apiVersion: projectcalico.org/v3, kind: Profile, metadata: {name: ${name}}, spec: {${rules}labelsToApply: ${labels}}}`,
      ].join("\n---\n"),
    );
    expect(said).toEqual(expected.map((one): unknown => expect.stringContaining(one)));
  });

  it("that say otherwise are refused", () => {
    expect(
      profile("kns.x", "{ingress: [{action: Allow, protocol: TCP}], egress: [{action: Allow}]}"),
    ).toEqual([
      "a.yaml:4:17: error: spec.ingress: in a Kubernetes cluster profile kns.x allows everything: other rules are not judged [UNSUPPORTED_FEATURE]",
    ]);
    expect(profile("ksa.x.y", "{egress: [{action: Deny}]}")).toEqual([
      "a.yaml:4:16: error: spec.egress: in a Kubernetes cluster profile ksa.x.y has no rules: other rules are not judged [UNSUPPORTED_FEATURE]",
    ]);
  });
});

describe("words that every JavaScript object has", () => {
  it.each<[Kind, string, string]>([
    ["NetworkPolicy", "{ingress: [{action: constructor}]}", "is no action"],
    ["StagedNetworkPolicy", "{stagedAction: toString}", "is no staged action"],
  ])("are no words of a %s: %s", (kind, spec, message) => {
    const { said } = load(object(kind, spec));
    expect(said).toHaveLength(1);
    expect(said[0]).toContain(message);
  });
});

describe("checkPolicies", () => {
  it("misses labels of namespaces and ports by name in Calico's rules too", () => {
    const pod =
      "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}\nspec: {}\nstatus: {podIP: 10.0.0.1}\n";
    const spec =
      "{ingress: [{action: Allow, protocol: TCP, source: {namespaceSelector: has(a)}, destination: {ports: [http]}}]}";
    const { policies, snapshot } = load(`${pod}---\n${object("NetworkPolicy", spec)}`);
    const said: string[] = [];
    checkPolicies(policies, snapshot, (one) => said.push(formatDiagnostic(one)));
    expect(said).toEqual([
      "a.yaml:11:14: error: a policy chooses namespaces by label, and of x only the names are known: give their Namespace objects too [UNKNOWN_NAMESPACE]",
      'a.yaml:11:104: warning: Calico NetworkPolicy x/p: no pod it selects has a TCP port named "http", so this matches nothing [UNKNOWN_NAMED_PORT]',
    ]);
  });

  it.each([
    ["team == 'x'", 1],
    ["team != 'x' || has(tier)", 1],
    ["!(projectcalico.org/name == 'x' && team == 'x')", 1],
    ["projectcalico.org/name == 'y' && team == 'x'", 0],
    ["projectcalico.org/name == 'x' || team == 'x'", 0],
    ["projectcalico.org/name in {'x', 'y'}", 0],
  ])("misses labels of namespaces where choices hang on them: %s", (selector, missed) => {
    const pod =
      "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x}, status: {podIP: 10.0.0.1}}";
    const spec = `{namespaceSelector: "${selector}", types: [Ingress]}`;
    const { policies, snapshot } = load(`${pod}\n---\n${object("GlobalNetworkPolicy", spec)}`);
    const said: string[] = [];
    checkPolicies(policies, snapshot, (one) => said.push(formatDiagnostic(one)));
    expect(said).toHaveLength(missed);
  });

  it("misses Services that have neither an object nor a slice, each once", () => {
    const rule = (name: string): string =>
      `{action: Allow, destination: {services: {name: ${name}}}}`;
    const spec = `{egress: [${["shown", "sliced", "gone", "gone"].map(rule).join(", ")}]}`;
    const { policies, snapshot } = load(
      [
        "{apiVersion: v1, kind: Service, metadata: {name: shown, namespace: x}, spec: {ports: [{port: 80}]}}",
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s, namespace: x, labels: {kubernetes.io/service-name: sliced}}, addressType: IPv4, endpoints: []}",
        object("NetworkPolicy", spec),
      ].join("\n---\n"),
    );
    const said: string[] = [];
    checkPolicies(policies, snapshot, (one) => said.push(formatDiagnostic(one)));
    expect(said).toEqual([
      "a.yaml:9:168: warning: there is neither Service x/gone nor an EndpointSlice of it: what hangs on its endpoints is undecided [UNKNOWN_SERVICE]",
    ]);
  });

  // Each row: the spec, the labels of the account's object if there is one, and how many are missed.
  it.each<[string, string | undefined, number]>([
    ["{serviceAccountSelector: role == 'x'}", undefined, 1],
    ["{serviceAccountSelector: role == 'x'}", "{}", 0],
    [
      "{ingress: [{action: Deny, source: {serviceAccounts: {selector: role == 'x'}}}]}",
      undefined,
      1,
    ],
    ["{ingress: [{action: Deny, source: {serviceAccounts: {names: [own]}}}]}", undefined, 0],
    ["{serviceAccountSelector: projectcalico.org/name == 'own'}", undefined, 0],
    ["{selector: app == 'web'}", undefined, 0],
  ])("misses labels of service accounts: %s with %s", (spec, labels, missed) => {
    const pod =
      "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x}, spec: {serviceAccountName: own}}";
    const account = `{apiVersion: v1, kind: ServiceAccount, metadata: {name: own, namespace: x, labels: ${labels}}}`;
    const { policies, snapshot } = load(
      [pod, ...(labels === undefined ? [] : [account]), object("GlobalNetworkPolicy", spec)].join(
        "\n---\n",
      ),
    );
    const said: string[] = [];
    checkPolicies(policies, snapshot, (one) => said.push(formatDiagnostic(one)));
    expect(said).toHaveLength(missed);
    for (const one of said) {
      expect(one).toContain(
        "chooses service accounts by label, and of x/own only the names are known: give their ServiceAccount objects too [UNKNOWN_SERVICE_ACCOUNT]",
      );
    }
  });
});
