// How one try of a packet's way through the hooks ended.
import { RULE_NONE, TABLE_FILTER } from "./layout";

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
  /** The packet got through a last hook, and its connection was confirmed there, whatever came then. */
  confirmed: bool;
}

/** The try under way. */
export const attempt: Attempt = changetype<Attempt>(memory.data(offsetof<Attempt>()));

/** Empties the try under way. */
export function startAttempt(): void {
  memory.fill(changetype<usize>(attempt), 0, offsetof<Attempt>());
  attempt.table = TABLE_FILTER;
  attempt.undecidedRule = RULE_NONE;
}

/** Ends the try; always false, for `return end(...)`. */
export function end(verdict: u32, reason: u32): bool {
  attempt.verdict = verdict;
  attempt.reason = reason;
  return false;
}
