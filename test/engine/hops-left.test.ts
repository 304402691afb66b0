/** What nodes of a cluster look at that receive a packet: its source, its TTL, and the options in its IPv4 header. */
import { describe, expect, it } from "vitest";
import { vethName } from "../../src/tables/names.ts";
import { buildFrame, buildPcap, buildPcapng, timed, UDP, type PacketSpec } from "../frames.ts";
import { compileObjects, judgeCapture } from "../judge.ts";

const pod = (name: string, ip: string, nodeName: string) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "shop" },
  spec: { nodeName, containers: [] },
  status: { podIPs: [{ ip }] },
});
const node = (name: string, address: string, podCIDR: string) => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name },
  spec: { podCIDRs: [podCIDR] },
  status: { addresses: [{ type: "InternalIP", address }] },
});
const CLUSTER = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
  node("n1", "192.0.2.1", "10.1.1.0/24"),
  node("n2", "192.0.2.2", "10.1.2.0/24"),
  pod("a", "10.1.1.1", "n1"),
  pod("b", "10.1.1.2", "n1"),
  pod("c", "10.1.2.1", "n2"),
];
const ENDS = {
  a: "10.1.1.1",
  b: "10.1.1.2",
  c: "10.1.2.1",
  n1: "192.0.2.1",
  n2: "192.0.2.2",
  outside: "198.51.100.1",
} as const;
type End = keyof typeof ENDS;

const packet = (source: End, destination: End, ttl: number): PacketSpec => ({
  source: ENDS[source],
  destination: ENDS[destination],
  protocol: UDP,
  sourcePort: 40_000,
  destinationPort: 33_434,
  ttl,
});

/** A frame as `-i any` has it. */
function cooked(ethernet: Uint8Array, direction: "in" | "out"): Uint8Array {
  const head = Uint8Array.of(0, direction === "in" ? 0 : 4, 0, 1, 0, 6, ...Array(8).fill(0), 8, 0);
  return Uint8Array.of(...head, ...ethernet.subarray(14));
}

async function tell(
  capture: Uint8Array,
  node?: string,
  objects: readonly object[] = CLUSTER,
): Promise<string> {
  const compiled = compileObjects(objects, node);
  const [verdict] = await judgeCapture({ compiled, capture });
  const { verdict: word, reason } = verdict!;
  return word === "allow" ? word : `${word} ${reason}`;
}

describe("the TTL of a packet in a cluster", () => {
  it.each<[End, End, number, "in" | "out", string]>([
    ["a", "b", 1, "in", "drop ttl"],
    ["a", "b", 2, "in", "allow"],
    ["a", "b", 1, "out", "allow"],
    ["a", "outside", 1, "in", "drop ttl"],
    ["a", "outside", 1, "out", "allow"],
    ["a", "n1", 1, "in", "allow"],
    ["a", "n2", 1, "in", "unknown ttl-left"],
    ["a", "n2", 2, "in", "allow"],
    ["a", "c", 1, "in", "drop ttl"],
    ["a", "c", 2, "in", "unknown ttl-left"],
    ["a", "c", 1, "out", "unknown ttl-left"],
    ["a", "c", 2, "out", "allow"],
    ["a", "c", 3, "in", "allow"],
    ["n1", "a", 1, "out", "allow"],
    ["n1", "c", 1, "out", "unknown ttl-left"],
    ["n1", "c", 1, "in", "drop ttl"],
    ["n1", "n2", 1, "in", "allow"],
    ["outside", "a", 1, "in", "drop ttl"],
    ["outside", "a", 1, "out", "allow"],
    ["outside", "n1", 1, "in", "allow"],
  ])("from %s to %s: %i, seen %s, is %s", async (source, destination, ttl, direction, said) => {
    const frame = cooked(buildFrame(packet(source, destination, ttl)), direction);
    expect(await tell(buildPcap(timed([frame]), 113))).toBe(said);
  });

  it.each<[End, End, number, string, string]>([
    ["a", "c", 2, vethName("shop", "a"), "drop ttl"],
    ["a", "c", 1, vethName("shop", "c"), "allow"],
    ["a", "b", 1, vethName("shop", "a"), "drop ttl"],
    ["a", "b", 1, vethName("shop", "b"), "allow"],
    ["a", "b", 1, "eth0", "unknown ttl-left"],
  ])("from %s to %s: %i, seen at %s, is %s", async (source, destination, ttl, name, said) => {
    const frames = timed([buildFrame(packet(source, destination, ttl))]);
    expect(await tell(buildPcapng(frames, [name]))).toBe(said);
  });

  it("is that of one node with --node", async () => {
    const there = cooked(buildFrame(packet("a", "c", 1)), "in");
    expect(await tell(buildPcap(timed([there]), 113), "n1")).toBe("drop ttl");
    const onward = cooked(buildFrame(packet("a", "c", 1)), "out");
    expect(await tell(buildPcap(timed([onward]), 113), "n1")).toBe("allow");
    const two = cooked(buildFrame(packet("a", "c", 2)), "in");
    expect(await tell(buildPcap(timed([two]), 113), "n1")).toBe("allow");
  });
});

describe("the TTL of a packet to another node's port", () => {
  const web = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "shop" },
    spec: {
      type: "NodePort",
      clusterIP: "10.96.0.20",
      selector: { app: "b" },
      ports: [{ port: 80, protocol: "UDP", targetPort: 8080, nodePort: 30_080 }],
    },
  };
  const backend = pod("b", ENDS.b, "n1");
  const objects = [
    ...CLUSTER.filter((object) => object.metadata.name !== "b"),
    { ...backend, metadata: { ...backend.metadata, labels: { app: "b" } } },
    web,
  ];

  // By the pod's node, the one that translates, and the backend's.
  it.each<[End, number, "in" | "out", string]>([
    ["a", 3, "in", "unknown ttl-left"],
    ["a", 4, "in", "allow"],
    ["a", 2, "out", "unknown ttl-left"],
    ["a", 3, "out", "allow"],
    ["n1", 2, "in", "unknown ttl-left"],
    ["n1", 3, "in", "allow"],
    ["outside", 3, "in", "allow"],
  ])("from %s: %i, seen %s, is %s", async (source, ttl, direction, said) => {
    const spec = { ...packet(source, "n2", ttl), destinationPort: 30_080 };
    const frame = cooked(buildFrame(spec), direction);
    expect(await tell(buildPcap(timed([frame]), 113), undefined, objects)).toBe(said);
  });

  it("counts for later packets of a connection, too", async () => {
    const frames = [64, 2].map((ttl, index) => {
      const spec = { ...packet("a", "n2", ttl), destinationPort: 30_080, id: index };
      return cooked(buildFrame(spec), "in");
    });
    const capture = buildPcap(timed(frames), 113);
    const verdicts = await judgeCapture({ compiled: compileObjects(objects), capture });
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(["allow", "unknown"]);
  });
});

describe("a source that nobody has", () => {
  it.each([
    ["224.1.2.3", ENDS.a, "in", "drop martian"],
    ["255.255.255.255", ENDS.n1, "in", "drop martian"],
    ["0.0.0.0", ENDS.a, "in", "drop martian"],
    ["224.1.2.3", ENDS.a, "out", "allow"],
    ["0.1.2.3", ENDS.a, "in", "allow"],
  ] as const)("%s to %s, seen %s", async (source, destination, direction, said) => {
    const frame = buildFrame({ ...packet("outside", "a", 64), source, destination });
    expect(await tell(buildPcap(timed([cooked(frame, direction)]), 113))).toBe(said);
  });
});

describe("options of IPv4 in a cluster", () => {
  /** The same packet with options in front of its UDP header. */
  function withOptions(frame: Uint8Array, ...options: number[]): Uint8Array {
    const header = frame.slice(14, 34);
    header[0] = 0x45 + options.length / 4;
    header[3]! += options.length;
    header[10] = header[11] = 0;
    const whole = Uint8Array.of(...header, ...options);
    let sum = 0;
    for (let at = 0; at < whole.length; at += 2) sum += whole[at]! * 256 + whole[at + 1]!;
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    new DataView(whole.buffer).setUint16(10, ~sum & 0xffff);
    return Uint8Array.of(...frame.subarray(0, 14), ...whole, ...frame.subarray(34));
  }
  const frame = buildFrame(packet("a", "b", 64));
  const SOURCE_ROUTE = [131, 7, 4, 10, 1, 1, 9, 0];
  it.each([
    ["a source route, arriving", SOURCE_ROUTE, "in", "drop options"],
    ["the same where it has left", SOURCE_ROUTE, "out", "allow"],
    ["an option without its length", [131, 0, 0, 0], "in", "drop options"],
    ["a router alert", [148, 4, 0, 0], "in", "allow"],
  ] as const)("%s", async (_, options, direction, said) => {
    const capture = buildPcap(timed([cooked(withOptions(frame, ...options), direction)]), 113);
    expect(await tell(capture)).toBe(said);
  });
});
