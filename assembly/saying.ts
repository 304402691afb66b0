// What was said of packets, by the state that their connection had: each once, for all that say the same.
import { Outcome, outcomeOf } from "./outcome";
import { mix } from "./set";
import { Verdict } from "./verdict";

@unmanaged
export class Saying {
  /** Address of the next with this hash's bucket, or 0. */
  next: u32;
  /** Address of the outcome. */
  outcome: u32;
  /** The connection's mark and its ENTRY_* bits. */
  mark: u32;
  flags: u16;
  /** Flags of a TCP packet that rules look at, and which of them are set. */
  tcpFlagsLookedAt: u8;
  tcpFlags: u8;
}

const BUCKETS: u32 = 1 << 12;
let buckets: usize = 0;

/** Prepares an empty memory. */
export function setUpSayings(): void {
  buckets = heap.alloc((<usize>BUCKETS) << 2);
  memory.fill(buckets, 0, (<usize>BUCKETS) << 2);
}

/** What the walk that just ended says of packets whose connection is as this one's. */
export function sayingOf(
  verdict: Verdict,
  mark: u32,
  flags: u16,
  tcpFlagsLookedAt: u32,
  tcpFlags: u32,
): Saying {
  const outcome = <u32>changetype<usize>(outcomeOf(verdict));
  const told = (tcpFlags & tcpFlagsLookedAt) | (tcpFlagsLookedAt << 8) | ((<u32>flags) << 16);
  const hash = mix(mix(outcome, mark), told);
  const bucket = buckets + ((<usize>(hash & (BUCKETS - 1))) << 2);
  let at: usize = load<u32>(bucket);
  while (at != 0) {
    const found = changetype<Saying>(at);
    const same = found.outcome == outcome && found.mark == mark && found.flags == flags;
    const sameFlags = found.tcpFlagsLookedAt == <u8>tcpFlagsLookedAt;
    if (same && sameFlags && found.tcpFlags == <u8>(tcpFlags & tcpFlagsLookedAt)) return found;
    at = found.next;
  }
  const saying = changetype<Saying>(heap.alloc(offsetof<Saying>()));
  saying.next = load<u32>(bucket);
  saying.outcome = outcome;
  saying.mark = mark;
  saying.flags = flags;
  saying.tcpFlagsLookedAt = <u8>tcpFlagsLookedAt;
  saying.tcpFlags = <u8>(tcpFlags & tcpFlagsLookedAt);
  store<u32>(bucket, <u32>changetype<usize>(saying));
  return saying;
}

/** The outcome that it repeats. */
export function outcomeOfSaying(saying: Saying): Outcome {
  return changetype<Outcome>(saying.outcome);
}
