/**
 * Diagnostics on standard error as they are found, with their source line, and kept for the report.
 */
import type { ManifestText } from "../cluster/manifest-object.ts";
import { formatDiagnostic } from "../errors.ts";
import type { Diagnostic } from "../errors.ts";

/** Receives every diagnostic of one command. */
export class DiagnosticLog {
  readonly found: Diagnostic[] = [];
  errors = 0;
  readonly #texts = new Map<string, ManifestText>();
  /** Of texts of which a line was shown. */
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

  /** Makes a text known, so that diagnostics can show its lines. */
  addText(text: ManifestText): void {
    this.#texts.set(text.file, text);
    this.#lines.delete(text.file);
  }

  /** The text of a file that was made known, with plain line ends. */
  textOf(file: string): string | undefined {
    return this.#linesOf(file)?.join("\n");
  }

  readonly report = (diagnostic: Diagnostic): void => {
    if (this.#isLeftOut(diagnostic) || this.#said.has(JSON.stringify(diagnostic))) return;
    this.found.push(diagnostic);
    if (diagnostic.severity === "error") this.errors += 1;
    const { place } = diagnostic;
    const line =
      place?.line === undefined ? undefined : this.#linesOf(place.file)?.[place.line - 1];
    this.#write(`${formatDiagnostic(diagnostic, line)}\n`);
  };

  #linesOf(file: string): readonly string[] | undefined {
    const lines = this.#lines.get(file) ?? this.#texts.get(file)?.text.split(/\r\n|\n|\r/);
    if (lines !== undefined) this.#lines.set(file, lines);
    return lines;
  }
}
