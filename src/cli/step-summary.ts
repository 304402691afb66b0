/** The page that a run of a GitHub workflow shows. */
import { appendFileSync } from "node:fs";

/** GitHub refuses a longer summary. */
const SUMMARY_MAX = 1 << 20;

/** Adds Markdown to the page, where this is a step of a workflow; what is too long is cut at a line's end. */
export function addStepSummary(markdown: string): void {
  const file = process.env["GITHUB_STEP_SUMMARY"];
  if (file === undefined || file === "") return;
  const whole = Buffer.from(markdown);
  const end = whole.length < SUMMARY_MAX ? whole.length : whole.lastIndexOf("\n", SUMMARY_MAX - 2);
  appendFileSync(file, whole.subarray(0, end + 1));
}
