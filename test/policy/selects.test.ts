import { describe, expect, it } from "vitest";

import type { Diagnostic } from "../../src/errors.ts";
import { formatDiagnostic } from "../../src/errors.ts";
import { checkPolicies } from "../../src/policy/check.ts";
import type { EndpointSelector, PeerRule, PolicyPeer } from "../../src/policy/model.ts";
import { policySelects, selectsEndpoint } from "../../src/policy/selects.ts";
import { load, type Loaded } from "../cluster/load.ts";

const CLUSTER = `
{apiVersion: v1, kind: Namespace, metadata: {name: x, labels: {team: red}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: y}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x, labels: {app: web, tier: front}}, status: {podIPs: [{ip: 10.0.1.1}, {ip: "fd00::1"}]}, spec: {containers: [{ports: [{name: http, containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: x, labels: {app: db}}, status: {podIP: 10.0.2.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: y, labels: {app: web}}, status: {podIP: 10.1.0.1}, spec: {containers: [{ports: [{name: dns, protocol: UDP, containerPort: 53}]}]}}
`;

const policy = (spec: string, namespace = "x"): string =>
  `---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: ${namespace}}, spec: ${spec}}\n`;

const names = (loaded: Loaded, chosen: (index: number) => boolean): string =>
  loaded.snapshot.endpoints
    .filter((_, index) => chosen(index))
    .map(({ namespace, name }) => `${namespace}/${name}`)
    .join(" ");

describe("policySelects", () => {
  it.each([
    ["{}", "x/a x/b"],
    ["{matchLabels: {app: web}}", "x/a"],
    ["{matchLabels: {app: web, tier: back}}", ""],
    ["{matchExpressions: [{key: tier, operator: DoesNotExist}]}", "x/b"],
    ["{matchExpressions: [{key: tier, operator: NotIn, values: [back]}]}", "x/a x/b"],
    ["{matchExpressions: [{key: app, operator: In, values: [db, cache]}]}", "x/b"],
    ["{matchExpressions: [{key: tier, operator: Exists}]}", "x/a"],
  ])("chooses for %s in the policy's own namespace (K-1, K-7)", (selector, expected) => {
    const loaded = load(CLUSTER + policy(`{podSelector: ${selector}}`));
    expect(
      names(loaded, (index) =>
        policySelects(loaded.policies[0]!, loaded.snapshot.endpoints[index]!, loaded.snapshot),
      ),
    ).toBe(expected);
  });
});

describe("selectsEndpoint", () => {
  it.each([
    ["{podSelector: {}}", "x/a x/b"],
    ["{podSelector: {matchLabels: {app: web}}}", "x/a"],
    ["{namespaceSelector: {}}", "x/a x/b y/a"],
    ["{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}", "x/a y/a"],
    ["{namespaceSelector: {matchLabels: {team: red}}}", "x/a x/b"],
    ["{namespaceSelector: {matchExpressions: [{key: team, operator: DoesNotExist}]}}", "y/a"],
    ["{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: y}}}", "y/a"],
  ])("finds for %s (K-6)", (peer, expected) => {
    const loaded = load(CLUSTER + policy(`{podSelector: {}, ingress: [{from: [${peer}]}]}`));
    const { policies, snapshot } = loaded;
    const [rule] = policies[0]!.ingress as readonly PeerRule[];
    const found = (index: number): boolean =>
      selectsEndpoint(podsOf(rule!.peers![0]!), snapshot.endpoints[index]!, snapshot);
    expect(names(loaded, found)).toBe(expected);
  });
});

function podsOf(peer: PolicyPeer): EndpointSelector {
  if (peer.kind !== "pods") throw new Error("the peer is no selector");
  return peer.selector;
}

describe("checkPolicies", () => {
  function check(text: string): string[] {
    const { policies, snapshot } = load(text);
    const found: Diagnostic[] = [];
    checkPolicies(policies, snapshot, (diagnostic) => found.push(diagnostic));
    return found.map((diagnostic) => formatDiagnostic(diagnostic));
  }

  const ports = (direction: string, port: string): string =>
    policy(`{podSelector: {}, ${direction}: [{ports: [${port}]}]}`);

  it.each([
    ["ingress", "{port: http}", []],
    ["egress", "{port: dns, protocol: UDP}", []],
    ["ingress", "{port: 81}", []],
    ["ingress", "{port: http, protocol: UDP}", ['no pod it selects has a UDP port named "http"']],
    ["ingress", "{port: dns, protocol: UDP}", ['no pod it selects has a UDP port named "dns"']],
    ["egress", "{port: nope}", ['no pod has a TCP port named "nope"']],
  ])("warns of a named port that nobody has: %s %s", (direction, port, expected) => {
    const said = check(CLUSTER + ports(direction, port));
    expect(said).toHaveLength(expected.length);
    for (const [index, sentence] of expected.entries()) {
      expect(said[index]).toContain(
        `warning: NetworkPolicy x/p: ${sentence}, so this matches nothing [UNKNOWN_NAMED_PORT]`,
      );
    }
  });

  it("refuses to choose namespaces with pods by labels that nobody gave", () => {
    const from = (selector: string): string =>
      policy(`{podSelector: {}, ingress: [{from: [{namespaceSelector: ${selector}}]}]}`, "z");
    const pod = "---\n{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: z}}\n";
    const byTeam = from("{matchLabels: {team: red}}");
    expect(check(CLUSTER + byTeam)).toEqual([]);
    expect(check(CLUSTER + byTeam + pod)).toEqual([
      "a.yaml:12:134: error: a policy chooses namespaces by label, and of z only the names are known: give their Namespace objects too [UNKNOWN_NAMESPACE]",
    ]);
    expect(check(CLUSTER + from("{}") + pod)).toEqual([]);
    const byName = "kubernetes.io/metadata.name: y";
    expect(check(CLUSTER + from(`{matchLabels: {${byName}}}`) + pod)).toEqual([]);
    expect(check(CLUSTER + from(`{matchLabels: {${byName}, team: red}}`) + pod)).toEqual([]);
    // Nobody there has the label, and the policy selects nobody.
    const byBoth = "{matchLabels: {team: red}}, podSelector: {matchLabels: {app: dns}}";
    expect(check(CLUSTER + from(byBoth) + pod)).toEqual([]);
    expect(check(CLUSTER + byTeam.replace("namespace: z", "namespace: empty") + pod)).toEqual([]);
  });
});
