/** What runs in the thread of a worker (workers.ts): one share of a replay. */
import { parentPort, workerData } from "node:worker_threads";
import { DiagnosticLog } from "./diagnostics.ts";
import { Interruption } from "./interruption.ts";
import { loadProgramMatcher } from "./matcher.ts";
import { Pace } from "./pace.ts";
import { replayTraffic } from "./traffic.ts";
import type { Delivery, Order } from "./workers.ts";

const { program, matcher: options, capture, packetsMax, pace } = workerData as Order;
const matcher = loadProgramMatcher(program, options);
await replayTraffic({
  ...{ capture, matcher, packetsMax, pace: new Pace(pace) },
  // Whoever started the workers reads the same, and reports it; nobody interrupts but through the pace.
  log: new DiagnosticLog(() => undefined),
  interruption: new Interruption(),
  resolveName: () => undefined,
  packetsWanted: false,
  onBatch: async () => true,
});
const counted = matcher.counted();
const delivery: Delivery = {
  counted,
  packets: matcher.batch.packetNumber,
  obstacle: matcher.obstacle(),
  repeated: matcher.repeated(),
  matcherBytes: matcher.memory().byteLength,
};
parentPort?.postMessage(delivery, [
  counted.totals.buffer,
  counted.rules.buffer,
  ...counted.flows.map(({ buffer }) => buffer),
]);
