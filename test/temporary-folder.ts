/** Temporary folders of a test run, its commands' too: all in one, which is gone when the run ends. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Called once, before the workers of the run start: they have its environment. */
export function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), "nv-"));
  process.env["TMPDIR"] = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}
