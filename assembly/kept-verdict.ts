// Verdict records that are kept, each once: many flows get the same.
import { copyBytes } from "./bytes";
import { VERDICT_SIZE } from "./layout";
import { Verdict } from "./verdict";

// A record: address of the next with its hash's bucket, u32, hash, u32, and the verdict.
const HASH: usize = 4;
const VERDICT: usize = 8;
const KEPT_SIZE: usize = 8 + VERDICT_SIZE;

let buckets: usize = 0;
let bucketMask: u32 = 0;
let count: u32 = 0;
let last: usize = 0;

if (VERDICT_SIZE % 8 != 0) ERROR("verdicts are compared by eight bytes");

/** Prepares an empty memory. */
export function setUpKeptVerdicts(): void {
  makeBuckets(1 << 10);
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
  let at: usize = load<u32>(bucketAt(hash));
  while (at != 0) {
    if (load<u32>(at, HASH) == hash && isVerdict(at, verdict)) return at;
    at = load<u32>(at);
  }
  if (count > bucketMask) growBuckets();
  count++;
  const kept = heap.alloc(KEPT_SIZE);
  store<u32>(kept, hash, HASH);
  copyBytes(kept + VERDICT, changetype<usize>(verdict), VERDICT_SIZE);
  hang(kept);
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

function bucketAt(hash: u32): usize {
  return buckets + ((<usize>(hash & bucketMask)) << 2);
}

function hang(kept: usize): void {
  const bucket = bucketAt(load<u32>(kept, HASH));
  store<u32>(kept, load<u32>(bucket));
  store<u32>(bucket, <u32>kept);
}

function makeBuckets(size: u32): void {
  bucketMask = size - 1;
  buckets = heap.alloc((<usize>size) << 2);
  memory.fill(buckets, 0, (<usize>size) << 2);
}

function growBuckets(): void {
  const before = buckets;
  const size = bucketMask + 1;
  makeBuckets(size << 2);
  for (let bucket: u32 = 0; bucket < size; bucket++) {
    let at: usize = load<u32>(before + ((<usize>bucket) << 2));
    while (at != 0) {
      const next: usize = load<u32>(at);
      hang(at);
      at = next;
    }
  }
}
