/** Session affinity: what a node remembers of a client decides where its next connection goes. */
import { describe, expect, it } from "vitest";
import { buildPacket, buildPcap, START_NS, TCP, type PacketSpec } from "../frames.ts";
import { compileObjects, judgeCapture } from "../judge.ts";

const LINK_TYPE_RAW = 101;
const PATIENCE = 60;

const node = (name: string, index: number) => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name },
  spec: { podCIDRs: [`10.244.${index}.0/24`] },
  status: { addresses: [{ type: "InternalIP", address: `192.168.7.${index}` }] },
});
const pod = (name: string, ip: string, nodeName: string) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "a", labels: { app: name } },
  spec: { nodeName, containers: [] },
  status: { phase: "Running", podIPs: [{ ip }] },
});

/** Two backends: `open` takes everybody, `shut` nobody. The rules ask for `open` first. */
const OPEN = "10.244.1.10";
const SHUT = "10.244.2.20";
const CLIENT = "10.244.1.5";
const NEIGHBOUR = "10.244.1.6";
const FAR = "10.244.2.5";
const OUTSIDE = "198.51.100.7";
const SERVICE = "10.96.0.10";
const BALANCER = "203.0.113.1";
const NODE_1 = "192.168.7.1";

const cluster = (spec: object, shutNode: string) => [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "a" } },
  node("node-1", 1),
  node("node-2", 2),
  node("node-3", 3),
  pod("client", CLIENT, "node-1"),
  pod("neighbour", NEIGHBOUR, "node-1"),
  pod("far", FAR, "node-2"),
  pod("further", "10.244.2.6", "node-2"),
  pod("open", OPEN, "node-1"),
  pod("shut", SHUT, shutNode),
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "a" },
    spec: {
      type: "LoadBalancer",
      clusterIP: SERVICE,
      clusterIPs: [SERVICE],
      sessionAffinity: "ClientIP",
      sessionAffinityConfig: { clientIP: { timeoutSeconds: PATIENCE } },
      ports: [{ port: 80, targetPort: 8080, nodePort: 30080 }],
      ...spec,
    },
    status: { loadBalancer: { ingress: [{ ip: BALANCER }] } },
  },
  {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "web-1", namespace: "a", labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    endpoints: [
      { addresses: [OPEN], nodeName: "node-1", conditions: { ready: true } },
      { addresses: [SHUT], nodeName: shutNode, conditions: { ready: true } },
    ],
    ports: [{ port: 8080, protocol: "TCP" }],
  },
  {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "nobody", namespace: "a" },
    spec: { podSelector: { matchLabels: { app: "shut" } }, policyTypes: ["Ingress"] },
  },
];

/** A packet, and the seconds from the capture's begin. */
interface Moment {
  readonly at: number;
  readonly spec: PacketSpec;
  /** Of its bytes only so many were captured. */
  readonly captured?: number;
}

const connect = (
  at: number,
  source: string,
  sourcePort: number,
  destination = SERVICE,
): Moment => ({
  at,
  spec: {
    source,
    destination,
    protocol: TCP,
    sourcePort,
    destinationPort: destination.startsWith("192.168.") ? 30080 : 80,
  },
});

/** The packet behind the translation. */
const shown = (at: number, source: string, sourcePort: number, backend: string): Moment => ({
  at,
  spec: { source, destination: backend, protocol: TCP, sourcePort, destinationPort: 8080 },
});

/** The backend's answer, before the translation is taken back. */
const answered = (at: number, client: string, port: number, backend: string): Moment => ({
  at,
  spec: {
    source: backend,
    destination: client,
    protocol: TCP,
    sourcePort: 8080,
    destinationPort: port,
    flags: "S.",
    ack: 1,
  },
});

/** Of no Service: it begins the capture. */
const beginning = (at: number): Moment => connect(at, "203.0.113.99", 9, "203.0.113.98");

/** Unless the capture begins later, what nodes remember from before it is over. */
async function tell(
  moments: readonly Moment[],
  {
    spec = {},
    shutNode = "node-2",
    begins = -2 * PATIENCE,
    node,
    rollout,
  }: {
    readonly spec?: object;
    readonly shutNode?: string;
    readonly begins?: number;
    readonly node?: string | undefined;
    /** Before this one of the moments the Service becomes another. */
    readonly rollout?: { readonly before: number; readonly spec: object };
  } = {},
): Promise<string[]> {
  const capture = buildPcap(
    [beginning(begins), ...moments].map((moment) => ({
      bytes: buildPacket(moment.spec),
      captured: moment.captured,
      timestampNs: START_NS + BigInt(Math.round(moment.at * 1e6)) * 1000n,
    })),
    LINK_TYPE_RAW,
  );
  const compiled = compileObjects(cluster(spec, shutNode), node);
  const turn =
    rollout === undefined
      ? {}
      : {
          turn: {
            packet: rollout.before + 1,
            program: compileObjects(cluster(rollout.spec, shutNode), node),
          },
        };
  const verdicts = await judgeCapture({ compiled, capture, ...turn });
  return verdicts.slice(1).map(({ verdict }) => verdict);
}

const onOneNode = { shutNode: "node-1", spec: { externalTrafficPolicy: "Local" } };

describe("session affinity", () => {
  it.each([undefined, "node-2"])(
    "is learnt from the backend that shows (--node %s)",
    async (node) => {
      const said = await tell(
        [
          connect(0, FAR, 1),
          shown(0.01, FAR, 1, SHUT),
          connect(1, FAR, 2),
          connect(2, "10.244.2.6", 3),
          answered(2.01, "10.244.2.6", 3, OPEN),
          connect(3, "10.244.2.6", 4),
          connect(4, FAR, 5),
        ],
        { node },
      );
      expect(said).toEqual(["unknown", "drop", "drop", "unknown", "allow", "allow", "drop"]);
    },
  );

  it("lives on where rules are replaced, by the new ones' terms", async () => {
    const moments = [
      connect(0, FAR, 1),
      shown(0.01, FAR, 1, SHUT),
      connect(20, FAR, 2),
      connect(50, FAR, 3),
    ];
    const patience = (timeoutSeconds: number) => ({
      sessionAffinityConfig: { clientIP: { timeoutSeconds } },
    });
    const after = (before: number, spec: object): Promise<string[]> =>
      tell(moments, { node: "node-2", rollout: { before, spec } });
    expect(await after(3, {})).toEqual(["unknown", "drop", "drop", "drop"]);
    const withoutNodePort = { ports: [{ port: 80, targetPort: 8080 }] };
    expect(await after(3, withoutNodePort)).toEqual(["unknown", "drop", "drop", "drop"]);
    expect(await after(3, patience(10))).toEqual(["unknown", "drop", "unknown", "unknown"]);
    expect(await after(4, patience(40))).toEqual(["unknown", "drop", "drop", "drop"]);
    expect(await after(4, patience(25))).toEqual(["unknown", "drop", "drop", "unknown"]);
    const forgetful = { sessionAffinity: "None", sessionAffinityConfig: undefined };
    expect(await after(4, forgetful)).toEqual(["unknown", "drop", "drop", "unknown"]);
  });

  it("is forgotten where rules are replaced of a cluster that is seen as one", async () => {
    const moments = [connect(0, FAR, 1), shown(0.01, FAR, 1, SHUT), connect(20, FAR, 2)];
    const said = await tell(moments, { rollout: { before: 3, spec: {} } });
    expect(said).toEqual(["unknown", "drop", "unknown"]);
  });

  it("is not remembered from before there were rules that keep it", async () => {
    const moments = [connect(0, FAR, 1), shown(0.01, FAR, 1, SHUT), connect(20, FAR, 2)];
    const forgetful = { sessionAffinity: "None", sessionAffinityConfig: undefined };
    const rollout = { before: 3, spec: {} };
    const said = await tell(moments, { spec: forgetful, node: "node-2", rollout });
    expect(said).toEqual(["unknown", "drop", "unknown"]);
  });

  it("is not known of a client whose backends never show", async () => {
    const said = await tell([connect(0, CLIENT, 1), connect(1, CLIENT, 2)]);
    expect(said).toEqual(["unknown", "unknown"]);
  });

  it("holds for timeoutSeconds from the last connection, and is unknown at the very end", async () => {
    const begin = [connect(0, CLIENT, 1), shown(0.01, CLIENT, 1, SHUT), connect(50, CLIENT, 2)];
    for (const [at, word] of [
      [109.98, "drop"],
      [109.995, "unknown"],
      [110, "unknown"],
      [110.005, "unknown"],
      [110.02, "unknown"],
    ] as const) {
      expect((await tell([...begin, connect(at, CLIENT, 3)])).at(-1), `after ${at} s`).toBe(word);
    }
  });

  it("counts from the first packet, whenever the backend shows", async () => {
    const said = await tell([
      connect(0, CLIENT, 1),
      shown(40, CLIENT, 1, SHUT),
      connect(59, CLIENT, 2),
      connect(118, CLIENT, 3),
      connect(179, CLIENT, 4),
    ]);
    expect(said).toEqual(["unknown", "drop", "drop", "drop", "unknown"]);
  });

  it("tells of connections that came between where the first was sent", async () => {
    const said = await tell([
      connect(0, CLIENT, 1),
      connect(1, CLIENT, 2),
      connect(2, CLIENT, 3),
      shown(2.01, CLIENT, 1, OPEN),
      connect(3, CLIENT, 4),
    ]);
    expect(said).toEqual(["unknown", "unknown", "unknown", "allow", "allow"]);
  });

  it("is each node's own, and each client's", async () => {
    const said = await tell(
      [
        connect(0, OUTSIDE, 1, NODE_1),
        shown(0.01, OUTSIDE, 1, SHUT),
        connect(1, OUTSIDE, 2, NODE_1),
        connect(2, "198.51.100.8", 3, NODE_1),
        connect(3, CLIENT, 4),
      ],
      onOneNode,
    );
    expect(said).toEqual(["unknown", "drop", "drop", "unknown", "unknown"]);
  });

  it("holds where a load balancer has one node to send to", async () => {
    const said = await tell(
      [
        connect(0, OUTSIDE, 1, NODE_1),
        shown(0.01, OUTSIDE, 1, SHUT),
        connect(1, OUTSIDE, 2, BALANCER),
      ],
      onOneNode,
    );
    expect(said).toEqual(["unknown", "drop", "drop"]);
  });

  it("is not guessed where it is not known by which node an outside client comes", async () => {
    const moments = [
      connect(0, OUTSIDE, 1, NODE_1),
      shown(0.01, OUTSIDE, 1, OPEN),
      connect(1, OUTSIDE, 2, SERVICE),
    ];
    expect(await tell(moments, onOneNode)).toEqual(["unknown", "allow", "unknown"]);
  });

  it("leads from the node's own backends to the same one among all", async () => {
    const said = await tell(
      [
        connect(0, CLIENT, 1),
        connect(1, CLIENT, 2, BALANCER),
        connect(2, NEIGHBOUR, 3, BALANCER),
        shown(2.01, NEIGHBOUR, 3, SHUT),
        connect(3, NEIGHBOUR, 4),
        connect(4, NEIGHBOUR, 5, BALANCER),
      ],
      { spec: { internalTrafficPolicy: "Local" } },
    );
    expect(said).toEqual(["allow", "allow", "unknown", "drop", "allow", "allow"]);
  });

  it("is not known where a client may have been sent before it was sent elsewhere for certain", async () => {
    const said = await tell(
      [connect(0, FAR, 1, BALANCER), connect(1, FAR, 2), connect(2, FAR, 3, BALANCER)],
      { spec: { internalTrafficPolicy: "Local" } },
    );
    expect(said).toEqual(["unknown", "drop", "unknown"]);
  });

  it("is not known of what nodes remember from before the capture", async () => {
    const moments = [connect(0, FAR, 1), connect(1, FAR, 2, BALANCER)];
    const spec = { internalTrafficPolicy: "Local" };
    expect(await tell(moments, { spec })).toEqual(["drop", "drop"]);
    expect(await tell(moments, { spec, begins: -30 })).toEqual(["drop", "unknown"]);
  });

  it("is forgotten where a hundred others came", async () => {
    const others = (count: number): Moment[] =>
      Array.from({ length: count }, (_, index) =>
        connect(1 + index / 10, `198.51.100.${100 + index}`, index + 10, NODE_1),
      );
    const begin = [connect(0, OUTSIDE, 1, NODE_1), shown(0.01, OUTSIDE, 1, SHUT)];
    const again = connect(20, OUTSIDE, 2, NODE_1);
    expect((await tell([...begin, ...others(99), again], onOneNode)).at(-1)).toBe("drop");
    expect((await tell([...begin, ...others(100), again], onOneNode)).at(-1)).toBe("unknown");
  });

  it("is forgotten where a hundred others may have come, of whom nothing else is known", async () => {
    const begin = [connect(0, OUTSIDE, 1, NODE_1), shown(0.01, OUTSIDE, 1, OPEN)];
    const again = connect(20, OUTSIDE, 2, NODE_1);
    // Their ports were not captured. To a node's address it may have been anybody, to another it was they.
    for (const destination of [NODE_1, BALANCER]) {
      const others = (count: number): Moment[] =>
        Array.from({ length: count }, (_, index) => ({
          ...connect(1 + index / 10, `198.51.100.${100 + index}`, index + 10, destination),
          captured: 20,
        }));
      expect((await tell([...begin, ...others(99), again], onOneNode)).at(-1)).toBe("allow");
      expect((await tell([...begin, ...others(100), again], onOneNode)).at(-1)).toBe("unknown");
    }
  });

  it("is forgotten where a hundred others came before the backend showed", async () => {
    const others = Array.from({ length: 100 }, (_, index) =>
      connect(1 + index / 10, `198.51.100.${100 + index}`, index + 10, NODE_1),
    );
    const begin = [connect(0, OUTSIDE, 1, NODE_1), ...others, shown(19, OUTSIDE, 1, SHUT)];
    const again = connect(20, OUTSIDE, 2, NODE_1);
    expect((await tell([...begin, again], onOneNode)).at(-1)).toBe("unknown");
  });
});
