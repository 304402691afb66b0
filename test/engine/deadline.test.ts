/**
 * Packets around the end of their connection: the kernel counts in ticks, so that within 11 ms of it nobody knows
 * whether the connection is there.
 */
import { describe, expect, it } from "vitest";

import { parseNode } from "../../src/dump/node.ts";
import type { Program } from "../../src/engine/program.ts";
import { buildFrame, buildPcapng, TCP, UDP, type PacketSpec, type TimedFrame } from "../frames.ts";
import { compileObjects, judgeCapture } from "../judge.ts";

const POD = "10.1.0.7";
const SERVER = "192.0.2.20";
const POD_SIDE = "02:00:00:00:00:11";
const OUTSIDE = "02:00:00:00:00:10";

function nodeWith(rules: readonly string[], sysctl = ""): Program {
  const links = [
    { ifname: "cali1", flags: [], link_type: "ether", address: POD_SIDE, addr_info: [] },
    { ifname: "eth0", flags: [], link_type: "ether", address: OUTSIDE, addr_info: [] },
  ];
  const routes = [
    { dst: POD, dev: "cali1" },
    { dst: "default", dev: "eth0" },
  ];
  const text = ["*filter", ":INPUT ACCEPT", ":FORWARD DROP", ":OUTPUT ACCEPT", ...rules, "COMMIT"];
  return parseNode(
    {
      ...{ ip6tables: [], ipset: [], conntrack: [], backend: undefined },
      iptables: [{ file: "r", text: `${text.join("\n")}\n`, backend: "legacy" }],
      addresses: [{ file: "a", text: JSON.stringify(links) }],
      routes: [{ file: "o", text: JSON.stringify(routes) }],
      sysctl: [{ file: "s", text: sysctl }],
    },
    (diagnostic) => {
      if (diagnostic.severity === "error") throw new Error(diagnostic.message);
    },
  );
}

const ANSWERS_ONLY = nodeWith([
  "-A FORWARD -i cali1 -j ACCEPT",
  "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT",
]);
const ASSURED_RULES = [
  "-A FORWARD -i cali1 -j ACCEPT",
  "-A FORWARD -m conntrack --ctstate ESTABLISHED --ctstatus ASSURED -j ACCEPT",
];
const ASSURED_ONLY = nodeWith(ASSURED_RULES);
const EXPIRING = nodeWith([
  "-A FORWARD -m conntrack --ctstate NEW --ctexpire 118 -j DROP",
  "-A FORWARD -i cali1 -j ACCEPT",
]);

/** The pod may send anything, and gets answers. */
const CLUSTER = compileObjects([
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "a" } },
  {
    ...{ apiVersion: "v1", kind: "Pod", metadata: { name: "client", namespace: "a" } },
    ...{ spec: {}, status: { podIP: POD, podIPs: [{ ip: POD }], phase: "Running" } },
  },
  {
    ...{ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy" },
    metadata: { name: "answers", namespace: "a" },
    spec: { podSelector: {}, policyTypes: ["Ingress"] },
  },
]);

/** Seconds, whether the pod sends it or the server, and TCP's flags. */
type Moment = readonly [seconds: number, sender: "pod" | "server", flags?: string];

async function judge(compiled: Program, moments: readonly Moment[]): Promise<string[]> {
  const frames = moments.map(([seconds, sender, flags], index): TimedFrame => {
    const asks = sender === "pod";
    const segment =
      flags === undefined
        ? { protocol: UDP }
        : { protocol: TCP, flags, seq: asks ? 1000 : 5000, ack: flags === "S" ? 0 : 1001 };
    const ends: Pick<PacketSpec, "source" | "destination"> & Partial<PacketSpec> = asks
      ? { source: POD, destination: SERVER, sourcePort: 4000, destinationPort: 5353 }
      : { source: SERVER, destination: POD, sourcePort: 5353, destinationPort: 4000 };
    const destinationMac = asks ? POD_SIDE : OUTSIDE;
    return {
      bytes: buildFrame({ ...segment, ...ends, destinationMac, id: index + 1 }),
      timestampNs: 1_000_000_000_000n + BigInt(Math.round(seconds * 1e6)) * 1000n,
      captureInterface: asks ? 0 : 1,
    };
  });
  const capture = buildPcapng(frames, ["cali1", "eth0"]);
  const verdicts = await judgeCapture({ compiled, capture });
  return verdicts.map(({ verdict, reason }) => (verdict === "unknown" ? reason : verdict));
}

const last = async (program: Program, moments: readonly Moment[]): Promise<string | undefined> =>
  (await judge(program, moments)).at(-1);

describe.each([
  ["on a node", ANSWERS_ONLY],
  ["in a cluster", CLUSTER],
])("the end of a connection %s", (_, program) => {
  it.each<readonly [seconds: number, word: string]>([
    [29.988, "allow"],
    [29.9891, "deadline"],
    [29.999, "deadline"],
    [30, "deadline"],
    [30.0109, "deadline"],
    [30.0111, "drop"],
  ])("leaves open whether what comes after %f s is an answer", async (seconds, word) => {
    const moments: Moment[] = [
      [0, "pod"],
      [seconds, "server"],
    ];
    expect(await judge(program, moments)).toEqual(["allow", word]);
  });

  it.each<readonly [seconds: number, word: string]>([
    [1.9889, "drop"],
    [1.995, "deadline"],
    [2.005, "deadline"],
    [2.0112, "allow"],
  ])("hangs on whether a packet after %f s makes a stream", async (seconds, word) => {
    const until: Moment[] = [
      [0, "pod"],
      [0.5, "server"],
      [seconds, "pod"],
    ];
    expect(await last(program, [...until, [31, "server"]])).toBe("allow");
    expect(await last(program, [...until, [40, "server"]])).toBe(word);
    expect(await last(program, [...until, [123, "server"]])).toBe("drop");
  });

  it("does not matter where another connection would begin alike", async () => {
    const moments: Moment[] = [
      [0, "pod"],
      [30, "pod"],
      [59, "server"],
      [60, "server"],
      [89.5, "pod"],
      [119.4, "server"],
    ];
    expect(await judge(program, moments)).toEqual(moments.map(() => "allow"));
  });

  it("leaves open whether what goes on had been answered", async () => {
    const moments: Moment[] = [
      [0, "pod"],
      [0.5, "server"],
      [30.5, "pod"],
      [35.5, "pod"],
    ];
    expect(await judge(program, moments)).toEqual(moments.map(() => "allow"));
    expect(await last(program, [...moments, [65, "server"]])).toBe("allow");
    expect(await last(program, [...moments, [95.5, "server"]])).toBe("deadline");
  });

  it("is as open behind a packet of which nobody knows whether it renewed it", async () => {
    const moments: Moment[] = [
      [0, "pod"],
      [30, "server"],
      [31, "server"],
      [32, "pod"],
      [33, "server"],
    ];
    expect(await judge(program, moments)).toEqual([
      ...["allow", "deadline", "deadline", "allow", "allow"],
    ]);
  });

  it.each<readonly [seconds: number, word: string]>([
    [119.98, "allow"],
    [119.995, "deadline"],
    [120.012, "drop"],
  ])("of a handshake, too, is a matter of ticks (%f s)", async (seconds, word) => {
    const moments: Moment[] = [
      [0, "pod", "S"],
      [seconds, "server", "S."],
    ];
    expect(await judge(program, moments)).toEqual(["allow", word]);
  });
});

describe("what rules ask about the end", () => {
  it("leaves open whether a flow around its second second is assured", async () => {
    const until: Moment[] = [
      [0, "pod"],
      [0.5, "server"],
    ];
    expect(await judge(ASSURED_ONLY, [...until, [1.98, "server"]])).toEqual([
      ...["allow", "drop", "drop"],
    ]);
    expect(await last(ASSURED_ONLY, [...until, [2.005, "server"]])).toBe("deadline");
    expect(await last(ASSURED_ONLY, [...until, [2.005, "server"], [2.02, "server"]])).toBe("allow");
  });

  it("does so where streams live no longer than others, too", async () => {
    const sysctl = "net.netfilter.nf_conntrack_udp_timeout = 120";
    const moments: Moment[] = [
      [0, "pod"],
      [0.5, "server"],
      [2.005, "server"],
    ];
    expect(await last(nodeWith(ASSURED_RULES, sysctl), moments)).toBe("deadline");
  });

  it("counts seconds that are left in ticks", async () => {
    for (const [seconds, word] of [
      [0.5, "allow"],
      [0.995, "deadline"],
      [1.02, "drop"],
    ] as const) {
      const moments: Moment[] = [
        [0, "pod", "S"],
        [seconds, "pod", "S"],
      ];
      expect(await last(EXPIRING, moments)).toBe(word);
    }
  });
});

describe("a cluster's connection that perhaps took another's place", () => {
  const pod = (name: string, podIP: string): object => ({
    ...{ apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "a", labels: { app: name } } },
    ...{ spec: {}, status: { podIP, podIPs: [{ ip: podIP }], phase: "Running" } },
  });
  const service = {
    ...{ apiVersion: "v1", kind: "Service", metadata: { name: "dns", namespace: "a" } },
    spec: { clusterIP: "10.96.0.10", ports: [{ port: 53, protocol: "UDP" }] },
  };
  const endpoints = {
    ...{ apiVersion: "v1", kind: "Endpoints", metadata: service.metadata },
    subsets: [
      {
        addresses: [{ ip: "10.1.0.53" }, { ip: "10.1.0.54" }],
        ports: [{ port: 53, protocol: "UDP" }],
      },
    ],
  };
  const asker = compileObjects([
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "a" } },
    ...[pod("client", POD), pod("one", "10.1.0.53"), pod("other", "10.1.0.54"), service, endpoints],
    {
      ...{ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy" },
      metadata: { name: "answers", namespace: "a" },
      spec: { podSelector: { matchLabels: { app: "client" } }, policyTypes: ["Ingress"] },
    },
  ]);

  async function ask(moments: readonly (readonly [seconds: number, peer: string])[]) {
    const frames = moments.map(([seconds, peer], index): TimedFrame => {
      const ends =
        peer === "10.96.0.10"
          ? { source: POD, destination: peer, sourcePort: 4000, destinationPort: 53 }
          : { source: peer, destination: POD, sourcePort: 53, destinationPort: 4000 };
      return {
        bytes: buildFrame({ ...ends, protocol: UDP, id: index + 1 }),
        timestampNs: BigInt(Math.round(1e6 + seconds * 1e6)) * 1000n,
        captureInterface: 0,
      };
    });
    const capture = buildPcapng(frames, ["eth0"]);
    const verdicts = await judgeCapture({ compiled: asker, capture });
    return verdicts.map(({ verdict, reason }) => (verdict === "unknown" ? reason : verdict));
  }

  it("may have drawn another backend", async () => {
    const before = [
      [0, "10.96.0.10"],
      [0.5, "10.1.0.53"],
    ] as const;
    const after = [
      [30.6, "10.1.0.54"],
      [30.7, "10.1.0.53"],
    ] as const;
    expect(await ask([...before, [30.5, "10.96.0.10"], ...after])).toEqual([
      ...["allow", "allow", "allow", "deadline", "deadline"],
    ]);
    expect(await ask([...before, [30.52, "10.96.0.10"], ...after])).toEqual([
      ...["allow", "allow", "allow", "allow", "drop"],
    ]);
  });

  it("is not settled by a backend that may speak without one", async () => {
    const moments = [
      [0, "10.96.0.10"],
      [30, "10.1.0.53"],
      [40, "10.1.0.53"],
    ] as const;
    expect(await ask(moments)).toEqual(["allow", "deadline", "deadline"]);
  });

  it("may have begun with the same SYN", async () => {
    const moments: Moment[] = [
      [0, "pod", "S"],
      [0.1, "server", "S."],
      [60.1, "pod", "S"],
      [60.2, "server", "S."],
    ];
    expect(await judge(CLUSTER, moments)).toEqual(["allow", "allow", "allow", "deadline"]);
  });
});
