/** Whether the kernel lab can be had here. */
import { labMissing } from "../../src/lab/lab.ts";

/** Tells whether the lab can be had; prints why not. */
export function haveLab(): boolean {
  const missing = labMissing();
  if (missing === undefined) return true;
  console.log(`skipped: the kernel lab cannot be had here: ${missing}`);
  return false;
}
