/**
 * Files that are read whole: manifests, dumps and lists. None is read further than one of them may be long;
 * what standard input and pipes say is kept, as a command that compares reads what both sides have in common twice.
 */
import { constants } from "node:buffer";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { Failure, systemErrorCode, systemErrorText } from "./failure.ts";

/** That of the longest string. A dump of a large cluster, 100,000 rules or a set of a million entries have some tens of MiB. */
const BYTES_MAX = constants.MAX_STRING_LENGTH;
/** What is asked of a pipe or device at a time. */
const PIECE = 1 << 16;

/** What was read of standard input and of pipes, which say it once. */
const saidOnce = new Map<string, Buffer>();

/** Reads a file, a pipe, or standard input (`-`) to its end; ends the command where that cannot be. */
export function readWhole(file: string): Buffer {
  const said = saidOnce.get(file);
  if (said !== undefined) return said;
  try {
    const descriptor = file === "-" ? 0 : openSync(file, "r");
    try {
      return readToEnd(file, descriptor);
    } finally {
      if (descriptor !== 0) closeSync(descriptor);
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`${file}: ${systemErrorText(error)}`);
  }
}

function readToEnd(file: string, descriptor: number): Buffer {
  const state = fstatSync(descriptor);
  const { size } = state;
  refuseLonger(file, size);
  const pieces: Buffer[] = [];
  let length = 0;
  while (true) {
    // One byte more than a file has: the next read finds its end.
    const piece = Buffer.allocUnsafe(length === 0 ? Math.max(size + 1, PIECE) : PIECE);
    const count = readSome(descriptor, piece);
    if (count === 0) break;
    length += count;
    refuseLonger(file, length);
    pieces.push(piece.subarray(0, count));
  }
  const [only, ...others] = pieces;
  const bytes = only !== undefined && others.length === 0 ? only : Buffer.concat(pieces);
  if (file === "-" || state.isFIFO() || state.isSocket()) saidOnce.set(file, bytes);
  return bytes;
}

/** Milliseconds between two looks at a pipe that has said nothing yet. */
const PATIENCE = 5;
const nobody = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

// Node may have made standard input such that reading it does not wait.
function readSome(descriptor: number, into: Buffer): number {
  while (true) {
    try {
      return readSync(descriptor, into);
    } catch (error) {
      if (systemErrorCode(error) !== "EAGAIN") throw error;
      Atomics.wait(nobody, 0, 0, PATIENCE);
    }
  }
}

function refuseLonger(file: string, length: number): void {
  if (length <= BYTES_MAX) return;
  throw new Failure(`${file}: longer than ${BYTES_MAX} bytes, which no such file is`);
}
