/** Hints as `what-if -o json` has them, and their text put into the files that they name. */
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";

/** `hints` of the JSON. */
export interface HintsJson {
  readonly hints: readonly {
    readonly mends: readonly {
      readonly from: string;
      readonly to: string;
      readonly port: string;
    }[];
    readonly edits: readonly {
      readonly policy: { readonly kind: string; readonly name: string };
      readonly way: string;
      readonly list?: string;
      readonly file: string;
      readonly line?: number;
      readonly yaml: string;
      readonly insertion?: {
        readonly line: number;
        readonly column: number;
        readonly text: string;
      };
    }[];
    readonly alsoAllows: readonly string[];
    readonly checked: { readonly capture: boolean; readonly traffic: boolean };
  }[];
  readonly without: readonly { readonly from: string; readonly to: string; readonly why: string }[];
}

/** Changes files, named from the folder on, as the hints say; what stands further behind is changed first. */
export function applyHints({ hints }: HintsJson, folder: string): void {
  const edits = hints.flatMap((hint) => hint.edits);
  const placeOf = ({ insertion }: (typeof edits)[number]): number =>
    (insertion?.line ?? 0) * 1e7 + (insertion?.column ?? 0);
  const ordered = edits.toSorted((one, other) => placeOf(other) - placeOf(one));
  for (const { file: name, insertion } of ordered) {
    if (insertion === undefined) throw new Error(`${name}: no text to put in`);
    const file = resolve(folder, name);
    const lines = readFileSync(file, "utf8").split("\n");
    const before = lines.slice(0, insertion.line - 1);
    const own = lines[insertion.line - 1] ?? "";
    const rest = lines.slice(insertion.line);
    const at = insertion.column - 1;
    const changed = `${own.slice(0, at)}${insertion.text}${own.slice(at)}`;
    writeFileSync(file, [...before, changed, ...rest].join("\n"));
  }
}
