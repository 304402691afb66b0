/**
 * Conversations as captures are full of, whose packets go the straight way, and between them all that keeps a packet
 * from it: `judgeCapture` counts them without records of their own, and fails where that comes to something else.
 */
import { describe, expect, it } from "vitest";
import { parseNode } from "../../src/dump/node.ts";
import type { Program } from "../../src/engine/program.ts";
import { buildFrame, buildPcapng, TCP, UDP, type PacketSpec, type TimedFrame } from "../frames.ts";
import { compileObjects, judgeCapture, replayCapture } from "../judge.ts";
import { makeRandom, type Random } from "../random.ts";
import { randomAttempt, randomWorld, worldObjects } from "../random-cluster.ts";

const SEEDS = [1, 2, 3, 4];
const FLOWS = 24;
const PACKETS = 1600;
/** Ports to which nothing gets through by itself: of TCP, and of UDP. */
const CLOSED: readonly number[] = [81, 54];
const MACS = ["02:00:00:00:00:10", "02:00:00:00:00:11"] as const;
const PEERS = ["02:00:00:00:00:66", "02:00:00:00:00:77"] as const;

/** Both ends of a conversation, and where each of them has got to. */
interface Conversation {
  readonly ends: PacketSpec;
  readonly next: [number, number];
  step: number;
}

/** The next packet: mostly what TCP and UDP send, now and then what they should not. */
function nextPacket(random: Random, talk: Conversation): PacketSpec {
  const { ends, next } = talk;
  const refused = CLOSED.includes(ends.destinationPort!);
  const opening = ends.protocol === TCP && talk.step < 3;
  const side = refused && random.chance(0.9) ? 0 : opening ? talk.step % 2 : random.below(2);
  talk.step += 1;
  const there = side === 0;
  const payload = new Uint8Array(opening ? 0 : random.below(6));
  const odd = random.below(40);
  const flags = refused
    ? random.pick(["S", "S", "S", "SE", "SU", "."])
    : opening
      ? ["S", "S.", "."][talk.step - 1]
      : random.pick([".", ".", "P.", ".U", ".E"]);
  const packet: PacketSpec = {
    ...ends,
    ...(there
      ? {}
      : {
          ...{ source: ends.destination, destination: ends.source },
          ...{ sourcePort: ends.destinationPort, destinationPort: ends.sourcePort },
        }),
    flags: odd === 0 ? random.pick(["F.", "R", "R.", "S", "SF", "S.", "P."]) : flags,
    seq: next[side]! + (odd === 1 ? random.pick([-70_000, -1, 1, 70_000, 2 ** 31]) : 0),
    ack: next[1 - side]! + (odd === 2 ? random.pick([-70_000, 1, 100_000]) : 0),
    window: odd === 3 ? 0 : 1000 + random.below(3),
    ttl: odd === 4 ? 1 : 64,
    ...(odd === 5 ? { tcpOptions: new Uint8Array([1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9]) } : {}),
    ...(opening && talk.step < 3 && ends.sourcePort! % 2 === 0
      ? { tcpOptions: new Uint8Array([3, 3, 2, 1]) }
      : {}),
    payload,
    id: random.below(65_536),
  };
  const counted = ends.protocol === TCP && /[SF]/u.test(packet.flags ?? "") ? 1 : 0;
  // What was sent again is not counted twice.
  if (odd > 7) next[side] = (next[side]! + payload.length + counted) >>> 0;
  return packet;
}

/** Conversations between pairs of ends, by one interface at first and by two later on. */
function conversations(random: Random, ends: readonly PacketSpec[], macs: boolean): TimedFrame[] {
  const talks = ends.map((each): Conversation => {
    const next: [number, number] = [random.below(2 ** 32), random.below(2 ** 32)];
    return { ends: each, next, step: 0 };
  });
  const frames: TimedFrame[] = [];
  let time = 1_700_000_000_000_000_000n;
  for (let index = 0; index < PACKETS; index++) {
    // Connections expire: of UDP in half a minute, of TCP that is not answered in five.
    const gap = random.below(200) === 0 ? random.pick([20, 31, 121, 301]) : 0;
    time += BigInt(gap) * 1_000_000_000n + BigInt(random.below(900)) * 1000n;
    const packet = nextPacket(random, random.pick(talks));
    const by = index > PACKETS / 2 ? random.below(2) : 0;
    const addressed = macs
      ? random.chance(0.9)
        ? { sourceMac: PEERS[by]!, destinationMac: MACS[by]! }
        : { sourceMac: MACS[by]!, destinationMac: PEERS[by]! }
      : {};
    // Some are cut, where a TCP header without options has its last bytes.
    const captured = random.chance(0.2) ? 48 + random.below(8) : undefined;
    frames.push({
      bytes: buildFrame({ ...packet, ...addressed }),
      timestampNs: time,
      ...{ captured, captureInterface: by },
    });
    if (index < PACKETS / 2 - 20 || !random.chance(0.2)) continue;
    // The same behind the next interface.
    const leaving = macs ? { sourceMac: MACS[1 - by]!, destinationMac: PEERS[1 - by]! } : {};
    const bytes = buildFrame({ ...packet, ...leaving, ttl: (packet.ttl ?? 64) - 1 || 1 });
    frames.push({ bytes, timestampNs: time + 1000n, captured, captureInterface: 1 - by });
  }
  return frames;
}

function nodeProgram(): Program {
  const link = (index: number, local: string): object => ({
    ...{
      ifname: `eth${index}`,
      ifindex: 2 + index,
      flags: ["BROADCAST", "UP"],
      link_type: "ether",
    },
    address: MACS[index]!,
    addr_info: [{ family: "inet", local, prefixlen: 24, scope: "global" }],
  });
  const text = [
    ...["*mangle", ":PREROUTING ACCEPT [0:0]", "-A PREROUTING -j CONNMARK --restore-mark"],
    ...["-A PREROUTING -p udp -m udp --sport 1003 -j CONNMARK --set-xmark 0x1/0x1"],
    // A connection's mark may be another with each segment.
    "-A PREROUTING -p tcp -m tcp --tcp-flags URG URG -j CONNMARK --set-xmark 0x2/0x2",
    "-A PREROUTING -p tcp -m tcp --tcp-flags PSH PSH -j CONNMARK --set-xmark 0x0/0x2",
    "COMMIT",
    ...["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD DROP [0:0]"],
    "-A FORWARD -m conntrack --ctstate INVALID -j DROP",
    "-A FORWARD -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m tcp --dport 80 -j ACCEPT",
    "-A FORWARD -m mark --mark 0x1 -j DROP",
    "-A FORWARD -m connmark --mark 0x2 -j DROP",
    "-A FORWARD -p tcp -m tcp --tcp-flags PSH PSH -j ACCEPT",
    "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT",
    "-A FORWARD -p udp -m udp --dport 53 -j ACCEPT",
    ...["COMMIT", ""],
  ].join("\n");
  return parseNode(
    {
      ...{ ip6tables: [], ipset: [], routes: [], backend: undefined },
      iptables: [{ file: "rules", text, backend: "legacy" }],
      addresses: [
        { file: "a", text: JSON.stringify([link(0, "192.0.2.1"), link(1, "198.51.100.1")]) },
      ],
    },
    (diagnostic) => {
      if (diagnostic.severity === "error") throw new Error(diagnostic.message);
    },
  );
}

async function straightOf(question: Parameters<typeof replayCapture>[0]): Promise<number> {
  let straight = 0;
  await replayCapture({ ...question, packetsWanted: false }, (matcher) => {
    straight = matcher.straight();
  });
  return straight;
}

describe.each(SEEDS)("packets that go the straight way, seed %i", (seed) => {
  it("come to what a node's rules say", async () => {
    const random = makeRandom(seed);
    const ends = Array.from({ length: FLOWS }, (_, index): PacketSpec => {
      const protocol = index % 2 === 0 ? TCP : UDP;
      return {
        ...{ source: `192.0.2.${10 + (index % 5)}`, destination: `198.51.100.${20 + (index % 3)}` },
        ...{ protocol, sourcePort: 1000 + index },
        destinationPort: (protocol === TCP ? 80 : 53) + (index % 6 < 2 ? 1 : 0),
      };
    });
    const capture = buildPcapng(conversations(random, ends, true), ["eth0", "eth1"]);
    const verdicts = await judgeCapture({ compiled: nodeProgram(), capture });
    const words = new Set(verdicts.map(({ verdict }) => verdict));
    expect(words).toContain("allow");
    expect(words).toContain("drop");
    expect(verdicts.some(({ duplicateOf }) => duplicateOf !== undefined)).toBe(true);
    const straight = await straightOf({ compiled: nodeProgram(), capture });
    expect(straight).toBeGreaterThan(verdicts.length / 5);
  });

  it.each(["cold", "assume-established"] as const)(
    "come to what a cluster's policies say, %s",
    async (midstream) => {
      const random = makeRandom(seed * 31);
      const world = randomWorld(random, { pods: 8, policies: 4, calico: seed % 2 });
      const ends = Array.from({ length: FLOWS }, (_, index): PacketSpec => {
        const { source, destination, port } = randomAttempt(random, world);
        const protocol = index % 2 === 0 ? TCP : UDP;
        return { source, destination, protocol, sourcePort: 40_000 + index, destinationPort: port };
      });
      const capture = buildPcapng(conversations(random, ends, false), ["one", "two"]);
      const compiled = compileObjects(worldObjects(world));
      const verdicts = await judgeCapture({ compiled, capture, midstream });
      expect(verdicts.some(({ duplicateOf }) => duplicateOf !== undefined)).toBe(true);
      expect(await straightOf({ compiled, capture, midstream })).toBeGreaterThan(0);
    },
  );
});

it("knows a dropped packet again behind the next interface, though its TCP header was cut", async () => {
  const meta = (name: string): object => ({ name, namespace: "shop" });
  const pod = (name: string, ip: string): object => ({
    ...{ apiVersion: "v1", kind: "Pod", metadata: { ...meta(name), labels: { app: name } } },
    status: { podIPs: [{ ip }] },
  });
  const closed = {
    ...{ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: meta("closed") },
    spec: { podSelector: { matchLabels: { app: "web" } }, policyTypes: ["Ingress"] },
  };
  const compiled = compileObjects([
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
    ...[pod("client", "10.0.0.7"), pod("web", "10.0.0.8"), closed],
  ]);
  const ends = { source: "10.0.0.7", destination: "10.0.0.8", protocol: TCP, flags: "S" } as const;
  const frames = [1, 2, 3, 4, 5, 6, 7, 7].map((id, index): TimedFrame => ({
    bytes: buildFrame({
      ...{ ...ends, sourcePort: 4000, destinationPort: 80, window: 1000 },
      ...{ id, ttl: index < 7 ? 64 : 63 },
    }),
    timestampNs: 1_700_000_000_000_000_000n + BigInt(index) * 1000n,
    ...{ captured: 51, captureInterface: index < 7 ? 0 : 1 },
  }));
  const capture = buildPcapng(frames, ["one", "two"]);
  const verdicts = await judgeCapture({ compiled, capture });
  expect(new Set(verdicts.map(({ verdict }) => verdict))).toEqual(new Set(["drop"]));
  expect(verdicts.at(-1)?.duplicateOf).toBe(7);
});
