/** What runs in the thread of a worker (workers.ts): one share of a replay, once it is told which. */
import { once } from "node:events";
import { parentPort } from "node:worker_threads";
import type { CopiedMatcher } from "../engine/copy.ts";
import { DiagnosticLog } from "./diagnostics.ts";
import { Interruption } from "./interruption.ts";
import { prepareProgramCopy } from "./matcher.ts";
import { Pace } from "./pace.ts";
import { replayTraffic } from "./traffic.ts";
import type { Delivery, Order } from "./workers.ts";

if (parentPort === null) throw new Error("bug: there is nobody to tell");
const port = parentPort;
// While others compile what it is to decide by.
const begin = prepareProgramCopy();
port.once("messageerror", (error) => {
  throw error;
});

/** Waits for the order; its copy, which is large, is not kept. */
async function hear(): Promise<
  Omit<Order, "copy" | "share"> & { readonly matcher: CopiedMatcher }
> {
  const [order] = (await once(port, "message")) as [Order];
  const { copy, share, ...rest } = order;
  return { ...rest, matcher: begin(copy, share) };
}

const { matcher, capture, packetsMax, pace } = await hear();
await replayTraffic({
  ...{ capture, matcher, packetsMax, pace: new Pace(pace) },
  // Whoever started the workers reads the same, and reports it; nobody interrupts but through the pace.
  log: new DiagnosticLog(() => undefined),
  interruption: new Interruption(),
  resolveName: () => undefined,
});
const counted = matcher.counted();
const delivery: Delivery = {
  counted,
  packets: matcher.batch.packetNumber,
  obstacle: matcher.obstacle(),
  repeated: matcher.repeated(),
  matcherBytes: matcher.memory().byteLength,
};
port.postMessage(delivery, [
  counted.totals.buffer,
  counted.rules.buffer,
  ...counted.flows.map(({ buffer }) => buffer),
]);
