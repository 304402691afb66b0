/** Loads the Wasm that the package carries, with tables in it. */
import { readFileSync } from "node:fs";
import { prepareCopy } from "../engine/copy.ts";
import type { BeginCopy } from "../engine/copy.ts";
import { loadMatcher } from "../engine/matcher.ts";
import type { Matcher, MatcherOptions } from "../engine/matcher.ts";
import type { Program } from "../engine/program.ts";
import { EXIT_BUG, Failure, systemErrorCode } from "./failure.ts";

/** Loads a matcher that judges by these tables. */
export function loadProgramMatcher(program: Program, options: MatcherOptions): Matcher {
  return loadMatcher(readWasm(), program, options);
}

/** Prepares for a copy of a matcher. */
export function prepareProgramCopy(): BeginCopy {
  return prepareCopy(readWasm());
}

function readWasm(): Uint8Array<ArrayBuffer> {
  // The package's own import map: the same from its sources and from its build.
  const url = new URL(import.meta.resolve("#matcher.wasm"));
  try {
    return new Uint8Array(readFileSync(url));
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
    throw new Failure("build/matcher.wasm is not there: run npm run build", EXIT_BUG);
  }
}
