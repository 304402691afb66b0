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

let buckets: usize = 0;
let bucketMask: u32 = 0;
let count: u32 = 0;

/** Prepares an empty memory. */
export function setUpSayings(): void {
  makeBuckets(1 << 10);
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
  const told = toldOf(tcpFlags & tcpFlagsLookedAt, tcpFlagsLookedAt, flags);
  let at: usize = load<u32>(bucketAt(hashOf(outcome, mark, told)));
  while (at != 0) {
    const found = changetype<Saying>(at);
    const same = found.outcome == outcome && found.mark == mark && found.flags == flags;
    const sameFlags = found.tcpFlagsLookedAt == <u8>tcpFlagsLookedAt;
    if (same && sameFlags && found.tcpFlags == <u8>(tcpFlags & tcpFlagsLookedAt)) return found;
    at = found.next;
  }
  if (count > bucketMask) growBuckets();
  count++;
  const saying = changetype<Saying>(heap.alloc(offsetof<Saying>()));
  saying.outcome = outcome;
  saying.mark = mark;
  saying.flags = flags;
  saying.tcpFlagsLookedAt = <u8>tcpFlagsLookedAt;
  saying.tcpFlags = <u8>(tcpFlags & tcpFlagsLookedAt);
  hang(saying);
  return saying;
}

/** The outcome that it repeats. */
export function outcomeOfSaying(saying: Saying): Outcome {
  return changetype<Outcome>(saying.outcome);
}

function toldOf(tcpFlags: u32, tcpFlagsLookedAt: u32, flags: u32): u32 {
  return tcpFlags | (tcpFlagsLookedAt << 8) | (flags << 16);
}

function hashOf(outcome: u32, mark: u32, told: u32): u32 {
  return mix(mix(outcome, mark), told);
}

function bucketAt(hash: u32): usize {
  return buckets + ((<usize>(hash & bucketMask)) << 2);
}

function hang(saying: Saying): void {
  const told = toldOf(saying.tcpFlags, saying.tcpFlagsLookedAt, saying.flags);
  const bucket = bucketAt(hashOf(saying.outcome, saying.mark, told));
  saying.next = load<u32>(bucket);
  store<u32>(bucket, <u32>changetype<usize>(saying));
}

function makeBuckets(size: u32): void {
  bucketMask = size - 1;
  buckets = heap.alloc((<usize>size) << 2);
  memory.fill(buckets, 0, (<usize>size) << 2);
}

// Four times the buckets, and every saying hung up anew. The old buckets stay allocated: nothing is freed.
function growBuckets(): void {
  const before = buckets;
  const size = bucketMask + 1;
  makeBuckets(size << 2);
  for (let bucket: u32 = 0; bucket < size; bucket++) {
    let at: usize = load<u32>(before + ((<usize>bucket) << 2));
    while (at != 0) {
      const saying = changetype<Saying>(at);
      at = saying.next;
      hang(saying);
    }
  }
}
