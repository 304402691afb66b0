/** Packets with a node's address: the node's own, or a client's that it has masqueraded. */
import { describe, expect, it } from "vitest";
import { buildFrame, buildPcap, buildPcapng, TCP, timed, UDP, type PacketSpec } from "../frames.ts";
import { compileObjects, judgeCapture } from "../judge.ts";

const NODE = "192.0.2.1";
const CLIENT = "203.0.113.9";
const WEB = "10.1.0.2";

const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } };
const pod = (app: string, ip: string) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: app, namespace: "shop", labels: { app } },
  spec: { nodeName: "node-1", containers: [] },
  status: { podIPs: [{ ip }] },
});
const node = {
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "node-1" },
  spec: { podCIDRs: ["10.1.0.0/16"] },
  status: { addresses: [{ type: "InternalIP", address: NODE }] },
};
const service = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "shop" },
  spec: {
    type: "NodePort",
    clusterIP: "10.96.0.20",
    selector: { app: "web" },
    ports: [
      { name: "tcp", port: 80, targetPort: 8080, nodePort: 30080 },
      { name: "udp", protocol: "UDP", port: 53, targetPort: 8053, nodePort: 30053 },
    ],
  },
};
const CLUSTER = [namespace, node, pod("client", "10.1.0.1"), pod("web", WEB), service];
const policy = (app: string, spec: object) => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: app, namespace: "shop" },
  spec: { podSelector: { matchLabels: { app } }, ...spec },
});
const FROM_PODS = policy("web", { ingress: [{ from: [{ podSelector: {} }] }] });
const FROM_ALL = policy("web", { ingress: [{ ports: [{ port: 8080 }] }] });
const ALL_SELECTED = policy("web", {
  ingress: [{}],
  egress: [{}],
  policyTypes: ["Ingress", "Egress"],
});
const NOTHING_OUT = policy("client", { policyTypes: ["Egress"] });

const packet = (spec: Partial<PacketSpec>): PacketSpec => ({
  source: CLIENT,
  destination: NODE,
  protocol: TCP,
  sourcePort: 40_000,
  destinationPort: 30_080,
  seq: 0x12345678,
  id: 7,
  ...spec,
});
const asked = packet({});
const behind = packet({
  source: NODE,
  sourcePort: 50_000,
  destination: WEB,
  destinationPort: 8080,
  ttl: 63,
});
const outside = { destination: "198.51.100.7", destinationPort: 443 };

async function tell(objects: readonly object[], ...packets: PacketSpec[]): Promise<string[]> {
  return tellBy(undefined, objects, ...packets);
}

/** From a node's point of view. */
async function tellBy(
  name: string | undefined,
  objects: readonly object[],
  ...packets: PacketSpec[]
) {
  const capture = buildPcap(timed(packets.map(buildFrame)));
  const verdicts = await judgeCapture({ compiled: compileObjects(objects, name), capture });
  return verdicts.map(({ verdict, reason }) =>
    verdict === "unknown" ? `unknown ${reason}` : verdict,
  );
}

/** In at eth0, out to the pod, and back the same way, 50 µs behind each other. */
async function tellSights(objects: readonly object[], ...packets: PacketSpec[]) {
  const frames = packets.map((spec, index) => ({
    bytes: buildFrame(spec),
    timestampNs: 1_000_000_000n + BigInt(index) * 50_000n,
    captureInterface: [0, 1, 1, 0][index % 4]!,
  }));
  const capture = buildPcapng(frames, ["eth0", "caliaaa"]);
  const verdicts = await judgeCapture({ compiled: compileObjects(objects), capture });
  return verdicts.map(({ verdict, duplicateOf }) => [verdict, duplicateOf]);
}

describe("what has a node's address, to a backend there", () => {
  it("is unknown where it makes a difference whether the node began it", async () => {
    expect(await tell([...CLUSTER, FROM_PODS], behind)).toEqual(["unknown masqueraded"]);
    expect(await tell([...CLUSTER, FROM_ALL], behind)).toEqual(["allow"]);
    expect(await tell(CLUSTER, behind)).toEqual(["allow"]);
  });

  it.each([64, 128, 255])("is the node's own with TTL %i", async (ttl) => {
    expect(await tell([...CLUSTER, FROM_PODS], { ...behind, ttl })).toEqual(["allow"]);
  });

  it("is so for each packet that begins a connection, whatever was said of others", async () => {
    const ports = [1, 2, 3, 4].map((place) => ({ ...behind, sourcePort: 50_000 + place }));
    const mixed = ports.flatMap((spec) => [
      { ...spec, ttl: 64 },
      { ...spec, sourcePort: spec.sourcePort + 10 },
    ]);
    const said = await tell([...CLUSTER, FROM_PODS], ...mixed);
    expect(said).toEqual(ports.flatMap(() => ["allow", "unknown masqueraded"]));
  });

  it("is the node's own at a port that no Service leads to", async () => {
    const said = await tell([...CLUSTER, FROM_PODS], { ...behind, destinationPort: 9090 });
    expect(said).toEqual(["allow"]);
  });
});

describe("what has a node's address, where host endpoints bind the node", () => {
  const endpoint = {
    apiVersion: "projectcalico.org/v3",
    kind: "HostEndpoint",
    metadata: { name: "eth0", labels: { role: "host" } },
    spec: { node: "node-1", interfaceName: "eth0", expectedIPs: [NODE] },
  };
  const closed = {
    apiVersion: "projectcalico.org/v3",
    kind: "GlobalNetworkPolicy",
    metadata: { name: "closed" },
    spec: {
      selector: "role == 'host'",
      preDNAT: true,
      applyOnForward: true,
      ingress: [{ action: "Deny", protocol: "TCP", destination: { ports: [30_080] } }],
    },
  };

  it.each([undefined, "node-1"])("may be what they saw at a node port, by %s", async (name) => {
    const said = await tellBy(name, [...CLUSTER, endpoint, closed], asked, behind);
    expect(said).toEqual(["drop", "unknown masqueraded"]);
  });
});

describe("what has a node's address, to outside", () => {
  const out = packet({ ...outside, source: NODE, ttl: 63 });
  it("is unknown where pods may send it that policies bind", async () => {
    expect(await tell([...CLUSTER, NOTHING_OUT], out)).toEqual(["unknown masqueraded"]);
    expect(await tell([...CLUSTER, NOTHING_OUT], { ...out, ttl: 64 })).toEqual(["allow"]);
    expect(await tell([...CLUSTER, FROM_PODS], out)).toEqual(["allow"]);
  });

  it("is the node's own to another node inside of IPIP, or where pods keep their addresses", async () => {
    const address = { type: "InternalIP", address: "192.0.2.2" };
    const other = {
      ...node,
      metadata: { name: "node-2" },
      spec: {},
      status: { addresses: [address] },
    };
    const felix = (spec: object) => ({
      apiVersion: "projectcalico.org/v3",
      kind: "FelixConfiguration",
      metadata: { name: "default" },
      spec,
    });
    const objects = [...CLUSTER, other, NOTHING_OUT];
    const across = { ...out, destination: "192.0.2.2" };
    const wrapped = { ...across, protocol: 4 };
    expect(await tell(objects, wrapped)).toEqual(["allow"]);
    const allowed = felix({ allowIPIPPacketsFromWorkloads: true });
    expect(await tell([...objects, allowed], wrapped)).toEqual(["unknown masqueraded"]);
    const spared = felix({ natOutgoingExclusions: "IPPoolsAndHostIPs" });
    expect(await tell([...objects, spared], across)).toEqual(["allow"]);
  });

  it("is unknown also to another node, whosever the point of view", async () => {
    const other = { ...node, metadata: { name: "node-2" } };
    const address = { type: "InternalIP", address: "192.0.2.2" };
    const cluster = [...CLUSTER, { ...other, spec: {}, status: { addresses: [address] } }];
    const across = { ...out, destination: "192.0.2.2" };
    const objects = [...cluster, NOTHING_OUT];
    expect(await tell(objects, across)).toEqual(["unknown masqueraded"]);
    expect(await tellBy("node-1", objects, across)).toEqual(["unknown masqueraded"]);
    expect(await tellBy("node-1", objects, { ...across, ttl: 64 })).toEqual(["allow"]);
  });

  it.each(["224.0.0.22", "239.255.255.250", "255.255.255.255"])(
    "is the node's own to %s, which nobody forwards",
    async (destination) => {
      const said = await tell([...CLUSTER, NOTHING_OUT], {
        ...out,
        destination,
        protocol: UDP,
        ttl: 1,
      });
      expect(said).toEqual(["allow"]);
    },
  );

  it("is the node's own where no pool has what pods send masqueraded", async () => {
    const pool = (natOutgoing: boolean) => ({
      apiVersion: "projectcalico.org/v3",
      kind: "IPPool",
      metadata: { name: "pods" },
      spec: { cidr: "10.1.0.0/16", natOutgoing },
    });
    const said = await tell([...CLUSTER, NOTHING_OUT, pool(false)], out);
    expect(said).toEqual(["allow"]);
    expect(await tell([...CLUSTER, NOTHING_OUT, pool(true)], out)).toEqual(["unknown masqueraded"]);
  });
});

describe("a second sight of a packet that a node has masqueraded", () => {
  const answer = packet({
    source: WEB,
    sourcePort: 8080,
    destination: NODE,
    destinationPort: 50_000,
    flags: "S.",
    seq: 99,
    ack: 0x12345679,
  });
  const answered = {
    ...answer,
    source: NODE,
    sourcePort: 30_080,
    destination: CLIENT,
    destinationPort: 40_000,
    ttl: 63,
  };

  it("has the verdict of the first, and so have answers", async () => {
    expect(await tellSights(CLUSTER, asked, behind, answer, answered)).toEqual([
      ["allow", undefined],
      ["allow", 1],
      ["allow", undefined],
      ["allow", 3],
    ]);
  });

  it("has it also where the packet is dropped: its answers belong to nothing", async () => {
    expect(await tellSights([...CLUSTER, FROM_PODS], asked, behind, answer, answered)).toEqual([
      ["drop", undefined],
      ["drop", 1],
      ["drop", undefined],
      ["drop", 3],
    ]);
  });

  it("is known by IPv4's identification without TCP's numbers", async () => {
    const [there, here] = [
      { ...asked, protocol: UDP, destinationPort: 30_053 },
      { ...behind, protocol: UDP, destinationPort: 8053 },
    ];
    expect(await tellSights([...CLUSTER, FROM_PODS], there, here)).toEqual([
      ["drop", undefined],
      ["drop", 1],
    ]);
    const [none, other] = [
      { ...there, id: 0 },
      { ...here, id: 0 },
    ];
    expect(await tellSights([...CLUSTER, FROM_PODS], none, other)).toEqual([
      ["drop", undefined],
      ["unknown", undefined],
    ]);
  });

  it("tells whom the backend answers, also where nothing is numbered", async () => {
    const backend = {
      ...pod("web", "10.1.0.3"),
      metadata: { ...pod("web", "").metadata, name: "b" },
    };
    const lookUp = { ...asked, protocol: UDP, destinationPort: 30_053 };
    const answer = { source: WEB, sourcePort: 8053, destination: NODE, destinationPort: 50_000 };
    const said = await tellSights(
      [...CLUSTER, backend, ALL_SELECTED],
      lookUp,
      { ...behind, protocol: UDP, destinationPort: 8053 },
      packet({ ...answer, protocol: UDP, id: 9 }),
      {
        ...lookUp,
        source: NODE,
        sourcePort: 30_053,
        destination: CLIENT,
        destinationPort: 40_000,
        id: 9,
        ttl: 63,
      },
    );
    expect(said).toEqual([
      ["allow", undefined],
      ["allow", 1],
      ["allow", undefined],
      ["allow", 3],
    ]);
  });

  it("is the same by all workers where only answers are captured", async () => {
    const balancer = {
      ...service,
      spec: { ...service.spec, type: "LoadBalancer" },
      status: { loadBalancer: { ingress: [{ ip: "203.0.113.200" }] } },
    };
    const cluster = [...CLUSTER.filter((object) => object !== service), balancer];
    const clients = Array.from({ length: 6 }, (_, index) => `198.51.100.${index + 1}`);
    const answers = clients.flatMap((destination, index) => {
      const numbers = { protocol: UDP, id: 20 + index };
      const inside = { destination: NODE, destinationPort: 50_000 + index };
      return [
        packet({ ...numbers, ...inside, source: WEB, sourcePort: 8053 }),
        packet({ ...numbers, destination, source: "203.0.113.200", sourcePort: 53, ttl: 63 }),
      ];
    });
    const nothingIn = policy("web", { policyTypes: ["Ingress", "Egress"] });
    expect(await tellSights([...cluster, nothingIn], ...answers)).toHaveLength(12);
  });

  it("is nothing that no node makes of the first", async () => {
    const answered = packet({
      source: WEB,
      sourcePort: 8053,
      destination: NODE,
      destinationPort: 50_000,
      protocol: UDP,
    });
    const alike = { source: "198.51.100.7", sourcePort: 443, destination: NODE, ttl: 60 };
    const said = await tellSights(
      [...CLUSTER, NOTHING_OUT],
      answered,
      packet({ ...alike, destinationPort: 40_000, protocol: UDP }),
      packet({ source: "10.1.0.1", destination: "10.96.0.20", seq: 5 }),
      packet({ source: NODE, destination: "198.51.100.7", seq: 5, destinationPort: 80 }),
    );
    expect(said.map(([, duplicateOf]) => duplicateOf)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it("is known on its way out of a pod", async () => {
    const sent = packet({ ...outside, source: "10.1.0.1" });
    const masqueraded = packet({ ...outside, source: NODE, ttl: 63 });
    expect(await tellSights([...CLUSTER, NOTHING_OUT], sent, masqueraded)).toEqual([
      ["drop", undefined],
      ["drop", 1],
    ]);
  });

  it("tells to which address and port answers come, where policies bind that", async () => {
    const host = {
      apiVersion: "projectcalico.org/v3",
      kind: "HostEndpoint",
      metadata: { name: "node-1", labels: { host: "yes" } },
      spec: { node: "node-1", interfaceName: "*", expectedIPs: [NODE] },
    };
    const nothingIn = {
      apiVersion: "projectcalico.org/v3",
      kind: "GlobalNetworkPolicy",
      metadata: { name: "hosts" },
      spec: { selector: "host == 'yes'", types: ["Ingress"], ingress: [] },
    };
    const asks = { source: "10.1.0.1", destination: "198.51.100.7", destinationPort: 53 };
    const answers = { source: "198.51.100.7", sourcePort: 53, ttl: 60 };
    const specs = [1, 2].flatMap((round): Partial<PacketSpec>[] => [
      { ...asks, id: round },
      { ...asks, id: round, source: NODE, sourcePort: 50_000, ttl: 63 },
      { ...answers, id: round + 7, destinationPort: 50_000 },
      { ...answers, id: round + 7, destination: "10.1.0.1", destinationPort: 40_000, ttl: 59 },
    ]);
    // The second time the connection's time is up.
    const frames = specs.map((spec, index) => ({
      bytes: buildFrame(packet({ ...spec, protocol: UDP })),
      timestampNs: 1_000_000_000n + BigInt(index) * 50_000n + (index < 4 ? 0n : 300_000_000_000n),
      captureInterface: [0, 1, 1, 0][index % 4]!,
    }));
    const capture = buildPcapng(frames, [undefined, "eth0"]);
    for (const midstream of ["cold", "assume-established"] as const) {
      const compiled = compileObjects([...CLUSTER, host, nothingIn]);
      const verdicts = await judgeCapture({ compiled, capture, midstream });
      const said = verdicts.map(({ verdict, duplicateOf }) => [verdict, duplicateOf]);
      const both = [undefined, 1, undefined, 3, undefined, 5, undefined, 7];
      expect(said).toEqual(both.map((duplicateOf) => ["allow", duplicateOf]));
    }
  });

  it("is not taken for one of two that are alike", async () => {
    const other = { ...asked, source: "203.0.113.10" };
    const said = await tellSights(
      [...CLUSTER, FROM_PODS],
      asked,
      { ...behind, seq: 1 },
      { ...answer, seq: 5 },
      other,
      behind,
    );
    expect(said.at(-1)).toEqual(["unknown", undefined]);
  });
});
