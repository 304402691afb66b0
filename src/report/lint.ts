/** What lint reports, and what all its outputs say in the same words. */
import { formatPlace } from "../errors.ts";
import type { Diagnostic, Place } from "../errors.ts";
import type { Finding } from "../lint/finding.ts";
import { countText } from "./layout.ts";

/** Findings, and what they were looked for in. */
export interface LintReport {
  /** In the order of their places. */
  readonly findings: readonly Finding[];
  readonly policies: number;
  /** Rules of a node's dumps. */
  readonly rules: number;
  /** Sentences: what was not looked at, as it would take too long, or is not known of the captures. */
  readonly limits: readonly string[];
  /** The end of the captures; undefined: whole, or none. */
  readonly partial: "interrupted" | "damaged" | undefined;
  readonly diagnostics: readonly Diagnostic[];
  /** The gate that a finding trips. */
  readonly trips: (finding: Finding) => boolean;
}

/** The first sentence of every report. */
export function lintHeadline({ findings, policies, rules }: LintReport): string {
  const warnings = findings.filter(({ severity }) => severity === "warning").length;
  const notes = findings.length - warnings;
  const looked = [
    ...(policies > 0 || rules === 0 ? [policyCount(policies)] : []),
    ...(rules > 0 ? [countText(rules, "rule")] : []),
  ].join(" and ");
  const found = [
    ...(warnings > 0 ? [countText(warnings, "warning")] : []),
    ...(notes > 0 ? [countText(notes, "note")] : []),
  ].join(" and ");
  return `${found === "" ? "Nothing found" : found} in ${looked}.`;
}

function policyCount(count: number): string {
  return count === 1 ? "1 policy" : `${count} policies`;
}

/** `policies/web.yaml:12:5`; `-` where it is of no file. */
export function placeText(place: Place | undefined): string {
  return place === undefined ? "-" : formatPlace(place);
}

/** The sentence, and what to write instead. */
export function findingText({ message, suggestion }: Finding): string {
  return suggestion === undefined ? message : `${message} (${suggestion})`;
}
