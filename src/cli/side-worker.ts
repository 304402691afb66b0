/** What runs in the thread of one side of what-if (side-thread.ts). */
import { parentPort, workerData } from "node:worker_threads";
import { DiagnosticLog } from "./diagnostics.ts";
import { Failure } from "./failure.ts";
import { makeResolver } from "./hosts.ts";
import { Interruption } from "./interruption.ts";
import { loadProgramMatcher } from "./matcher.ts";
import { Pace } from "./pace.ts";
import { SLOTS, SLOT_WORDS } from "./side-thread.ts";
import type { SideDelivery, SideEnd, SideFailure, SideLog, SideOrder } from "./side-thread.ts";
import { replayTraffic } from "./traffic.ts";

if (parentPort === null) throw new Error("bug: there is nobody to tell");
const port = parentPort;
const order = workerData as SideOrder;
const { program, matcher: options, capture, snapshot, packetsMax, pace } = order;
const slots = new Uint32Array(order.slots);
const matcher = loadProgramMatcher(program, options);
const log = new DiagnosticLog(() => undefined);

let next = 0;
let unheard = 0;
let wake = (): void => undefined;
port.on("message", () => {
  unheard -= 1;
  wake();
});

async function tell(): Promise<void> {
  const rows = matcher.takeRowLog();
  for (let from = 0; from < rows.length; from += SLOT_WORDS) {
    while (unheard === SLOTS) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    const piece = rows.subarray(from, from + SLOT_WORDS);
    slots.set(piece, next);
    next = (next + SLOT_WORDS) % slots.length;
    unheard += 1;
    const said: SideLog = { words: piece.length };
    port.postMessage(said);
  }
}

async function replay(): Promise<SideEnd | SideFailure> {
  try {
    const traffic = await replayTraffic({
      ...{ capture, matcher, log, packetsMax, pace: new Pace(pace) },
      // What is wrong with the file of names was said.
      resolveName: makeResolver(capture.hosts, snapshot, new DiagnosticLog(() => undefined)),
      // Whoever started the thread interrupts it by the pace.
      interruption: new Interruption(),
      packetsWanted: false,
      onBatch: async () => true,
      onCounted: tell,
    });
    return { kind: "end", traffic, totals: matcher.totals(), flows: matcher.flowCopy() };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { kind: "failure", sentence: error.message, exitCode: error.exitCode };
  }
}

const end = await replay();
const delivery: SideDelivery = { diagnostics: log.found, end };
port.postMessage(delivery, end.kind === "end" ? end.flows.pieces.map(({ buffer }) => buffer) : []);
