// Verdict records that are kept, each once: many flows get the same.
import { copyBytes } from "./bytes";
import { Buckets, firstHung, hang, Hung, makeBuckets, nextHung } from "./hung";
import { VERDICT_SIZE } from "./layout";
import { Verdict } from "./verdict";

// A record: a Hung one, and the verdict.
const VERDICT: usize = offsetof<Hung>();
const KEPT_SIZE: usize = VERDICT + VERDICT_SIZE;

let buckets: Buckets = changetype<Buckets>(0);
let last: usize = 0;

if (VERDICT_SIZE % 8 != 0) ERROR("verdicts are compared by eight bytes");

/** Prepares an empty memory. */
export function setUpKeptVerdicts(): void {
  buckets = makeBuckets();
  last = heap.alloc(KEPT_SIZE);
  memory.fill(last, 0, KEPT_SIZE);
}

/** A verdict record like this one, which stays where it is. */
export function keptVerdict(verdict: Verdict): Verdict {
  // Often it is what the last one was.
  if (!isVerdict(last, verdict)) last = find(verdict);
  return changetype<Verdict>(last + VERDICT);
}

function find(verdict: Verdict): usize {
  const hash = hashOf(verdict);
  for (let at = firstHung(buckets, hash); at != 0; at = nextHung(at)) {
    if (isVerdict(at, verdict)) return at;
  }
  const kept = heap.alloc(KEPT_SIZE);
  copyBytes(kept + VERDICT, changetype<usize>(verdict), VERDICT_SIZE);
  hang(buckets, kept, hash);
  return kept;
}

function isVerdict(at: usize, verdict: Verdict): bool {
  const here = at + VERDICT;
  const there = changetype<usize>(verdict);
  let differing: u64 = 0;
  for (let byte: usize = 0; byte < <usize>VERDICT_SIZE; byte += 8)
    differing |= load<u64>(here + byte) ^ load<u64>(there + byte);
  return differing == 0;
}

function hashOf(verdict: Verdict): u32 {
  let hash: u64 = 0;
  for (let byte: usize = 0; byte < <usize>VERDICT_SIZE; byte += 8)
    hash =
      rotl<u64>(hash, 23) ^ (load<u64>(changetype<usize>(verdict) + byte) * 0x9e3779b97f4a7c15);
  return <u32>((hash * 0xbf58476d1ce4e5b9) >> 32);
}
