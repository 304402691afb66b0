// What was said of packets, by the state that their connection had: each once, for all that say the same.
import { Buckets, firstHung, hang, Hung, makeBuckets, nextHung } from "./hung";
import { Outcome, outcomeOf } from "./outcome";
import { mix } from "./set";
import { Verdict } from "./verdict";

@unmanaged
export class Saying extends Hung {
  /** Address of the outcome. */
  outcome: u32;
  /** The connection's mark and its ENTRY_* bits. */
  mark: u32;
  flags: u16;
  /** Flags of a TCP packet that rules look at, and which of them are set. */
  tcpFlagsLookedAt: u8;
  tcpFlags: u8;
}

let buckets: Buckets = changetype<Buckets>(0);

/** Prepares an empty memory. */
export function setUpSayings(): void {
  buckets = makeBuckets();
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
  const seen = tcpFlags & tcpFlagsLookedAt;
  const told = seen | (tcpFlagsLookedAt << 8) | ((<u32>flags) << 16);
  const hash = mix(mix(outcome, mark), told);
  for (let at = firstHung(buckets, hash); at != 0; at = nextHung(at)) {
    const found = changetype<Saying>(at);
    const same = found.outcome == outcome && found.mark == mark && found.flags == flags;
    const sameFlags = found.tcpFlagsLookedAt == <u8>tcpFlagsLookedAt;
    if (same && sameFlags && found.tcpFlags == <u8>seen) return found;
  }
  const saying = changetype<Saying>(heap.alloc(offsetof<Saying>()));
  saying.outcome = outcome;
  saying.mark = mark;
  saying.flags = flags;
  saying.tcpFlagsLookedAt = <u8>tcpFlagsLookedAt;
  saying.tcpFlags = <u8>seen;
  hang(buckets, changetype<usize>(saying), hash);
  return saying;
}

/** The outcome that it repeats. */
export function outcomeOfSaying(saying: Saying): Outcome {
  return changetype<Outcome>(saying.outcome);
}
