/** A test's results for CI: JUnit's XML, annotations of a GitHub workflow, and the page that it shows. */
import { formatPlace } from "../errors.ts";
import type { ExpectationReport, ExpectationResult } from "./expectations.ts";
import { expectationText, failureLines } from "./expectations.ts";
import { headlineText } from "./expectations-text.ts";
import { annotationLines, markdownText } from "./github.ts";
import { junitText } from "./junit.ts";
import type { JunitCase } from "./junit.ts";
import type { PolicyContext } from "./nearest-miss.ts";

/** Rows of the table; JSON has them all. */
const ROWS_MAX = 100;

/** Formats the results as JUnit's XML: a suite for each file, a case for each expectation. */
export function expectationsJunit(report: ExpectationReport, context: PolicyContext): string {
  const files = [...new Set(report.results.map(({ expectation }) => expectation.place.file))];
  const suites = files.map((file) => ({
    name: file,
    cases: report.results
      .filter(({ expectation }) => expectation.place.file === file)
      .map((result) => caseOf(result, context)),
  }));
  return junitText("netverdict test", suites);
}

function caseOf(result: ExpectationResult, context: PolicyContext): JunitCase {
  const { expectation, fault } = result;
  const { place, verdict } = expectation;
  const base = {
    className: place.file,
    name: `${expectationText(expectation)}: ${verdict}`,
    place,
  };
  if (fault === undefined) return base;
  const lines = [formatPlace(place), ...failureLines(result, context)];
  const type = result.answer?.verdict ?? "vacuous";
  return { ...base, failure: { type, message: fault, lines } };
}

/** Formats the failures as workflow commands: an annotation at the line of each expectation. */
export function expectationsAnnotations(report: ExpectationReport, context: PolicyContext): string {
  const annotations = failuresOf(report).map((result) => ({
    severity: "error" as const,
    place: result.expectation.place,
    title: `expected ${result.expectation.verdict}: ${expectationText(result.expectation)}`,
    text: failureLines(result, context).join("; "),
  }));
  return annotationLines(annotations, "failures");
}

/** Formats the results as Markdown. */
export function expectationsMarkdown(report: ExpectationReport, context: PolicyContext): string {
  const failures = failuresOf(report);
  const lines = [`### ${markdownText(headlineText(report))}`];
  if (failures.length > 0) {
    lines.push(
      "",
      "| expectation | from | to | port | expected | got |",
      "|---|---|---|---|---|---|",
    );
  }
  for (const result of failures.slice(0, ROWS_MAX)) {
    const { place, from, to, port = "", verdict } = result.expectation;
    const got = failureLines(result, context).join("; ");
    const row = [formatPlace(place), from, to, port, verdict, got];
    lines.push(`| ${row.map(markdownText).join(" | ")} |`);
  }
  const more = failures.length - ROWS_MAX;
  if (more > 0) lines.push("", `and ${more} more`);
  return `${lines.join("\n")}\n`;
}

function failuresOf({ results }: ExpectationReport): ExpectationResult[] {
  return results.filter(({ fault }) => fault !== undefined);
}
