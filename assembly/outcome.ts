// What walks have come to: a verdict and the rules that matched on the way, each kept once. Packets that
// repeat one are counted here, and at the rules only when somebody wants to know.
import { copyBytes } from "./bytes";
import { RULE_NONE, VERDICT_SIZE } from "./layout";
import { ruleAt } from "./rule";
import { mix } from "./set";
import { pathRule, pathSize } from "./traverse";
import { Verdict } from "./verdict";

/** A verdict record lies behind, and then the rules of the path, u32 each. */
@unmanaged
export class Outcome {
  /** Address of the next with this hash's bucket, or 0. */
  next: u32;
  hash: u32;
  packets: u64;
  bytes: u64;
  pathSize: u32;
  unused: u32;
}

const OUTCOME_VERDICT: usize = offsetof<Outcome>();
const OUTCOME_PATH: usize = OUTCOME_VERDICT + VERDICT_SIZE;

let buckets: usize = 0;
let bucketMask: u32 = 0;
let count: u32 = 0;

/** Prepares an empty memory. */
export function setUpOutcomes(): void {
  makeBuckets(1 << 10);
}

/** Address of an outcome's verdict record. */
export function verdictOfOutcome(outcome: Outcome): usize {
  return changetype<usize>(outcome) + OUTCOME_VERDICT;
}

/** The outcome of the walk that just ended. */
export function outcomeOf(verdict: Verdict): Outcome {
  const hash = hashOf(verdict);
  let at: usize = load<u32>(bucketAt(hash));
  while (at != 0) {
    const found = changetype<Outcome>(at);
    if (found.hash == hash && isOutcome(found, verdict)) return found;
    at = found.next;
  }
  return addOutcome(verdict, hash);
}

/** Counts at their rules what was counted at outcomes. */
export function settleOutcomes(): void {
  for (let bucket: u32 = 0; bucket <= bucketMask; bucket++) {
    let at: usize = load<u32>(bucketAt(bucket));
    while (at != 0) {
      const outcome = changetype<Outcome>(at);
      for (let index: u32 = 0; index < outcome.pathSize; index++) {
        const rule = ruleAt(load<u32>(at + OUTCOME_PATH + ((<usize>index) << 2)));
        rule.packets += outcome.packets;
        rule.bytes += outcome.bytes;
      }
      outcome.packets = 0;
      outcome.bytes = 0;
      at = outcome.next;
    }
  }
}

function addOutcome(verdict: Verdict, hash: u32): Outcome {
  if (count > bucketMask) growBuckets();
  count++;
  const size = pathSize();
  const at = heap.alloc(OUTCOME_PATH + ((<usize>size) << 2));
  const outcome = changetype<Outcome>(at);
  outcome.hash = hash;
  outcome.packets = 0;
  outcome.bytes = 0;
  outcome.pathSize = size;
  copyBytes(at + OUTCOME_VERDICT, changetype<usize>(verdict), VERDICT_SIZE);
  for (let index: u32 = 0; index < size; index++) {
    store<u32>(at + OUTCOME_PATH + ((<usize>index) << 2), pathRule(index));
  }
  hang(outcome);
  return outcome;
}

function isOutcome(outcome: Outcome, verdict: Verdict): bool {
  const at = changetype<usize>(outcome);
  if (memory.compare(at + OUTCOME_VERDICT, changetype<usize>(verdict), VERDICT_SIZE) != 0)
    return false;
  if (outcome.pathSize != pathSize()) return false;
  for (let index: u32 = 0; index < outcome.pathSize; index++) {
    if (load<u32>(at + OUTCOME_PATH + ((<usize>index) << 2)) != pathRule(index)) return false;
  }
  return true;
}

function hashOf(verdict: Verdict): u32 {
  let hash: u32 = RULE_NONE;
  for (let at: usize = 0; at < <usize>VERDICT_SIZE; at += 4) {
    hash = mix(hash, load<u32>(changetype<usize>(verdict) + at));
  }
  for (let index: u32 = 0; index < pathSize(); index++) hash = mix(hash, pathRule(index));
  return hash;
}

function bucketAt(hash: u32): usize {
  return buckets + ((<usize>(hash & bucketMask)) << 2);
}

function hang(outcome: Outcome): void {
  const bucket = bucketAt(outcome.hash);
  outcome.next = load<u32>(bucket);
  store<u32>(bucket, <u32>changetype<usize>(outcome));
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
      const outcome = changetype<Outcome>(at);
      at = outcome.next;
      hang(outcome);
    }
  }
}
