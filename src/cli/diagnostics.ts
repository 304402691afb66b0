/**
 * Diagnostics on standard error as they are found, with their source line, and kept for the report.
 */
import { formatDiagnostic } from "../errors.ts";
import type { Diagnostic } from "../errors.ts";

/** Receives every diagnostic of one command. */
export class DiagnosticLog {
  readonly found: Diagnostic[] = [];
  errors = 0;
  readonly #lines = new Map<string, readonly string[]>();
  readonly #write: (text: string) => void;

  /** @param write prints on standard error */
  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  /** Makes a text's lines known, so that diagnostics can show them. */
  addText(file: string, text: string): void {
    this.#lines.set(file, text.split(/\r\n|\n|\r/));
  }

  readonly report = (diagnostic: Diagnostic): void => {
    this.found.push(diagnostic);
    if (diagnostic.severity === "error") this.errors += 1;
    const { place } = diagnostic;
    const line =
      place?.line === undefined ? undefined : this.#lines.get(place.file)?.[place.line - 1];
    this.#write(`${formatDiagnostic(diagnostic, line)}\n`);
  };
}
