/**
 * What do reading fields and going through memory take by themselves? Our decoding of plain frames beside the same in
 * C; and beside our whole path a loop in C that only reads, and looks connections up or makes them, with lines as many as
 * ours.
 */
import { readFileSync } from "node:fs";
import { instantiateSync } from "@assemblyscript/loader";
import { interleave, secondsOf, type Task } from "../measure.ts";
import { FRESH, NETVERDICT, OLD, replaySeconds } from "../path.ts";
import type { Asking, Question } from "../question.ts";
import { compileC, runTool } from "../rivals/tools.ts";
import { clusterSubject, trafficFor, type Subject } from "../subject.ts";
import { compileWasm } from "../wasm.ts";

/** Names that bars look for. */
export const FRAMES = "plain frames in memory";
export const DECODE = "netverdict's decoding alone";
export const DECODE_C = "the same in C";
export const FLOOR = "C, reading and memory of connections alone";

const FILE_HEADER = 24;
/** As the command reads a capture. */
const PIECE = 2 << 20;

export const decode: Question = {
  name: "decode",
  asks: "decoding alone, and reading with the memory of connections, beside the same in C: packets a second",
  async answer(asking) {
    const subject = clusterSubject({ policies: 10, pods: 100 });
    await measureDecoding(asking, subject);
    await measureMemory(asking, subject);
  },
};

async function measureDecoding(asking: Asking, subject: Subject): Promise<void> {
  asking.progress(FRAMES);
  const packets = asking.full ? 3_000_000 : 1_000_000;
  const { file } = await trafficFor(subject, { packets, flows: 10_000, share: "skewed" });
  const decoder = loadDecoder(readFileSync(file));
  const program = compileC("decode");
  const tasks: Task[] = [{ name: DECODE, units: packets, run: () => secondsOf(decoder.run) }];
  if (program === undefined) asking.missing(DECODE_C, "gcc is not installed");
  else {
    const [, count, sum] = runTool(program, file).trim().split(" ");
    decoder.run();
    const same = decoder.count() === Number(count) && decoder.sum() === sum;
    asking.checked("frames decoded by C", Number(count), same ? 0 : 1);
    tasks.push({ name: DECODE_C, units: packets, run: () => secondsSaid(program, file) });
  }
  const measured = await interleave(tasks, asking.full ? 9 : 5);
  asking.add({ size: FRAMES, unit: "packets", tasks: measured });
}

async function measureMemory(asking: Asking, subject: Subject): Promise<void> {
  const program = compileC("floor");
  if (program === undefined) {
    asking.missing(FLOOR, "gcc is not installed");
    return;
  }
  const packets = asking.full ? 3_000_000 : 300_000;
  for (const [size, how, shape] of [
    [OLD, "known", { packets, flows: 10_000, share: "skewed" }],
    ["100,000 connections", "known", { packets, flows: 100_000, share: "skewed" }],
    [FRESH, "new", { packets, flows: packets }],
  ] as const) {
    asking.progress(size);
    const traffic = await trafficFor(subject, shape);
    const tasks: Task[] = [
      { name: NETVERDICT, units: packets, run: () => replaySeconds(subject, traffic) },
      { name: FLOOR, units: packets, run: () => secondsSaid(program, how, traffic.file) },
    ];
    const read = Number(runTool(program, how, traffic.file).split(" ")[1]);
    asking.checked("packets that C reads", packets, Math.abs(packets - read));
    const measured = await interleave(tasks, asking.full ? 7 : 3);
    asking.add({ size: `10 policies, ${size}`, unit: "packets", tasks: measured });
  }
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
