/** Lint's findings as text for people: each with its place and code, and below it the sentence. */
import { escapeControls } from "../errors.ts";
import { lintHeadline, placeText } from "./lint.ts";
import type { LintReport } from "./lint.ts";
import { PLAIN, wrapText } from "./layout.ts";
import type { Palette } from "./layout.ts";

/** Formats the findings for people; ends in a line end. */
export function lintText(report: LintReport, palette: Palette = PLAIN): string {
  const { findings, limits, partial } = report;
  const color = findings.some(({ severity }) => severity === "warning")
    ? palette.red
    : palette.green;
  const lines = [color(lintHeadline(report))];
  if (partial !== undefined) {
    const what = partial === "damaged" ? "a capture is damaged" : "the replay was interrupted";
    lines.push(palette.yellow(`What was never hit is left out: ${what}.`));
  }
  for (const limit of limits) lines.push(...wrapText(limit, 0).map(palette.yellow));
  for (const { code, severity, message, place, suggestion } of findings) {
    const head = escapeControls(`${placeText(place)}: ${severity} ${code}`);
    lines.push("", severity === "warning" ? palette.bold(head) : head);
    lines.push(...wrapText(message, 2));
    if (suggestion !== undefined) lines.push(...wrapText(suggestion, 2).map(palette.dim));
  }
  return `${lines.join("\n")}\n`;
}
