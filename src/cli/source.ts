/**
 * Opens captures: files, pipes and standard input, decompressed on the way by what they hold and not
 * by their name. The only file layer of captures. A plain file is read straight into the matcher's
 * memory. Failures are reported as diagnostics, never thrown.
 */
import * as fs from "node:fs";
import type { Readable } from "node:stream";
import { Lz4Source } from "../capture/lz4.ts";
import type { ByteSource } from "../capture/stream.ts";
import type { OnDiagnostic } from "../errors.ts";
import { DecompressedSource, GZIP, hasZstd, ZSTD } from "./decompress.ts";

/** A source that holds a file open. */
export interface OpenSource extends ByteSource {
  close(): void;
}

/** How much a compressed capture may hold. */
export interface DecompressionLimits {
  /** Decompressed bytes for each compressed byte, beyond the first MiB. */
  readonly ratio: number;
  /** Decompressed bytes in all. */
  readonly bytes: number;
}

/** Stops the bombs and lets through what capture files reach in practice. */
export const DECOMPRESSION_LIMITS: DecompressionLimits = { ratio: 200, bytes: 2 ** 40 };

/** What `openSource` needs besides the path. */
export interface SourceOptions {
  readonly onDiagnostic: OnDiagnostic;
  readonly limits?: DecompressionLimits;
  /** What `-` stands for; the process's standard input unless a test gives another. */
  readonly stdin?: Readable;
  /** What the path stands for, where it can be read once only and was opened before. */
  readonly pipe?: Readable | undefined;
}

const RATIO_FREE = 1 << 20;
/** Longest magic number below. */
const MAGIC_SIZE = 6;

// Frames that zstd and lz4 pass over, each with its length behind; pzstd begins with one (RFC 8878, 3.1.2).
const SKIPPABLE_MAGIC = 0x184d2a50;
const SKIPPABLE_HEADER = 8;
/** Further behind nobody looks for what is compressed. */
const SKIPPED_MAX = 1 << 20;

/** How a capture is compressed, by its first bytes. */
const MAGICS: readonly { readonly name: string; readonly magic: readonly number[] }[] = [
  { name: "gzip", magic: [0x1f, 0x8b] },
  { name: "zstd", magic: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: "lz4", magic: [0x04, 0x22, 0x4d, 0x18] },
  { name: "legacy lz4", magic: [0x02, 0x21, 0x4c, 0x18] },
  { name: "xz", magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
  { name: "bzip2", magic: [0x42, 0x5a, 0x68] },
  { name: "zip", magic: [0x50, 0x4b, 0x03, 0x04] },
];

/** Commands that decompress to standard output what is not decompressed here. */
const ADVICE: Readonly<Record<string, string>> = {
  "legacy lz4": "lz4 -dc",
  xz: "xz -dc",
  bzip2: "bzip2 -dc",
  zip: "unzip -p",
  zstd: "zstd -dc",
};

/**
 * Opens a capture; `-` is standard input. Undefined when it cannot be read, which was reported as
 * UNREADABLE_FILE or UNSUPPORTED_COMPRESSION. Close it when done.
 */
export async function openSource(
  path: string,
  options: SourceOptions,
): Promise<OpenSource | undefined> {
  const raw = openRaw(path, options);
  if (raw === undefined) return undefined;
  const counted = new CountedSource(raw);
  const start = await startOf(counted);
  const inner = decompressed(counted, start, options);
  if (inner === undefined) raw.close();
  return inner;
}

/** The first bytes; behind frames that are passed over, those of what is compressed. */
async function startOf(raw: CountedSource): Promise<Uint8Array> {
  let at = 0;
  while (true) {
    await raw.peek(at + MAGIC_SIZE);
    const start = raw.peeked.subarray(at);
    if (!isSkippable(start)) return start;
    await raw.peek(at + SKIPPABLE_HEADER);
    const header = raw.peeked.subarray(at);
    if (header.length < SKIPPABLE_HEADER) return start;
    at += SKIPPABLE_HEADER + wordAt(header, 4);
    if (at > SKIPPED_MAX) return start;
  }
}

function isSkippable(start: Uint8Array): boolean {
  return start.length >= 4 && (wordAt(start, 0) & ~0xf) >>> 0 === SKIPPABLE_MAGIC;
}

function wordAt(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
}

/** Puts the decompressor in front that the first bytes ask for. */
function decompressed(
  raw: CountedSource,
  start: Uint8Array,
  options: SourceOptions,
): OpenSource | undefined {
  const { onDiagnostic } = options;
  const name = MAGICS.find(({ magic }) => magic.every((byte, at) => start[at] === byte))?.name;
  if (name === undefined) return raw;
  const inner = decompressorOf(name, raw, onDiagnostic);
  if (inner !== undefined) return new BoundedSource(inner, raw, options);

  const from = raw.file === "-" ? "" : ` ${raw.file}`;
  const why =
    name === "zstd" ? "this Node cannot decompress zstd" : `${name} is not decompressed here`;
  onDiagnostic({
    severity: "error",
    code: "UNSUPPORTED_COMPRESSION",
    message: `${why}: try \`${ADVICE[name] ?? ""}${from} | netverdict replay -r - ...\``,
    place: { file: raw.file },
  });
  return undefined;
}

function decompressorOf(
  name: string,
  raw: ByteSource,
  onDiagnostic: OnDiagnostic,
): ByteSource | undefined {
  if (name === "gzip") return new DecompressedSource(raw, GZIP, onDiagnostic);
  if (name === "zstd" && hasZstd()) return new DecompressedSource(raw, ZSTD, onDiagnostic);
  return name === "lz4" ? new Lz4Source(raw, onDiagnostic) : undefined;
}

function openRaw(path: string, options: SourceOptions): OpenSource | undefined {
  const { onDiagnostic, stdin = process.stdin, pipe } = options;
  if (pipe !== undefined) return new PipeSource(path, pipe, onDiagnostic);
  if (path === "-") {
    if (!("isTTY" in stdin && stdin.isTTY === true))
      return new PipeSource(path, stdin, onDiagnostic);
    reportUnreadable(onDiagnostic, path, "standard input is a terminal: pipe a capture into it");
    return undefined;
  }
  try {
    const stat = fs.statSync(path);
    if (stat.isFile()) return new FileSource(path, fs.openSync(path, "r"), onDiagnostic);
    if (stat.isFIFO()) return new PipeSource(path, fs.createReadStream(path), onDiagnostic);
    const what = stat.isDirectory() ? "a folder" : "a device or socket";
    reportUnreadable(onDiagnostic, path, `it is ${what}, expected a capture file`);
  } catch (error) {
    reportUnreadable(onDiagnostic, path, sentenceOf(error));
  }
  return undefined;
}

function reportUnreadable(onDiagnostic: OnDiagnostic, file: string, message: string): void {
  onDiagnostic({ severity: "error", code: "UNREADABLE_FILE", message, place: { file } });
}

/** What a failed system call means, without Node's own wording. */
function sentenceOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
  switch (code) {
    case "ENOENT":
      return "there is no such file";
    case "ENOTDIR":
      return "a part of the path is not a folder";
    case "EACCES":
    case "EPERM":
      return "there is no permission to read it";
    case "ELOOP":
      return "its symbolic links lead in a circle";
    case "EMFILE":
    case "ENFILE":
      return "too many files are open";
    default:
      return `it cannot be read (${code})`;
  }
}

/** A plain file: bytes go from the file to the reader's memory and nowhere else. */
class FileSource implements OpenSource {
  readonly file: string;
  failed = false;
  #descriptor: number | undefined;
  readonly #onDiagnostic: OnDiagnostic;

  constructor(file: string, descriptor: number, onDiagnostic: OnDiagnostic) {
    this.file = file;
    this.#descriptor = descriptor;
    this.#onDiagnostic = onDiagnostic;
  }

  read(into: Uint8Array): number {
    if (this.#descriptor === undefined) return 0;
    try {
      return fs.readSync(this.#descriptor, into);
    } catch (error) {
      this.failed = true;
      reportUnreadable(this.#onDiagnostic, this.file, sentenceOf(error));
      return 0;
    }
  }

  close(): void {
    if (this.#descriptor !== undefined) fs.closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

/** Standard input or a named pipe: what comes is handed on as it comes. */
class PipeSource implements OpenSource {
  readonly file: string;
  failed = false;
  readonly #stream: Readable;
  readonly #chunks: AsyncIterator<unknown>;
  readonly #onDiagnostic: OnDiagnostic;
  /** Received and not yet read. */
  #rest: Uint8Array = new Uint8Array(0);

  constructor(file: string, stream: Readable, onDiagnostic: OnDiagnostic) {
    this.file = file;
    this.#stream = stream;
    this.#chunks = stream[Symbol.asyncIterator]();
    this.#onDiagnostic = onDiagnostic;
  }

  async read(into: Uint8Array): Promise<number> {
    while (this.#rest.length === 0) {
      const chunk = await this.#next();
      if (chunk === undefined) return 0;
      this.#rest = chunk;
    }
    const count = Math.min(into.length, this.#rest.length);
    into.set(this.#rest.subarray(0, count));
    this.#rest = this.#rest.subarray(count);
    return count;
  }

  close(): void {
    this.#stream.destroy();
  }

  async #next(): Promise<Uint8Array | undefined> {
    try {
      const next: IteratorResult<unknown, unknown> = await this.#chunks.next();
      if (next.done === true) return undefined;
      const { value } = next;
      return value instanceof Uint8Array ? value : new TextEncoder().encode(String(value));
    } catch (error) {
      this.failed = true;
      reportUnreadable(this.#onDiagnostic, this.file, sentenceOf(error));
      return undefined;
    }
  }
}

/** Counts what was read, and lets the first bytes be seen before they are. */
class CountedSource implements OpenSource {
  readonly file: string;
  /** Bytes read so far. */
  count = 0;
  /** The first bytes, as far as they are not read yet. */
  peeked: Uint8Array = new Uint8Array(0);
  readonly #raw: OpenSource;

  constructor(raw: OpenSource) {
    this.file = raw.file;
    this.#raw = raw;
  }

  get failed(): boolean {
    return this.#raw.failed;
  }

  /** Makes `peeked` this long at least, or shorter at the end. Nothing was read before. */
  async peek(size: number): Promise<void> {
    let length = this.peeked.length;
    if (length >= size) return;
    // Who asks again and again for a bit more does not copy all of it each time.
    const bytes = new Uint8Array(Math.max(size, 2 * length));
    bytes.set(this.peeked);
    while (length < size) {
      const count = await this.#raw.read(bytes.subarray(length));
      if (count === 0) break;
      length += count;
    }
    this.peeked = bytes.subarray(0, length);
  }

  read(into: Uint8Array): number | Promise<number> {
    if (this.peeked.length === 0) {
      const read = this.#raw.read(into);
      return typeof read === "number" ? this.#add(read) : read.then((count) => this.#add(count));
    }
    const count = Math.min(into.length, this.peeked.length);
    into.set(this.peeked.subarray(0, count));
    this.peeked = this.peeked.subarray(count);
    return this.#add(count);
  }

  close(): void {
    this.#raw.close();
  }

  #add(count: number): number {
    this.count += count;
    return count;
  }
}

/** Ends a decompressed capture that grows beyond the limits. */
class BoundedSource implements OpenSource {
  readonly file: string;
  readonly #inner: ByteSource;
  readonly #raw: CountedSource;
  readonly #limits: DecompressionLimits;
  readonly #onDiagnostic: OnDiagnostic;
  #count = 0;
  #exceeded = false;

  constructor(inner: ByteSource, raw: CountedSource, options: SourceOptions) {
    this.file = raw.file;
    this.#inner = inner;
    this.#raw = raw;
    this.#limits = options.limits ?? DECOMPRESSION_LIMITS;
    this.#onDiagnostic = options.onDiagnostic;
  }

  get failed(): boolean {
    return this.#exceeded || this.#inner.failed;
  }

  async read(into: Uint8Array): Promise<number> {
    if (this.#exceeded) return 0;
    const count = await this.#inner.read(into);
    this.#count += count;
    const { ratio, bytes } = this.#limits;
    if (this.#count > bytes) return this.#exceed(`more than ${bytes} bytes`);
    if (this.#count > RATIO_FREE && this.#count > ratio * this.#raw.count)
      return this.#exceed(`more than ${ratio} times its ${this.#raw.count} bytes`);
    return count;
  }

  close(): void {
    this.#raw.close();
  }

  #exceed(what: string): 0 {
    this.#exceeded = true;
    const message = `the compressed capture grows to ${what}: reading stops here`;
    const place = { file: this.file };
    this.#onDiagnostic({ severity: "error", code: "LIMIT_EXCEEDED", message, place });
    return 0;
  }
}
