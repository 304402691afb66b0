/** How the process ends: always. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const BIN = join(ROOT, "dist/src/cli/bin.js");
const RUNS = 25;

// V8 makes objects in other threads, as those do that compile: of the runs that called process.exit() every sixth stood
// still for ever.
it("ends, whatever threads of V8 are at", () => {
  const words = ["--stress-concurrent-allocation", BIN, "lint", "-f", "examples/dns-forgotten"];
  const ends = Array.from(
    { length: RUNS },
    () => spawnSync(process.execPath, words, { cwd: ROOT, timeout: 20_000 }).status,
  );
  expect(ends).toEqual(ends.map(() => 1));
});
