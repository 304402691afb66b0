/** Fragments: what is put together is judged as a whole, whenever its parts come. */
import { describe, expect, it } from "vitest";

import type { PacketVerdict } from "../../src/engine/verdict.ts";
import { buildPacket, UDP, type TimedFrame } from "../frames.ts";
import { judgeCapture } from "../judge.ts";
import { fragmentsOf, type Piece } from "../kernel-lab/packets.ts";
import { judgeNode, NODE_MAC, nodeOf } from "../match/judge-node.ts";

const TRACKED = "-A INPUT -m conntrack --ctstate INVALID -j DROP";
const NO_DNS = "-A INPUT -p udp -m udp --dport 53 -j DROP";
const HALVES: readonly Piece[] = [
  { from: 0, to: 4 },
  { from: 4, to: undefined },
];

function datagram(port: number, word = ""): Uint8Array {
  const payload = new TextEncoder().encode(word.padStart(40, "x"));
  return buildPacket({
    source: "192.0.2.7",
    destination: "192.0.2.1",
    protocol: UDP,
    sourcePort: 4000,
    destinationPort: port,
    payload,
    id: 77,
  });
}

function framesOf(packets: readonly Uint8Array[], afterMs = 1): TimedFrame[] {
  const to = NODE_MAC.split(":").map((part) => Number.parseInt(part, 16));
  return packets.map((packet, index) => ({
    bytes: Uint8Array.from([...to, 2, 0, 0, 0, 0, 1, 8, 0, ...packet]),
    timestampNs: BigInt(index * afterMs) * 1_000_000n,
  }));
}

const words = (verdicts: readonly PacketVerdict[]): string[] =>
  verdicts.map(({ verdict, reason }) => `${verdict} ${reason}`);

describe("fragments where connections are tracked", () => {
  it("get the verdict and the ports of their datagram, in whatever order they come", async () => {
    for (const pieces of [HALVES, HALVES.toReversed()]) {
      const fragments = fragmentsOf(datagram(53), pieces, 1);
      const verdicts = await judgeNode([TRACKED, NO_DNS], framesOf(fragments));
      expect(words(verdicts)).toEqual(["drop rule", "drop rule"]);
      expect(verdicts.map(({ destinationPort }) => destinationPort)).toEqual([53, 53]);
      expect(verdicts.map(({ number }) => number)).toEqual([1, 2]);
    }
  });

  it("are searched and measured as one packet", async () => {
    const fragments = fragmentsOf(datagram(80, "needle"), [...HALVES], 1);
    const { length } = datagram(80);
    for (const match of ["-m string --string needle --algo kmp", `-m length --length ${length}`]) {
      const verdicts = await judgeNode([TRACKED, `-A INPUT ${match} -j DROP`], framesOf(fragments));
      expect(words(verdicts)).toEqual(["drop rule", "drop rule"]);
    }
  });

  it("are known in capture order when thousands of packets come between them", async () => {
    const [first, second] = fragmentsOf(datagram(53), HALVES, 1);
    const between = Array.from({ length: 5000 }, () => datagram(80));
    const packets = [first!, ...between, second!];
    const verdicts = await judgeNode([TRACKED, NO_DNS], framesOf(packets));
    expect(verdicts.map(({ number }) => number)).toEqual(packets.map((_, index) => index + 1));
    expect([verdicts[0], verdicts[5001]].map((each) => each?.verdict)).toEqual(["drop", "drop"]);
    expect(verdicts[1]?.verdict).toBe("allow");
  });

  it("are discarded when the rest comes too late or never", async () => {
    const [first, second] = fragmentsOf(datagram(80), HALVES, 1);
    const late = await judgeNode([TRACKED], framesOf([first!, second!], 30_000));
    expect(words(late)).toEqual(["drop incomplete", "drop incomplete"]);
    const intime = await judgeNode([TRACKED], framesOf([first!, second!], 29_999));
    expect(words(intime)).toEqual(["allow chain-policy", "allow chain-policy"]);
  });

  it("are discarded when they overlap, and not when one comes twice", async () => {
    const overlapping = fragmentsOf(datagram(80), [{ from: 0, to: 5 }, HALVES[1]!], 1);
    expect(words(await judgeNode([TRACKED], framesOf(overlapping)))).toEqual([
      "drop bad-fragments",
      "drop bad-fragments",
    ]);
    const twice = fragmentsOf(datagram(80), [HALVES[0]!, HALVES[0]!, HALVES[1]!], 1);
    expect(words(await judgeNode([TRACKED], framesOf(twice)))).toEqual(
      twice.map(() => "allow chain-policy"),
    );
  });

  it("are given up as unknown when more wait than are followed", async () => {
    const lone = Array.from({ length: 1100 }, (_, index) => {
      const packet = fragmentsOf(datagram(80), [HALVES[0]!], 1)[0]!;
      new DataView(packet.buffer).setUint16(4, index + 1);
      return packet;
    });
    const verdicts = await judgeNode([TRACKED], framesOf(lone, 0));
    expect(verdicts.filter(({ reason }) => reason === "incomplete")).toHaveLength(1024);
    expect(verdicts.filter(({ reason }) => reason === "many-fragments")).toHaveLength(76);
  });
});

describe("fragments where nothing is tracked", () => {
  it("are judged one by one until they are delivered, and together from there", async () => {
    const fragments = fragmentsOf(datagram(53), HALVES, 1);
    // INPUT sees the datagram.
    expect(words(await judgeNode([NO_DNS], framesOf(fragments)))).toEqual([
      "drop rule",
      "drop rule",
    ]);
    // FORWARD sees each fragment: the second one has no ports.
    const elsewhere = fragments.map((packet) => {
      const copy = packet.slice();
      copy.set([198, 51, 100, 9], 16);
      return copy;
    });
    const forwarded = await judgeNode(
      ["-A FORWARD -p udp -m udp --dport 53 -j DROP", "-A FORWARD -f -j DROP"],
      framesOf(elsewhere),
    );
    expect(forwarded.map(({ rule }) => rule?.number)).toEqual([1, 2]);
  });

  it("are known by their own bytes to iptables-nft", async () => {
    const [, second] = fragmentsOf(datagram(80), HALVES, 1);
    const copy = second!.slice();
    copy.set([198, 51, 100, 9], 16);
    // The payload's "xx" lies where a port would be.
    const verdicts = await judgeNode(
      ["-A FORWARD -p udp -m udp --dport 30840 -j DROP"],
      framesOf([copy]),
      "nft",
    );
    expect(words(verdicts)).toEqual(["drop rule"]);
  });
});

describe("fragments in text", () => {
  it("are put together by their identification and offset", async () => {
    const text = [
      "20:41:07.000001 IP (tos 0x0, ttl 64, id 9, offset 0, flags [+], proto UDP (17), length 52)",
      "    192.0.2.7.4000 > 192.0.2.1.53: 100 [|domain]",
      "20:41:07.000002 IP (tos 0x0, ttl 64, id 9, offset 32, flags [none], proto UDP (17), length 96)",
      "    192.0.2.7 > 192.0.2.1: udp",
      "",
    ].join("\n");
    const compiled = nodeOf([TRACKED, NO_DNS], "legacy", 4);
    const verdicts = await judgeCapture({ compiled, capture: new TextEncoder().encode(text) });
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(["drop", "drop"]);
  });
});
