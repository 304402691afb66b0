/**
 * By which interfaces of a node packets come and go where host endpoints tell them apart: tunnels, and interfaces
 * that no endpoint is for. Source: felix/rules/dispatch.go, hostDispatchChains; felix/dataplane/linux/endpoint_mgr.go,
 * resolveHostEndpoints.
 */
import { describe, expect, it } from "vitest";

import { compileManifests, judgeCapture } from "../judge.ts";

interface NodeFacts {
  /** Of n1 and n2, as Calico notes them. */
  readonly subnets?: readonly [string, string];
  readonly tunnel?: string;
}

const node = (name: string, address: string, annotations: readonly string[]): string =>
  `{apiVersion: v1, kind: Node, metadata: {name: ${name}, annotations: {${annotations.join(", ")}}}, ` +
  `spec: {podCIDR: 10.1.${name.slice(1)}.0/24}, status: {addresses: [{type: InternalIP, address: ${address}}]}}`;

const clusterOf = ({ subnets, tunnel }: NodeFacts = {}): string => {
  const noted = (index: number): string[] =>
    subnets === undefined ? [] : [`projectcalico.org/IPv4Address: ${subnets[index]}`];
  const own = tunnel === undefined ? [] : [`projectcalico.org/IPv4IPIPTunnelAddr: ${tunnel}`];
  return `
${node("n1", "192.168.0.1", [...noted(0), ...own])}
---
${node("n2", "192.168.0.2", noted(1))}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: a}, spec: {nodeName: n1}, status: {podIP: 10.1.1.2}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: b}, spec: {nodeName: n2}, status: {podIP: 10.1.2.2}}
`;
};

const host = (spec: string, name = "n1-host"): string => `
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: ${name}, labels: {host: n1}}
spec: {node: n1, ${spec}}
`;
const NAMED = host("interfaceName: eth0, expectedIPs: [192.168.0.1]");
const EVERYWHERE = host('interfaceName: "*"', "n1-all");
const OPEN = host(
  "interfaceName: eth0, expectedIPs: [192.168.0.1], profiles: [projectcalico-default-allow]",
).replace("labels: {host: n1}", "labels: {host: open}");

const pool = (mode: string): string => `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: p}
spec: {cidr: 10.1.0.0/16, ${mode}}
`;
const CLOSED = `
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: closed}
spec: {selector: host == 'n1', applyOnForward: true, types: [Ingress, Egress]}
`;

const ALLOWING = `
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: open}
spec: {selector: has(host), applyOnForward: true, ingress: [{action: Allow}], egress: [{action: Allow}]}
`;

interface Judged {
  readonly verdict: string;
  readonly inInterface: string | undefined;
  readonly outInterface: string | undefined;
}

async function judge(
  documents: readonly string[],
  lines: readonly string[],
  { node: judged }: { readonly node?: string } = { node: "n1" },
): Promise<Judged[]> {
  const compiled = compileManifests([{ file: "a.yaml", text: documents.join("---") }], judged);
  const text = lines.map(
    (line, index) =>
      `12:00:0${index}.000000 ${line.replace(" > ", ".4000 > ")}.80: UDP, length 10\n`,
  );
  const verdicts = await judgeCapture({
    compiled,
    capture: new TextEncoder().encode(text.join("")),
  });
  return verdicts.map(({ verdict, inInterface, outInterface }) => ({
    verdict,
    inInterface,
    outInterface,
  }));
}

async function verdictsOf(...given: Parameters<typeof judge>): Promise<string[]> {
  return (await judge(...given)).map(({ verdict }) => verdict);
}

const THERE = "IP 10.1.1.2 > 10.1.2.2";
const BACK = "IP 10.1.2.2 > 10.1.1.2";
const FROM_NODE = "IP 192.168.0.1 > 10.1.2.2";
const TO_NODE = "IP 10.1.2.2 > 192.168.0.1";

describe("a host endpoint for a named interface", () => {
  it.each<[string, string, NodeFacts, readonly string[]]>([
    [
      "is not asked of what always is wrapped",
      "ipipMode: Always",
      {},
      ["allow", "allow", "allow", "drop"],
    ],
    [
      "is not asked of what VXLAN wraps",
      "vxlanMode: Always",
      {},
      ["allow", "allow", "allow", "drop"],
    ],
    ["is asked of what never is wrapped", "ipipMode: Never", {}, ["drop", "drop", "drop", "drop"]],
    [
      "is perhaps asked where that hangs on subnets that nothing tells",
      "vxlanMode: CrossSubnet",
      {},
      ["unknown", "unknown", "unknown", "drop"],
    ],
    [
      "is asked within a subnet",
      "vxlanMode: CrossSubnet",
      { subnets: ["192.168.0.1/24", "192.168.0.2/24"] },
      ["drop", "drop", "drop", "drop"],
    ],
    [
      "is not asked between subnets",
      "ipipMode: CrossSubnet",
      { subnets: ["192.168.0.1/32", "192.168.0.2/32"] },
      ["allow", "allow", "allow", "drop"],
    ],
    [
      "is perhaps asked where nodes see their subnets otherwise",
      "ipipMode: CrossSubnet",
      { subnets: ["192.168.0.1/24", "192.168.0.2/32"] },
      ["unknown", "unknown", "unknown", "drop"],
    ],
  ])("%s: %s", async (_, mode, facts, expected) => {
    const documents = [clusterOf(facts), NAMED, CLOSED, pool(mode)];
    expect(await verdictsOf(documents, [THERE, BACK, FROM_NODE, TO_NODE])).toEqual(expected);
  });

  it("is perhaps asked where no pool tells, and a node has a tunnel", async () => {
    expect(await verdictsOf([clusterOf(), NAMED, CLOSED], [THERE, BACK])).toEqual(["drop", "drop"]);
    const documents = [clusterOf({ tunnel: "10.1.1.1" }), NAMED, CLOSED];
    expect(await verdictsOf(documents, [THERE, BACK])).toEqual(["unknown", "unknown"]);
  });

  it("is asked as the capture shows, and where it shows what cannot be, perhaps", async () => {
    const seen = (mode: string) =>
      judge(
        [clusterOf(), NAMED, CLOSED, pool(mode)],
        [`tunl0 Out ${THERE}`, `tunl0 In ${BACK}`, `eth0 Out ${THERE}`, `eth0 In ${BACK}`],
      );
    const wrapped = await seen("ipipMode: Always");
    expect(wrapped.map(({ verdict }) => verdict)).toEqual(["allow", "allow", "unknown", "unknown"]);
    expect(wrapped[0]?.outInterface).toBe("tunl0");
    expect(wrapped[1]?.inInterface).toBe("tunl0");
    const open = await seen("ipipMode: CrossSubnet");
    // Perhaps the capture is a pod's own.
    expect(open.map(({ verdict }) => verdict)).toEqual(["allow", "allow", "unknown", "unknown"]);
  });

  it("is not known to be the one that a pod's own capture names", async () => {
    const lines = [
      "ens192 Out IP 10.1.1.2 > 198.51.100.1",
      "eth0 Out IP 10.1.1.2 > 198.51.100.1",
      "eth0 In IP 198.51.100.1 > 192.168.0.1",
    ];
    const endpoint = NAMED.replaceAll("eth0", "ens192");
    const verdicts = await judge([clusterOf(), endpoint, CLOSED, pool("ipipMode: Never")], lines);
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(["drop", "unknown", "unknown"]);
  });

  it("leaves tunnels to the one for all interfaces", async () => {
    const documents = [clusterOf(), OPEN, EVERYWHERE, pool("ipipMode: Always")];
    const lines = [FROM_NODE, "IP 192.168.0.1 > 198.51.100.1"];
    expect(await verdictsOf(documents, lines)).toEqual(["drop", "allow"]);
    expect(await verdictsOf(documents, lines, {})).toEqual(["drop", "allow"]);
  });

  it.each<[string, NodeFacts, string]>([
    ["ipipMode: Always", {}, "allow"],
    ["ipipMode: Never", {}, "drop"],
    ["vxlanMode: CrossSubnet", {}, "unknown"],
    ["vxlanMode: CrossSubnet", { subnets: ["192.168.0.1/24", "192.168.0.2/24"] }, "drop"],
  ])("is asked the same where nodes are seen as one: %s, %j", async (mode, facts, verdict) => {
    const documents = [clusterOf(facts), NAMED, CLOSED, pool(mode)];
    expect(await verdictsOf(documents, [THERE, BACK, FROM_NODE], {})).toEqual([
      verdict,
      verdict,
      verdict,
    ]);
    expect(await verdictsOf(documents, [TO_NODE], {})).toEqual(["drop"]);
  });

  it("is perhaps asked of what the capture shows on another interface, which may be another machine's", async () => {
    const into = "IP 198.51.100.1 > 192.168.0.1";
    const lines = [into, `eth0 In ${into}`, `eth2 In ${into}`, `enP1s1 In ${into}`];
    const verdicts = ["drop", "drop", "unknown", "unknown"];
    expect(await verdictsOf([clusterOf(), NAMED], lines)).toEqual(verdicts);
    const out = "IP 192.168.0.1 > 198.51.100.1";
    const sent = [out, `eth0 Out ${out}`, `vnet3 Out ${out}`];
    expect(await verdictsOf([clusterOf(), NAMED], sent)).toEqual(["drop", "drop", "unknown"]);
    const open = [clusterOf(), OPEN];
    expect(await verdictsOf(open, [...lines, ...sent])).toEqual(Array(7).fill("allow"));
    const all = [clusterOf(), NAMED, EVERYWHERE];
    expect(await verdictsOf(all, [...lines, ...sent])).toEqual(Array(7).fill("drop"));
  });

  it("is not that of the node's address where it has others", async () => {
    const other = host("interfaceName: eth1, expectedIPs: [10.99.0.5]");
    const lines = [
      "eth0 In IP 198.51.100.1 > 192.168.0.1",
      "eth1 In IP 198.51.100.1 > 10.99.0.5",
      "IP 192.168.0.2 > 192.168.0.1",
      "IP 198.51.100.1 > 192.168.0.1",
    ];
    const judged = await judge([clusterOf(), other], lines);
    expect(judged.map(({ verdict }) => verdict)).toEqual(["unknown", "drop", "allow", "unknown"]);
    const sole = await verdictsOf([clusterOf(), NAMED], ["eth0 In IP 192.168.0.2 > 192.168.0.1"]);
    expect(sole).toEqual(["drop"]);
    expect(() => compileManifests([{ file: "a.yaml", text: `${clusterOf()}---${other}` }])).toThrow(
      /several interfaces of n1.*--node n1/,
    );
  });

  it("may be that of the node's address where it has none", async () => {
    const lines = ["IP 192.168.0.2 > 192.168.0.1", "eth1 In IP 198.51.100.1 > 192.168.0.1"];
    const documents = [clusterOf(), host("interfaceName: eth1")];
    expect(await verdictsOf(documents, lines)).toEqual(["unknown", "drop"]);
    const open = host("interfaceName: eth1, profiles: [projectcalico-default-allow]");
    expect(await verdictsOf([clusterOf(), open], lines)).toEqual(["allow", "allow"]);
  });
});

describe("a host endpoint of nodes seen as one", () => {
  const INTO = "IP 198.51.100.1 > 192.168.0.1";
  const OUT = "IP 192.168.0.1 > 198.51.100.1";
  const seenOn = (names: readonly string[], packet: string): string[] => [
    packet,
    ...names.map((name) => `${name} In ${packet}`),
  ];

  it.each([
    ["to it", INTO],
    ["from it", OUT],
    ["to its pod", "IP 198.51.100.1 > 10.1.1.2"],
    ["from its pod", "IP 10.1.1.2 > 198.51.100.1"],
    ["between nodes", TO_NODE],
  ])("is perhaps asked of what the capture shows on another interface: %s", async (_, packet) => {
    const ens5 = NAMED.replaceAll("eth0", "ens5");
    const lines = seenOn(["ens5", "ens6"], packet);
    const documents = [clusterOf(), ens5, CLOSED, pool("ipipMode: Never")];
    expect(await verdictsOf(documents, lines, {})).toEqual(["drop", "drop", "unknown"]);
    const same = [...documents, host('interfaceName: "*"', "n1-all")];
    expect(await verdictsOf(same, lines, {})).toEqual(["drop", "drop", "drop"]);
    const open = [clusterOf(), ens5, ALLOWING, pool("ipipMode: Never")];
    const judged = await judge(open, lines, {});
    expect(judged.map(({ verdict }) => verdict)).toEqual(["allow", "allow", "allow"]);
    expect(
      judged.map(({ inInterface, outInterface }) => `${inInterface} ${outInterface}`).join(),
    ).not.toContain("/");
  });

  it("is that of the node that the capture may have been taken on", async () => {
    const ens5 = NAMED.replaceAll("eth0", "ens5");
    const second = host("interfaceName: ens7, expectedIPs: [192.168.0.2]", "n2-host")
      .replace("node: n1", "node: n2")
      .replace("host: n1", "host: n2");
    const documents = [clusterOf(), ens5, second, ALLOWING, pool("ipipMode: Never")];
    const verdicts = await verdictsOf(documents, seenOn(["ens5", "ens7", "ens9"], TO_NODE), {});
    expect(verdicts).toEqual(["allow", "allow", "allow", "allow"]);
    const closed = [clusterOf(), ens5, second, CLOSED, pool("ipipMode: Never")];
    const dropped = await verdictsOf(closed, seenOn(["ens5", "ens7", "ens9"], TO_NODE), {});
    expect(dropped.slice(0, 3)).toEqual(["drop", "drop", "drop"]);
  });

  it("is perhaps asked of what the capture shows in a tunnel, where routes say otherwise", async () => {
    const lines = seenOn(["eth0", "tunl0"], THERE);
    const seen = (mode: string) => verdictsOf([clusterOf(), NAMED, CLOSED, pool(mode)], lines, {});
    expect(await seen("ipipMode: Never")).toEqual(["drop", "drop", "unknown"]);
    expect(await seen("ipipMode: Always")).toEqual(["allow", "unknown", "allow"]);
  });

  it("is not for whichever interface a capture names", async () => {
    const documents = [clusterOf(), host("expectedIPs: [192.168.0.1]")];
    const verdicts = await verdictsOf(documents, seenOn(["ens5", "docker0"], INTO), {});
    expect(verdicts).toEqual(["drop", "unknown", "unknown"]);
  });
});

describe("WireGuard between nodes themselves", () => {
  const settings = (spec: string): string => `
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {${spec}}
`;
  const ON = settings("wireguardEnabled: true, wireguardHostEncryptionEnabled: true");
  const compile = (documents: readonly string[], judged: string | undefined) =>
    compileManifests([{ file: "a.yaml", text: documents.join("---") }], judged);

  it.each([["n1"], [undefined]])(
    "is refused where an endpoint is for an interface: %s",
    (judged) => {
      expect(() => compile([clusterOf(), NAMED, ON], judged)).toThrow(
        /a\.yaml:\d+:\d+: error: .*WireGuard.*HostEndpoint n1-host.*UNSUPPORTED_FEATURE/,
      );
      const environment = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: calico-node, namespace: calico-system}
spec: {template: {spec: {containers: [{name: calico-node, env: [
  {name: FELIX_WIREGUARDENABLED, value: "true"}, {name: FELIX_WIREGUARDHOSTENCRYPTIONENABLED, value: "1"}]}]}}}
`;
      expect(() => compile([clusterOf(), NAMED, environment], judged)).toThrow(/WireGuard/);
    },
  );

  it.each([
    ["no endpoint", [ON]],
    ["an endpoint for all interfaces", [EVERYWHERE, ON]],
    ["no WireGuard", [NAMED, settings("wireguardHostEncryptionEnabled: true")]],
    ["nothing between nodes", [NAMED, settings("wireguardEnabled: true")]],
  ])("changes nothing where there is %s", (_, documents) => {
    const { diagnostics } = compile([clusterOf(), ...documents], "n1");
    expect(diagnostics.filter(({ message }) => /wireguard/i.test(message))).toEqual([]);
  });
});

describe("a host endpoint whose interface is called as we call others", () => {
  it.each(["other", "unnamed", "tunnel"])("binds that one only: %s", async (name) => {
    const second = host(`interfaceName: ${name}, expectedIPs: [10.99.0.1]`, "n1-second");
    const lines = ["IP 192.168.0.2 > 192.168.0.1", "ens9 In IP 198.51.100.1 > 192.168.0.1"];
    const documents = [clusterOf({ tunnel: "10.1.1.1" }), second];
    expect(await verdictsOf(documents, lines)).toEqual(["allow", "unknown"]);
    const both = [clusterOf(), OPEN, second];
    expect(await verdictsOf(both, [`${name} In IP 198.51.100.1 > 192.168.0.1`])).toEqual(["drop"]);
    const closed = [clusterOf(), NAMED, second];
    expect(await verdictsOf(closed, ["ens9 In IP 198.51.100.1 > 192.168.0.1"])).toEqual([
      "unknown",
    ]);
  });

  it("is not for a node's tunnels, where nodes are seen as one", async () => {
    const endpoint = host("interfaceName: tunnel, expectedIPs: [192.168.0.1]");
    const documents = [clusterOf(), endpoint, CLOSED, pool("ipipMode: Always")];
    expect(await verdictsOf(documents, [THERE, TO_NODE], {})).toEqual(["allow", "drop"]);
  });
});

describe("a host endpoint of a node whose addresses nothing tells", () => {
  const pods = clusterOf().split("---").slice(2);
  const named =
    "\n{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDR: 10.1.1.0/24}}\n";

  it.each(
    [
      "interfaceName: eth1",
      "interfaceName: eth1, expectedIPs: [10.99.0.5]",
      "expectedIPs: [10.99.0.5]",
    ].flatMap(
      (spec) =>
        [
          [spec, "no Node", pods],
          [spec, "a Node without addresses", [...pods, named]],
        ] as const,
    ),
  )("may be for any interface: %s, %s", async (spec, _, cluster) => {
    const lines = ["IP 198.51.100.1 > 10.1.1.2", "IP 198.51.100.1 > 10.99.0.5"];
    const documents = [...cluster, host(spec), CLOSED];
    const text = documents.join("---");
    const { diagnostics } = compileManifests([{ file: "a.yaml", text }], "n1");
    const told = diagnostics.map(({ code, message }) => `${code} ${message}`);
    expect(told.join("\n")).toMatch(/MISSING_FIELD .*nothing tells the addresses of n1/);
    const [through, into] = await verdictsOf(documents, lines);
    expect(through).toBe("unknown");
    if (spec.includes("expectedIPs")) expect(into).toBe("unknown");
    expect(() => compileManifests([{ file: "a.yaml", text }])).toThrow(/several interfaces of n1/);
  });

  it("decides what every interface would have decided", async () => {
    const lines = ["IP 198.51.100.1 > 10.1.1.2"];
    expect(await verdictsOf([...pods, OPEN], lines)).toEqual(["allow"]);
  });
});

describe("a host endpoint without a name", () => {
  it.each([["expectedIPs: [10.1.1.1]"], ["interfaceName: tunl0, expectedIPs: [10.1.1.1]"]])(
    "binds a tunnel by its address, and nothing else: %s",
    async (spec) => {
      const documents = [
        clusterOf({ tunnel: "10.1.1.1" }),
        host(spec),
        CLOSED,
        pool("ipipMode: Always"),
      ];
      const lines = [
        "IP 198.51.100.1 > 192.168.0.1",
        "ens5 In IP 198.51.100.1 > 192.168.0.1",
        THERE,
        BACK,
        "IP 10.1.2.2 > 10.1.1.1",
      ];
      expect(await verdictsOf(documents, lines)).toEqual([
        "allow",
        "allow",
        "drop",
        "drop",
        "drop",
      ]);
    },
  );

  it("binds each interface that has one of its addresses", async () => {
    const both = host("expectedIPs: [192.168.0.1, 10.1.1.1]");
    const documents = [clusterOf({ tunnel: "10.1.1.1" }), both, CLOSED, pool("ipipMode: Always")];
    const lines = ["IP 198.51.100.1 > 192.168.0.1", THERE];
    expect(await verdictsOf(documents, lines)).toEqual(["drop", "drop"]);
  });

  it("is not for whichever interface a capture names", async () => {
    const endpoint = host("expectedIPs: [192.168.0.1]");
    const into = "IP 198.51.100.1 > 192.168.0.1";
    const lines = [
      into,
      ...["ens5", "ens6", "docker0", "virbr0"].map((name) => `${name} In ${into}`),
    ];
    const verdicts = ["drop", "unknown", "unknown", "unknown", "unknown"];
    expect(await verdictsOf([clusterOf(), endpoint], lines)).toEqual(verdicts);
    const all = await judge([clusterOf(), host('interfaceName: "*"')], lines);
    expect(all.map(({ verdict, inInterface }) => `${verdict} ${inInterface}`)).toEqual(
      Array(5).fill("drop eth0"),
    );
  });

  it("may be for any interface where nothing has its address", async () => {
    const stray = host("expectedIPs: [10.99.0.5]");
    const lines = ["IP 192.168.0.2 > 192.168.0.1", "eth3 In IP 198.51.100.1 > 192.168.0.1"];
    expect(await verdictsOf([clusterOf(), stray], lines)).toEqual(["unknown", "unknown"]);
  });
});
