/**
 * Printed times to timestamps. `-tttt` and `-tt` give a point in time (taken as UTC: the text names no
 * zone); the default gives a time of day, which runs on over midnight; the deltas of `-ttt` and
 * `-ttttt` become times since the first packet, from midnight of an unknown day.
 */
import type { CaptureClock } from "./format.ts";
import type { PrintedTime } from "./tcpdump-head.ts";

/** A timestamp as the packet record has it. */
export interface Timestamp {
  readonly nanoseconds: bigint;
  /** Counts from midnight of an unknown day. */
  readonly timeOfDay: boolean;
}

const SECOND = 1_000_000_000n;
const DAY_SECONDS = 86_400;

/** The clock of one text. */
export interface TextClock {
  /** What the first time counts from; undefined before it. */
  kind: CaptureClock | undefined;
  /** Days that passed since the first time of day. */
  days: number;
  /** Seconds of the last time of day. */
  seconds: number | undefined;
  /** Set by the first time; `delta` is `-ttt` or `-ttttt`. */
  mode: "day" | "delta" | undefined;
  /** Nanoseconds at the last `-ttt` delta that was less than its predecessor; 0 for `-ttttt`. */
  base: number;
  last: number;
}

/** Makes a clock that has seen no time. */
export function startClock(): TextClock {
  return { kind: undefined, days: 0, seconds: undefined, mode: undefined, base: 0, last: 0 };
}

/** Turns the next printed time into a timestamp. */
export function advanceClock(clock: TextClock, time: PrintedTime): Timestamp {
  const nanoseconds = BigInt(time.nanoseconds);
  if (time.epoch) {
    clock.kind ??= "epoch";
    return { nanoseconds: BigInt(time.seconds) * SECOND + nanoseconds, timeOfDay: false };
  }
  if (time.days !== undefined) {
    clock.kind ??= "calendar";
    const seconds = BigInt(time.days) * BigInt(DAY_SECONDS) + BigInt(time.seconds);
    // A date before 1970 has no timestamp: it counts as 1970.
    const positive = seconds < 0n ? 0n : seconds;
    return { nanoseconds: positive * SECOND + nanoseconds, timeOfDay: false };
  }
  clock.mode ??= isDelta(time) ? "delta" : "day";
  clock.kind ??= clock.mode === "day" ? "day" : "first-packet";
  return clock.mode === "delta" ? advanceDelta(clock, time) : advanceDay(clock, time);
}

/** Both deltas start at 0 and have a blank more before them; a day's time all but never does. */
function isDelta(time: PrintedTime): boolean {
  const zero = time.seconds === 0 && time.nanoseconds === 0;
  return zero || (time.blanks === 1 && time.seconds < 60);
}

/**
 * `-ttttt` counts from the first packet and rises; `-ttt` counts from the packet before and falls
 * sooner or later. From the first fall on the deltas are summed up; before it the difference is
 * smaller than the sum of the times printed so far.
 */
function advanceDelta(clock: TextClock, time: PrintedTime): Timestamp {
  const printed = time.seconds * 1e9 + time.nanoseconds;
  const value = time.negative ? -printed : printed;
  if (clock.base > 0 || value < clock.last) {
    clock.base = Math.max(0, (clock.base > 0 ? clock.base : clock.last) + value);
    return { nanoseconds: BigInt(clock.base), timeOfDay: true };
  }
  clock.last = value;
  return { nanoseconds: BigInt(value), timeOfDay: true };
}

function advanceDay(clock: TextClock, time: PrintedTime): Timestamp {
  const before = clock.seconds;
  // More than half a day back is midnight; less is a packet out of order, or another capture.
  if (before !== undefined && before - time.seconds > DAY_SECONDS / 2) clock.days += 1;
  clock.seconds = time.seconds;
  const seconds = BigInt(clock.days * DAY_SECONDS + time.seconds);
  return { nanoseconds: seconds * SECOND + BigInt(time.nanoseconds), timeOfDay: true };
}
