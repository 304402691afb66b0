/**
 * How a command ends other than well: exit codes, and the one exception that carries a sentence for the
 * user. Everything else that is thrown is a bug of ours.
 */

export const EXIT_DONE = 0;
/** A gate such as `--fail-on` tripped. */
export const EXIT_FINDING = 1;
/** Wrong usage, or input that cannot be used. */
export const EXIT_USAGE = 2;
/** Only a part of the capture could be replayed; that part was reported. */
export const EXIT_PARTIAL = 3;
export const EXIT_BUG = 70;
/** Output could not be written. */
export const EXIT_OUTPUT = 74;

/** Ends a command with a sentence for the user. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly exitCode: number;

  /** @param sentence one sentence, lower case, without a full stop; empty when all was said already */
  constructor(sentence: string, exitCode: number = EXIT_USAGE) {
    super(sentence);
    this.exitCode = exitCode;
  }
}

/** Says in words why the system refused a file. */
export function systemErrorText(error: unknown): string {
  const code = systemErrorCode(error);
  switch (code) {
    case "ENOENT":
      return "no such file or folder";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    case "EISDIR":
      return "it is a folder";
    case "ENOTDIR":
      return "a part of its path is not a folder";
    case "EPIPE":
      return "who reads it is gone";
    case "ENOSPC":
      return "no space left on the device";
    case "EMFILE":
    case "ENFILE":
      return "too many open files";
    case "ELOOP":
      return "too many symbolic links";
    case undefined:
      throw error;
    default:
      return `the system says ${code}`;
  }
}

/** The code of an error of the system; undefined for any other. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
