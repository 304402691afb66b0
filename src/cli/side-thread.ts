/**
 * The replay by the current policies in a thread of its own, beside that by the proposed ones. It tells which
 * row counted which packet as it goes, and its rows at the end.
 */
import { on } from "node:events";
import { statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Snapshot } from "../cluster/snapshot.ts";
import type { FlowCopy } from "../engine/flow-copy.ts";
import type { MatcherOptions } from "../engine/matcher.ts";
import type { Program } from "../engine/program.ts";
import type { Totals } from "../engine/verdict.ts";
import type { Diagnostic } from "../errors.ts";
import type { CaptureOptions } from "./options.ts";
import type { TrafficEnd } from "./traffic.ts";
import type { Plan } from "./workers.ts";

/** For less of captures a thread does not pay: it has the tables to load. */
const BYTES_MIN = 1 << 25;

/** Tells whether the two replays of what-if get a thread each. */
export function planSides(
  read: readonly string[],
  {
    hosts,
    packetsWanted,
    wanted,
  }: {
    readonly hosts: string | undefined;
    readonly packetsWanted: boolean;
    readonly wanted: number | undefined;
  },
): Plan {
  const one = (why?: string): Plan => ({ count: 1, why });
  if (read.length === 0 || (wanted ?? availableParallelism()) === 1) return one();
  if (packetsWanted) return one("packets are written again, in their order");
  let bytes = 0;
  for (const file of hosts === undefined ? read : [...read, hosts]) {
    const size = sizeOf(file);
    if (size === undefined) return one(`${file} is no file that each can read`);
    bytes += size;
  }
  return wanted === undefined && bytes < BYTES_MIN ? one() : { count: 2, why: undefined };
}

/** Undefined: it is no file that can be read again. */
function sizeOf(file: string): number | undefined {
  try {
    const stat = statSync(file);
    return file !== "-" && stat.isFile() ? stat.size : undefined;
  } catch {
    return undefined;
  }
}

/** Room for logs that are told and not heard yet: as many slots, and words in each. */
export const SLOTS = 8;
export const SLOT_WORDS = 1 << 16;

/** A log in the next slot. */
export interface SideLog {
  readonly words: number;
}

/** What the thread is told. */
export interface SideOrder {
  readonly program: Program;
  readonly matcher: MatcherOptions;
  readonly capture: CaptureOptions;
  /** Resolves names in captures. */
  readonly snapshot: Snapshot;
  readonly packetsMax: number | undefined;
  /** Of `Pace`. */
  readonly pace: SharedArrayBuffer;
  /** Words, each slot behind the other; used in turn. */
  readonly slots: SharedArrayBuffer;
}

/** What the thread gives back. */
export interface SideDelivery {
  /** Of the captures. */
  readonly diagnostics: readonly Diagnostic[];
  readonly end: SideEnd | SideFailure;
}

/** What the thread has counted. */
export interface SideEnd {
  readonly kind: "end";
  readonly traffic: TrafficEnd;
  readonly totals: Totals;
  readonly flows: FlowCopy;
}

/** A `Failure`, which no other thread would know again. */
export interface SideFailure {
  readonly kind: "failure";
  readonly sentence: string;
  readonly exitCode: number;
}

/** The thread, which was started. */
export interface SideThread {
  readonly delivery: Promise<SideDelivery>;
  readonly end: () => Promise<unknown>;
}

/**
 * Starts the thread.
 *
 * @param hear takes what `Matcher.takeRowLog` gives; the thread does not run far ahead of it
 */
export function startSide(
  order: Omit<SideOrder, "slots">,
  hear: (rows: Uint32Array) => Promise<void>,
): SideThread {
  // Beside this module, in the sources and in what is built of them.
  const script = import.meta.url.replace(/[^/]+(\.[jt]s)$/, "side-worker$1");
  // Logs that were sent as messages would be garbage by the hundred megabytes.
  const slots = new SharedArrayBuffer(SLOTS * SLOT_WORDS * Uint32Array.BYTES_PER_ELEMENT);
  const workerData: SideOrder = { ...order, slots };
  const worker = new Worker(new URL(script), { workerData });
  const delivery = hearAll(worker, new Uint32Array(slots), hear);
  return { delivery, end: () => worker.terminate() };
}

async function hearAll(
  worker: Worker,
  slots: Uint32Array,
  hear: (rows: Uint32Array) => Promise<void>,
): Promise<SideDelivery> {
  const messages: AsyncIterable<unknown[]> = on(worker, "message", { close: ["exit"] });
  let at = 0;
  for await (const [message] of messages) {
    const said = message as SideLog | SideDelivery;
    if (!("words" in said)) return said;
    await hear(slots.subarray(at, at + said.words));
    at = (at + SLOT_WORDS) % slots.length;
    worker.postMessage("heard");
  }
  throw new Error("bug: a thread has ended without a word");
}
