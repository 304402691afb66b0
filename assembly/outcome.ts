// What walks have come to: a verdict and the rules that matched on the way, each kept once.
import { copyBytes, sameBytes, stir, stirBytes, stirred } from "./bytes";
import { countAtRule } from "./counters";
import { Buckets, firstHung, hang, Hung, makeBuckets, nextHung } from "./hung";
import { VERDICT_SIZE } from "./layout";
import { pathRule, pathSize } from "./traverse";
import { Verdict } from "./verdict";

/** A verdict record lies behind, and then the rules of the path, u32 each. */
@unmanaged
export class Outcome extends Hung {
  pathSize: u32;
  unused: u32;
}

const OUTCOME_VERDICT: usize = offsetof<Outcome>();
const OUTCOME_PATH: usize = OUTCOME_VERDICT + VERDICT_SIZE;

let buckets: Buckets = changetype<Buckets>(0);

/** Prepares an empty memory. */
export function setUpOutcomes(): void {
  buckets = makeBuckets();
}

/** Address of an outcome's verdict record. */
export function verdictOfOutcome(outcome: usize): usize {
  return outcome + OUTCOME_VERDICT;
}

/** The outcome of the walk that just ended. */
export function outcomeOf(verdict: Verdict): Outcome {
  const hash = hashOf(verdict);
  for (let at = firstHung(buckets, hash); at != 0; at = nextHung(at)) {
    if (isOutcome(changetype<Outcome>(at), verdict)) return changetype<Outcome>(at);
  }
  return addOutcome(verdict, hash);
}

/** Counts packets at the rules of an outcome. */
export function countOutcome(outcome: Outcome, packets: u64, bytes: u64): void {
  const path = changetype<usize>(outcome) + OUTCOME_PATH;
  for (let index: u32 = 0; index < outcome.pathSize; index++) {
    countAtRule(load<u32>(path + ((<usize>index) << 2)), packets, bytes);
  }
}

function addOutcome(verdict: Verdict, hash: u32): Outcome {
  const size = pathSize();
  const at = heap.alloc(OUTCOME_PATH + ((<usize>size) << 2));
  const outcome = changetype<Outcome>(at);
  outcome.pathSize = size;
  copyBytes(at + OUTCOME_VERDICT, changetype<usize>(verdict), VERDICT_SIZE);
  for (let index: u32 = 0; index < size; index++) {
    store<u32>(at + OUTCOME_PATH + ((<usize>index) << 2), pathRule(index));
  }
  hang(buckets, at, hash);
  return outcome;
}

function isOutcome(outcome: Outcome, verdict: Verdict): bool {
  if (outcome.pathSize != pathSize()) return false;
  const kept = changetype<usize>(outcome) + OUTCOME_VERDICT;
  if (!sameBytes(kept, changetype<usize>(verdict), VERDICT_SIZE)) return false;
  const path = changetype<usize>(outcome) + OUTCOME_PATH;
  for (let index: u32 = 0; index < outcome.pathSize; index++) {
    if (load<u32>(path + ((<usize>index) << 2)) != pathRule(index)) return false;
  }
  return true;
}

function hashOf(verdict: Verdict): u32 {
  let hash = stirBytes(changetype<usize>(verdict), VERDICT_SIZE);
  for (let index: u32 = 0; index < pathSize(); index++) hash = stir(hash, pathRule(index));
  return stirred(hash);
}
