/** Packets that are written again: whatever the capture was, they are as they were. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import * as layout from "../../assembly/layout.ts";
import { makeBatch } from "../../src/capture/batch.ts";
import { PcapngWriter } from "../../src/capture/pcapng-writer.ts";
import { openCapture } from "../../src/capture/stream.ts";
import type { Diagnostic } from "../../src/errors.ts";
import { Blocks, FRAME } from "./blocks.ts";
import { commentsOf, readPackets, whatStays } from "./packets.ts";
import type { FileContent } from "./packets.ts";

const CORPUS = join(import.meta.dirname, "../../../shared/corpus/captures");
const there = existsSync(CORPUS);
if (!there) console.log("skipped: the corpus has no captures beside this repository");

const { batch, bytes: room } = makeBatch(layout.BLOCK_SIZE);
const block = { memory: () => room.buffer, address: room.byteOffset, size: room.length };

interface Rewritten {
  readonly before: FileContent;
  readonly after: FileContent;
  readonly diagnostics: readonly Diagnostic[];
}

/** Reads a capture and writes it again, its packets numbered by comments. */
async function rewrite(bytes: Uint8Array): Promise<Rewritten | undefined> {
  const diagnostics: Diagnostic[] = [];
  let at = 0;
  const source = {
    file: "test",
    failed: false,
    read(into: Uint8Array): number {
      const part = bytes.subarray(at, at + into.length);
      into.set(part);
      at += part.length;
      return part.length;
    },
  };
  const onDiagnostic = (diagnostic: Diagnostic): void => void diagnostics.push(diagnostic);
  const stream = await openCapture({ source, block, onDiagnostic });
  if (stream === undefined || stream.format.name === "tcpdump") return undefined;
  const writer = new PcapngWriter(["test"]);
  const pieces: Uint8Array[] = [];
  let packet = 0;
  while (await stream.fill(batch)) {
    for (let index = 0; index < batch.count; index += 1) {
      packet += 1;
      const verdict = packet % 2 === 0 ? "pass" : "drop";
      writer.add(stream.originalAt(batch, index), { comment: `packet ${packet} ü`, verdict });
    }
    pieces.push(writer.take().slice());
  }
  writer.finish(stream.reader.section === undefined ? [] : [stream.reader.section]);
  pieces.push(writer.take().slice());
  return { before: readPackets(bytes), after: readPackets(Buffer.concat(pieces)), diagnostics };
}

const rewriteBlocks = async (...blocks: readonly (readonly number[])[]): Promise<Rewritten> =>
  (await rewrite(Uint8Array.from(blocks.flat())))!;

const text = (words: string): number[] => [...Buffer.from(words)];
const little = new Blocks(true);
const big = new Blocks(false);

describe.each([
  ["little-endian", little],
  ["big-endian", big],
])("a pcapng file that is written again, %s", (_, b) => {
  it("keeps packets of every kind of block, and counts them with comments", async () => {
    const { before, after } = await rewriteBlocks(
      b.section(),
      b.interface(b.option(2, text("cali12"))),
      b.interface([], { linkType: layout.LINK_RAW, snapLength: 3 }),
      b.packet({ original: 1500 }),
      b.old(1),
      b.simple(5, FRAME),
      b.packet({ id: 1, captured: 3 }),
    );
    expect(before.packets).toHaveLength(4);
    expect(whatStays(after)).toEqual(whatStays(before));
    expect(after.packets.map(commentsOf)).toEqual([1, 2, 3, 4].map((each) => [`packet ${each} ü`]));
    expect(after.sections[0]!.interfaces.map(({ snapLength }) => snapLength)).toEqual([0, 3]);
  });

  it("writes verdicts as actions of traffic control", async () => {
    const { after } = await rewriteBlocks(b.section(), b.interface(), b.packet(), b.packet());
    const verdicts = after.packets.map(
      ({ options }) => options.find(({ code }) => code === 7)?.value,
    );
    expect(verdicts.map((value) => value?.toString("hex"))).toEqual([
      "010200000000000000",
      "010000000000000000",
    ]);
  });

  it("keeps the options of packets, numbers turned to the order of the file", async () => {
    const { after } = await rewriteBlocks(
      b.section(),
      b.interface(),
      b.packet({
        options: [
          ...b.option(1, text("seen by a person")),
          ...b.option(2, b.u32(0x01020304)),
          ...b.option(3, [2, 9, 8, 7, 6]),
          ...b.option(4, b.number(5n, 8)),
          ...b.option(6, b.u32(77)),
          ...b.option(7, [2, ...b.number(3n, 8)]),
          ...b.option(8, [...b.u32(1), ...b.u32(2)]),
          ...b.option(2989, [...b.u32(32473), 1, 2, 3]),
          ...b.option(0, []),
        ],
      }),
    );
    expect(
      after.packets[0]!.options.map(({ code, value }) => [code, value.toString("hex")]),
    ).toEqual([
      [1, Buffer.from("seen by a person").toString("hex")],
      [2, "04030201"],
      [3, "0209080706"],
      [4, "0500000000000000"],
      [6, "4d000000"],
      [7, "020300000000000000"],
      [8, "0100000002000000"],
      [2989, "d97e0000010203"],
      [1, Buffer.from("packet 1 ü").toString("hex")],
      [7, "010200000000000000"],
    ]);
  });

  it("keeps sections and their interfaces, with the options of both", async () => {
    const head = (name: string): number[] => {
      const bytes = b.section();
      const options = [...b.option(3, text(name)), ...b.option(1, text("why")), ...b.option(0, [])];
      return b.block(0x0a0d0d0a, [...bytes.slice(8, 24), ...options]);
    };
    const picoseconds = [...b.option(2, text("eth1")), ...b.option(9, [12])];
    const zone = [...b.option(14, b.number(-3600n, 8)), ...b.option(8, b.number(10n ** 9n, 8))];
    const { before, after } = await rewriteBlocks(
      head("Linux 6.1"),
      b.interface(b.option(2, text("eth0"))),
      b.interface(picoseconds),
      b.packet({ id: 1 }),
      head("Linux 6.2"),
      b.interface(zone),
      b.packet(),
      b.interface(picoseconds),
      b.packet({ id: 1 }),
    );
    expect(whatStays(after)).toEqual(whatStays(before));
    const words = after.sections.map(({ options }) => options.map(({ value }) => value.toString()));
    expect(words).toEqual([
      ["Linux 6.1", "why"],
      ["Linux 6.2", "why"],
    ]);
    const interfaces = after.sections.map(({ interfaces: each }) => each.map(({ name }) => name));
    expect(interfaces).toEqual([
      ["eth0", "eth1"],
      [undefined, "eth1"],
    ]);
    const [shifted] = after.sections[1]!.interfaces;
    expect(shifted!.options.map(({ code, value }) => [code, value.readBigInt64LE()])).toEqual([
      [14, -3600n],
      [8, 10n ** 9n],
    ]);
  });

  it("keeps packets whose interface nothing describes", async () => {
    const { before, after, diagnostics } = await rewriteBlocks(
      b.section(),
      b.interface(),
      b.packet({ id: 5 }),
      b.packet(),
    );
    expect(diagnostics.map(({ code }) => code)).toEqual(["BAD_CAPTURE_BLOCK"]);
    expect(whatStays(after)).toEqual(whatStays(before));
  });

  it("leaves options out from one that runs beyond its block", async () => {
    const options = [...b.option(1, text("whole")), ...b.option(1, text("cut"), 400)];
    const { after } = await rewriteBlocks(b.section(), b.interface(), b.packet({ options }));
    expect(after.packets.map(commentsOf)).toEqual([["whole", "packet 1 ü"]]);
  });
});

describe("a file that is written", () => {
  it("describes the interface of a capture without packets", async () => {
    const { after } = await rewriteBlocks(little.section(), little.interface());
    expect(after.packets).toEqual([]);
    expect(after.sections.map(({ interfaces }) => interfaces.length)).toEqual([1]);
  });

  it("is one of pcapng when nothing could be read at all", () => {
    const writer = new PcapngWriter(["test"]);
    writer.finish([]);
    expect(readPackets(writer.take()).sections).toHaveLength(1);
  });

  it("cuts a comment that is too long behind a whole character", async () => {
    const writer = new PcapngWriter(["test"]);
    const section = { file: "test", options: new Uint8Array(0), interfaces: [] };
    const frame = Uint8Array.from(FRAME);
    const options = new Uint8Array(0);
    const captureInterface = { linkType: 1, snapLength: 0, options };
    const packet = { section, interface: captureInterface, timeHigh: 0, timeLow: 0 };
    writer.add(
      { ...packet, originalLength: 5, frame, options },
      { comment: "ü".repeat(40_000), verdict: undefined },
    );
    expect(readPackets(writer.take()).packets.map(commentsOf)).toEqual([["ü".repeat(32_767)]]);
  });
});

describe.runIf(there)("the corpus of captures, written again", () => {
  it("has the same packets, each with one comment more", async () => {
    const paths = readdirSync(CORPUS, { recursive: true, encoding: "utf8" }).filter((name) =>
      /\.(pcap|pcapng)$/.test(name),
    );
    let packets = 0;
    for (const path of paths) {
      const rewritten = await rewrite(readFileSync(join(CORPUS, path)));
      if (rewritten === undefined) continue;
      const { before, after } = rewritten;
      // What ends the one reader may not end the other.
      const read = { ...before, packets: before.packets.slice(0, after.packets.length) };
      expect(whatStays(after), path).toEqual(whatStays(read));
      expect(after.packets.map(commentsOf), path).toEqual(
        read.packets.map((packet, index) => [...commentsOf(packet), `packet ${index + 1} ü`]),
      );
      packets += after.packets.length;
    }
    console.log(`written again: ${packets} packets of ${paths.length} captures`);
  }, 60_000);
});
