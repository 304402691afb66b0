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
  readonly #said: ReadonlySet<string>;
  readonly #isLeftOut: (diagnostic: Diagnostic) => boolean;

  /**
   * @param write prints on standard error
   * @param said  diagnostics, as JSON, that another log has printed: they are not repeated
   * @param isLeftOut tells of what the command says in words of its own, or has no use for
   */
  constructor(
    write: (text: string) => void,
    said: ReadonlySet<string> = new Set(),
    isLeftOut: (diagnostic: Diagnostic) => boolean = () => false,
  ) {
    this.#write = write;
    this.#said = said;
    this.#isLeftOut = isLeftOut;
  }

  /** Makes a text's lines known, so that diagnostics can show them. */
  addText(file: string, text: string): void {
    this.#lines.set(file, text.split(/\r\n|\n|\r/));
  }

  /** The text of a file that was made known, with plain line ends. */
  textOf(file: string): string | undefined {
    return this.#lines.get(file)?.join("\n");
  }

  readonly report = (diagnostic: Diagnostic): void => {
    if (this.#isLeftOut(diagnostic) || this.#said.has(JSON.stringify(diagnostic))) return;
    this.found.push(diagnostic);
    if (diagnostic.severity === "error") this.errors += 1;
    const { place } = diagnostic;
    const line =
      place?.line === undefined ? undefined : this.#lines.get(place.file)?.[place.line - 1];
    this.#write(`${formatDiagnostic(diagnostic, line)}\n`);
  };
}
