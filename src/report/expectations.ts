/**
 * What somebody expects of connections, and what came of it: the first packet of a new one for each pair of
 * pods that an expectation means. Judges answers that others asked for.
 */
import type { PacketVerdict, Verdict } from "../engine/verdict.ts";
import type { Diagnostic, Place } from "../errors.ts";
import { formatAddress } from "../net/address.ts";
import { formatPolicyName, formatPolicyRef } from "../policy/model.ts";
import type { Policy } from "../policy/model.ts";
import { suggestionFor } from "../cluster/fields.ts";
import { findNearestMiss } from "./nearest-miss.ts";
import type { PolicyContext } from "./nearest-miss.ts";
import { decidingOrigin, explainReason, explainReasonInFull, policyPointsOf } from "./reason.ts";
import type { PolicyPoint } from "./reason.ts";
import { nearestText, pointText } from "./text.ts";

/** What can be expected. */
export const EXPECTED_VERDICTS = ["allow", "drop", "unknown"] as const satisfies Verdict[];
export type ExpectedVerdict = (typeof EXPECTED_VERDICTS)[number];

/** What is expected of one pair of names at one port. */
export interface Expectation {
  /** The entry of the file that says so. */
  readonly place: Place;
  readonly from: string;
  readonly to: string;
  /** As written, without a protocol TCP; undefined: none is given. */
  readonly port: string | undefined;
  readonly verdict: ExpectedVerdict;
  /** A policy that must be among those that decide: `namespace/name`, perhaps behind its kind. */
  readonly policy: string | undefined;
  /** Words that the reason must have. */
  readonly reason: string | undefined;
}

/** What came of an expectation. */
export interface ExpectationResult {
  readonly expectation: Expectation;
  /** Connections that were asked about: one for each pair of pods. */
  readonly questions: number;
  /** Those that are not as expected. */
  readonly failing: number;
  /** The first that is not as expected, else the first; undefined: nothing could be asked. */
  readonly answer: PacketVerdict | undefined;
  /** Why it fails; undefined: it holds. */
  readonly fault: string | undefined;
}

/** What a test says. */
export interface ExpectationReport {
  readonly results: readonly ExpectationResult[];
  readonly diagnostics: readonly Diagnostic[];
}

/** Compares the answers with what is expected of all of them. */
export function compareAnswers(
  expectation: Expectation,
  answers: Iterable<PacketVerdict>,
  policies: readonly Policy[],
): ExpectationResult {
  let questions = 0;
  let failing = 0;
  let shown: Pick<ExpectationResult, "answer" | "fault"> | undefined;
  for (const answer of answers) {
    const fault = faultOf(expectation, answer, policies);
    questions += 1;
    if (fault !== undefined) failing += 1;
    const firstFault = fault !== undefined && shown?.fault === undefined;
    if (shown === undefined || firstFault) shown = { answer, fault };
  }
  if (shown === undefined) throw new Error("bug: nothing was asked");
  return { expectation, questions, failing, ...shown };
}

/** An expectation about which nothing could be asked: it fails, or it would hold whatever the policies say. */
export function vacuous(expectation: Expectation, fault: string): ExpectationResult {
  return { expectation, questions: 0, failing: 0, answer: undefined, fault };
}

/** The policies that an answer points to. */
function answerPoints(answer: PacketVerdict): PolicyPoint[] {
  const origin = decidingOrigin(answer);
  return origin === undefined ? [] : policyPointsOf(origin);
}

function faultOf(
  { verdict, policy, reason }: Expectation,
  answer: PacketVerdict,
  policies: readonly Policy[],
): string | undefined {
  if (answer.verdict !== verdict) return `expected ${verdict}, got ${answer.verdict}`;
  if (policy !== undefined) {
    const deciding = answerPoints(answer);
    if (!deciding.some((point) => hasName(point.policy, policy))) {
      return `expected ${verdict} by policy ${policy}, ${deciderText(deciding)}${nameHint(policy, policies)}`;
    }
  }
  if (reason !== undefined && !explainReasonInFull(answer, "question").includes(reason)) {
    return `expected ${verdict} for the reason "${reason}", got another reason`;
  }
  return undefined;
}

function deciderText(deciding: readonly PolicyPoint[]): string {
  if (deciding.length === 0) return "no policy decides";
  return `got it by ${deciding.map((point) => formatPolicyRef(point.policy)).join(", ")}`;
}

function hasName(ref: Policy["ref"], name: string): boolean {
  return name === formatPolicyName(ref) || name === formatPolicyRef(ref);
}

function nameHint(name: string, policies: readonly Policy[]): string {
  if (policies.some(({ ref }) => hasName(ref, name))) return "";
  const names = policies.map(({ ref }) => formatPolicyName(ref));
  const suggestion = suggestionFor(name, names);
  return ` (no policy has this name${suggestion === undefined ? "" : `: ${suggestion}`})`;
}

/** What the expectation is about: `shop/web -> payments/api 8443/tcp`. */
export function expectationText({ from, to, port }: Expectation): string {
  return `${from} -> ${to}${port === undefined ? "" : ` ${port}`}`;
}

/** What is said of an expectation that fails. */
export interface Failing {
  /** What is wrong, in one sentence part. */
  readonly fault: string;
  /** Why the verdict is what it is, and the policies that it points to; empty: nothing could be asked. */
  readonly reasons: readonly string[];
  /** What is its own: the rule that came nearest, and whose pods it is about. */
  readonly details: readonly string[];
}

/** Explains an expectation that fails. */
export function explainFailing(
  { questions, failing, answer, fault = "" }: ExpectationResult,
  context: PolicyContext,
): Failing {
  if (answer === undefined) return { fault, reasons: [], details: [] };
  const nearest = findNearestMiss(answer, context);
  const pods = `${failing} of ${questions} pairs of pods, such as ${pairText(answer)}`;
  return {
    fault,
    reasons: [explainReason(answer, "question"), ...answerPoints(answer).map(pointText)],
    details: [
      ...(nearest === undefined ? [] : [nearestText(nearest)]),
      ...(questions > 1 ? [pods] : []),
    ],
  };
}

/** The same in lines that stand alone. */
export function failureLines(result: ExpectationResult, context: PolicyContext): string[] {
  const { fault, reasons, details } = explainFailing(result, context);
  const [reason, ...points] = reasons;
  return [reason === undefined ? fault : `${fault}: ${reason}`, ...points, ...details];
}

function pairText({ source, destination, sourceRoute, destinationRoute }: PacketVerdict): string {
  const name = (owner: string | undefined, address: typeof source): string =>
    owner ?? (address === undefined ? "?" : formatAddress(address));
  return `${name(sourceRoute?.owner, source)} -> ${name(destinationRoute?.owner, destination)}`;
}
