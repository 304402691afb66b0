/**
 * What the tcpdump reader reports: lines that look like packets and cannot be read, and names that
 * nobody knows. The first lines are reported one by one, the rest as a number.
 */
import type { ReaderOptions } from "./format.ts";
import type { Line } from "./tcpdump-line.ts";

/** Lines reported one by one. */
const LINES_MAX = 50;

/** The diagnostics of one text. */
export class TextLog {
  /** Lines that look like packets and could not be read. */
  unreadable = 0;
  readonly #options: ReaderOptions;
  readonly #services = new Set<string>();

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** Reports a line; `index` is where in its cleaned text the trouble starts. */
  unreadableLine(line: Line, number: number, index: number, why: string): void {
    this.unreadable += 1;
    if (this.unreadable > LINES_MAX) return;
    const message = `looks like a packet and cannot be read: ${why}`;
    const { file, onDiagnostic } = this.#options;
    const place = { file, line: number, column: columnOf(line, index) };
    onDiagnostic({ severity: "error", code: "UNREADABLE_PACKET_LINE", message, place });
  }

  /** Reports a host name, which the caller has not reported before. */
  unresolvedName(name: string, number: number): void {
    const message = `nobody knows the address of ${name}: verdicts on its packets stay unknown`;
    this.#warn(message, number);
  }

  /** Reports a service name the first time. */
  unknownService(label: string, number: number): void {
    if (this.#services.has(label) || this.#services.size >= LINES_MAX) return;
    this.#services.add(label);
    const message = `nobody knows the port of service ${label}: run tcpdump with -n`;
    this.#warn(message, number);
  }

  /** Says at the end how many lines were not reported one by one. */
  finish(): void {
    const rest = this.unreadable - LINES_MAX;
    if (rest <= 0) return;
    const message = `${rest} more lines look like packets and cannot be read, ${this.unreadable} in all`;
    this.#options.onDiagnostic({
      severity: "error",
      code: "UNREADABLE_PACKET_LINE",
      message,
      place: { file: this.#options.file },
    });
    this.unreadable = 0;
  }

  #warn(message: string, line: number): void {
    const { file, onDiagnostic } = this.#options;
    onDiagnostic({ severity: "warning", code: "UNRESOLVED_NAME", message, place: { file, line } });
  }
}

/** Finds the column in the pasted line of a place in the cleaned one. */
function columnOf(line: Line, index: number): number {
  const word = line.text.slice(index, index + 12);
  const found = word === "" ? line.raw.length : line.raw.indexOf(word, index);
  return Math.max(0, found) + 1;
}
