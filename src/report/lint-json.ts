/** Lint's findings as JSON, in the shape of schemas/lint.schema.json. */
import type { Finding } from "../lint/finding.ts";
import { diagnosticJson, stringifyJson } from "./json.ts";
import type { Json } from "./json.ts";
import type { LintReport } from "./lint.ts";

/** The one object of `lint -o json`, indented, and a line end. */
export function lintJson(report: LintReport): string {
  const { findings, policies, rules, limits, diagnostics } = report;
  const count = (severity: Finding["severity"]): number =>
    findings.filter((finding) => finding.severity === severity).length;
  const whole: Json = {
    policies,
    rules,
    warnings: count("warning"),
    notes: count("note"),
    findings: findings.map(({ code, severity, message, suggestion, place }) => ({
      code,
      severity,
      message,
      suggestion,
      file: place?.file,
      line: place?.line,
      column: place?.column,
    })),
    limits,
    diagnostics: diagnostics.map(diagnosticJson),
  };
  return `${stringifyJson(whole, 1)}\n`;
}
