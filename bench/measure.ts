/**
 * Takes the time of rivals in turn: one round runs each of them once, so that whatever else the machine does
 * hits all of them alike. The median of the rounds counts.
 */

/** Something that is measured. */
export interface Task {
  readonly name: string;
  /** How many units (packets, lines, runs) one run handles. */
  readonly units: number;
  /** Runs once and gives the seconds that count. */
  run(): number | Promise<number>;
}

/** What one task took. */
export interface Measured {
  readonly task: string;
  readonly units: number;
  /** Seconds of each round, in order. */
  readonly seconds: readonly number[];
}

/** Runs all tasks in turn, so many rounds, and one before to warm up. */
export async function interleave(tasks: readonly Task[], rounds: number): Promise<Measured[]> {
  const seconds = tasks.map((): number[] => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [index, task] of tasks.entries()) {
      const taken = await task.run();
      if (round > 0) seconds[index]!.push(taken);
    }
  }
  return tasks.map(({ name, units }, index) => ({ task: name, units, seconds: seconds[index]! }));
}

/** The median; of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Distance between the quartiles in hundredths of the median. */
export function spreadPercent(values: readonly number[]): number {
  return ((quantile(values, 0.75) - quantile(values, 0.25)) / median(values)) * 100;
}

/** Seconds that the work takes. */
export async function secondsOf(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  const at = part * (sorted.length - 1);
  const low = sorted[Math.floor(at)]!;
  return low + (sorted[Math.ceil(at)]! - low) * (at - Math.floor(at));
}
