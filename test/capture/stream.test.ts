/** Captures that come in pieces: what is there is handed out at once, and nothing loops or grows. */
import { describe, expect, it } from "vitest";
import * as layout from "../../assembly/layout.ts";
import { makeBatch, PacketBatch } from "../../src/capture/batch.ts";
import { openCapture } from "../../src/capture/stream.ts";
import type { ByteSource, CaptureStream } from "../../src/capture/stream.ts";
import type { Diagnostic } from "../../src/errors.ts";
import { buildFrame, buildPcap, buildPcapng, timed, UDP } from "../frames.ts";

const FRAMES = Array.from({ length: 5 }, (_, index) =>
  buildFrame({
    source: "10.0.0.1",
    destination: "10.0.0.2",
    protocol: UDP,
    sourcePort: 5000,
    destinationPort: 53 + index,
  }),
);
const PCAP_FILE = buildPcap(timed(FRAMES));
const PCAPNG_FILE = buildPcapng(timed(FRAMES));
const FRAME_LENGTH = FRAMES[0]!.length;

/** Gives one piece at each read, and counts the reads. */
class Pieces implements ByteSource {
  readonly file = "pieces";
  failed = false;
  reads = 0;
  readonly #pieces: Uint8Array[];

  constructor(pieces: readonly Uint8Array[]) {
    this.#pieces = [...pieces];
  }

  read(into: Uint8Array): number {
    expect(into.length).toBeGreaterThan(0);
    this.reads += 1;
    const piece = this.#pieces.shift();
    if (piece === undefined) return 0;
    const count = Math.min(into.length, piece.length);
    into.set(piece.subarray(0, count));
    if (count < piece.length) this.#pieces.unshift(piece.subarray(count));
    return count;
  }
}

interface Opened {
  readonly stream: CaptureStream | undefined;
  readonly batch: PacketBatch;
  readonly diagnostics: readonly Diagnostic[];
}

async function open(source: ByteSource, size: number = layout.BLOCK_SIZE): Promise<Opened> {
  const { batch, bytes } = makeBatch(size);
  const diagnostics: Diagnostic[] = [];
  const block = { memory: () => bytes.buffer, address: bytes.byteOffset, size };
  const onDiagnostic = (diagnostic: Diagnostic): void => {
    diagnostics.push(diagnostic);
  };
  return { stream: await openCapture({ source, block, onDiagnostic }), batch, diagnostics };
}

/** Packets in each batch, to the end. */
async function counts({ stream, batch }: Opened): Promise<number[]> {
  const all: number[] = [];
  while (stream !== undefined && (await stream.fill(batch))) all.push(batch.count);
  expect(batch.count).toBe(0);
  return all;
}

const piecesOf = (data: Uint8Array, size: number): Uint8Array[] =>
  Array.from({ length: Math.ceil(data.length / size) }, (_, index) =>
    data.slice(index * size, (index + 1) * size),
  );

describe("openCapture", () => {
  it("opens a live capture by its first bytes, without waiting for more", async () => {
    const source = new Pieces([PCAP_FILE.slice(0, 24), PCAP_FILE.slice(24)]);
    const { stream } = await open(source);
    expect(stream?.format.name).toBe("pcap");
    expect(source.reads).toBe(1);
  });

  it.each([
    ["pcap", PCAP_FILE],
    ["pcapng", PCAPNG_FILE],
  ])("knows %s by its first bytes one at a time", async (name, file) => {
    const { stream } = await open(new Pieces(piecesOf(file, 1)));
    expect(stream?.format.name).toBe(name);
  });

  it("tells an empty capture", async () => {
    const { stream, diagnostics } = await open(new Pieces([]));
    expect(stream).toBeUndefined();
    expect(diagnostics).toMatchObject([{ severity: "error", code: "EMPTY_FILE" }]);
  });

  it("leaves it to a source that failed to say so", async () => {
    const source = new Pieces([]);
    source.failed = true;
    const { stream, diagnostics } = await open(source);
    expect(stream).toBeUndefined();
    expect(diagnostics).toEqual([]);
  });

  it("shows how a file starts that is no capture", async () => {
    const { stream, diagnostics } = await open(new Pieces([Uint8Array.of(0x7f, 0x45, 0x4c, 0x46)]));
    expect(stream).toBeUndefined();
    expect(diagnostics).toMatchObject([{ code: "NOT_A_CAPTURE" }]);
    expect(diagnostics[0]!.message).toContain("7f 45 4c 46");
  });

  it("gives up on endless bytes that are no capture", async () => {
    const endless: ByteSource = {
      file: "-",
      failed: false,
      read: (into) => into.fill(0).length,
    };
    const { stream, diagnostics } = await open(endless);
    expect(stream).toBeUndefined();
    expect(diagnostics).toMatchObject([{ code: "NOT_A_CAPTURE" }]);
  });
});

describe("CaptureStream", () => {
  it("hands out a packet as soon as its last byte is there", async () => {
    const record = 16 + FRAME_LENGTH;
    const source = new Pieces([
      PCAP_FILE.slice(0, 24 + record),
      PCAP_FILE.slice(24 + record, 24 + 3 * record - 1),
      PCAP_FILE.slice(24 + 3 * record - 1),
    ]);
    const opened = await open(source);
    expect(await counts(opened)).toEqual([1, 1, 3]);
    expect(opened.diagnostics).toEqual([]);
  });

  it.each([
    ["pcap", PCAP_FILE],
    ["pcapng", PCAPNG_FILE],
  ])("reads a %s file through a block that holds little more than a packet", async (_, file) => {
    const opened = await open(new Pieces(piecesOf(file, 13)), 150);
    const sum = (await counts(opened)).reduce((total, count) => total + count, 0);
    expect(sum).toBe(FRAMES.length);
    expect(opened.diagnostics).toEqual([]);
  });

  it("says where a record is that does not fit the block", async () => {
    const opened = await open(new Pieces([PCAP_FILE]), 16 + FRAME_LENGTH - 1);
    expect(await counts(opened)).toEqual([]);
    expect(opened.diagnostics).toMatchObject([{ code: "LIMIT_EXCEEDED", place: { offset: 24 } }]);
  });

  it("splits what is there into batches", async () => {
    const many = buildPcap(
      timed(Array.from({ length: 2 * layout.BATCH_PACKETS + 1 }, () => FRAMES[0]!)),
    );
    const opened = await open(new Pieces([many]));
    expect(await counts(opened)).toEqual([layout.BATCH_PACKETS, layout.BATCH_PACKETS, 1]);
  });

  it("reports a cut once, and by the source when that failed", async () => {
    const cut = PCAP_FILE.slice(0, -1);
    const whole = await open(new Pieces([cut]));
    await counts(whole);
    expect(whole.diagnostics.map(({ code }) => code)).toEqual(["TRUNCATED_CAPTURE"]);

    const source = new Pieces([cut]);
    source.failed = true;
    const failing = await open(source);
    expect(await counts(failing)).toEqual([FRAMES.length - 1]);
    expect(failing.diagnostics).toEqual([]);
  });

  it("finds its block again after the memory has grown", async () => {
    const room = layout.BLOCK_SIZE;
    const made = makeBatch(room);
    let memory = made.bytes.buffer as ArrayBuffer;
    const address = made.bytes.byteOffset;
    const batch = new PacketBatch(() => memory, 0, layout.BATCH_PACKETS * layout.PACKET_SIZE);
    const stream = await openCapture({
      source: new Pieces(piecesOf(PCAP_FILE, 16 + FRAME_LENGTH)),
      block: { memory: () => memory, address, size: room },
      onDiagnostic: (diagnostic) => expect.fail(diagnostic.message),
    });
    let count = 0;
    while (await stream!.fill(batch)) {
      count += batch.count;
      // As WebAssembly does: the bytes are in a larger buffer, the old one is detached.
      const larger = new ArrayBuffer(memory.byteLength + 65536);
      new Uint8Array(larger).set(new Uint8Array(memory));
      structuredClone(memory, { transfer: [memory] });
      memory = larger;
    }
    expect(count).toBe(FRAMES.length);
  });
});
