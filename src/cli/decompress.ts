/**
 * Decompresses gzip and zstd captures with Node's own decompressors, a piece at a time. Members and
 * frames that follow each other are one capture. Nothing is written to a decompressor before all that
 * it gave was read, so a cut loses nothing that came before it and memory stays small.
 */
import type { Transform } from "node:stream";
import * as zlib from "node:zlib";
import { ExactReader } from "../capture/exact.ts";
import type { ByteSource } from "../capture/stream.ts";
import type { OnDiagnostic } from "../errors.ts";

/** While one piece is read, Node's own threads make the next. */
const CHUNK_SIZE = 1 << 18;

// gzip header flags (RFC 1952, 2.3.1).
const GZIP_HEADER_CHECKSUM = 0x02;
const GZIP_EXTRA = 0x04;
const GZIP_NAME = 0x08;
const GZIP_COMMENT = 0x10;
const DEFLATE = 8;

const ZSTD_MAGIC = 0xfd2fb528;
const ZSTD_SKIPPABLE_MAGIC = 0x184d2a50;

/** What stands at the place where a member may start. */
type Start = "member" | "end" | "trailing" | "cut";

/** One compression. A capture is a sequence of its members. */
interface Codec {
  readonly name: string;
  /** Members tell a checksum of what they hold, which `finish` compares. */
  readonly checked: boolean;
  /** Reads a member's header, as far as the decompressor does not do it. */
  start(input: ExactReader): Promise<Start>;
  decompressor(): Transform & zlib.Zlib;
  /** Reads what follows a member; what is wrong with it, or undefined. */
  finish(input: ExactReader, content: Content): Promise<string | undefined>;
}

/** What a member held. */
interface Content {
  crc: number;
  length: number;
}

/** gzip without Node's own framing, which loses data before a bad trailer and refuses trailing bytes. */
export const GZIP: Codec = {
  name: "gzip",
  checked: true,
  async start(input) {
    const magic = await input.take(2);
    if (magic === undefined) return input.got === 0 ? "end" : "trailing";
    if (magic[0] !== 0x1f || magic[1] !== 0x8b) return "trailing";
    const header = await input.take(8);
    if (header === undefined) return "cut";
    const [method, flags = 0] = header;
    if (method !== DEFLATE) return "trailing";
    if ((flags & GZIP_EXTRA) !== 0) {
      const size = await input.take(2);
      if (size === undefined) return "cut";
      if (!(await input.skip((size[0] ?? 0) | ((size[1] ?? 0) << 8)))) return "cut";
    }
    if ((flags & GZIP_NAME) !== 0 && !(await skipText(input))) return "cut";
    if ((flags & GZIP_COMMENT) !== 0 && !(await skipText(input))) return "cut";
    if ((flags & GZIP_HEADER_CHECKSUM) !== 0 && !(await input.skip(2))) return "cut";
    return "member";
  },
  decompressor: () => zlib.createInflateRaw({ chunkSize: CHUNK_SIZE }),
  async finish(input, content) {
    const trailer = await input.take(8);
    if (trailer === undefined) return "it is cut";
    const view = new DataView(trailer.buffer, trailer.byteOffset, 8);
    if (view.getUint32(0, true) !== content.crc) return "the checksum is wrong";
    // > This contains the size of the original (uncompressed) input data modulo 2^32.
    return view.getUint32(4, true) === content.length % 0x100000000
      ? undefined
      : "the length is wrong";
  },
};

/** zstd, where Node has it. */
export const ZSTD: Codec = {
  name: "zstd",
  checked: false,
  async start(input) {
    const magic = await input.take(4);
    if (magic === undefined) return input.got === 0 ? "end" : "trailing";
    const word = new DataView(magic.buffer, magic.byteOffset, 4).getUint32(0, true);
    input.giveBack(4);
    return word === ZSTD_MAGIC || (word & ~0xf) >>> 0 === ZSTD_SKIPPABLE_MAGIC
      ? "member"
      : "trailing";
  },
  decompressor: () => zlib.createZstdDecompress({ chunkSize: CHUNK_SIZE }),
  finish: () => Promise.resolve(undefined),
};

/** Tells whether this Node can decompress zstd. */
export function hasZstd(): boolean {
  return "createZstdDecompress" in zlib;
}

/**
 * Frees a piece at once, if nothing else lies in its memory: left to the collector, hundreds of MB that are used once
 * make it look through everything else again and again.
 */
function release(piece: Uint8Array): void {
  const { buffer } = piece;
  const whole = piece.byteOffset + piece.length === CHUNK_SIZE && buffer.byteLength === CHUNK_SIZE;
  if (whole && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

async function skipText(input: ExactReader): Promise<boolean> {
  while (true) {
    const byte = await input.take(1);
    if (byte === undefined) return false;
    if (byte[0] === 0) return true;
  }
}

/**
 * The decompressed bytes of a source. Reports BAD_COMPRESSION for damage and for a cut, after which it
 * ends; what came before stands.
 */
export class DecompressedSource implements ByteSource {
  readonly file: string;
  readonly #raw: ByteSource;
  readonly #input: ExactReader;
  readonly #codec: Codec;
  readonly #onDiagnostic: OnDiagnostic;
  #failed = false;
  #ended = false;
  #member: Member | undefined;
  #content: Content = { crc: 0, length: 0 };
  /** Decompressed and not yet read. */
  #rest: Uint8Array = new Uint8Array(0);

  constructor(raw: ByteSource, codec: Codec, onDiagnostic: OnDiagnostic) {
    this.file = raw.file;
    this.#raw = raw;
    this.#input = new ExactReader(raw);
    this.#codec = codec;
    this.#onDiagnostic = onDiagnostic;
  }

  get failed(): boolean {
    return this.#failed || this.#raw.failed;
  }

  async read(into: Uint8Array): Promise<number> {
    while (this.#rest.length === 0) {
      if (this.#failed || this.#ended) return 0;
      this.#member ??= await this.#startMember();
      if (this.#member === undefined) return 0;
      const bytes = await this.#member.next();
      if (bytes === undefined) await this.#endMember(this.#member);
      else this.#rest = bytes;
    }
    const rest = this.#rest;
    const count = Math.min(into.length, rest.length);
    const bytes = rest.subarray(0, count);
    into.set(bytes);
    if (this.#codec.checked) this.#content.crc = zlib.crc32(bytes, this.#content.crc);
    this.#content.length += count;
    this.#rest = rest.subarray(count);
    if (this.#rest.length === 0) release(rest);
    return count;
  }

  async #startMember(): Promise<Member | undefined> {
    switch (await this.#codec.start(this.#input)) {
      case "member":
        this.#content = { crc: 0, length: 0 };
        return new Member(this.#codec.decompressor(), this.#input);
      case "cut":
        this.#fail("it is cut");
        break;
      case "trailing":
        this.#onDiagnostic({
          severity: "warning",
          code: "BAD_COMPRESSION",
          message: `bytes behind the end of the ${this.#codec.name} data are ignored`,
          place: { file: this.file, offset: this.#input.offset },
        });
        break;
      case "end":
        break;
    }
    this.#ended = true;
    return undefined;
  }

  async #endMember(member: Member): Promise<void> {
    member.close();
    this.#member = undefined;
    const fault = member.fault ?? (await this.#codec.finish(this.#input, this.#content));
    if (fault !== undefined) this.#fail(fault);
  }

  #fail(what: string): void {
    this.#failed = true;
    // The source has said why it ended.
    if (this.#raw.failed) return;
    this.#onDiagnostic({
      severity: "error",
      code: "BAD_COMPRESSION",
      message: `the ${this.#codec.name} data is unusable from here on: ${what}`,
      place: { file: this.file, offset: this.#input.offset },
    });
  }
}

/** One member in a decompressor of its own. */
class Member {
  /** What is wrong with the data, once `next` gave undefined. */
  fault: string | undefined;
  readonly #decompressor: Transform & zlib.Zlib;
  readonly #input: ExactReader;
  #written = 0;
  #busy = false;
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(decompressor: Transform & zlib.Zlib, input: ExactReader) {
    this.#decompressor = decompressor;
    this.#input = input;
    decompressor.on("readable", () => this.#wake());
    decompressor.on("end", () => {
      this.#ended = true;
      this.#wake();
    });
    decompressor.on("error", (error: NodeJS.ErrnoException) => {
      this.fault = error.code === "Z_BUF_ERROR" ? "it is cut" : error.message.toLowerCase();
      this.#wake();
    });
  }

  /** The next piece; undefined at the member's end, where the input stands behind it, and at a fault. */
  async next(): Promise<Uint8Array | undefined> {
    const decompressor = this.#decompressor;
    while (true) {
      const bytes: unknown = decompressor.read();
      if (bytes instanceof Uint8Array) return bytes;
      if (this.fault !== undefined) return undefined;
      if (this.#busy && !this.#ended) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      // All that was written is decompressed. What was not taken belongs to what follows the member.
      const left = this.#written - decompressor.bytesWritten;
      if (left > 0) this.#input.giveBack(left);
      if (left > 0 || this.#ended) return undefined;
      await this.#feed();
    }
  }

  /** Frees the decompressor. */
  close(): void {
    this.#decompressor.destroy();
  }

  async #feed(): Promise<void> {
    const bytes = await this.#input.takeSome();
    this.#busy = true;
    if (bytes === undefined) {
      this.#decompressor.end();
      return;
    }
    this.#written += bytes.length;
    this.#decompressor.write(bytes, () => {
      this.#busy = false;
      this.#wake();
    });
  }
}
