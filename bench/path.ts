/** The tasks of the whole path: netverdict in a process of its own, its reference, a plain loop, and what only reads. */
import { afford, compareCounters, comparePlain, compareReference } from "./compare.ts";
import { interleave, secondsOf, type Task } from "./measure.ts";
import type { Asking } from "./question.ts";
import { Replayer } from "./replayer.ts";
import { counterRivals } from "./rivals/counters.ts";
import { plainLoop, type Decides } from "./rivals/plain-loop.ts";
import { replayHere, trafficFor, type Subject, type Traffic } from "./subject.ts";

/** Names that plots and bars look for. */
export const NETVERDICT = "netverdict";
export const REFERENCE = "reference walk";
export const PLAIN = "plain JavaScript loop";
export const OLD = "10,000 connections";
export const FRESH = "every packet a new connection";
export const AGAIN = "new connections of 1,000 clients, each to a service of its own";

/** Rules that are looked at in one round of new connections, about. */
const WALKS = 2e9;

/** A rule set. */
export interface PathSize {
  /** In words, and as a number. */
  readonly size: string;
  readonly at: number;
  readonly subject: Subject;
  readonly decides: Decides;
}

/** Measures a rule set with few connections of many packets, and with nothing but new ones, of many ends or few. */
export async function measureTraffic(asking: Asking, path: PathSize): Promise<void> {
  // Many enough that neither making the look-up of many rules nor the first packets weigh.
  const packets = asking.full ? 10_000_000 : 200_000;
  // New connections are walked: with many rules fewer of them take as long.
  const many = Math.min(asking.full ? 200_000 : 40_000, WALKS / path.at);
  for (const [what, shape] of [
    [OLD, { packets, flows: 10_000, share: "skewed" }],
    [FRESH, { packets: many, flows: many }],
    [AGAIN, { packets: many, flows: many, pairs: 1000 }],
  ] as const) {
    const size = `${path.size}, ${what}`;
    asking.progress(size);
    const traffic = await trafficFor(path.subject, shape);
    const rivals = await comparedTasks(asking, path, traffic);
    const replayer = new Replayer(path.subject, traffic);
    const tasks = [
      { name: NETVERDICT, units: traffic.packets, run: () => replayer.seconds() },
      ...rivals,
    ];
    const measured = await interleave(tasks, asking.full ? 7 : 3);
    replayer.end();
    asking.add({ size, at: path.at, unit: "packets", tasks: measured });
  }
}

async function comparedTasks(
  asking: Asking,
  { subject, decides }: PathSize,
  traffic: Traffic,
): Promise<Task[]> {
  const seconds = asking.full ? 2 : 0.3;
  const { reference, plain } = await afford(subject, traffic, { decides, seconds });
  await compareReference(asking, subject, traffic, reference);
  await comparePlain(asking, subject, traffic, { decides, packets: plain });
  compareCounters(asking, traffic);
  const { file, packets } = traffic;
  return [
    {
      name: REFERENCE,
      units: reference,
      run: () => replaySeconds(subject, traffic, { walkAll: true, packetsMax: reference }),
    },
    { name: PLAIN, units: plain, run: () => secondsOf(() => plainLoop(file, decides, plain)) },
    ...counterRivals(asking).map((rival) => rival.task(file, packets)),
  ];
}

/** Seconds of one replay in this process. */
export async function replaySeconds(...replay: Parameters<typeof replayHere>): Promise<number> {
  return (await replayHere(...replay)).seconds;
}
