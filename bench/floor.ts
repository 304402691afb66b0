/**
 * The matcher's own parts for reading a capture, looking connections up and following TCP's windows, in a loop that decides
 * nothing (bench/assembly/floor.ts).
 */
import { closeSync, openSync, readSync } from "node:fs";
import { instantiateSync } from "@assemblyscript/loader";
import { secondsOf } from "./measure.ts";
import { compileWasm } from "./wasm.ts";

const FLOOR_WASM = "the same by the matcher's parts";

/** Bytes of a pcap file's header. */
export const FILE_HEADER = 24;
/** As the command reads a capture. */
export const PIECE = 2 << 20;
/** More than a record of ours has. */
const RECORD_MAX = 1 << 16;

/** A loop that only keeps connections: how many packets it has read, and how often it has begun a connection. */
export interface Floor {
  readonly name: string;
  readonly packets: number;
  readonly begun: number;
  /** Once more. @returns seconds */
  run(): number | Promise<number>;
}

/** What bench/assembly/floor.ts exports. */
interface FloorExports extends Record<string, unknown> {
  readonly memory: { readonly buffer: ArrayBuffer };
  startFloor(connectionsMax: number, size: number): number;
  followRecords(at: number, end: number): number;
  followedCount(): number;
  begunCount(): number;
}

/** Loads the loop for a file of so many connections, which it has made when this returns. */
export function wasmFloor(file: string, connections: number): Floor {
  const exports = instantiateSync<FloorExports>(compileWasm("floor")).exports;
  const start = exports.startFloor(connections, PIECE + RECORD_MAX);
  const follow = (): void => {
    const descriptor = openSync(file, "r");
    readSync(descriptor, new Uint8Array(FILE_HEADER));
    let kept = 0;
    while (true) {
      // Its memory may have grown.
      const bytes = new Uint8Array(exports.memory.buffer);
      const read = readSync(descriptor, bytes, start + kept, PIECE, null);
      if (read === 0) break;
      const end = start + kept + read;
      const left = exports.followRecords(start, end);
      bytes.copyWithin(start, left, end);
      kept = end - left;
    }
    closeSync(descriptor);
  };
  // As in C: connections are made in a run before the clock starts.
  follow();
  const before = exports.followedCount();
  follow();
  const packets = exports.followedCount() - before;
  const begun = exports.begunCount();
  return { name: FLOOR_WASM, packets, begun, run: () => secondsOf(follow) };
}
