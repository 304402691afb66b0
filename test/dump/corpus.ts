/** Dumps that others took or wrote, from the corpus beside the repository. */
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

const DUMPS = join(import.meta.dirname, "../../../shared/corpus/dumps");

/** Tells whether the corpus is there; prints that its tests skip when not. */
export function haveDumps(): boolean {
  const there = existsSync(DUMPS);
  if (!there) console.log("skipped: the corpus has no dumps beside this repository");
  return there;
}

/** Paths of all files below a folder of the corpus, from its root, ordered. */
export function dumpFiles(folder = ""): string[] {
  return readdirSync(join(DUMPS, folder), { recursive: true, encoding: "utf8" })
    .map((file) => join(folder, file))
    .filter((file) => statSync(join(DUMPS, file)).isFile())
    .toSorted();
}

/** A file's text; bytes that are no UTF-8 as they are. */
export function dumpText(file: string): string {
  return readFileSync(join(DUMPS, file), "latin1");
}
