/** Where a connection passes nodes of which nothing tells which they are: what is known of them counts. */
import { describe, expect, it } from "vitest";

import { buildPacket, buildPcap, TCP, timed } from "../frames.ts";
import { compileManifests, judgeCapture } from "../judge.ts";

const LINK_TYPE_RAW = 101;

const node = (name: string, address: string): string =>
  `{apiVersion: v1, kind: Node, metadata: {name: ${name}}, spec: {podCIDR: 10.65.${name.slice(1)}.0/24}, ` +
  `status: {addresses: [{type: InternalIP, address: ${address}}]}}`;
const pod = (name: string, ip: string, nodeName?: string): string =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: shop, labels: {app: ${name}}}, ` +
  `spec: {${nodeName === undefined ? "" : `nodeName: ${nodeName}`}}, status: {podIP: ${ip}}}`;
const slice = (...endpoints: string[]): string =>
  "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web, namespace: shop, " +
  "labels: {kubernetes.io/service-name: web}}, addressType: IPv4, " +
  `endpoints: [${endpoints.map((address) => `{addresses: [${address}]}`).join(", ")}], ` +
  'ports: [{port: 8080, name: "", protocol: TCP}]}';
const service = (spec: string): string =>
  "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.10, " +
  `type: LoadBalancer, ${spec}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}, ` +
  "status: {loadBalancer: {ingress: [{ip: 203.0.113.1}]}}}";
const host = (name: string): string =>
  `{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: ${name}-host, labels: {role: node}}, ` +
  `spec: {node: ${name}, interfaceName: eth0}}`;
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
  const text = [...NODES, ...documents].join("\n---\n");
  const frame = buildPacket({ source, destination, protocol: TCP, sourcePort: 1, destinationPort });
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
      slice("10.65.1.5", "10.65.2.5"),
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
    slice("10.65.9.9"),
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
