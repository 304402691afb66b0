/** Lint's findings for CI: annotations of a workflow, the page that it shows, SARIF, and JUnit's XML. */
import { escapeControls } from "../errors.ts";
import { LINT_CODES } from "../lint/codes.ts";
import type { LintCode } from "../lint/codes.ts";
import type { Finding } from "../lint/finding.ts";
import { annotationLines, markdownText } from "./github.ts";
import type { Json } from "./json.ts";
import { junitText } from "./junit.ts";
import type { JunitCase } from "./junit.ts";
import { findingText, lintHeadline, placeText } from "./lint.ts";
import type { LintReport } from "./lint.ts";
import { sarifFingerprint, sarifLocation, sarifText } from "./sarif.ts";
import type { SarifRule } from "./sarif.ts";

/** Rows of the table; JSON has them all. */
const ROWS_MAX = 100;

/** Formats the findings as workflow commands, those that trip the gate first. */
export function lintAnnotations({ findings, trips }: LintReport): string {
  const inOrder = [...findings.filter(trips), ...findings.filter((each) => !trips(each))];
  return annotationLines(
    inOrder.map((finding) => ({
      severity: trips(finding) ? "error" : finding.severity === "note" ? "notice" : "warning",
      place: finding.place,
      title: finding.code,
      text: findingText(finding),
    })),
    "findings",
  );
}

/** Formats the findings as Markdown. */
export function lintMarkdown(report: LintReport): string {
  const { findings, limits } = report;
  const lines = [`### ${markdownText(lintHeadline(report))}`];
  for (const limit of limits) lines.push("", markdownText(limit));
  if (findings.length > 0) lines.push("", "| place | code | finding |", "|---|---|---|");
  for (const finding of findings.slice(0, ROWS_MAX)) {
    const row = [placeText(finding.place), finding.code, findingText(finding)];
    lines.push(`| ${row.map(markdownText).join(" | ")} |`);
  }
  const more = findings.length - ROWS_MAX;
  if (more > 0) lines.push("", `and ${more} more`);
  return `${lines.join("\n")}\n`;
}

/** Formats the findings as SARIF. A finding is the same from run to run while it says the same of its file. */
export function lintSarif(report: LintReport, version: string): string {
  const { findings, partial, diagnostics } = report;
  const codes = Object.keys(LINT_CODES) as LintCode[];
  const seen = new Map<string, number>();
  const results = findings.map((finding): Json => {
    const { code, severity, message, place } = finding;
    const key = JSON.stringify([code, place?.file, message]);
    const times = (seen.get(key) ?? 0) + 1;
    seen.set(key, times);
    const location = place === undefined ? undefined : sarifLocation(place);
    return {
      ruleId: code,
      ruleIndex: codes.indexOf(code),
      level: severity,
      message: { text: escapeControls(findingText(finding)) },
      locations: location === undefined ? [] : [location],
      partialFingerprints: {
        "netverdictLint/v1": sarifFingerprint([code, place?.file, message, times]),
      },
    };
  });
  const whole = partial === undefined;
  return sarifText({ version, rules: codes.map(sarifRule), whole, diagnostics, results });
}

function sarifRule(code: LintCode): SarifRule {
  return {
    id: code,
    name: code.replace(/(^|_)([A-Z])([A-Z]*)/g, (_, _gap, first: string, rest: string) => {
      return first + rest.toLowerCase();
    }),
    level: "warning",
    sentence: LINT_CODES[code],
    help: `docs/lint.md has an example of ${code}.`,
  };
}

/** Formats the findings as JUnit's XML: a case for each; one for all where there is none. */
export function lintJunit(report: LintReport): string {
  const cases = report.findings.map((finding) => lintCase(finding, report.trips(finding)));
  const none = { className: "lint", name: lintHeadline(report), place: undefined };
  return junitText("netverdict lint", [{ name: "lint", cases: cases.length > 0 ? cases : [none] }]);
}

function lintCase(finding: Finding, trips: boolean): JunitCase {
  const { code, message, place, suggestion } = finding;
  const base = { className: code, name: message, place };
  if (!trips) return { ...base, skipped: "no gate asks for it" };
  const lines = [placeText(place), ...(suggestion === undefined ? [] : [suggestion])];
  return { ...base, failure: { type: code, message, lines } };
}
