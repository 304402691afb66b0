/** Several captures as one: whose turn it is, what their interfaces and names become, and little memory. */
import { describe, expect, it } from "vitest";
import * as layout from "../../assembly/layout.ts";
import { PacketBatch } from "../../src/capture/batch.ts";
import { mergeCaptures, type MergedStream } from "../../src/capture/merge.ts";
import { openCapture, type ByteSource, type CaptureStream } from "../../src/capture/stream.ts";
import type { Diagnostic } from "../../src/errors.ts";
import { buildFrame, buildPcap, buildPcapng, UDP, type TimedFrame } from "../frames.ts";
import { makeRandom } from "../random.ts";

/** Room for one frame below and a little more. */
const BLOCK = 300;

/** A frame that says by its port which one it is. */
function frameAt(timestampNs: bigint, port: number, captureInterface = 0): TimedFrame {
  const ends = { source: "10.0.0.1", destination: "10.0.0.2", sourcePort: 1 };
  const bytes = buildFrame({ ...ends, protocol: UDP, destinationPort: port });
  return { bytes, timestampNs, captureInterface };
}

function sourceOf(file: string, bytes: Uint8Array): ByteSource {
  let at = 0;
  return {
    file,
    failed: false,
    read: (into) => {
      const piece = bytes.subarray(at, at + into.length);
      into.set(piece);
      at += piece.length;
      return piece.length;
    },
  };
}

interface Merged {
  readonly stream: MergedStream | undefined;
  readonly batch: PacketBatch;
  readonly diagnostics: readonly Diagnostic[];
}

/** Merges captures whose blocks hold two or three packets each. */
async function merge(captures: readonly Uint8Array[], block = BLOCK): Promise<Merged> {
  const records = layout.BATCH_PACKETS * layout.PACKET_SIZE;
  const lane = records + layout.ARENA_SIZE + block;
  const bytes = new ArrayBuffer(records + captures.length * lane);
  let used = records;
  const allocate = (size: number): number => (used += size) - size;
  const memory = (): ArrayBuffer => bytes;
  const diagnostics: Diagnostic[] = [];
  const onDiagnostic = (diagnostic: Diagnostic): void => {
    diagnostics.push(diagnostic);
  };
  const streams: CaptureStream[] = [];
  for (const [index, capture] of captures.entries()) {
    const source = sourceOf(`file${index}`, capture);
    const room = { memory, address: allocate(block), size: block };
    const opened = await openCapture({ source, block: room, onDiagnostic });
    if (opened !== undefined) streams.push(opened);
  }
  const stream = await mergeCaptures({ streams, memory, allocate, onDiagnostic });
  return { stream, batch: new PacketBatch(memory, 0, 0), diagnostics };
}

interface Seen {
  readonly number: number;
  readonly file: string;
  readonly packet: number | undefined;
  readonly port: number;
  readonly interface: string | number | undefined;
}

/** All packets, each read as the matcher would: from its frame, before the next batch. */
async function seen({ stream, batch }: Merged): Promise<Seen[]> {
  const all: Seen[] = [];
  while (stream !== undefined && (await stream.fill(batch))) {
    for (let index = 0; index < batch.count; index++) {
      const at = batch.recordAt(index);
      const { view } = batch;
      const frame = view.getUint32(at + layout.PACKET_FRAME, true);
      const own = view.getUint16(at + layout.PACKET_CAPTURE_INTERFACE, true);
      const { file, packet } = stream.placeAt(index);
      all.push({
        number: Number(view.getBigUint64(at + layout.PACKET_NUMBER, true)),
        file,
        packet,
        port: frame === 0 ? 0 : view.getUint16(frame + 36),
        interface: stream.interfaces[own]?.name ?? own,
      });
    }
  }
  return all;
}

const ports = (packets: readonly Seen[]): number[] => packets.map(({ port }) => port);

describe("mergeCaptures", () => {
  it("takes the earliest packet, that of the earlier capture where times are equal", async () => {
    const random = makeRandom(71);
    for (let round = 0; round < 50; round++) {
      const frames = Array.from({ length: 60 }, (_, port) =>
        frameAt(BigInt(random.below(40)) << BigInt(random.pick([0, 30, 50])), port),
      ).sort((one, other) => Number(one.timestampNs - other.timestampNs));
      const count = 2 + random.below(4);
      const parts = Array.from({ length: count }, (): TimedFrame[] => []);
      const owner = new Map<TimedFrame, number>();
      for (const frame of frames) {
        const part = random.below(count);
        owner.set(frame, part);
        parts[part]?.push(frame);
      }
      const expected = [...frames].sort(
        (one, other) =>
          Number(one.timestampNs - other.timestampNs) || owner.get(one)! - owner.get(other)!,
      );
      const builders = [buildPcap, buildPcapng] as const;
      const packets = await seen(await merge(parts.map((part) => random.pick(builders)(part))));
      const portOf = ({ bytes }: TimedFrame): number => (bytes[36]! << 8) | bytes[37]!;
      expect(ports(packets)).toEqual(expected.map(portOf));
      expect(packets.map(({ number }) => number)).toEqual(expected.map((_, index) => index + 1));
      for (const [part, own] of parts.entries()) {
        const mine = packets.filter(({ file }) => file === `file${part}`);
        expect(mine.map(({ packet }) => packet)).toEqual(own.map((_, index) => index + 1));
      }
    }
  });

  it("never changes the order within one capture, whatever its times are", async () => {
    const back = buildPcap([frameAt(10n, 1), frameAt(5n, 2), frameAt(20n, 3)]);
    const other = buildPcap([frameAt(7n, 11), frameAt(10n, 12), frameAt(15n, 13)]);
    expect(ports(await seen(await merge([back, other])))).toEqual([11, 1, 2, 12, 13, 3]);
    expect(ports(await seen(await merge([other, back])))).toEqual([11, 12, 1, 2, 13, 3]);
  });

  it("takes interfaces of one name for one, and keeps those without a name apart", async () => {
    const one = buildPcapng([frameAt(1n, 1, 1), frameAt(2n, 2, 0)], ["eth0", "eth1"]);
    const other = buildPcapng([frameAt(3n, 3, 0), frameAt(4n, 4, 1)], ["eth1", undefined]);
    const third = buildPcapng([frameAt(5n, 5, 0)]);
    const plain = buildPcap([frameAt(6n, 6)]);
    const packets = await seen(await merge([one, other, third, plain], 1000));
    expect(packets.map((packet) => packet.interface)).toEqual([
      "eth1",
      "eth0",
      "eth1",
      2,
      3,
      layout.CAPTURE_INTERFACE_NONE,
    ]);
  });

  it("keeps interfaces of one name apart that one capture keeps apart", async () => {
    const nodes = buildPcapng([frameAt(1n, 1, 0), frameAt(3n, 3, 1)], ["eth0", "eth0"]);
    const node = buildPcapng([frameAt(2n, 2, 0)], ["eth0"]);
    const merged = await merge([nodes, node], 1000);
    await seen(merged);
    expect(merged.stream?.interfaces.map(({ name }) => name)).toEqual(["eth0", "eth0"]);
  });

  it("places a packet without a time behind the one before it, and says so once", async () => {
    const words = "IP 10.0.0.1.1 > 10.0.0.2.2: UDP, length 1";
    const text = ["1700000001.000000 ", "", "", "1700000009.000000 "].map((time) => time + words);
    const lines = new TextEncoder().encode(`${text.join("\n")}\n`);
    const other = buildPcap([
      frameAt(1_700_000_000_000_000_000n, 1),
      frameAt(1_700_000_005_000_000_000n, 2),
    ]);
    const merged = await merge([other, lines]);
    const packets = await seen(merged);
    expect(packets.map(({ file, packet }) => `${file} ${packet}`)).toEqual([
      "file0 1",
      "file1 1",
      "file1 2",
      "file1 3",
      "file0 2",
      "file1 4",
    ]);
    expect(merged.diagnostics).toMatchObject([
      { severity: "warning", code: "CAPTURE_ORDER", place: { file: "file1", packet: 2 } },
    ]);
  });

  it("gives host names numbers of the whole", async () => {
    const line = (second: number, from: string, to: string): string =>
      `170000000${second}.000000 IP ${from}.1 > ${to}.2: UDP, length 1\n`;
    const texts = [
      line(1, "a.example", "b.example") + line(3, "b.example", "a.example"),
      line(2, "c.example", "a.example"),
    ].map((text) => new TextEncoder().encode(text));
    const { stream, batch } = await merge(texts);
    const names: unknown[] = [];
    while (await stream!.fill(batch)) {
      for (let index = 0; index < batch.count; index++) {
        const at = batch.recordAt(index);
        names.push(
          [layout.PACKET_SRC_NAME, layout.PACKET_DST_NAME].map(
            (field) => stream!.names[batch.view.getUint16(at + field, true) - 1],
          ),
        );
      }
    }
    expect(names).toEqual([
      ["a.example", "b.example"],
      ["c.example", "a.example"],
      ["b.example", "a.example"],
    ]);
    expect(stream!.names).toEqual(["a.example", "b.example", "c.example"]);
  });
});
