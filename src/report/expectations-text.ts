/**
 * A test's results as text for people: one sentence, the counts, then each expectation that fails with what
 * decides. Rows start at the first column, what explains a row is indented below it.
 */
import { formatPlace } from "../errors.ts";
import { explainFailing } from "./expectations.ts";
import type { ExpectationReport } from "./expectations.ts";
import { PLAIN, countText, layoutColumns, wrapText } from "./layout.ts";
import type { Column, Palette } from "./layout.ts";
import type { PolicyContext } from "./nearest-miss.ts";

/** Most failures that are printed; JSON has them all. */
const FAILURES_MAX = 100;

const COLUMNS: readonly Column[] = [
  { heading: "FAILED FROM", align: "left" },
  { heading: "TO", align: "left" },
  { heading: "PORT", align: "left" },
  { heading: "EXPECTED", align: "left" },
  { heading: "GOT", align: "left" },
];

/** Formats a test's results for people; ends in a line end. */
export function expectationsText(
  report: ExpectationReport,
  context: PolicyContext,
  palette: Palette = PLAIN,
): string {
  const failures = report.results.filter(({ fault }) => fault !== undefined);
  const color = failures.length === 0 ? palette.green : palette.red;
  const lines = [color(headlineText(report)), summary(report)];
  if (failures.length > 0) {
    const shown = failures.slice(0, FAILURES_MAX);
    const rows = shown.map(({ expectation: { from, to, port = "-", verdict }, answer }) => {
      return [from, to, port, verdict, answer?.verdict ?? "-"];
    });
    const [heading = "", ...texts] = layoutColumns(COLUMNS, rows);
    lines.push("", palette.bold(heading));
    let said = { place: "", reasons: "" };
    for (const [index, result] of shown.entries()) {
      const { fault, reasons, details } = explainFailing(result, context);
      const saying = {
        place: formatPlace(result.expectation.place),
        reasons: reasons.join("\n"),
      };
      const words = [
        ...(saying.place === said.place ? [] : [saying.place]),
        // The columns say which verdict was expected, and which it is.
        ...(result.answer?.verdict === result.expectation.verdict || reasons.length === 0
          ? [fault]
          : []),
        ...(saying.reasons === said.reasons ? [] : reasons),
        ...details,
      ];
      said = saying;
      lines.push(texts[index] ?? "");
      lines.push(...words.flatMap((text) => wrapText(text, 2)).map(palette.dim));
    }
    const more = failures.length - shown.length;
    if (more > 0) lines.push(`and ${countText(more, "more failure")}: see -o json`);
  }
  return `${lines.join("\n")}\n`;
}

/** The first sentence of every report. */
export function headlineText({ results }: ExpectationReport): string {
  const failing = results.filter(({ fault }) => fault !== undefined).length;
  if (failing === 0) {
    return results.length === 1
      ? "The expectation holds."
      : `All ${results.length} expectations hold.`;
  }
  const verb = failing === 1 ? "fails" : "fail";
  return `${failing} of ${countText(results.length, "expectation")} ${verb}.`;
}

function summary({ results }: ExpectationReport): string {
  const questions = results.reduce((sum, result) => sum + result.questions, 0);
  return `${countText(results.length, "expectation")}, ${countText(questions, "connection")} asked about`;
}
