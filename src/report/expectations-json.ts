/** A test's results as JSON, in the shape that scripts depend on (docs: "Output"). */
import type { ExpectationReport, ExpectationResult } from "./expectations.ts";
import { attributionJson, diagnosticJson, nearestJson, stringifyJson, tupleJson } from "./json.ts";
import type { Json } from "./json.ts";
import { findNearestMiss } from "./nearest-miss.ts";
import type { PolicyContext } from "./nearest-miss.ts";

/** The one object of `test -o json`, indented, and a line end. */
export function expectationsJson(report: ExpectationReport, context: PolicyContext): string {
  const { results, diagnostics } = report;
  const failed = results.filter(({ fault }) => fault !== undefined).length;
  const whole: Json = {
    expectations: results.length,
    passed: results.length - failed,
    failed,
    questions: results.reduce((sum, { questions }) => sum + questions, 0),
    results: results.map((result) => resultJson(result, context)),
    diagnostics: diagnostics.map(diagnosticJson),
  };
  return `${stringifyJson(whole, 1)}\n`;
}

function resultJson(result: ExpectationResult, context: PolicyContext): Json {
  const { expectation, questions, failing, answer, fault } = result;
  const { place, from, to, port, verdict, policy, reason } = expectation;
  return {
    file: place.file,
    line: place.line,
    column: place.column,
    from,
    to,
    port,
    expect: { verdict, policy, reason },
    passed: fault === undefined,
    fault,
    questions,
    failing,
    answer:
      answer === undefined
        ? undefined
        : {
            verdict: answer.verdict,
            reject: answer.reject,
            ...tupleJson(answer),
            ...attributionJson(answer, "question"),
            nearest: nearestJson(findNearestMiss(answer, context)),
          },
  };
}
