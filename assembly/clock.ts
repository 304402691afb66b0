// The clock: packet time, which no timestamp that goes backwards rewinds.

export const SECOND: u64 = 1000000000;

let clock: u64 = 0;
let started: bool = false;
let startedAt: u64 = 0;

/** Says when a packet came. @returns whether it is the first */
export function startClock(timestamp: u64): bool {
  if (started) return false;
  started = true;
  startedAt = timestamp;
  return true;
}

/** Lets time pass up to a packet. */
export function passTime(timestamp: u64): void {
  if (timestamp > clock) clock = timestamp;
}

/** There was a packet. */
export function clockRuns(): bool {
  return started;
}

/** The clock. */
export function now(): u64 {
  return clock;
}

/** The time of the capture's first packet. */
export function clockStart(): u64 {
  return startedAt;
}

/** Time since the capture's first packet. */
export function sinceStart(): u64 {
  return clock - startedAt;
}
