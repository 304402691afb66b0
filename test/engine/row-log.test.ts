/** Rows of more flows than one piece of memory holds: each packet is counted in that of its own ends. */
import { describe, expect, it } from "vitest";

import type { FlowVerdict } from "../../src/engine/verdict.ts";
import { formatAddress } from "../../src/net/address.ts";
import { makeRandom } from "../../src/workload/random.ts";
import {
  buildFrame,
  buildPacket,
  buildPcap,
  timed,
  UDP,
  wrapPacket,
  type PacketSpec,
  type TimedFrame,
} from "../frames.ts";
import { replayCapture, shareCapture, type Question } from "../judge.ts";
import { fragmentsOf } from "../kernel-lab/packets.ts";
import { nodeOf } from "../match/judge-node.ts";

const FLOWS = 14_000;

/** The flow of a number: of IPv4, and every fifth of IPv6. */
function flowOf(number: number): PacketSpec {
  const ends =
    number % 5 === 0
      ? { source: `2001:db8::1:${number.toString(16)}`, destination: "2001:db8:1::1" }
      : { source: `10.1.${number >> 8}.${number & 255}`, destination: "192.0.2.1" };
  return { ...ends, protocol: UDP, sourcePort: 1024 + number, destinationPort: 53 };
}

const answerTo = (packet: PacketSpec): PacketSpec => ({
  ...packet,
  ...{ source: packet.destination, destination: packet.source },
  ...{ sourcePort: packet.destinationPort!, destinationPort: packet.sourcePort! },
});

type End = Pick<PacketSpec, "source" | "sourcePort">;

const textOf = (number: number, { source, sourcePort }: End): string =>
  `${number}: ${source} ${sourcePort}`;

/** A capture whose frames had these lengths, whatever it holds of them. */
function captureOf(frames: readonly Uint8Array[], lengths: readonly number[]): Uint8Array {
  const capture = buildPcap(timed(frames));
  const view = new DataView(capture.buffer);
  for (let at = 24, index = 0; at < capture.length; index++) {
    view.setUint32(at + 12, lengths[index]!, true);
    at += 16 + view.getUint32(at + 8, true);
  }
  return capture;
}

/** First packet, source, packets and bytes of each row. */
async function rowsOf(question: Question, how: string): Promise<unknown[]> {
  let rows: readonly FlowVerdict[] = [];
  if (how === "by two workers") {
    rows = (await shareCapture(question, 2))!.flows as FlowVerdict[];
  } else {
    await replayCapture({ ...question, walkAll: how === "walked" }, (matcher, names) => {
      rows = [...matcher.flows(names)];
    });
  }
  const { packetsBefore = 0 } = question;
  return rows.map(({ firstPacket, source, packets, bytes }) => [
    ...[firstPacket - packetsBefore, formatAddress(source!), packets, bytes],
  ]);
}

describe("rows", () => {
  it.each(["ACCEPT", "DROP"])("are each flow's own, however many: %s", async (target) => {
    const rules = [`-A FORWARD -p udp -j ${target}`, `-A INPUT -p udp -j ${target}`];
    const packets = Array.from({ length: FLOWS }, (_, number) => flowOf(number));
    const all = [...packets, ...packets.toReversed().map(answerTo)];
    const question = {
      compiled: nodeOf(rules, "legacy", 4),
      capture: buildPcap(timed(all.map((packet) => buildFrame(packet)))),
      ...{ logRows: true, packetsWanted: false },
    };
    const counted: string[] = [];
    await replayCapture(question, (matcher, names) => {
      const log = [...matcher.takeRowLog()];
      for (let at = 0; at < log.length; at += 2) {
        const row = matcher.flowAt(log[at + 1]!, names);
        const there = row.destinationPort === 53;
        const source = formatAddress((there ? row.source : row.destination)!);
        const sourcePort = (there ? row.sourcePort : row.destinationPort)!;
        counted.push(textOf(log[at]!, { source, sourcePort }));
      }
    });
    const clients = [...packets, ...packets.toReversed()];
    expect(counted).toEqual(clients.map((packet, index) => textOf(index + 1, packet)));
  });

  it("are found again when connections have expired and come again", async () => {
    const random = makeRandom(20_261_128);
    const sent = new Map<string, number>();
    const frames: TimedFrame[] = [];
    let timestampNs = 0n;
    for (let index = 0; index < 60_000; index++) {
      // Connections last half a minute, and all that have expired go in turn.
      timestampNs += BigInt(random.below(20)) * 1_000_000n;
      const flow = { ...flowOf(random.below(9000)), destinationPort: 53 + random.below(2) };
      const text = textOf(flow.destinationPort, flow);
      sent.set(text, (sent.get(text) ?? 0) + 1);
      frames.push({ bytes: buildFrame(random.below(10) < 7 ? flow : answerTo(flow)), timestampNs });
    }
    const question = {
      compiled: nodeOf(["-A INPUT -p udp --dport 54 -j DROP"], "legacy", 4),
      ...{ capture: buildPcap(frames), packetsWanted: false },
    };
    let rows: FlowVerdict[] = [];
    await replayCapture(question, (matcher, names) => {
      rows = [...matcher.flows(names)];
    });
    const counted = new Map<string, number>();
    const verdicts = new Set<string>();
    for (const row of rows) {
      const there = row.sourcePort! >= 1024;
      const source = formatAddress((there ? row.source : row.destination)!);
      const [sourcePort, port] = there
        ? [row.sourcePort!, row.destinationPort!]
        : [row.destinationPort!, row.sourcePort!];
      const text = textOf(port, { source, sourcePort });
      counted.set(text, (counted.get(text) ?? 0) + row.packets);
      verdicts.add(`${text} ${row.verdict}`);
    }
    expect(counted).toEqual(sent);
    expect(verdicts.size).toBe(rows.length);
  });

  it.each([
    ["short", 0],
    ["walked", 0],
    ["by two workers", 0],
    // The first flow begins before the numbers that 32 bits do not hold, the others with them.
    ["short", 2 ** 32 - 2],
    ["walked", 2 ** 32 - 2],
    ["by two workers", 2 ** 32 - 2],
    ["short", 3 * 2 ** 32],
  ])(
    "count more bytes and packets than 32 bits hold (%s, %d before)",
    async (how, packetsBefore) => {
      // An IPv4 flow, an IPv6 flow and an IPv4 flow, a packet of each in turn; the last flow's packets are short.
      const flows = [1, 5, 2].map(flowOf);
      const lengths = [0xf000_0000, 0xe000_0000, 100];
      const frames = Array.from({ length: 15 }, (_, index) => buildFrame(flows[index % 3]!));
      const capture = captureOf(
        frames,
        frames.map((_, index) => lengths[index % 3]!),
      );
      const compiled = nodeOf(["-A INPUT -p udp -j ACCEPT"], "legacy", 4);
      const question = { compiled, capture, packetsBefore, packetsWanted: false };
      expect(await rowsOf(question, how)).toEqual(
        flows.map(({ source }, index) => [index + 1, source, 5, 5 * lengths[index]!]),
      );
    },
  );

  it.each([
    ["short", 4, 0],
    ["short", 6, 0],
    ["walked", 4, 0],
    ["by two workers", 4, 0],
    // The fragment has the last number that 32 bits hold.
    ["short", 4, 2 ** 32 - 2],
    ["walked", 6, 2 ** 32 - 2],
    ["by two workers", 6, 2 ** 32 - 2],
    ["short", 4, 3 * 2 ** 32],
    ["short", 6, 3 * 2 ** 32],
  ] as const)(
    "count as much when a fragment that waited is their first packet (%s, IPv%d, %d before)",
    async (how, family, packetsBefore) => {
      const flow = { ...flowOf(family === 4 ? 1 : 5), payload: new Uint8Array(40) };
      const halves = [
        { from: 0, to: 4 },
        { from: 4, to: undefined },
      ];
      const fragments = fragmentsOf(buildPacket({ ...flow, id: 77 }), halves, 77);
      const [first, later] = fragments.map((packet) => wrapPacket(packet, flow));
      const frames = [later!, ...Array.from({ length: 5 }, () => buildFrame(flow)), first!];
      const lengths = [100, ...Array.from({ length: 5 }, () => 0xf000_0000), 100];
      // Where connections are tracked fragments wait.
      const rules = ["-A INPUT -m conntrack --ctstate INVALID -j DROP"];
      const question = {
        compiled: nodeOf(rules, "legacy", family),
        ...{ capture: captureOf(frames, lengths), packetsBefore, packetsWanted: false },
      };
      expect(await rowsOf(question, how)).toEqual([[1, flow.source, 7, 200 + 5 * 0xf000_0000]]);
    },
  );
});
