/**
 * Several workers on one capture: each reads all of it, and decides the connections that are its own. The
 * thread that asks for it is the first of them, and adds up what the others have counted.
 */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { DETECT_SIZE, detectFormat } from "../capture/index.ts";
import type { MatcherCopy } from "../engine/copy.ts";
import type { Counted } from "../engine/counted.ts";
import type { Matcher, MatcherOptions } from "../engine/matcher.ts";
import type { Program } from "../engine/program.ts";
import { sharingOf } from "../engine/share.ts";
import type { Share } from "../engine/share.ts";
import { DiagnosticLog } from "./diagnostics.ts";
import { loadProgramMatcher } from "./matcher.ts";
import type { CaptureOptions } from "./options.ts";
import { Pace } from "./pace.ts";
import { replayTraffic } from "./traffic.ts";
import type { CountedTraffic, TrafficEnd } from "./traffic.ts";

/** More are of no use: each reads the whole capture. */
const WORKERS_MAX = 64;
/** For less of a capture another worker does not pay: it has tables to copy, and code to compile. */
const BYTES_EACH = 1 << 25;
/** What one packet takes of them, at least. */
const PACKET_BYTES = 76;

/** How many workers a replay gets. */
export interface Plan {
  readonly count: number;
  /** Why there is one only, of those that were asked for. */
  readonly why: string | undefined;
}

/** What decides how many workers a replay can have, whatever it is decided by. */
export interface PlanOptions {
  readonly capture: CaptureOptions;
  readonly packetsWanted: boolean;
  readonly packetsMax: number | undefined;
  /** Undefined: as many as pay. */
  readonly wanted: number | undefined;
}

/** Tells how many workers a replay gets, if what it is decided by allows for it. */
export function planWorkers(options: PlanOptions): Plan {
  const { capture, packetsWanted, packetsMax = Infinity, wanted } = options;
  const most = Math.min(wanted ?? availableParallelism(), WORKERS_MAX);
  if (most === 1) return { count: 1, why: undefined };
  const one = (why: string): Plan => ({ count: 1, why });
  if (packetsWanted) return one("packets are reported one by one, in their order");
  const [file = "-", ...more] = capture.read;
  if (more.length > 0) return one("captures are merged");
  const bytes = plainCaptureSize(file);
  if (bytes === undefined) return one(`${file} is no pcap or pcapng file that each can read`);
  const paying = Math.floor(Math.min(bytes, packetsMax * PACKET_BYTES) / BYTES_EACH);
  const count = wanted === undefined ? Math.min(most, paying) : most;
  return { count: Math.max(1, count), why: undefined };
}

/** Its bytes, if it is a file of plain frames. */
function plainCaptureSize(file: string): number | undefined {
  try {
    const stat = statSync(file);
    if (!stat.isFile()) return undefined;
    const start = new Uint8Array(Math.min(DETECT_SIZE, stat.size));
    const descriptor = openSync(file, "r");
    try {
      const format = detectFormat(start.subarray(0, readSync(descriptor, start)));
      return format === undefined || format.name === "tcpdump" ? undefined : stat.size;
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // Whoever opens it for good says what is wrong with it.
    return undefined;
  }
}

/** What a worker is told. */
export interface Order {
  readonly copy: MatcherCopy;
  readonly share: Share;
  readonly capture: CaptureOptions;
  readonly packetsMax: number | undefined;
  /** Of `Pace`. */
  readonly pace: SharedArrayBuffer;
}

/** What a worker gives back. */
export interface Delivery {
  readonly counted: Counted;
  /** Of the capture, its own and others'. */
  readonly packets: number;
  readonly obstacle: string | undefined;
  /** As `Matcher.repeated`, and the size of its memory. */
  readonly repeated: number;
  readonly matcherBytes: number;
}

/** Threads that have started, and wait to be told what they decide. */
export class Crew {
  /** The thread that asks among them. */
  readonly count: number;
  readonly pace = new Pace();
  readonly #workers: readonly Worker[];
  readonly #deliveries: readonly Promise<Delivery>[];

  constructor(count: number) {
    this.count = count;
    const workers: Worker[] = [];
    try {
      while (workers.length < count - 1) workers.push(startWorker());
    } catch (error) {
      for (const worker of workers) void worker.terminate();
      throw error;
    }
    this.#workers = workers;
    this.#deliveries = workers.map((worker) => this.#hear(worker));
  }

  /** Tells each worker its share. */
  order(order: Omit<Order, "share" | "pace">): void {
    for (const [index, worker] of this.#workers.entries()) {
      const share = { index: index + 1, count: this.count };
      const told: Order = { ...order, share, pace: this.pace.shared };
      worker.postMessage(told);
    }
  }

  deliveries(): Promise<Delivery[]> {
    return Promise.all(this.#deliveries);
  }

  /** Ends the threads, whatever they are at. */
  async dismiss(): Promise<void> {
    this.pace.giveUp();
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #hear(worker: Worker): Promise<Delivery> {
    const delivery = new Promise<Delivery>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
      worker.once("messageerror", reject);
      worker.once("exit", () => reject(new Error("bug: a worker has ended without a word")));
    });
    // Nobody waits for it yet; the others are not to wait for it either.
    delivery.catch(() => this.pace.giveUp());
    return delivery;
  }
}

function startWorker(): Worker {
  // Beside this module, in the sources and in what is built of them.
  return new Worker(new URL(import.meta.url.replace(/[^/]+(\.[jt]s)$/, "worker$1")));
}

/** What is replayed, and by whom. */
export interface CrewOptions extends Omit<CountedTraffic, "matcher" | "pace"> {
  readonly program: Program;
  readonly matcher: MatcherOptions;
  readonly crew: Crew;
}

/** A replay that several workers have made, or why it has to be made by one. */
export type CrewEnd =
  | {
      readonly matcher: Matcher;
      readonly end: TrafficEnd;
      /** Of all workers. */
      readonly repeated: number;
      readonly matcherBytes: number;
    }
  | { readonly matcher: undefined; readonly why: string };

/** Replays a capture by several workers, who are dismissed at the end. */
export async function replayByCrew(options: CrewOptions): Promise<CrewEnd> {
  const { program, crew, capture, packetsMax, log, interruption } = options;
  const { count, pace } = crew;
  // What was found is told once it stands.
  const held = new DiagnosticLog(() => undefined);
  try {
    const sharing = sharingOf(program);
    if (sharing.kind === "whole") return { matcher: undefined, why: sharing.why };
    const matcher = loadProgramMatcher(program, { ...options.matcher, share: { index: 0, count } });
    crew.order({ copy: matcher.copy(), capture: { ...capture }, packetsMax });
    const end = await replayTraffic({ ...options, matcher, pace, log: held });
    const deliveries = await crew.deliveries();
    const why =
      matcher.obstacle() ?? deliveries.find(({ obstacle }) => obstacle !== undefined)?.obstacle;
    if (why !== undefined) return { matcher: undefined, why };
    const packets = matcher.batch.packetNumber;
    if (!interruption.requested && deliveries.some((each) => each.packets !== packets)) {
      return { matcher: undefined, why: "the capture has changed meanwhile" };
    }
    for (const { counted } of deliveries) matcher.addCounted(counted);
    for (const diagnostic of held.found) log.report(diagnostic);
    const sum = (part: "repeated" | "matcherBytes"): number =>
      deliveries.reduce((total, each) => total + each[part], 0);
    return {
      ...{ matcher, end, repeated: matcher.repeated() + sum("repeated") },
      matcherBytes: matcher.memory().byteLength + sum("matcherBytes"),
    };
  } catch (error) {
    for (const diagnostic of held.found) log.report(diagnostic);
    throw error;
  } finally {
    await crew.dismiss();
  }
}
