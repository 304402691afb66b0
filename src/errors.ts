/**
 * What can be wrong with an input, as data: a diagnostic has a code, a sentence and a place.
 * Stages report through `OnDiagnostic` and go on; the public functions throw one `InputError`.
 * Formatting for people is in `formatDiagnostic` and nowhere else.
 */

/** Where in the input something was found. */
export interface Place {
  /** File name as the user gave it; `-` is standard input. */
  readonly file: string;
  /** 1-based line, for text. */
  readonly line?: number;
  /** 1-based column, for text. */
  readonly column?: number;
  /** Byte offset, for captures. */
  readonly offset?: number;
  /** 1-based packet number, for captures. */
  readonly packet?: number;
}

/** Every code a diagnostic can carry. docs/diagnostics.md has a sentence for each. */
export type DiagnosticCode =
  // any input
  | "EMPTY_FILE"
  | "UNREADABLE_FILE"
  | "LIMIT_EXCEEDED"
  | "VAIN_OPTION"
  // captures
  | "NOT_A_CAPTURE"
  | "TRUNCATED_CAPTURE"
  | "BAD_CAPTURE_BLOCK"
  | "BAD_COMPRESSION"
  | "UNSUPPORTED_COMPRESSION"
  | "UNSUPPORTED_LINK_TYPE"
  | "UNREADABLE_PACKET_LINE"
  | "UNRESOLVED_NAME"
  | "ODD_TIMESTAMP"
  | "ODD_LENGTH"
  | "CAPTURE_ORDER"
  // manifests
  | "BAD_YAML"
  | "DUPLICATE_KEY"
  | "DUPLICATE_OBJECT"
  | "UNSUPPORTED_KIND"
  | "FOREIGN_KIND"
  | "UNKNOWN_FIELD"
  | "MISSING_FIELD"
  | "BAD_VALUE"
  | "BAD_ADDRESS"
  | "BAD_PREFIX"
  | "BAD_PORT"
  | "BAD_PORT_RANGE"
  | "BAD_SELECTOR"
  | "BAD_PEER"
  | "UNKNOWN_NAMESPACE"
  | "UNKNOWN_SERVICE_ACCOUNT"
  | "UNKNOWN_TIER"
  | "UNKNOWN_PROFILE"
  | "UNKNOWN_NODE"
  | "UNKNOWN_LABEL"
  | "UNKNOWN_NAMED_PORT"
  | "UNKNOWN_SERVICE"
  | "ADDRESS_CONFLICT"
  | "STAGED_POLICIES"
  | "NO_POLICIES"
  | "NO_ENDPOINTS"
  // what-if
  | "ACCEPTED_ABSENT"
  | "BLIND_SPOTS_UNKNOWN"
  // a node's dumps
  | "BAD_DUMP"
  | "TRUNCATED_DUMP"
  | "INCOMPLETE_DUMP"
  | "BAD_RULE"
  | "UNKNOWN_CHAIN"
  | "CHAIN_LOOP"
  | "UNKNOWN_SET"
  | "BAD_SET"
  | "BAD_ROUTE"
  | "UNSUPPORTED_MATCH"
  | "FOREIGN_DATAPLANE"
  // tables
  | "WIDER_RULE"
  | "UNSUPPORTED_FEATURE";

/** One thing found in an input. An `error` makes the input unusable, a `warning` does not. */
export interface Diagnostic {
  readonly severity: "error" | "warning";
  readonly code: DiagnosticCode;
  /** One sentence, lower case, without a full stop; names the thing and what was expected. */
  readonly message: string;
  readonly place?: Place;
  /** What the user may have meant, as a whole sentence part: `did you mean "podSelector"?`. */
  readonly suggestion?: string;
}

/** Receives what a stage finds; the stage goes on as far as is sensible. */
export type OnDiagnostic = (diagnostic: Diagnostic) => void;

/** Thrown once by a public function when at least one diagnostic is an error. */
export class InputError extends Error {
  override readonly name = "InputError";
  readonly diagnostics: readonly Diagnostic[];

  constructor(diagnostics: readonly Diagnostic[]) {
    super(diagnostics.map((diagnostic) => diagnostic.message).join("; "));
    this.diagnostics = diagnostics;
  }
}

/**
 * Formats one diagnostic as `file:line:column: error: sentence [CODE]`, with the source line and a
 * caret where the place has a line and the line is at hand.
 *
 * @param sourceLine the text of the place's line, without its end; undefined when not at hand
 */
export function formatDiagnostic(diagnostic: Diagnostic, sourceLine?: string): string {
  const { severity, code, message, place, suggestion } = diagnostic;
  const where = place === undefined ? "" : `${formatPlace(place)}: `;
  const hint = suggestion === undefined ? "" : ` (${escapeControls(suggestion)})`;
  const head = `${where}${severity}: ${escapeControls(message)}${hint} [${code}]`;
  if (place?.line === undefined || sourceLine === undefined) return head;
  const gutter = `${place.line}`.padStart(4);
  const show = (text: string): string => escapeControls(text.replaceAll("\t", " "));
  const shown = show(sourceLine).slice(0, 160);
  const frame = `${head}\n${gutter} | ${shown}`;
  if (place.column === undefined) return frame;
  const before = show(sourceLine.slice(0, place.column - 1)).length;
  if (place.column > sourceLine.length + 1 || before > shown.length) return frame;
  return `${frame}\n${" ".repeat(gutter.length)} | ${" ".repeat(before)}^`;
}

/** Formats a place as `file`, `file:line`, `file:line:column` or `file: byte N (packet N)`. */
export function formatPlace(place: Place): string {
  const file = escapeControls(place.file);
  if (place.line !== undefined) {
    return place.column === undefined
      ? `${file}:${place.line}`
      : `${file}:${place.line}:${place.column}`;
  }
  if (place.offset !== undefined) {
    const packet = place.packet === undefined ? "" : ` (packet ${place.packet})`;
    return `${file}: byte ${place.offset}${packet}`;
  }
  return file;
}

/**
 * Makes text from an input safe to print: control characters, bidirectional overrides and
 * zero-width characters become `\xNN` or `\u{NNNN}`, so that no input can steer a terminal.
 */
export function escapeControls(text: string): string {
  return escapeLines(text).replaceAll("\n", "\\x0a");
}

/** The same; line ends stay. */
export function escapeLines(text: string): string {
  return text.replace(
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu,
    (character) => {
      const code = character.codePointAt(0) ?? 0;
      const digits = code.toString(16);
      return code < 0x100 ? `\\x${digits.padStart(2, "0")}` : `\\u{${digits}}`;
    },
  );
}
