// When a connection's time is up. The kernel counts ticks, and a dump whole seconds: around the end nobody knows
// whether it is there. Other doubts about the end, such as whether a flow is a stream, are kept as a latest end.
// Source: Linux, nf_conntrack.h, nf_ct_is_expired(); nf_conntrack_core.c, __nf_ct_refresh_acct().
import { now, SECOND } from "./clock";
import { Entry } from "./entry";
import { TICK_SLACK } from "./match/bucket";

// Entry.deadline is the earliest end, to some microseconds: how many seconds later the latest may be stands in its
// lowest bits, turned round, so that all of them are set where there is but one. It is 0 where something ended the
// connection.
const LATER: u64 = 0xfff;
// That many seconds, or more.
const LATER_MAX: u64 = 0xfff;
// As of the longest timeout that a kernel takes.
const LONGEST: u64 = 21474836;

/** The end of what lives so many seconds from now on. */
export function deadlineIn(seconds: u32): u64 {
  return (now() + <u64>seconds * SECOND) | LATER;
}

/** An end that lies between two times. */
export function deadlineBetween(first: u64, last: u64): u64 {
  const later = (max(last, first) - first + SECOND - 1) / SECOND;
  return (first & ~LATER) | (LATER - min(later, LATER_MAX));
}

/** An end that is one of two. */
export function deadlineOfBoth(one: u64, other: u64): u64 {
  if (one == 0 || other == 0 || one == other) return max(one, other);
  return deadlineBetween(min(one, other), max(latestOf(one), latestOf(other)));
}

/** The latest time at which it may end. */
export function latestOf(deadline: u64): u64 {
  const later = LATER - (deadline & LATER);
  return deadline + (later == LATER_MAX ? LONGEST : later) * SECOND;
}

/** More than ticks leave its end open. */
export function isEndOpen(entry: Entry): bool {
  return (entry.deadline & LATER) != LATER;
}

/** Its time is surely up. */
export function isOver(entry: Entry): bool {
  const deadline = entry.deadline;
  if (deadline > now()) return false;
  return deadline == 0 || latestOf(deadline) + TICK_SLACK <= now();
}

/** Its time is surely not up. */
export function isAlive(entry: Entry): bool {
  return entry.deadline > now() + TICK_SLACK;
}
