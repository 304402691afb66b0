// Facts that are missing. A match that lacks a fact asks here and is told true first; the whole walk is
// then tried again with false, and so on for every combination, until all were tried. If every try ends
// in the same verdict, that is the verdict; otherwise it is unknown, and the fact that made the
// difference is its reason. The random choice of a Service's backend is such a fact too.
// Source: semantics.md V-5 and N-9.
import { FORK_DEPTH_MAX, FORK_PATHS_MAX, RULE_NONE } from "./layout";

// One answer: u8 value, u8 reason, u16 0, i32 rule, u64 question. Answers after `asked` are leftovers.
const ANSWER_REASON: usize = 1;
const ANSWER_RULE: usize = 4;
const ANSWER_QUESTION: usize = 8;
const ANSWER_SIZE: usize = 16;
const answers: usize = memory.data(FORK_DEPTH_MAX * 16);

let asked: u32 = 0;
let consulted: u32 = 0;
let scripted: u32 = 0;
let paths: u32 = 0;
let overflowed: bool = false;
let flipped: u32 = 0;
let peeking: bool = false;

/** Starts with no answers: the first try. */
export function startForks(): void {
  asked = 0;
  scripted = 0;
  paths = 1;
  overflowed = false;
}

/**
 * Answers whether a fact holds, in this try. The same question gets the same answer throughout a try.
 *
 * @param question what is asked: equal for equal facts, 0 when every time is a new draw
 * @param reason   REASON_* to give when the answer makes the difference
 * @param rule     the rule that asks, or RULE_NONE
 */
export function ask(question: u64, reason: u32, rule: i32): bool {
  if (peeking) return true;
  consulted++;
  if (question != 0) {
    for (let index: u32 = 0; index < asked; index++) {
      const at = answers + <usize>index * ANSWER_SIZE;
      if (load<u64>(at, ANSWER_QUESTION) == question) return load<u8>(at) != 0;
    }
  }
  if (asked == FORK_DEPTH_MAX) {
    overflowed = true;
    return true;
  }
  const at = answers + <usize>asked * ANSWER_SIZE;
  if (asked == scripted) {
    store<u8>(at, 1);
    scripted++;
  }
  store<u8>(at, <u8>reason, ANSWER_REASON);
  store<i32>(at, rule, ANSWER_RULE);
  store<u64>(at, question, ANSWER_QUESTION);
  asked++;
  return load<u8>(at) != 0;
}

/** Prepares the next try: false when every combination was tried. */
export function nextFork(): bool {
  // Answers that this try did not come to belong to another one.
  scripted = asked;
  while (scripted > 0 && load<u8>(answers + <usize>(scripted - 1) * ANSWER_SIZE) == 0) scripted--;
  if (scripted == 0) return false;
  if (paths == FORK_PATHS_MAX) {
    overflowed = true;
    return false;
  }
  paths++;
  flipped = scripted - 1;
  store<u8>(answers + <usize>flipped * ANSWER_SIZE, 0);
  asked = 0;
  return true;
}

/** More facts were missing than are explored. */
export function forksOverflowed(): bool {
  return overflowed;
}

/** How many questions this try has asked. */
export function askedCount(): u32 {
  return asked;
}

/** How often anything was asked since the start, be it once more. */
export function consultedCount(): u32 {
  return consulted;
}

/** While on, questions are answered true and not remembered: for looking on without deciding. */
export function peek(on: bool): void {
  peeking = on;
}

/** How many tries there were. */
export function forkPaths(): u32 {
  return paths;
}

/** Reason and rule of the fact whose change began this try. */
export function flippedReason(): u32 {
  return load<u8>(answers + <usize>flipped * ANSWER_SIZE, ANSWER_REASON);
}

export function flippedRule(): i32 {
  return paths == 1 ? RULE_NONE : load<i32>(answers + <usize>flipped * ANSWER_SIZE, ANSWER_RULE);
}

/** Tells whether facts were asked for in this try, and all of them with this reason. */
export function askedOnlyFor(reason: u32): bool {
  for (let index: u32 = 0; index < asked; index++) {
    if (load<u8>(answers + <usize>index * ANSWER_SIZE, ANSWER_REASON) != reason) return false;
  }
  return asked > 0;
}

/** Tells whether any fact with this reason was asked for in this try. */
export function askedFor(reason: u32): bool {
  for (let index: u32 = 0; index < asked; index++) {
    if (load<u8>(answers + <usize>index * ANSWER_SIZE, ANSWER_REASON) == reason) return true;
  }
  return false;
}
