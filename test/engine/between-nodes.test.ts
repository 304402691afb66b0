/** Where a connection passes nodes of which nothing tells which they are: what is known of them counts. */
import { describe, expect, it } from "vitest";

import { buildPacket, buildPcap, TCP, timed, UDP } from "../frames.ts";
import { compileManifests, judgeCapture } from "../judge.ts";

const LINK_TYPE_RAW = 101;

const node = (name: string, address: string): string =>
  `{apiVersion: v1, kind: Node, metadata: {name: ${name}}, spec: {podCIDR: 10.65.${name.slice(1)}.0/24}, ` +
  `status: {addresses: [{type: InternalIP, address: ${address}}]}}`;
const pod = (name: string, ip: string, nodeName?: string): string =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: shop, labels: {app: ${name}}}, ` +
  `spec: {${nodeName === undefined ? "" : `nodeName: ${nodeName}`}}, status: {podIP: ${ip}}}`;
/** As Kubernetes makes them of a selector: where they are is left to the pods to tell. */
const endpoints = (...addresses: string[]): string =>
  "{apiVersion: v1, kind: Endpoints, metadata: {name: web, namespace: shop}, subsets: [{" +
  `addresses: [${addresses.map((ip) => `{ip: ${ip}}`).join(", ")}], ` +
  'ports: [{port: 8080, name: "", protocol: TCP}]}]}';
const service = (spec: string): string =>
  "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.10, " +
  `selector: {app: any}, type: LoadBalancer, ${spec}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}, ` +
  "status: {loadBalancer: {ingress: [{ip: 203.0.113.1}]}}}";
const host = (name: string): string =>
  `{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: ${name}-host, labels: {role: node}}, ` +
  `spec: {node: ${name}, interfaceName: eth0, expectedIPs: [192.168.7.${name.slice(1)}]}}`;
const NOTHING_FORWARDED =
  "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: apart}, " +
  "spec: {selector: role == 'node', applyOnForward: true, types: [Ingress, Egress]}}";
const NODES = [node("n1", "192.168.7.1"), node("n2", "192.168.7.2")];

async function tell(
  documents: readonly string[],
  source: string,
  destination: string,
  destinationPort = 80,
): Promise<string> {
  return judge([...NODES, ...documents], { source, destination, destinationPort });
}

async function judge(
  documents: readonly string[],
  ends: { readonly source: string; readonly destination: string; readonly destinationPort: number },
): Promise<string> {
  const text = documents.join("\n---\n");
  const frame = buildPacket({ ...ends, protocol: TCP, sourcePort: 1 });
  const [verdict] = await judgeCapture({
    compiled: compileManifests([{ file: "a.yaml", text }]),
    capture: buildPcap(timed([frame]), LINK_TYPE_RAW),
  });
  return verdict!.verdict;
}

describe("a pod of which nothing tells its node", () => {
  const hosts = [host("n1"), host("n2"), NOTHING_FORWARDED];

  it("stays on its node where it gets to that node's own backend", async () => {
    const documents = [
      ...hosts,
      pod("lost", "10.65.9.9"),
      pod("one", "10.65.1.5", "n1"),
      pod("two", "10.65.2.5", "n2"),
      service("internalTrafficPolicy: Local"),
      endpoints("10.65.1.5", "10.65.2.5"),
    ];
    expect(await tell(documents, "10.65.9.9", "10.96.0.10")).toBe("allow");
    // Else it may have to pass from one to the other.
    expect(await tell(documents, "10.65.9.9", "10.65.1.5", 8080)).toBe("unknown");
  });
});

describe("backends of which nothing tells their node", () => {
  const documents = [
    pod("lost", "10.65.9.9"),
    service("externalTrafficPolicy: Local, internalTrafficPolicy: Local"),
    endpoints("10.65.9.9"),
  ];

  it("are where a load balancer sends to", async () => {
    expect(await tell(documents, "198.51.100.7", "203.0.113.1")).toBe("allow");
  });

  it("are perhaps not at a node's port, nor where a pod asks", async () => {
    expect(await tell(documents, "198.51.100.7", "192.168.7.1", 30080)).toBe("unknown");
    const asking = [...documents, pod("asks", "10.65.1.8", "n1")];
    expect(await tell(asking, "10.65.1.8", "10.96.0.10")).toBe("unknown");
  });
});

describe("a client from outside", () => {
  const asks = { source: "198.51.100.7", destination: "203.0.113.1", destinationPort: 80 };
  const [only, other] = NODES as [string, string];
  const served = [
    pod("web", "10.65.1.5", "n1"),
    service("externalTrafficPolicy: Cluster"),
    endpoints("10.65.1.5"),
  ];
  const policy = (cidr: string): string =>
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: outside, namespace: shop}, " +
    `spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: ${cidr}}}]}]}}`;

  it("comes by the only node that there is, which the backend is on", async () => {
    const client = policy("198.51.100.0/24");
    expect(await judge([only, ...served, client], asks)).toBe("allow");
    expect(await judge([only, ...served, policy("192.168.7.0/24")], asks)).toBe("drop");
    expect(await judge([only, other, ...served, client], asks)).toBe("unknown");
  });

  it("has perhaps the address of flannel's device where flannel wraps", async () => {
    const flannel = "annotations: {flannel.alpha.coreos.com/backend-type: vxlan}";
    const wrapping = NODES.map((text) => text.replace("metadata: {", `metadata: {${flannel}, `));
    const atOther = { ...asks, destination: "192.168.7.2", destinationPort: 30080 };
    const rest = [...served, policy("192.168.7.0/24")];
    expect(await judge([...NODES, ...rest], atOther)).toBe("allow");
    expect(await judge([...wrapping, ...rest], atOther)).toBe("unknown");
    // > Traffic of its own node a pod always gets.
    const own = { source: "10.65.1.0", destination: "10.65.1.5", destinationPort: 8080 };
    expect(await judge([...NODES, ...rest], own)).toBe("drop");
    expect(await judge([...wrapping, ...rest], own)).toBe("allow");
    expect(await judge([...wrapping, ...rest], { ...own, source: "10.65.2.0" })).toBe("drop");
  });

  it("comes perhaps by another where not all nodes are given", async () => {
    const elsewhere = pod("other", "10.65.2.5", "n2");
    const documents = [only, ...served, elsewhere, policy("198.51.100.0/24")];
    expect(await judge(documents, asks)).toBe("unknown");
  });
});

describe("of several connections with masqueraded sources to one backend", () => {
  const documents = [
    ...NODES,
    "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}",
    pod("web", "10.65.1.5", "n1"),
    service("externalTrafficPolicy: Cluster"),
    endpoints("10.65.1.5"),
  ].map((text) =>
    text.replaceAll(/port: 8080,|port: 80,/g, "$& protocol: UDP,").replace(", protocol: TCP}", "}"),
  );
  const nobody =
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: nobody, namespace: shop}, " +
    "spec: {podSelector: {}, policyTypes: [Ingress]}}";
  const program = (texts: readonly string[]) =>
    compileManifests([{ file: "a.yaml", text: texts.join("\n---\n") }]);
  const sent = (client: string) =>
    buildPacket({
      ...{ source: client, destination: "192.168.7.2", protocol: UDP },
      ...{ sourcePort: 7, destinationPort: 30080 },
    });
  const answered = (destination: string, destinationPort: number) =>
    buildPacket({
      ...{ source: "10.65.1.5", destination, protocol: UDP },
      ...{ sourcePort: 8080, destinationPort },
    });
  const shown = (client: string) =>
    buildPacket({
      ...{ source: "192.168.7.2", destination: client, protocol: UDP },
      ...{ sourcePort: 30080, destinationPort: 7 },
    });
  const [ONE, OTHER, NODE] = ["198.51.100.7", "198.51.100.8", "192.168.7.2"] as const;

  /** The words on the packets behind a rollout that lets nobody in any more. */
  async function tellAfter(before: readonly Uint8Array[]): Promise<string[]> {
    const verdicts = await judgeCapture({
      compiled: program(documents),
      capture: buildPcap(timed([...before, sent(ONE), sent(OTHER)]), LINK_TYPE_RAW),
      turn: { packet: before.length + 1, program: program([...documents, nobody]) },
    });
    expect(verdicts.slice(0, -2).every(({ verdict }) => verdict === "allow")).toBe(true);
    return verdicts.slice(-2).map(({ verdict }) => verdict);
  }

  it("nobody knows which one was answered", async () => {
    const both = [sent(ONE), sent(OTHER)];
    expect(await tellAfter(both)).toEqual(["drop", "drop"]);
    const once = [...both, answered(NODE, 5000)];
    expect(await tellAfter(once)).toEqual(["unknown", "unknown"]);
    expect(await tellAfter([...once, answered(NODE, 5000)])).toEqual(["unknown", "unknown"]);
  });

  it("the one whose answer is shown behind the translation was answered", async () => {
    const once = [sent(ONE), sent(OTHER), answered(NODE, 5000), shown(ONE)];
    expect(await tellAfter(once)).toEqual(["allow", "unknown"]);
  });

  it("the only one was answered", async () => {
    const once = [sent(ONE), answered(NODE, 5000), sent(OTHER)];
    expect(await tellAfter(once)).toEqual(["allow", "drop"]);
  });
});

describe("a connection that was met by its client's own address", () => {
  const [CLIENT, SERVICE, NODE, BACKEND] = [
    ...["10.65.9.8", "10.96.0.10", "192.168.7.2", "10.65.1.5"],
  ] as const;
  const documents = [
    ...NODES,
    "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}",
    pod("web", BACKEND, "n1"),
    pod("other", "10.65.2.5", "n2"),
    pod("lost", CLIENT),
    service("externalTrafficPolicy: Cluster").replace("port: 80,", "port: 80, protocol: UDP,"),
    endpoints(BACKEND, "10.65.2.5").replace("TCP", "UDP"),
  ];
  const nobody =
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: nobody, namespace: shop}, " +
    "spec: {podSelector: {}, policyTypes: [Ingress]}}";
  const program = (texts: readonly string[]) =>
    compileManifests([{ file: "a.yaml", text: texts.join("\n---\n") }]);
  const sent = (source: string, sourcePort: number, destination: string, destinationPort: number) =>
    buildPacket({ source, destination, protocol: UDP, sourcePort, destinationPort });

  // An answer to another one's masqueraded source was taken for its own.
  it("is not answered at a node's address", async () => {
    const before = [
      sent(CLIENT, 7, SERVICE, 80),
      sent(CLIENT, 7, BACKEND, 8080),
      sent("198.51.100.9", 7, NODE, 30080),
      sent(BACKEND, 8080, NODE, 5000),
    ];
    const behind = [sent(CLIENT, 7, SERVICE, 80), sent(BACKEND, 8080, CLIENT, 7)];
    const verdicts = await judgeCapture({
      compiled: program(documents),
      capture: buildPcap(timed([...before, ...behind]), LINK_TYPE_RAW),
      turn: { packet: before.length + 1, program: program([...documents, nobody]) },
    });
    expect(verdicts.map(({ verdict }) => verdict).slice(-2)).toEqual(["drop", "allow"]);
  });
});
