/** Answers are compared before they are timed: the short way, the reference, the plain loop and the counters. */
import type { Totals } from "../src/engine/verdict.ts";
import type { Asking } from "./question.ts";
import { counterRivals } from "./rivals/counters.ts";
import { plainLoop, type Decides } from "./rivals/plain-loop.ts";
import { replayHere, type Subject, type Traffic } from "./subject.ts";

/** Packets that the slow engines are asked about. */
export interface Afforded {
  readonly reference: number;
  readonly plain: number;
}

/** Finds how many of the first packets the slow engines get through in the time. */
export async function afford(
  subject: Subject,
  traffic: Traffic,
  { decides, seconds }: { readonly decides: Decides; readonly seconds: number },
): Promise<Afforded> {
  const few = Math.min(traffic.packets, 1000);
  const probe = await replayHere(subject, traffic, { walkAll: true, packetsMax: few });
  const start = performance.now();
  plainLoop(traffic.file, decides, few);
  const plainSeconds = (performance.now() - start) / 1000;
  const within = (taken: number): number =>
    Math.min(traffic.packets, Math.max(few, Math.floor((few / taken) * seconds)));
  return { reference: within(probe.seconds), plain: within(plainSeconds) };
}

/** Compares verdicts and rule counts with those of every packet walking every rule. */
export async function compareReference(
  asking: Asking,
  subject: Subject,
  traffic: Traffic,
  packetsMax: number,
): Promise<void> {
  const walked = await replayHere(subject, traffic, { walkAll: true, packetsMax });
  const short = await replayHere(subject, traffic, { packetsMax });
  const mine = [...short.matcher.ruleCounts()];
  const wrong = [...walked.matcher.ruleCounts()].filter(
    ({ packets, bytes }, index) => packets !== mine[index]?.packets || bytes !== mine[index].bytes,
  );
  const mismatches = wrong.length + differences(walked.totals, short.totals);
  asking.checked("verdicts and rule counts of the reference walk", packetsMax, mismatches);
}

/** Compares verdicts with those of the plain loop. */
export async function comparePlain(
  asking: Asking,
  subject: Subject,
  traffic: Traffic,
  { decides, packets }: { readonly decides: Decides; readonly packets: number },
): Promise<void> {
  const { totals } = await replayHere(subject, traffic, { packetsMax: packets });
  const plain = plainLoop(traffic.file, decides, packets);
  const mismatches = Math.abs(plain.allowed - totals.verdicts.allow) + totals.verdicts.unknown;
  asking.checked("verdicts of the plain JavaScript loop", packets, mismatches);
}

/** Compares the number of packets. */
export function compareCounters(asking: Asking, { file, packets }: Traffic): void {
  for (const rival of counterRivals(asking)) {
    const mismatches = Math.abs(rival.count(file) - packets);
    asking.checked(`packets that ${rival.name} sees`, packets, mismatches);
  }
}

function differences(one: Totals, other: Totals): number {
  return (["allow", "drop", "unfiltered", "unknown"] as const).reduce(
    (sum, verdict) => sum + Math.abs(one.verdicts[verdict] - other.verdicts[verdict]),
    Math.abs(one.bytes - other.bytes),
  );
}
