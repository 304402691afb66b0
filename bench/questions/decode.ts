/**
 * What do reading fields and keeping connections take by themselves? Our decoding of plain frames beside the same in
 * C, native and made into Wasm; and beside our whole path loops that decide nothing: one in C, which reads, and looks connections up and follows TCP's
 * windows or makes new ones, and one of the matcher's own parts for known connections.
 */
import { readFileSync } from "node:fs";
import { instantiateSync } from "@assemblyscript/loader";
import { FILE_HEADER, PIECE, wasmFloor, type Floor } from "../floor.ts";
import { interleave, secondsOf, type Task } from "../measure.ts";
import { FRESH, NETVERDICT, OLD, replaySeconds } from "../path.ts";
import type { Asking, Question } from "../question.ts";
import { compileC, runTool } from "../rivals/tools.ts";
import { clusterSubject, trafficFor, type Subject } from "../subject.ts";
import { compileCToWasm, compileWasm } from "../wasm.ts";

/** Names that bars look for. */
export const FRAMES = "plain frames in memory";
export const DECODE = "netverdict's decoding alone";
export const DECODE_C = "the same in C";

const DECODE_C_WASM = "the same C made into Wasm";
const FLOOR = "C, reading and connections alone";
const BEGUN = "connections that either loop begins";

const WASM_PAGE = 1 << 16;

export const decode: Question = {
  name: "decode",
  asks: "decoding alone, and reading with keeping connections, beside the same in C: packets a second",
  async answer(asking) {
    const subject = clusterSubject({ policies: 10, pods: 100 });
    await measureDecoding(asking, subject);
    await measureFloor(asking, subject);
  },
};

async function measureDecoding(asking: Asking, subject: Subject): Promise<void> {
  asking.progress(FRAMES);
  const packets = asking.full ? 3_000_000 : 1_000_000;
  const { file } = await trafficFor(subject, { packets, flows: 10_000, share: "skewed" });
  const capture = readFileSync(file);
  const decoder = loadDecoder(capture);
  const tasks: Task[] = [{ name: DECODE, units: packets, run: () => secondsOf(decoder.run) }];
  const expected = told(decoder);
  asking.checked("frames decoded", packets, Math.abs(packets - decoder.count()));
  const program = compileC("decode");
  if (program === undefined) asking.missing(DECODE_C, "gcc is not installed");
  else {
    const [, count, sum] = runTool(program, file).trim().split(" ");
    const same = `${count} ${sum}` === expected;
    asking.checked("frames decoded by C", packets, same ? 0 : 1);
    tasks.push({ name: DECODE_C, units: packets, run: () => secondsSaid(program, file) });
  }
  const module = compileCToWasm("decode");
  if (module === undefined) asking.missing(DECODE_C_WASM, "clang and lld are not installed");
  else {
    const other = loadDecoderInC(module, capture);
    asking.checked("frames decoded by C in Wasm", packets, told(other) === expected ? 0 : 1);
    tasks.push({ name: DECODE_C_WASM, units: packets, run: () => secondsOf(other.run) });
  }
  const measured = await interleave(tasks, asking.full ? 9 : 5);
  asking.add({ size: FRAMES, unit: "packets", tasks: measured });
}

async function measureFloor(asking: Asking, subject: Subject): Promise<void> {
  const program = compileC("floor");
  if (program === undefined) asking.missing(FLOOR, "gcc is not installed");
  const packets = asking.full ? 3_000_000 : 300_000;
  for (const [size, how, shape] of [
    [OLD, "known", { packets, flows: 10_000, share: "skewed" }],
    ["100,000 connections", "known", { packets, flows: 100_000, share: "skewed" }],
    [FRESH, "new", { packets, flows: packets }],
  ] as const) {
    asking.progress(size);
    const { file } = await trafficFor(subject, shape);
    const floors: Floor[] = [];
    if (program !== undefined) floors.push(nativeFloor(program, how, file));
    if (how === "known") floors.push(wasmFloor(file, shape.flows));
    for (const floor of floors) {
      asking.checked(`packets, ${floor.name}`, packets, Math.abs(packets - floor.packets));
    }
    const [native, wasm] = floors;
    if (wasm !== undefined) {
      asking.checked(BEGUN, wasm.begun, Math.abs(wasm.begun - native!.begun));
    }
    const tasks: Task[] = [
      { name: NETVERDICT, units: packets, run: () => replaySeconds(subject, { file }) },
      ...floors.map(({ name, run }) => ({ name, units: packets, run })),
    ];
    const measured = await interleave(tasks, asking.full ? 7 : 3);
    asking.add({ size: `10 policies, ${size}`, unit: "packets", tasks: measured });
  }
}

function nativeFloor(program: string, how: "known" | "new", file: string): Floor {
  const [, packets, begun] = runTool(program, how, file).trim().split(" ").map(Number);
  const run = (): number => secondsSaid(program, how, file);
  return { name: FLOOR, packets: packets!, begun: begun!, run };
}

/** Seconds that a program has counted itself: without its start. */
function secondsSaid(program: string, ...words: readonly string[]): number {
  return Number.parseFloat(runTool(program, ...words));
}

/** Decodes a capture, and tells how many frames and the sum of what it read. */
interface Decoder {
  run(): void;
  count(): number;
  sum(): string;
}

/** How many frames a decoder reads, and their sum. */
function told(decoder: Decoder): string {
  decoder.run();
  return `${decoder.count()} ${decoder.sum()}`;
}

/** What bench/assembly/decode.ts exports. */
interface DecoderExports extends Record<string, unknown> {
  readonly memory: { readonly buffer: ArrayBuffer };
  room(size: number): number;
  decodeRecords(at: number, end: number): number;
  startDecoding(): void;
  decodedCount(): number;
  decodedSum(): bigint;
}

function loadDecoder(capture: Uint8Array): Decoder {
  const exports = instantiateSync<DecoderExports>(compileWasm("decode")).exports;
  const start = exports.room(capture.length);
  new Uint8Array(exports.memory.buffer).set(capture, start);
  const end = start + capture.length;
  return {
    run: () => {
      exports.startDecoding();
      let at = start + FILE_HEADER;
      let before;
      // A record that is not all there ends it.
      do {
        before = at;
        at = exports.decodeRecords(at, Math.min(at + PIECE, end));
      } while (at > before);
    },
    count: () => exports.decodedCount(),
    sum: () => String(BigInt.asUintN(64, exports.decodedSum())),
  };
}

/** What bench/rivals/decode.c exports. */
interface CExports extends Record<string, unknown> {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  room(): number;
  decode_capture(at: number, end: number): number;
  decoded_sum(): bigint;
}

function loadDecoderInC(module: Uint8Array<ArrayBuffer>, capture: Uint8Array): Decoder {
  const exports = instantiateSync<CExports>(module).exports;
  const start = exports.room();
  exports.memory.grow(Math.ceil((start + capture.length) / WASM_PAGE));
  new Uint8Array(exports.memory.buffer).set(capture, start);
  let count = 0;
  return {
    run: () => {
      count = exports.decode_capture(start + FILE_HEADER, start + capture.length);
    },
    count: () => count,
    sum: () => String(BigInt.asUintN(64, exports.decoded_sum())),
  };
}
