/** What lint finds: a code, a sentence, a place and, where there is a likely one, what to write instead. */
import { compareText } from "../net/compare-text.ts";
import type { Place } from "../errors.ts";
import type { LintCode } from "./codes.ts";

/** `warning`: it is not what was meant, or of no use. `note`: worth a look; by itself no gate trips on it. */
export type FindingSeverity = "warning" | "note";

/** One thing that lint found. */
export interface Finding {
  readonly code: LintCode;
  readonly severity: FindingSeverity;
  /** One sentence without a full stop; names the policy, or the chain. */
  readonly message: string;
  /** Undefined: of a capture, or of a dump from standard input. */
  readonly place: Place | undefined;
  /** What to write instead, as a sentence part: `did you mean "team: payments"?`. */
  readonly suggestion?: string | undefined;
}

/** Orders findings by place, then code, then sentence; what has no place comes last. */
export function compareFindings(one: Finding, other: Finding): number {
  return (
    compareText(one.place?.file ?? "\uffff", other.place?.file ?? "\uffff") ||
    (one.place?.line ?? 0) - (other.place?.line ?? 0) ||
    (one.place?.column ?? 0) - (other.place?.column ?? 0) ||
    compareText(one.code, other.code) ||
    compareText(one.message, other.message)
  );
}
