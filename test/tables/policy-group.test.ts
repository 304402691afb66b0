/** Policies of one selector behind one jump: the chain's name, its rules, and what it makes of packets. */
import { createHash } from "node:crypto";

import { describe, expect, it } from "vitest";

import { DIALECTS } from "../../src/policy/dialects.ts";
import { explainReason } from "../../src/report/reason.ts";
import { renderRule } from "../../src/tables/iptables.ts";
import type { TableName } from "../../src/tables/model.ts";
import { load } from "../cluster/load.ts";
import { buildFrame, buildPcap, timed } from "../frames.ts";
import { compileManifests, judgeCapture } from "../judge.ts";

const POD = `{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}, spec: {nodeName: n1}, status: {podIP: 10.0.0.1}}`;
const HOST = `{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: host, labels: {role: node}}, spec: {node: n1, interfaceName: eth0}}`;
const NODE = `{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 192.168.7.1}]}}`;

/** Of pods of namespace shop; each lets one port in. */
function networkPolicy(name: string, selector: string, port: number): string {
  return `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: ${name}, namespace: shop}, spec: {podSelector: ${selector}, ingress: [{ports: [{port: ${port}}]}]}}`;
}

function global(name: string, spec: string): string {
  return `{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: ${name}}, spec: {${spec}}}`;
}

function clusterWide(
  name: string,
  subject: string,
  { priority = 5, action = "Accept" } = {},
): string {
  return `{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: ${name}}, spec: {tier: Admin, priority: ${priority}, subject: {${subject}}, ingress: [{action: ${action}, from: [{namespaces: {}}]}]}}`;
}

function compiled(
  documents: readonly string[],
  { minor = Infinity, dialect = DIALECTS.calico } = {},
): ReturnType<typeof compileManifests> {
  const text = [NODE, POD, ...documents].join("\n---\n");
  return compileManifests([{ file: "a.yaml", text }], "n1", { minor }, dialect);
}

/** The rules of the chains of one table whose names begin so. */
function rulesOf(given: ReturnType<typeof compiled>, prefix: string, table: TableName = "filter") {
  const [{ tables }] = given.rulesets;
  return (tables.find(({ name }) => name === table)?.chains ?? [])
    .filter(({ name }) => name.startsWith(prefix))
    .flatMap(({ name, rules }) => rules.map((rule) => renderRule(name, rule, 4)));
}

/** What a chain is jumped to by the pod's chain, in order. */
function jumpsOf(given: ReturnType<typeof compiled>): string[] {
  return rulesOf(given, "cali-tw-").flatMap((line) => / -j (cali-[pg]i-.*)$/.exec(line)?.[1] ?? []);
}

/** Of what SHA3-224 is made, and what comes of it: by another implementation than the compiler's. */
function groupName(prefix: string, parts: readonly string[]): string {
  const hash = createHash("sha3-224").update(parts.map((part) => `${part}\n`).join(""));
  return prefix + hash.digest("base64url").slice(0, 20);
}

/** What a policy is called in it since 3.32. */
function named(kind: string, name: string, namespace = ""): string {
  return `{Name: ${name}, Namespace: ${namespace}, Kind: ${kind}}`;
}

const ANY_OF_SHOP =
  '(projectcalico.org/orchestrator == "k8s" && projectcalico.org/namespace == "shop")';
const SEVEN = [1, 2, 3, 4, 5, 6, 7].map((index) => networkPolicy(`p${index}`, "{}", 80 + index));

describe("policy groups", () => {
  it("have a chain of their own, which looks at the mark before each jump but the first of five", () => {
    const given = compiled(SEVEN);
    const name = groupName("cali-gi-", [
      ANY_OF_SHOP,
      "inbound",
      "7",
      ...[1, 2, 3, 4, 5, 6, 7].map((index) =>
        named("KubernetesNetworkPolicy", `p${index}`, "shop"),
      ),
    ]);
    expect(jumpsOf(given)).toEqual([name]);
    const undecided = `-A ${name} -m mark --mark 0x0/0x30000`;
    expect(rulesOf(given, "cali-gi-")).toEqual([
      `-A ${name} -j cali-pi-knp/shop/p1`,
      `${undecided} -j cali-pi-knp/shop/p2`,
      `${undecided} -j cali-pi-knp/shop/p3`,
      `${undecided} -j cali-pi-knp/shop/p4`,
      `${undecided} -j cali-pi-knp/shop/p5`,
      `-A ${name} -m comment --comment "Return on verdict" -m mark ! --mark 0x0/0x30000 -j RETURN`,
      `-A ${name} -j cali-pi-knp/shop/p6`,
      `${undecided} -j cali-pi-knp/shop/p7`,
    ]);
    expect(rulesOf(given, "cali-tw-").slice(3, 7)).toEqual([
      expect.stringContaining('--comment "Start of tier default" -j MARK'),
      expect.stringMatching(new RegExp(` -m mark --mark 0x0/0x20000 -j ${name}$`)),
      expect.stringMatching(
        /"Return if policy accepted" -m mark --mark 0x10000\/0x10000 -j RETURN$/,
      ),
      expect.stringContaining('"Drop if no policies passed packet"'),
    ]);
  });

  it.each<[number, string[]]>([
    [32, ["", ...["a", "b"].map((name) => named("KubernetesNetworkPolicy", name, "shop"))]],
    [31, ["default", "shop/knp.default.a", "shop/knp.default.b"]],
    [27, ["default", "shop/knp.default.a", "shop/knp.default.b"]],
  ])("are called by tier and names as 3.%s calls policies", (minor, [tier = "", ...names]) => {
    const given = compiled([networkPolicy("a", "{}", 1), networkPolicy("b", "{}", 2)], { minor });
    const parts = [...(tier === "" ? [] : [tier]), ANY_OF_SHOP, "inbound", "2", ...names];
    expect(jumpsOf(given)).toEqual([groupName("cali-gi-", parts)]);
    expect(rulesOf(given, "cali-gi-")).toHaveLength(2);
  });

  const [A, B, C] = ["a", "b", "c"].map((name, index) => networkPolicy(name, "{}", 80 + index));
  const WEB = networkPolicy("b", "{matchLabels: {app: web}}", 81);
  it.each<[string, string[], Parameters<typeof compiled>[1], RegExp[]]>([
    ["a policy alone", [A!], {}, [/pi-knp/]],
    ["policies that one of another selector parts", [A!, WEB, C!], {}, [/pi/, /pi/, /pi/]],
    ["policies before and behind it", [A!, WEB, C!, ...SEVEN], {}, [/pi/, /pi/, /gi/]],
    ["policies before 3.27", [A!, B!], { minor: 26 }, [/pi/, /pi/]],
    [
      "policies of tiers apart",
      [global("x", "order: 1"), global("y", "tier: z")],
      {},
      [/pi/, /pi/],
    ],
    ["policies of Calico", [global("x", "order: 1"), global("y", "order: 2")], {}, [/gi/]],
    [
      "policies whose selectors say the same in other words",
      [
        global("x", "namespaceSelector: has(projectcalico.org/name)"),
        global("y", "namespaceSelector: 'has( projectcalico.org/name )'"),
        global("z", "selector: has(pcns.projectcalico.org/name)"),
      ],
      {},
      [/gi/],
    ],
    [
      "cluster-wide ones of Kubernetes",
      ["x", "y"].map((name) => clusterWide(name, "namespaces: {}")),
      {},
      [/gi/],
    ],
    [
      "those of equal priority of which the order decides",
      [
        ...["a", "b"].map((name) => clusterWide(name, "namespaces: {}", { priority: 4 })),
        clusterWide("c", "pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}"),
        clusterWide("x", "namespaces: {}"),
        clusterWide("y", "namespaces: {}"),
        clusterWide("z", "pods: {namespaceSelector: {}, podSelector: {}}", { action: "Deny" }),
      ],
      {},
      // That of z comes first where other orders are tried, which is in no text.
      [/gi/, /pi.*z$/, /pi.*c$/, /gi/],
    ],
    [
      "those of which some begin an order that decides",
      [
        clusterWide("x", "namespaces: {}", { priority: 4 }),
        clusterWide("y", "namespaces: {}"),
        clusterWide("z", "namespaces: {}", { action: "Deny" }),
      ],
      {},
      [/pi.*x$/, /pi.*z$/, /pi.*y$/, /pi.*z$/],
    ],
  ])("are made of neighbours only: %s", (_, documents, options, expected) => {
    const tier =
      "{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: z}, spec: {order: 1, defaultAction: Pass}}";
    const jumps = jumpsOf(compiled([tier, ...documents], options));
    expect(jumps).toEqual(expected.map((one): unknown => expect.stringMatching(one)));
  });

  it("are none of another implementation's", () => {
    const dialect = DIALECTS["kube-network-policies"];
    expect(jumpsOf(compiled([A!, B!], { dialect }))).toHaveLength(2);
  });

  it("are of the policies that are for the same traffic of a host endpoint", () => {
    const rules = "selector: role == 'node', types: [Ingress]";
    const layers = [
      "",
      ", applyOnForward: true",
      ", applyOnForward: true, preDNAT: true",
      ", applyOnForward: true, doNotTrack: true",
    ];
    const policies = layers.flatMap((layer, index) =>
      ["a", "b"].map((name) => global(`${name}${index}`, rules + layer)),
    );
    const given = compiled([HOST, ...policies]);
    const jumped = (table: TableName, chain: string): unknown[] =>
      rulesOf(given, chain, table).flatMap((line) => / -j (cali-gi-.*)$/.exec(line)?.[1] ?? []);
    const groupOf = (count: number, ...names: string[]): string =>
      groupName("cali-gi-", [
        'role == "node"',
        "inbound",
        `${count}`,
        ...names.map((name) => named("GlobalNetworkPolicy", name)),
      ]);
    expect(jumped("filter", "cali-fh-")).toEqual([groupOf(4, "a0", "a1", "b0", "b1")]);
    expect(jumped("filter", "cali-fhfw-")).toEqual([groupOf(2, "a1", "b1")]);
    expect(jumped("mangle", "cali-fh-")).toEqual([groupOf(2, "a2", "b2")]);
    expect(jumped("raw", "cali-fh-")).toEqual([groupOf(2, "a3", "b3")]);
    for (const [table, count] of [
      ["filter", 6],
      ["mangle", 2],
      ["raw", 2],
    ] as const) {
      expect(rulesOf(given, "cali-gi-", table)).toHaveLength(count);
    }
  });

  it("leave a packet to the policy that decides, be it the last", async () => {
    const capture = buildPcap(
      timed(
        [81, 86, 87, 99].map((destinationPort, index) =>
          buildFrame({
            source: "10.9.9.9",
            destination: "10.0.0.1",
            protocol: 6,
            sourcePort: 1000 + index,
            destinationPort,
          }),
        ),
      ),
    );
    const verdicts = await judgeCapture({ compiled: compiled(SEVEN), capture });
    expect(verdicts.map((one) => `${one.verdict} ${explainReason(one)}`)).toEqual(
      [
        /^allow shop\/p1 ingress\[0\] allows it/,
        /^allow shop\/p6 ingress\[0\] allows it/,
        /^allow shop\/p7 ingress\[0\] allows it/,
        /^drop no ingress rule of the policies selecting shop\/web/,
      ].map((words): unknown => expect.stringMatching(words)),
    );
  });
});

/** What Calico's own tests of its conversions expect is expected here, read and written as Felix does then. */
describe("the text of a policy's selector", () => {
  const ofShop = (selector: string): string =>
    `((projectcalico.org/orchestrator == "k8s" && ${selector}) && projectcalico.org/namespace == "shop")`;
  it.each([
    ["{}", ANY_OF_SHOP],
    ["{matchLabels: {b: x, a: y}}", ofShop('a == "y" && b == "x"')],
    [
      "{matchExpressions: [{key: b, operator: In, values: [y, x, y]}, {key: a, operator: Exists}]}",
      ofShop('b in {"x", "y"} && has(a)'),
    ],
    ["{matchExpressions: [{key: b, operator: In, values: [x]}]}", ofShop('b in {"x"}')],
    [
      "{matchLabels: {z: ''}, matchExpressions: [{key: b, operator: NotIn, values: [x]}, {key: a, operator: DoesNotExist}]}",
      ofShop('z == "" && b not in {"x"} && !has(a)'),
    ],
  ])("is Calico's of Kubernetes' %s", (selector, text) => {
    const [policy] = load(networkPolicy("p", selector, 80)).policies;
    expect(policy?.subject.text).toBe(text);
  });

  const ALL_PODS = '(projectcalico.org/orchestrator == "k8s" && has(projectcalico.org/namespace))';
  it.each([
    ["namespaces: {}", ALL_PODS],
    ["pods: {namespaceSelector: {}, podSelector: {}}", ALL_PODS],
    [
      "namespaces: {matchLabels: {b: x, a: y}}",
      '(projectcalico.org/orchestrator == "k8s" && (pcns.a == "y" && pcns.b == "x"))',
    ],
    [
      "pods: {namespaceSelector: {matchLabels: {b: x}}, podSelector: {matchLabels: {a: y}}}",
      '((projectcalico.org/orchestrator == "k8s" && a == "y") && pcns.b == "x")',
    ],
  ])("is Calico's of Kubernetes' cluster-wide %s", (subject, text) => {
    const [policy] = load(clusterWide("p", subject)).policies;
    expect(policy?.subject.text).toBe(text);
  });

  it("is that of the namespaces of an AdminNetworkPolicy of before release 0.1.2, too", () => {
    const early = `{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {name: p}, spec: {priority: 5, subject: {pods: {namespaces: {namespaceSelector: {matchLabels: {b: x}}}, podSelector: {}}}, ingress: []}}`;
    expect(load(early).policies[0]?.subject.text).toBe(
      '(projectcalico.org/orchestrator == "k8s" && pcns.b == "x")',
    );
  });

  const MINE = `selector: "mylabel == 'selectme'"`;
  const DEVELOPMENT = `serviceAccountSelector: "role == 'development'"`;
  const TESTING = `namespaceSelector: "name == 'testing'"`;
  it.each([
    ["order: 1", "all()"],
    [MINE, 'mylabel == "selectme"'],
    [`${MINE}, ${DEVELOPMENT}`, '(mylabel == "selectme" && pcsa.role == "development")'],
    [
      `${MINE}, serviceAccountSelector: all()`,
      '(mylabel == "selectme" && has(projectcalico.org/serviceaccount))',
    ],
    [`${MINE}, ${TESTING}`, '(mylabel == "selectme" && pcns.name == "testing")'],
    [
      `${MINE}, namespaceSelector: all()`,
      '(mylabel == "selectme" && has(projectcalico.org/namespace))',
    ],
    [
      `${MINE}, ${DEVELOPMENT}, ${TESTING}`,
      '((mylabel == "selectme" && pcns.name == "testing") && pcsa.role == "development")',
    ],
    [DEVELOPMENT, 'pcsa.role == "development"'],
    [TESTING, 'pcns.name == "testing"'],
    [`${DEVELOPMENT}, ${TESTING}`, '(pcns.name == "testing" && pcsa.role == "development")'],
    [`selector: all(), ${TESTING}`, '(has(projectcalico.org/namespace) && pcns.name == "testing")'],
    [`selector: "has(a)  || b in {'y','x'}"`, '(has(a) || b in {"x", "y"})'],
  ])("is of a GlobalNetworkPolicy with %s one", (spec, text) => {
    expect(load(global("p", spec)).policies[0]?.subject.text).toBe(text);
  });

  it.each([
    ["order: 1", 'projectcalico.org/namespace == "shop"'],
    [MINE, '(mylabel == "selectme" && projectcalico.org/namespace == "shop")'],
    [
      `${MINE}, ${DEVELOPMENT}`,
      '((mylabel == "selectme" && projectcalico.org/namespace == "shop") && pcsa.role == "development")',
    ],
    ["serviceAccountSelector: all()", '(projectcalico.org/namespace == "shop" && all())'],
  ])("is of a NetworkPolicy of Calico's with %s one", (spec, text) => {
    const policy = `{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: p, namespace: shop}, spec: {${spec}}}`;
    expect(load(policy).policies[0]?.subject.text).toBe(text);
  });
});
