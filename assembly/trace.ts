// The walk of one chosen packet, step by step, for `explain`. Recorded by the walk that decides, in its
// first try only.
import { consultedCount } from "./fork";
import {
  OUTCOME_HOTDROP,
  OUTCOME_NO,
  OUTCOME_UNKNOWN,
  OUTCOME_YES,
  RULE_IS_END,
  RULE_NONE,
  TARGET_MARK,
  TARGET_POLICY_ACCEPT,
  TARGET_POLICY_DROP,
  TRACE_CT_STATE,
  TRACE_ENTER,
  TRACE_FAILED,
  TRACE_HOOK,
  TRACE_KIND,
  TRACE_MARK,
  TRACE_MAX,
  TRACE_OUTCOME,
  TRACE_POLICY,
  TRACE_RETURN,
  TRACE_RULE,
  TRACE_RULE_INDEX,
  TRACE_SIZE,
  TRACE_TABLE,
} from "./layout";
import { Rule } from "./rule";
import { walk } from "./walk";

let steps: usize = 0;
let stepCount: u32 = 0;
let on: bool = false;
let consulted: u32 = 0;

/** Turns recording on or off; on starts anew. */
export function record(wanted: bool): void {
  on = wanted;
  if (!on) return;
  if (steps == 0) steps = heap.alloc(TRACE_MAX * TRACE_SIZE);
  stepCount = 0;
  consulted = consultedCount();
}

/** Goes on recording behind what is recorded. */
export function resumeTrace(): void {
  on = true;
}

/** Stops recording for the tries after the first, without forgetting it. */
export function pauseTrace(): void {
  on = false;
}

export function tracing(): bool {
  return on;
}

export function traceSteps(): usize {
  return steps;
}

export function traceCount(): u32 {
  return stepCount;
}

/** Records that the walk enters a table at the hook under way, and whether something was assumed for that. */
export function traceEnter(): void {
  if (!on) return;
  const outcome = consultedCount() == consulted ? OUTCOME_YES : OUTCOME_UNKNOWN;
  step(TRACE_ENTER, RULE_NONE, outcome, 0, walk.mark);
}

/** Records of the rule of the last step what its target did: whether it is known. */
export function traceTarget(): void {
  if (consultedCount() == consulted || stepCount == 0 || stepCount == TRACE_MAX) return;
  store<u8>(steps + <usize>((stepCount - 1) * TRACE_SIZE), OUTCOME_UNKNOWN, TRACE_OUTCOME);
  consulted = consultedCount();
}

/** Records a rule that was tried, or the end of a chain. `failed` has a bit for each failed match. */
export function traceRule(rule: Rule, number: u32, failed: u32, unknown: bool): void {
  if ((rule.flags & RULE_IS_END) != 0) {
    const policy = rule.target == TARGET_POLICY_ACCEPT || rule.target == TARGET_POLICY_DROP;
    step(policy ? TRACE_POLICY : TRACE_RETURN, number, OUTCOME_YES, 0, walk.mark);
    return;
  }
  const payload: usize = rule.matchesEnd;
  const marked = failed == 0 && rule.target == TARGET_MARK;
  const mark = marked ? (walk.mark & ~load<u32>(payload, 4)) ^ load<u32>(payload) : walk.mark;
  let outcome = failed == 0 ? OUTCOME_YES : OUTCOME_NO;
  if (walk.hotdrop) outcome = OUTCOME_HOTDROP;
  if (unknown) outcome = OUTCOME_UNKNOWN;
  step(TRACE_RULE, number, outcome, failed, mark);
}

function step(kind: u32, rule: i32, outcome: u32, failed: u32, mark: u32): void {
  consulted = consultedCount();
  if (stepCount == TRACE_MAX) return;
  const at = steps + <usize>(stepCount * TRACE_SIZE);
  store<u8>(at, <u8>kind, TRACE_KIND);
  store<u8>(at, <u8>walk.hook, TRACE_HOOK);
  store<u8>(at, <u8>walk.table, TRACE_TABLE);
  store<u8>(at, <u8>outcome, TRACE_OUTCOME);
  store<i32>(at, rule, TRACE_RULE_INDEX);
  store<u32>(at, failed, TRACE_FAILED);
  store<u32>(at, mark, TRACE_MARK);
  store<u32>(at, walk.ctState, TRACE_CT_STATE);
  stepCount++;
}
