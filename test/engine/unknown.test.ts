/** Facts that are missing: the verdict is unknown where, and only where, they make a difference. */
import { describe, expect, it } from "vitest";
import type { Totals } from "../../src/engine/verdict.ts";
import { explainReason } from "../../src/report/reason.ts";
import { remedyFor } from "../../src/report/remedy.ts";
import { buildFrame, buildPcap, buildPcapng, TCP, timed, UDP, type PacketSpec } from "../frames.ts";
import { compileObjects, judgeCapture, replayCapture } from "../judge.ts";

const namespace = (name: string) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
const pod = (name: string, ip: string, app: string, nodeName = "node-1") => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "shop", labels: { app } },
  spec: { nodeName, containers: [] },
  status: { podIPs: [{ ip }] },
});
const node = {
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "node-1" },
  spec: { podCIDRs: ["10.1.0.0/16"] },
  status: { addresses: [{ type: "InternalIP", address: "192.0.2.1" }] },
};
const policy = (name: string, spec: object) => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name, namespace: "shop" },
  spec,
});
const service = (endpoints: readonly string[]) => [
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "shop" },
    spec: { clusterIP: "10.96.0.20", ports: [{ port: 80, targetPort: 8080 }] },
  },
  {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "web-1", namespace: "shop", labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    endpoints: endpoints.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports: [{ port: 8080, protocol: "TCP" }],
  },
];
const CLUSTER = [
  namespace("shop"),
  node,
  pod("a", "10.1.0.1", "a"),
  pod("b", "10.1.0.2", "b"),
  pod("c", "10.1.0.3", "c"),
];
const FROM_A = policy("from-a", {
  podSelector: { matchLabels: { app: "b" } },
  ingress: [{ from: [{ podSelector: { matchLabels: { app: "a" } } }], ports: [{ port: 8080 }] }],
});

const syn = (source: string, destination: string, destinationPort = 8080): PacketSpec => ({
  source,
  destination,
  protocol: TCP,
  sourcePort: 40_000,
  destinationPort,
});

async function tell(objects: readonly object[], ...packets: PacketSpec[]) {
  const capture = buildPcap(timed(packets.map(buildFrame)));
  const verdicts = await judgeCapture({ compiled: compileObjects(objects), capture });
  return verdicts.map(({ verdict, reason }) => `${verdict} ${reason}`);
}

describe("an address of the cluster that no object has", () => {
  it("is unknown where a selector might choose it", async () => {
    const said = await tell([...CLUSTER, FROM_A], syn("10.1.0.9", "10.1.0.2"));
    expect(said).toEqual(["unknown missing-source"]);
  });

  it("is dropped where no rule has the port, whoever it is", async () => {
    const said = await tell([...CLUSTER, FROM_A], syn("10.1.0.9", "10.1.0.2", 9090));
    expect(said).toEqual(["drop rule"]);
  });

  it("keeps the whole connection unknown", async () => {
    const answer = { ...syn("10.1.0.2", "10.1.0.9", 40_000), sourcePort: 8080, flags: "S." };
    const said = await tell([...CLUSTER, FROM_A], syn("10.1.0.9", "10.1.0.2"), answer);
    expect(said).toEqual(["unknown missing-source", "unknown missing-source"]);
  });

  it("is asked anew by a SYN that is sent again", async () => {
    const capture = buildPcap(timed([1, 2, 3].map(() => buildFrame(syn("10.1.0.1", "10.1.0.9")))));
    const verdicts = await judgeCapture({ compiled: compileObjects(CLUSTER), capture });
    expect(verdicts.map(({ verdict, ctState }) => `${verdict} ${ctState}`)).toEqual(
      new Array(3).fill("unknown NEW"),
    );
  });

  it("is unknown as a destination, whose own policies nobody gave", async () => {
    expect(await tell(CLUSTER, syn("10.1.0.1", "10.1.0.9"))).toEqual([
      "unknown missing-destination",
    ]);
  });
});

describe("an external address of a node", () => {
  const addresses = [
    { type: "InternalIP", address: "192.0.2.1" },
    { type: "ExternalIP", address: "198.51.100.1" },
  ];
  const denied = policy("nothing", {
    podSelector: { matchLabels: { app: "b" } },
    egress: [{ to: [{ ipBlock: { cidr: "10.1.0.0/16" } }] }],
  });
  const [shop, , ...pods] = CLUSTER;
  const objects = [shop!, { ...node, status: { addresses } }, ...pods, denied];

  it("is perhaps translated by a cloud, so that no node port is there", async () => {
    const to = (address: string) => tell(objects, syn("10.1.0.2", address, 30_080));
    expect(await to("192.0.2.1")).toEqual(["drop rule"]);
    expect(await to("198.51.100.1")).toEqual(["unknown missing-destination"]);
    expect(await tell(objects, syn("198.51.100.1", "10.1.0.3"))).toEqual([
      "unknown missing-source",
    ]);
    expect(await tell(objects, syn("203.0.113.9", "198.51.100.1", 30_080))).toEqual([
      "unknown missing-destination",
    ]);
  });

  it("says so, and what tells it", async () => {
    const capture = buildPcap(timed([buildFrame(syn("10.1.0.3", "198.51.100.1"))]));
    const [verdict] = await judgeCapture({ compiled: compileObjects(objects), capture });
    expect(explainReason(verdict!)).toBe(
      "nothing tells whether node node-1 has its ExternalIP 198.51.100.1 itself, or a cloud translates it",
    );
    expect(remedyFor(verdict!, "frames")).toBe(
      "where the node's interface has the address, give the Node it as an InternalIP too",
    );
  });
});

describe("an address outside", () => {
  it("is no pod: a selector does not choose it", async () => {
    expect(await tell([...CLUSTER, FROM_A], syn("203.0.113.9", "10.1.0.2"))).toEqual(["drop rule"]);
  });

  it("is unknown against another outside", async () => {
    expect(await tell(CLUSTER, syn("203.0.113.9", "203.0.113.10"))).toEqual([
      "unknown no-endpoint",
    ]);
  });
});

describe("a Service", () => {
  it("is named by its port where several share an address", async () => {
    const [first, ...slices] = service([]);
    const shared = ["web", "dns"].map((name, index) => ({
      ...first!,
      metadata: { name, namespace: "shop" },
      spec: {
        clusterIP: `10.96.0.2${index}`,
        externalIPs: ["198.51.100.9"],
        ports: [{ port: index === 0 ? 80 : 53, targetPort: 8080 }],
      },
    }));
    const dns = {
      ...slices[0]!,
      metadata: {
        name: "dns-1",
        namespace: "shop",
        labels: { "kubernetes.io/service-name": "dns" },
      },
    };
    const packets = [80, 53].map((port) => buildFrame(syn("10.1.0.1", "198.51.100.9", port)));
    const verdicts = await judgeCapture({
      compiled: compileObjects([...CLUSTER, ...shared, ...slices, dns]),
      capture: buildPcap(timed(packets)),
    });
    expect(verdicts.map(({ destinationRoute }) => destinationRoute?.owner)).toEqual([
      "service shop/web",
      "service shop/dns",
    ]);
    // Of a port that none of them has: whose backends are not told.
    const [other] = await judgeCapture({
      compiled: compileObjects([...CLUSTER, ...shared, ...slices]),
      capture: buildPcap(timed([buildFrame(syn("10.1.0.1", "198.51.100.9", 100))])),
    });
    expect(explainReason(other!)).toBe(
      "the manifests do not show the backends of service shop/dns",
    );
  });

  it("has one verdict where all backends have", async () => {
    const objects = [...CLUSTER, ...service(["10.1.0.2", "10.1.0.3"])];
    expect(await tell(objects, syn("10.1.0.1", "10.96.0.20", 80))).toEqual(["allow rule"]);
  });

  it("is unknown where its backends differ", async () => {
    const objects = [...CLUSTER, FROM_A, ...service(["10.1.0.2", "10.1.0.1"])];
    expect(await tell(objects, syn("10.1.0.3", "10.96.0.20", 80))).toEqual(["unknown backend"]);
  });

  it("gives its backend away in a later packet, whose flow it stays", async () => {
    const objects = [...CLUSTER, ...service(["10.1.0.2", "10.1.0.3"])];
    const answer = { ...syn("10.1.0.3", "10.1.0.1", 40_000), sourcePort: 8080, flags: "S." };
    const capture = buildPcap(timed([syn("10.1.0.1", "10.96.0.20", 80), answer].map(buildFrame)));
    const verdicts = await judgeCapture({ compiled: compileObjects(objects), capture });
    expect(verdicts.map(({ ctState, reply }) => [ctState, reply])).toEqual([
      ["NEW", false],
      ["ESTABLISHED", true],
    ]);
    expect(verdicts[0]!.destinationRoute?.owner).toBe("service shop/web");
  });

  it("is refused without endpoints", async () => {
    expect(await tell([...CLUSTER, ...service([])], syn("10.1.0.1", "10.96.0.20", 80))).toEqual([
      "drop rule",
    ]);
  });

  it("is unknown where its endpoints were not given", async () => {
    const [alone] = service([]);
    expect(await tell([...CLUSTER, alone!], syn("10.1.0.1", "10.96.0.20", 80))).toEqual([
      "unknown no-backends",
    ]);
  });
});

describe("the endpoints of a Service that a rule names", () => {
  const egress = (name: string) => ({
    apiVersion: "projectcalico.org/v3",
    kind: "NetworkPolicy",
    metadata: { name: "p", namespace: "shop" },
    spec: {
      selector: 'app == "a"',
      types: ["Egress"],
      egress: [{ action: "Allow", protocol: "TCP", destination: { services: { name } } }],
    },
  });
  const [alone, slice] = service(["203.0.113.9"]);
  const elsewhere = syn("10.1.0.1", "203.0.113.8");
  const there = syn("10.1.0.1", "203.0.113.9");

  it("decide where they are known, be it without the Service's object", async () => {
    for (const objects of [[alone!, slice!], [slice!]]) {
      const said = await tell([...CLUSTER, egress("web"), ...objects], there, elsewhere);
      expect(said.map((one) => one.split(" ")[0])).toEqual(["allow", "drop"]);
    }
  });

  it("are a missing fact where nothing tells them, whether there is a Service or not", async () => {
    for (const objects of [[alone!], []]) {
      const said = await tell([...CLUSTER, egress("web"), ...objects], there);
      expect(said).toEqual(["unknown not-modelled"]);
    }
  });

  it("are no missing fact where another rule decides", async () => {
    const named = egress("gone");
    const open = {
      ...named,
      spec: { ...named.spec, egress: [...named.spec.egress, { action: "Allow" }] },
    };
    expect(await tell([...CLUSTER, open], there)).toEqual(["allow rule"]);
  });
});

describe("a pod and its node", () => {
  it("are never policed, another node's traffic is", async () => {
    const other = {
      ...node,
      metadata: { name: "node-2" },
      spec: {},
      status: { addresses: [{ type: "InternalIP", address: "192.0.2.2" }] },
    };
    const said = await tell(
      [...CLUSTER, other, FROM_A],
      syn("192.0.2.1", "10.1.0.2"),
      syn("192.0.2.2", "10.1.0.2"),
    );
    expect(said[0]).toMatch(/^allow/);
    expect(said[1]).toBe("drop rule");
  });
});

describe("frames cut by the snap length", () => {
  it("are unknown where the ports are missing, and judged where they are not", async () => {
    const whole = buildFrame(syn("10.1.0.1", "10.1.0.2"));
    const file = buildPcap(timed([whole]));
    const cut = new Uint8Array(24 + 16 + 34);
    cut.set(file.subarray(0, cut.length));
    new DataView(cut.buffer).setUint32(24 + 8, 34, true);
    const compiled = compileObjects(CLUSTER);
    const [verdict] = await judgeCapture({ compiled, capture: cut });
    expect([verdict!.verdict, verdict!.reason]).toEqual(["unknown", "no-ports"]);
  });
});

describe("a packet seen on two interfaces", () => {
  it("is judged once, translation or not", async () => {
    const objects = [...CLUSTER, ...service(["10.1.0.2"])];
    const there = { ...syn("10.1.0.1", "10.96.0.20", 80), id: 7 };
    const behind = { ...syn("10.1.0.1", "10.1.0.2", 8080), id: 7, ttl: 63 };
    const seen = [there, behind].map((spec, index) => ({
      bytes: buildFrame(spec),
      timestampNs: 1_000_000_000n + BigInt(index) * 50_000n,
      captureInterface: index,
    }));
    const capture = buildPcapng(seen, ["caliaaa", "calibbb"]);
    const verdicts = await judgeCapture({ compiled: compileObjects(objects), capture });
    expect(verdicts.map(({ verdict, duplicateOf }) => [verdict, duplicateOf])).toEqual([
      ["allow", undefined],
      ["allow", 1],
    ]);
  });
});

describe("an undecided packet", () => {
  const again = { ...syn("10.1.0.1", "10.1.0.9"), id: 7 };
  const twice = [0, 1].map((captureInterface) => ({
    bytes: buildFrame(again),
    timestampNs: 1_000_000_000n,
    captureInterface,
  }));

  it.each([
    ["belongs to its flow, seen twice or not", buildPcapng(twice, ["eth0", "caliaaa"]), 2, 0],
    ["belongs to none without addresses", buildPcap(timed([new Uint8Array(20)]), 147), 1, 1],
  ])("%s", async (_, capture, unknown, withoutFlow) => {
    const question = { compiled: compileObjects(CLUSTER), capture, mayBeDamaged: true };
    let totals: Totals | undefined;
    await replayCapture(question, (matcher) => (totals = matcher.totals()));
    expect(totals).toMatchObject({ verdicts: { unknown }, withoutFlow });
  });
});

describe("a flow that was under way", () => {
  const ack: PacketSpec = { ...syn("10.1.0.3", "10.1.0.2"), flags: "." };
  it.each([
    ["assume-established", "allow", true],
    ["cold", "drop", false],
  ] as const)("is, with %s, %s", async (midstream, wanted, flagged) => {
    const compiled = compileObjects([...CLUSTER, FROM_A]);
    const capture = buildPcap(timed([buildFrame(ack)]));
    const [verdict] = await judgeCapture({ compiled, capture, midstream });
    expect([verdict!.verdict, verdict!.midstream]).toEqual([wanted, flagged]);
  });

  it("is never assumed where its opening packet was dropped", async () => {
    const opening = buildFrame(syn("10.1.0.3", "10.1.0.2"));
    const compiled = compileObjects([...CLUSTER, FROM_A]);
    const capture = buildPcap(timed([opening, buildFrame(ack)]));
    const verdicts = await judgeCapture({ compiled, capture, midstream: "assume-established" });
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(["drop", "drop"]);
  });

  it("is UDP's answer to a question before the capture", async () => {
    const answer = { ...syn("10.1.0.2", "10.1.0.3", 40_000), sourcePort: 53, protocol: UDP };
    const compiled = compileObjects(CLUSTER);
    const capture = buildPcap(timed([buildFrame(answer)]));
    const [verdict] = await judgeCapture({ compiled, capture, midstream: "assume-established" });
    expect([verdict!.verdict, verdict!.midstream, verdict!.reply]).toEqual(["allow", true, true]);
  });
});
