// How one try of a packet's way through the hooks ended.
import { clearBytes } from "./bytes";
import {
  HOOK_COUNT,
  HOOK_FORWARD,
  HOOK_INPUT,
  HOOK_OUTPUT,
  HOOK_POSTROUTING,
  HOOK_PREROUTING,
  REASON_NO_BACKENDS,
  RULE_NONE,
  TABLE_FILTER,
  VERDICT_UNKNOWN,
} from "./layout";
import { walk } from "./walk";

/** Among VERDICT_*: a fragment for the node itself, which waits for the others behind PREROUTING. */
export const VERDICT_DELIVERED: u32 = 5;

/** One try. */
@unmanaged
export class Attempt {
  /** VERDICT_ALLOW, VERDICT_DROP or VERDICT_UNKNOWN. */
  verdict: u32;
  reason: u32;
  /** Hook and table in which the filter decided, or which dropped. */
  hook: u32;
  table: u32;
  srcRoute: i32;
  dstRoute: i32;
  /** The interfaces by which the packet came and leaves; 0 for the node itself. */
  inInterface: u32;
  outInterface: u32;
  /** For an unknown verdict of the connection's first packet: the rule that lacked the fact. */
  undecidedRule: i32;
  /** Of an unknown verdict: hooks at which rules may have been asked all the same, a bit for each. */
  behind: u32;
  /** The packet got through a last hook, and its connection was confirmed there, whatever came then. */
  confirmed: bool;
}

/** The try under way. */
export const attempt: Attempt = changetype<Attempt>(memory.data(offsetof<Attempt>()));

let question: bool = false;

/** Says whether the packets from here on are questions, of which nothing stays. */
export function startQuestions(on: bool): void {
  question = on;
}

/** Nothing stays of the packet under way. */
export function isQuestion(): bool {
  return question;
}

/** Empties the try under way. */
export function startAttempt(): void {
  clearBytes(changetype<usize>(attempt), offsetof<Attempt>());
  attempt.table = TABLE_FILTER;
  attempt.undecidedRule = RULE_NONE;
}

/** Ends the try; always false, for `return end(...)`. */
export function end(verdict: u32, reason: u32): bool {
  attempt.verdict = verdict;
  attempt.reason = reason;
  if (verdict == VERDICT_UNKNOWN) attempt.behind = hooksFrom(walk.hook);
  return false;
}

/** Ends the try unknown, as nothing tells where the rule leads that translated the packet; always false. */
export function endUntold(): bool {
  attempt.undecidedRule = walk.translator;
  // Nor whether it is masqueraded, as what a pod sends to itself is.
  walk.masqueraded = true;
  return end(VERDICT_UNKNOWN, REASON_NO_BACKENDS);
}

/** Ends the try unknown; always false. `hooks`: those at which rules may be asked yet, a bit for each. */
export function endBefore(hooks: u32, reason: u32): bool {
  end(VERDICT_UNKNOWN, reason);
  attempt.behind = hooks;
  return false;
}

/** Every hook. */
export const HOOKS_ALL: u32 = (1 << HOOK_COUNT) - 1;
export const AT_INPUT: u32 = 1 << HOOK_INPUT;
export const AT_FORWARD: u32 = 1 << HOOK_FORWARD;
export const AT_POSTROUTING: u32 = 1 << HOOK_POSTROUTING;
/** What comes back to the node that sent it. */
export const AT_RETURN: u32 = (1 << HOOK_PREROUTING) | AT_INPUT;

// A hook and those that may follow it.
function hooksFrom(hook: u32): u32 {
  const back: u32 = walk.generated ? AT_RETURN : 0;
  switch (<i32>hook) {
    case HOOK_INPUT:
      return AT_INPUT;
    case HOOK_FORWARD:
      return AT_FORWARD | AT_POSTROUTING;
    case HOOK_OUTPUT:
      return (1 << HOOK_OUTPUT) | AT_POSTROUTING | AT_RETURN;
    case HOOK_POSTROUTING:
      return AT_POSTROUTING | back;
    default:
      return back != 0 ? back : AT_RETURN | AT_FORWARD | AT_POSTROUTING;
  }
}
