/** Captures that can be read once only: which they are, and two replays of them. */
import { createReadStream, statSync } from "node:fs";
import { PassThrough } from "node:stream";
import type { Readable } from "node:stream";

/** Whether a capture can be read again; of one that is not there, whoever opens it says so. */
export function isReadAgain(file: string): boolean {
  if (file === "-") return false;
  try {
    return statSync(file).isFile();
  } catch {
    return true;
  }
}

/** Streams by the names of the captures that they are. */
export type Pipes = ReadonlyMap<string, Readable>;

/** Standard input and named pipes can be read once: what comes is handed to both replays. */
export function openPipes(files: readonly string[]): readonly [Pipes, Pipes] {
  const [first, second] = [new Map<string, Readable>(), new Map<string, Readable>()];
  for (const file of files) {
    const source = openPipe(file);
    if (source === undefined) continue;
    const halves = [new PassThrough(), new PassThrough()] as const;
    for (const half of halves) {
      source.pipe(half);
      source.on("error", (error) => half.destroy(error));
    }
    first.set(file, halves[0]);
    second.set(file, halves[1]);
  }
  return [first, second];
}

function openPipe(file: string): Readable | undefined {
  if (file === "-") return process.stdin.isTTY ? undefined : process.stdin;
  try {
    return statSync(file).isFIFO() ? createReadStream(file) : undefined;
  } catch {
    // Whoever opens the capture says why it cannot be read.
    return undefined;
  }
}
