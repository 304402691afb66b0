/** Outgoing NAT of Calico's pools: the tables, and whom other nodes' policies then see. */
import { describe, expect, it } from "vitest";

import { renderIpsets } from "../../src/tables/ipset.ts";
import { renderRule } from "../../src/tables/iptables.ts";
import { buildPacket, buildPcap, timed } from "../frames.ts";
import { compileObjects, judgeCapture } from "../judge.ts";

const node = (number: number): object => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: `n${number}` },
  status: { addresses: [{ type: "InternalIP", address: `192.168.7.${number}` }] },
});
const pod = (name: string, number: number): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "shop", labels: { app: name } },
  spec: { nodeName: `n${number}` },
  status: { podIP: `10.65.${number}.5` },
});
const pool = (cidr: string, spec: object): object => ({
  apiVersion: "crd.projectcalico.org/v1",
  kind: "IPPool",
  metadata: { name: cidr.replace(/\W/g, "-") },
  spec: { cidr, ...spec },
});
const felix = (spec: object): object => ({
  apiVersion: "projectcalico.org/v3",
  kind: "FelixConfiguration",
  metadata: { name: "default" },
  spec,
});
const POOLS = [
  pool("10.65.0.0/16", { natOutgoing: true }),
  pool("10.66.0.0/16", {}),
  pool("203.0.113.0/28", { natOutgoing: true, allowedUses: ["LoadBalancer"] }),
];
const NODES = [node(1), node(2)];

const OF_WEB = { name: "web", namespace: "shop" };

/** The pod called web, and its Service. */
const webService = (spec: object): object[] => [
  pod("web", 2),
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: OF_WEB,
    spec: { clusterIP: "10.96.0.10", selector: { app: "web" }, ...spec },
  },
];

/** Who may come to it. */
const webPolicy = (...from: readonly object[]): object => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: OF_WEB,
  spec: { podSelector: { matchLabels: { app: "web" } }, ingress: [{ from }] },
});

const fromBlocks = (...cidrs: readonly string[]): object[] =>
  cidrs.map((cidr) => ({ ipBlock: { cidr } }));

const NODE_PORT = { type: "NodePort", ports: [{ port: 80, nodePort: 30080 }] };

function outgoing(objects: readonly object[], minor?: number): string[] {
  const version = minor === undefined ? undefined : { minor };
  const [four] = compileObjects([...NODES, ...objects], undefined, version).rulesets;
  const chain = four.tables
    .find(({ name }) => name === "nat")
    ?.chains.find(({ name }) => name === "cali-nat-outgoing");
  const sets = renderIpsets([four]).split("\n");
  return [
    ...(chain?.rules ?? []).map((rule) => renderRule("cali-nat-outgoing", rule, 4)),
    ...sets.filter((line) => /^add \w+-(ipam-pools|ip-pools|hosts-net) /.test(line)),
  ];
}

describe("compileNatChains", () => {
  it("masquerades what pods of some pools send elsewhere than to pools", () => {
    expect(outgoing(POOLS)).toEqual([
      "-A cali-nat-outgoing -m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40network-ip-pools dst -j MASQUERADE --random-fully",
      "add cali40masq-ipam-pools 10.65.0.0/16",
      "add cali40masq-ipam-pools 203.0.113.0/28",
      "add cali40network-ip-pools 10.65.0.0/16",
      "add cali40network-ip-pools 10.66.0.0/16",
    ]);
    expect(outgoing([pool("10.66.0.0/16", {})])).toEqual([]);
  });

  it("chooses from the ports that Felix is told, by TCP and UDP", () => {
    const sets =
      "-m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40network-ip-pools dst";
    const rules = (range: string): string[] => [
      ...["tcp", "udp"].flatMap((protocol) => [
        `-A cali-nat-outgoing -p ${protocol} ${sets} -j MASQUERADE --to-ports ${range} --random-fully`,
        `-A cali-nat-outgoing -p ${protocol} ${sets} -j RETURN`,
      ]),
      `-A cali-nat-outgoing ${sets} -j MASQUERADE --random-fully`,
    ];
    const told = (natPortRange: unknown): string[] =>
      outgoing([...POOLS, felix({ natPortRange })]).filter((line) => line.startsWith("-A"));
    expect(told("32768:65535")).toEqual(rules("32768-65535"));
    expect(told(4000)).toEqual(rules("4000"));
    expect(told(0)).toHaveLength(1);
    expect(() => told("high")).toThrow('"high" is no range of ports: FIRST:LAST');
  });

  it("names the pools as the release does, and leaves nodes alone where Felix is told to", () => {
    expect(outgoing([...POOLS, felix({ natOutgoingExclusions: "IPPoolsAndHostIPs" })], 31)).toEqual(
      [
        "-A cali-nat-outgoing -m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40all-ipam-pools dst -m set ! --match-set cali40all-hosts-net dst -j MASQUERADE --random-fully",
        "add cali40all-hosts-net 192.168.7.1",
        "add cali40all-hosts-net 192.168.7.2",
        "add cali40all-ipam-pools 10.65.0.0/16",
        "add cali40all-ipam-pools 10.66.0.0/16",
        "add cali40all-ipam-pools 203.0.113.0/28",
        "add cali40masq-ipam-pools 10.65.0.0/16",
        "add cali40masq-ipam-pools 203.0.113.0/28",
      ],
    );
  });

  it.each([
    ["no pool is told", [], "unknown", "outgoing"],
    ["the pool is masqueraded", [pool("10.65.0.0/16", { natOutgoing: true })], "drop", "rule"],
    ["the pool is not", [pool("10.65.0.0/16", {})], "allow", "rule"],
    [
      "nodes are left alone",
      [
        pool("10.65.0.0/16", { natOutgoing: true }),
        felix({ natOutgoingExclusions: "IPPoolsAndHostIPs" }),
      ],
      "allow",
      "rule",
    ],
  ])(
    "decides what another node's pod sees of a client, where %s",
    async (_, objects, verdict, reason) => {
      const service = webService({ ...NODE_PORT, externalTrafficPolicy: "Local" });
      const policy = webPolicy({ podSelector: { matchLabels: { app: "client" } } });
      const cluster = [...NODES, pod("client", 1), ...service, policy, ...objects];
      expect(
        await judge(cluster, { source: "10.65.1.5", destination: "192.168.7.2" }),
      ).toMatchObject({
        verdict,
        reason,
      });
    },
  );

  it.each([
    ["wrapped always", { vxlanMode: "Always" }, "drop"],
    ["never wrapped", {}, "allow"],
    ["in no pool", { cidr: "10.66.0.0/16", vxlanMode: "Always" }, "allow"],
    ["wrapped between subnets, which nothing tells", { ipipMode: "CrossSubnet" }, "unknown"],
  ])(
    "knows with which of its addresses a node masquerades, where packets are %s",
    async (_, spec, verdict) => {
      const tunnels = NODES.map((one, index) => ({
        ...one,
        metadata: {
          name: `n${index + 1}`,
          annotations: { "projectcalico.org/IPv4VXLANTunnelAddr": `10.65.${index + 1}.0` },
        },
      }));
      const web = [...webService(NODE_PORT), webPolicy(...fromBlocks("192.168.7.0/24"))];
      const cluster = [...tunnels, ...web, pool("10.65.0.0/16", spec)];
      const flow = { source: "8.8.8.8", destination: "192.168.7.1" };
      expect(await judge(cluster, flow)).toMatchObject({ verdict });
    },
  );

  it("leaves open with which address a node masquerades whose tunnel nothing tells, unlike another's", async () => {
    const annotations = { "projectcalico.org/IPv4VXLANTunnelAddr": "10.65.1.0" };
    const nodes = [{ ...node(1), metadata: { name: "n1", annotations } }, node(2), node(3)];
    const spec = { externalIPs: ["198.51.100.1"], ports: [{ port: 30080 }] };
    const wrapped = pool("10.65.0.0/16", { vxlanMode: "Always" });
    const cluster = (...cidrs: readonly string[]): object[] => [
      ...nodes,
      ...webService(spec),
      webPolicy(...fromBlocks(...cidrs)),
      wrapped,
    ];
    const flow = { source: "8.8.8.8", destination: "198.51.100.1" };
    const some = ["8.8.8.8/32", "10.65.1.0/32"];
    // That of node n3 is some address of the pool, and none of its others.
    for (const other of ["192.168.7.3/32", "10.65.0.0/17"]) {
      expect(await judge(cluster(...some, other), flow)).toMatchObject({ verdict: "unknown" });
    }
    expect(await judge(cluster("8.8.8.8/32", "10.65.0.0/16"), flow)).toMatchObject({
      verdict: "allow",
    });
  });

  it("leaves open what a rule says of a port that the node draws", async () => {
    const policy = (from: object): object => ({
      apiVersion: "projectcalico.org/v3",
      kind: "NetworkPolicy",
      metadata: OF_WEB,
      spec: { ingress: [{ action: "Allow", protocol: "TCP", ...from }] },
    });
    const cluster = [...NODES, pod("client", 1), ...webService(NODE_PORT), ...POOLS];
    const flow = { source: "8.8.8.8", destination: "192.168.7.1" };
    const bySource = policy({ source: { ports: [40000] } });
    expect(await judge([...cluster, bySource], flow)).toMatchObject({
      verdict: "unknown",
      reason: "nat-port",
    });
    const byDestination = policy({ destination: { ports: [80] } });
    expect(await judge([...cluster, byDestination], flow)).toMatchObject({ verdict: "allow" });
  });
});

async function judge(
  objects: readonly object[],
  flow: { readonly source: string; readonly destination: string },
): Promise<{ readonly verdict: string; readonly reason: string }> {
  const frame = buildPacket({ ...flow, protocol: 6, sourcePort: 40000, destinationPort: 30080 });
  const capture = buildPcap(timed([frame]), LINK_TYPE_RAW);
  const [verdict] = await judgeCapture({ compiled: compileObjects(objects), capture });
  return verdict!;
}

const LINK_TYPE_RAW = 101;
