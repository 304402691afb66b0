/**
 * Where results go: standard output with back-pressure, a file that appears whole or not at all, or a device
 * or pipe.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  openSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";
import { EXIT_DONE, EXIT_OUTPUT, Failure, systemErrorCode, systemErrorText } from "./failure.ts";
import { MANIFEST_NAME } from "./manifest-name.ts";

/** One `-o FORMAT[=FILE]`. */
export interface Output<F extends string> {
  readonly format: F;
  /** Undefined: standard output. */
  readonly file: string | undefined;
}

/** Receives the text or the bytes of one output. */
export interface Sink {
  /** People may look at it as it is written: colours are possible. */
  readonly colorful: boolean;
  /** Resolves when more can be taken; bytes are the caller's again then. */
  write(content: string | Uint8Array): Promise<void>;
  /** Makes the output final. */
  finish(): Promise<void>;
  /** Removes what was written so far, where that is possible; never throws. */
  abandon(): void;
}

/** By which names it may be given: opened anew, it would be written over from its start. */
const STANDARD_OUTPUT: ReadonlySet<string> = new Set([
  "/dev/stdout",
  "/dev/fd/1",
  "/proc/self/fd/1",
]);

/**
 * Opens an output.
 *
 * @param inputs files and folders that were named as inputs: none of them, and no manifest in them, is overwritten
 */
export function openSink(file: string | undefined, inputs: readonly string[]): Sink {
  if (file === undefined || STANDARD_OUTPUT.has(resolve(file))) return new StandardOutput();
  if (inputs.some((input) => overwrites(input, file))) {
    throw new Failure(`${file}: the output would overwrite an input`);
  }
  return isPassage(file) ? new PassageOutput(file) : new FileOutput(file);
}

/** An output, open. */
export interface Destination<F extends string> {
  readonly format: F;
  readonly sink: Sink;
}

/** Opens all of the outputs or none, before anything is read: a folder that is not there is told at once. */
export function openDestinations<F extends string>(
  outputs: readonly Output<F>[],
  inputs: readonly string[],
): Destination<F>[] {
  const opened: Destination<F>[] = [];
  try {
    for (const { format, file } of outputs) opened.push({ format, sink: openSink(file, inputs) });
  } catch (error) {
    for (const { sink } of opened) sink.abandon();
    throw error;
  }
  return opened;
}

class StandardOutput implements Sink {
  readonly colorful = true;

  async write(content: string | Uint8Array): Promise<void> {
    const { stdout } = process;
    // Bytes may wait inside the stream.
    const kept = typeof content === "string" ? content : content.slice();
    if (kept.length === 0 || stdout.write(kept)) return;
    await new Promise<void>((resolve) => stdout.once("drain", resolve));
  }

  finish(): Promise<void> {
    return new Promise((resolve) => process.stdout.write("", () => resolve()));
  }

  abandon(): void {
    // What was printed is printed.
  }
}

/** Written under another name in the same folder, then renamed; gone when the process ends before that. */
class FileOutput implements Sink {
  static readonly #unfinished = new Set<FileOutput>();

  static {
    process.on("exit", () => {
      for (const output of FileOutput.#unfinished) output.abandon();
    });
  }

  readonly colorful = false;
  readonly #file: string;
  readonly #temporary: string;
  readonly #descriptor: number;

  constructor(file: string) {
    this.#file = file;
    this.#temporary = join(dirname(file), `.${basename(file)}.${process.pid}.partial`);
    try {
      // Exclusive: a link or file that lies there is refused, not followed.
      this.#descriptor = openSync(this.#temporary, "wx");
    } catch (error) {
      if (systemErrorCode(error) !== "EEXIST") throw refusal(file, error);
      throw new Failure(
        `${file}: cannot be written: another output has this name, or ${this.#temporary} was left behind`,
      );
    }
    FileOutput.#unfinished.add(this);
  }

  async write(content: string | Uint8Array): Promise<void> {
    try {
      writeWhole(this.#descriptor, content);
    } catch (error) {
      this.abandon();
      throw refusal(this.#file, error);
    }
  }

  async finish(): Promise<void> {
    try {
      fsyncSync(this.#descriptor);
      closeSync(this.#descriptor);
      renameSync(this.#temporary, this.#file);
      FileOutput.#unfinished.delete(this);
    } catch (error) {
      this.abandon();
      throw refusal(this.#file, error);
    }
  }

  abandon(): void {
    FileOutput.#unfinished.delete(this);
    try {
      unlinkSync(this.#temporary);
    } catch {
      // It is gone already, or the folder is: there is nothing left to clean.
    }
  }
}

/** A device or pipe, written as it is: what is renamed onto it would take its place. */
class PassageOutput implements Sink {
  readonly colorful = false;
  readonly #file: string;
  readonly #descriptor: number;

  constructor(file: string) {
    this.#file = file;
    try {
      this.#descriptor = openSync(file, "a");
    } catch (error) {
      throw refusal(file, error);
    }
  }

  async write(content: string | Uint8Array): Promise<void> {
    try {
      writeWhole(this.#descriptor, content);
    } catch (error) {
      throw refusal(this.#file, error);
    }
  }

  async finish(): Promise<void> {
    closeSync(this.#descriptor);
  }

  abandon(): void {
    // What was written is written.
  }
}

function writeWhole(descriptor: number, content: string | Uint8Array): void {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at);
}

/** Whether a name is that of no file of its own: /dev/null, /dev/stdout, a named pipe, a shell's >(...). */
function isPassage(file: string): boolean {
  try {
    const state = statSync(file);
    const led = lstatSync(file).isSymbolicLink() && /^\/(dev|proc)\//.test(resolve(file));
    return led || !(state.isFile() || state.isDirectory());
  } catch {
    // It is not there yet, or whoever opens it says why it cannot be written.
    return false;
  }
}

/**
 * Ends the process quietly when the reader of standard output goes away (`| head`), and with one
 * sentence when it cannot be written.
 */
export function guardStandardOutput(): void {
  process.stdout.on("error", (error) => {
    if (systemErrorCode(error) === "EPIPE") process.exit(EXIT_DONE);
    process.stderr.write(
      `netverdict: error: standard output cannot be written: ${systemErrorText(error)}\n`,
    );
    process.exit(EXIT_OUTPUT);
  });
  process.stderr.on("error", () => process.exit(EXIT_OUTPUT));
}

function refusal(file: string, error: unknown): Failure {
  return new Failure(`${file}: cannot be written: ${systemErrorText(error)}`, EXIT_OUTPUT);
}

/** The output is the input, or a manifest in the folder that is the input. */
function overwrites(input: string, output: string): boolean {
  if (input === "-") return false;
  const [read, written] = [realPlace(input), realPlace(output)];
  if (read === written) return true;
  return MANIFEST_NAME.test(written) && existsSync(written) && written.startsWith(read + sep);
}

/** Where a file lies, or would lie: not through links. */
function realPlace(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    // It is not there yet.
  }
  try {
    return join(realpathSync(dirname(file)), basename(file));
  } catch {
    return resolve(file);
  }
}
