/**
 * Random packets by the ways of a cluster that random traffic between pods does not take: nodes' addresses, node ports,
 * copies behind translations, TTLs that end, answers to nobody. `judgeCapture` compares the short way, the walk,
 * counting alone, and several workers.
 */
import { describe, expect, it } from "vitest";
import {
  buildFrame,
  buildPcap,
  buildPcapng,
  START_NS,
  TCP,
  UDP,
  type PacketSpec,
  type TimedFrame,
} from "../frames.ts";
import { compileObjects, judgeCapture } from "../judge.ts";
import { makeRandom, type Random } from "../random.ts";

const NODES = [
  ["n1", "192.0.2.1"],
  ["n2", "192.0.2.2"],
] as const;
const PODS = [
  ["client", "10.1.1.1", "n1"],
  ["web", "10.1.1.2", "n1"],
  ["far", "10.1.2.1", "n2"],
] as const;
const CLIENTS = ["203.0.113.9", "203.0.113.99", "198.51.100.7", "0.0.0.0"];
const FRONTS = ["10.96.0.20", "203.0.113.50", "224.0.0.5"];
const ENDS = [...CLIENTS, ...FRONTS, ...[...NODES, ...PODS].map(([, address]) => address)];
const SERVED = [80, 8080, 30_080, 53, 8053, 30_053, 443, 8081];

function randomObjects(random: Random): object[] {
  const policy = (name: string, spec: object): object => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name, namespace: "shop" },
    spec,
  });
  const from = (...peers: object[]): object[] => [{ from: peers, ports: [{ port: 8080 }] }];
  const ingress = random.pick([
    [],
    [{}],
    from({ podSelector: {} }),
    from({ ipBlock: { cidr: "203.0.113.0/24", except: ["203.0.113.8/29"] } }),
    from({ ipBlock: { cidr: "192.0.2.0/24" } }),
  ]);
  const egress = random.pick([[], [{ to: [{ podSelector: {} }] }], [{ ports: [{ port: 8080 }] }]]);
  const optional = [
    policy("in", { podSelector: { matchLabels: { app: "web" } }, ingress }),
    policy("out", { podSelector: {}, policyTypes: ["Egress"], egress }),
    {
      apiVersion: "projectcalico.org/v3",
      kind: "IPPool",
      metadata: { name: "pods" },
      spec: { cidr: "10.1.0.0/16", natOutgoing: random.chance(0.5) },
    },
  ];
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
    ...NODES.map(([name, address], index) => ({
      apiVersion: "v1",
      kind: "Node",
      metadata: { name },
      spec: { podCIDRs: [`10.1.${index + 1}.0/24`] },
      status: { addresses: [{ type: "InternalIP", address }] },
    })),
    ...PODS.map(([app, ip, nodeName]) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: app, namespace: "shop", labels: { app } },
      spec: { nodeName, containers: [] },
      status: { podIPs: [{ ip }] },
    })),
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace: "shop" },
      spec: {
        type: "LoadBalancer",
        clusterIP: "10.96.0.20",
        externalTrafficPolicy: random.pick(["Cluster", "Local"]),
        sessionAffinity: random.pick(["None", "None", "ClientIP"]),
        selector: { app: random.pick(["web", "far"]) },
        ports: [
          { name: "tcp", port: 80, targetPort: 8080, nodePort: 30_080 },
          { name: "udp", protocol: "UDP", port: 53, targetPort: 8053, nodePort: 30_053 },
        ],
      },
      status: { loadBalancer: { ingress: [{ ip: "203.0.113.50" }] } },
    },
    ...optional.filter(() => random.chance(0.5)),
  ];
}

/** A new packet, one as a node may have made it of the last, or an answer to that. */
function randomPacket(random: Random, last: PacketSpec | undefined): PacketSpec {
  const protocol = random.pick([TCP, TCP, UDP]);
  const fresh: PacketSpec = {
    source: random.pick(ENDS),
    destination: random.pick(ENDS),
    protocol,
    sourcePort: random.pick([40_000, 40_001, 8080, 30_080]),
    destinationPort: random.pick(SERVED),
    ...(protocol === TCP ? { flags: random.pick(["S", "S", "S", ".", "R"]) } : {}),
    seq: random.below(4) * 1000,
    ttl: random.pick([64, 64, 63, 128, 127, 2, 1, 255, 61]),
    id: random.below(3),
  };
  if (last === undefined || random.chance(0.4)) return fresh;
  if (random.chance(0.5)) {
    return {
      ...last,
      ttl: Math.max(0, (last.ttl ?? 64) - random.below(2)),
      ...(random.chance(0.5) ? { source: "192.0.2.1", sourcePort: 50_000 } : {}),
      ...(random.chance(0.5) ? { destination: "10.1.1.2", destinationPort: 8080 } : {}),
    };
  }
  return {
    ...last,
    source: last.destination,
    destination: last.source,
    sourcePort: last.destinationPort,
    destinationPort: last.sourcePort,
    ...(last.protocol === TCP ? { flags: random.pick(["S.", ".", "R.", "F."]) } : {}),
    seq: random.below(5),
    ack: (last.seq ?? 0) + 1,
    ttl: random.pick([64, 63]),
  };
}

describe("random packets by every way of a cluster", () => {
  it.each([1, 2, 3, 4])("come to the same however they are judged: seed %i", async (seed) => {
    const random = makeRandom(seed);
    for (let round = 0; round < 15; round++) {
      const node = random.pick([undefined, undefined, undefined, "n1"]);
      const compiled = compileObjects(randomObjects(random), node);
      const several = random.chance(0.6);
      const packets: PacketSpec[] = [];
      while (packets.length < 60) packets.push(randomPacket(random, packets.at(-1)));
      let timestampNs = START_NS;
      const frames = packets.map((spec) => {
        timestampNs += random.pick([20_000n, 50_000n, 3_000_000n, 20_000_000n]);
        const captureInterface = several ? random.below(3) : 0;
        return { bytes: buildFrame(spec), timestampNs, captureInterface };
      });
      const capture = several
        ? buildPcapng(frames, ["eth0", "cali1", undefined])
        : buildPcap(frames);
      const midstream = random.pick(["cold", "assume-established"] as const);
      const verdicts = await judgeCapture({ compiled, capture, midstream });
      expect(verdicts).toHaveLength(packets.length);
    }
  });
});

/** A conversation as both sides of a node see it: with the ends' own addresses, and with those that it makes of them. */
interface Conversation {
  readonly protocol: number;
  readonly client: readonly [string, number];
  readonly asked: readonly [string, number];
  readonly masqueraded: readonly [string, number];
  readonly server: readonly [string, number];
}

function randomConversation(random: Random): Conversation {
  const protocol = random.pick([TCP, TCP, UDP]);
  const [front, nodePort, back] = protocol === TCP ? [80, 30_080, 8080] : [53, 30_053, 8053];
  const client = [random.pick([...CLIENTS, "10.1.1.1"]), random.pick([40_000, 40_001])] as const;
  const server = [random.pick(["10.1.1.2", "10.1.2.1"]), back] as const;
  const outside = ["198.51.100.8", 443] as const;
  const [asked, leads] = random.pick([
    [["10.96.0.20", front], true],
    [["192.0.2.1", nodePort], true],
    [server, false],
    [outside, false],
  ] as const);
  const masqueraded = random.chance(0.5) ? (["192.0.2.1", 50_000] as const) : client;
  return { protocol, client, asked, masqueraded, server: leads ? server : asked };
}

/** One packet of it, arriving and leaving; TCP's numbers and identifications seldom differ. */
function sightsOf(random: Random, one: Conversation, step: number): [PacketSpec, PacketSpec] {
  const answers = step > 0 && random.chance(0.5);
  const flags =
    step === 0 ? "S" : answers ? random.pick(["S.", ".", "F."]) : random.pick([".", "S", "R"]);
  const common = {
    protocol: one.protocol,
    ...(one.protocol === TCP ? { flags, seq: step, ack: answers ? 1 : 0 } : {}),
    id: random.below(4),
  };
  const ttl = random.pick([64, 64, 128, 60, 3, 2]);
  const between = (
    [source, sourcePort]: readonly [string, number],
    [destination, destinationPort]: readonly [string, number],
    left: number,
  ): PacketSpec => ({ ...common, source, sourcePort, destination, destinationPort, ttl: left });
  return answers
    ? [between(one.server, one.masqueraded, ttl), between(one.asked, one.client, ttl - 1)]
    : [between(one.client, one.asked, ttl), between(one.masqueraded, one.server, ttl - 1)];
}

/** Linux cooked v2. */
function cooked(frame: Uint8Array, direction: "in" | "out", interfaceIndex: number): Uint8Array {
  const head = [8, 0, 0, 0, 0, 0, 0, interfaceIndex, 0, 1, direction === "in" ? 0 : 4, 6];
  return Uint8Array.of(...head, ...Array<number>(8).fill(0), ...frame.subarray(14));
}

describe("random conversations by -i any", () => {
  it.each([5, 6, 7])("come to the same however they are judged: seed %i", async (seed) => {
    const random = makeRandom(seed);
    let again = 0;
    for (let round = 0; round < 15; round++) {
      const node = random.pick([undefined, undefined, "n1"]);
      const compiled = compileObjects(randomObjects(random), node);
      const conversations = Array.from({ length: 4 }, () => randomConversation(random));
      const steps = conversations.map(() => 0);
      const frames: TimedFrame[] = [];
      let timestampNs = START_NS;
      while (frames.length < 100) {
        const which = random.below(conversations.length);
        const sights = sightsOf(random, conversations[which]!, steps[which]!++);
        for (const [index, sight] of sights.entries()) {
          if (random.chance(0.15)) continue;
          timestampNs += random.pick([5000n, 50_000n, 50_000n, 3_000_000n, 20_000_000n]);
          const bytes = cooked(buildFrame(sight), index === 0 ? "in" : "out", 2 + index);
          frames.push({ bytes, timestampNs });
        }
      }
      const midstream = random.pick(["cold", "assume-established"] as const);
      const capture = buildPcap(frames, LINUX_SLL2);
      const verdicts = await judgeCapture({ compiled, capture, midstream });
      again += verdicts.filter(({ duplicateOf }) => duplicateOf !== undefined).length;
    }
    expect(again).toBeGreaterThan(100);
  });
});

const LINUX_SLL2 = 276;
