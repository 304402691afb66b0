// Verdict records that are kept, each once: many flows get the same but for where their ends are and which
// rule decided, which is kept with the flow.
import { copyBytes, sameBytes, stirBytes, stirred, zeros } from "./bytes";
import { Buckets, firstHung, hang, Hung, makeBuckets, nextHung } from "./hung";
import { RULE_NONE, VERDICT_SIZE } from "./layout";
import { Verdict } from "./verdict";

/** What differs from flow to flow. */
@unmanaged
export class VerdictEnds {
  /** Of a verdict that was kept with RULE_WITHOUT_DECIDER: its rule. */
  decider: i32;
  srcRoute: i32;
  dstRoute: i32;
  inInterface: u32;
  outInterface: u32;
}

// A record: a Hung one, and the verdict.
const VERDICT: usize = offsetof<Hung>();
const KEPT_SIZE: usize = VERDICT + VERDICT_SIZE;

// Of a verdict that was kept: its rule is the decider, or there is no decider.
const RULE_IS_DECIDER: i32 = -2;
const RULE_WITHOUT_DECIDER: i32 = -3;

let buckets: Buckets = changetype<Buckets>(0);
let last: usize = 0;
const common: Verdict = changetype<Verdict>(memory.data(VERDICT_SIZE, 8));

/** Prepares an empty memory. */
export function setUpKeptVerdicts(): void {
  buckets = makeBuckets();
  last = zeros(KEPT_SIZE);
}

/** Keeps a verdict: what it has in common with others stays where it is. */
export function keepVerdict(verdict: Verdict, ends: VerdictEnds): Verdict {
  copyBytes(changetype<usize>(common), changetype<usize>(verdict), VERDICT_SIZE);
  moveEnds(common, ends);
  // Often it is what the last one had.
  if (!isVerdict(last, common)) last = find(common);
  return changetype<Verdict>(last + VERDICT);
}

/** Writes out a verdict that was kept. */
export function writeVerdict(to: Verdict, kept: Verdict, ends: VerdictEnds): void {
  copyBytes(changetype<usize>(to), changetype<usize>(kept), VERDICT_SIZE);
  const alone = to.rule == RULE_WITHOUT_DECIDER;
  if (alone || to.rule == RULE_IS_DECIDER) to.rule = ends.decider;
  to.decider = alone ? RULE_NONE : ends.decider;
  to.srcRoute = ends.srcRoute;
  to.dstRoute = ends.dstRoute;
  to.inInterface = ends.inInterface;
  to.outInterface = ends.outInterface;
}

function moveEnds(verdict: Verdict, ends: VerdictEnds): void {
  ends.decider = verdict.decider;
  ends.srcRoute = verdict.srcRoute;
  ends.dstRoute = verdict.dstRoute;
  ends.inInterface = verdict.inInterface;
  ends.outInterface = verdict.outInterface;
  // What drops a packet is often an endpoint's own rule. Rules of a real node stand for no policy.
  if (verdict.rule == verdict.decider) verdict.rule = RULE_IS_DECIDER;
  else if (verdict.decider == RULE_NONE) {
    ends.decider = verdict.rule;
    verdict.rule = RULE_WITHOUT_DECIDER;
  }
  verdict.decider = 0;
  verdict.srcRoute = 0;
  verdict.dstRoute = 0;
  verdict.inInterface = 0;
  verdict.outInterface = 0;
}

function find(verdict: Verdict): usize {
  const hash = stirred(stirBytes(changetype<usize>(verdict), VERDICT_SIZE));
  for (let at = firstHung(buckets, hash); at != 0; at = nextHung(at)) {
    if (isVerdict(at, verdict)) return at;
  }
  const kept = heap.alloc(KEPT_SIZE);
  copyBytes(kept + VERDICT, changetype<usize>(verdict), VERDICT_SIZE);
  hang(buckets, kept, hash);
  return kept;
}

function isVerdict(at: usize, verdict: Verdict): bool {
  return sameBytes(at + VERDICT, changetype<usize>(verdict), VERDICT_SIZE);
}
