/**
 * Decompresses LZ4 frames as they come, a block at a time, with every checksum the frame carries.
 * Memory is two blocks and the 64 KiB that blocks may refer back to. A block is checked before each
 * copy, so damage ends in a sentence and never in wrong bytes.
 */
import type { OnDiagnostic } from "../errors.ts";
import { ExactReader } from "./exact.ts";
import type { ByteSource } from "./stream.ts";
import { Xxh32 } from "./xxhash.ts";

/** The first four bytes of an LZ4 frame, as a little-endian number. */
const LZ4_MAGIC = 0x184d2204;
const SKIPPABLE_MAGIC = 0x184d2a50;

const FLAG_INDEPENDENT = 0x20;
const FLAG_BLOCK_CHECKSUM = 0x10;
const FLAG_CONTENT_SIZE = 0x08;
const FLAG_CONTENT_CHECKSUM = 0x04;
const FLAG_DICTIONARY = 0x01;
/** Version 01 in the upper two bits, and the reserved bit clear. */
const FLAG_FIXED_MASK = 0xc2;
const FLAG_FIXED = 0x40;
const BLOCK_UNCOMPRESSED = 0x80000000;

/** How far a block may refer back. */
const WINDOW = 65536;
const MATCH_MIN = 4;
/** The highest count that a token's half byte says by itself. */
const COUNT_MORE = 15;

/** What the frame's header says. */
interface Frame {
  readonly flags: number;
  readonly blockMax: number;
}

/**
 * The decompressed bytes of a source of LZ4 frames. Reports BAD_COMPRESSION for damage and for a cut,
 * after which it ends; what came before stands.
 *
 * Source: LZ4 Frame Format Description, LZ4 Block Format Description.
 */
export class Lz4Source implements ByteSource {
  readonly file: string;
  readonly #input: ExactReader;
  readonly #raw: ByteSource;
  readonly #onDiagnostic: OnDiagnostic;
  #failed = false;
  #frame: Frame | undefined;
  #checksum = new Xxh32();
  /** The window, then the block decompressed last. */
  #output = new Uint8Array(0);
  /** What of `#output` was not read yet. */
  #from = 0;
  #to = 0;
  #anyFrame = false;

  constructor(raw: ByteSource, onDiagnostic: OnDiagnostic) {
    this.file = raw.file;
    this.#raw = raw;
    this.#input = new ExactReader(raw);
    this.#onDiagnostic = onDiagnostic;
  }

  get failed(): boolean {
    return this.#failed || this.#raw.failed;
  }

  async read(into: Uint8Array): Promise<number> {
    while (this.#from === this.#to) {
      if (this.#failed) return 0;
      const more =
        this.#frame === undefined ? await this.#startFrame() : await this.#readBlock(this.#frame);
      if (!more) return 0;
    }
    const count = Math.min(into.length, this.#to - this.#from);
    into.set(this.#output.subarray(this.#from, this.#from + count));
    this.#from += count;
    return count;
  }

  /** Reads a frame's header, or passes over a skippable frame; false at the end. */
  async #startFrame(): Promise<boolean> {
    const start = await this.#input.take(4);
    if (start === undefined) return this.#input.got === 0 ? false : this.#trailing();
    const magic = word(start, 0);
    if ((magic & ~0xf) >>> 0 === SKIPPABLE_MAGIC) {
      const size = await this.#input.take(4);
      if (size === undefined || !(await this.#input.skip(word(size, 0)))) return this.#cut();
      return true;
    }
    if (magic !== LZ4_MAGIC) return this.#trailing();

    const descriptor = new Uint8Array(15);
    const fixed = await this.#input.take(2);
    if (fixed === undefined) return this.#cut();
    descriptor.set(fixed);
    const [flags = 0, sizes = 0] = descriptor;
    if ((flags & FLAG_FIXED_MASK) !== FLAG_FIXED) return this.#fail("its frame version is not 1");
    if ((flags & FLAG_DICTIONARY) !== 0) return this.#fail("it needs a dictionary");
    const blockSize = (sizes >>> 4) & 7;
    if (blockSize < 4) return this.#fail(`${blockSize} is no block size`);

    const optional = (flags & FLAG_CONTENT_SIZE) !== 0 ? 8 : 0;
    const rest = await this.#input.take(optional + 1);
    if (rest === undefined) return this.#cut();
    descriptor.set(rest, 2);
    const expected = (checksumOf(descriptor.subarray(0, 2 + optional)) >>> 8) & 0xff;
    if (rest[optional] !== expected) return this.#fail("the frame header's checksum is wrong");

    // > 4: 64 KB, 5: 256 KB, 6: 1 MB, 7: 4 MB
    const blockMax = 1 << (8 + 2 * blockSize);
    if (this.#output.length < WINDOW + blockMax) this.#output = new Uint8Array(WINDOW + blockMax);
    this.#from = this.#to = 0;
    this.#checksum = new Xxh32();
    this.#frame = { flags, blockMax };
    this.#anyFrame = true;
    return true;
  }

  /** Decompresses the next block, or ends the frame. */
  async #readBlock(frame: Frame): Promise<boolean> {
    const header = await this.#input.take(4);
    if (header === undefined) return this.#cut();
    const field = word(header, 0);
    if (field === 0) return this.#endFrame(frame);
    const size = field & ~BLOCK_UNCOMPRESSED;
    if (size > frame.blockMax)
      return this.#fail(`a block of ${size} bytes is longer than its limit`);

    const hasChecksum = (frame.flags & FLAG_BLOCK_CHECKSUM) !== 0;
    const block = await this.#input.take(size + (hasChecksum ? 4 : 0));
    if (block === undefined) return this.#cut();
    const data = block.subarray(0, size);
    if (hasChecksum && word(block, size) !== checksumOf(data))
      return this.#fail("a block's checksum is wrong");

    const kept = this.#keepWindow(frame);
    if ((field & BLOCK_UNCOMPRESSED) !== 0) {
      this.#output.set(data, kept);
      this.#to = kept + size;
    } else {
      const end = decompressBlock(data, this.#output.subarray(0, kept + frame.blockMax), kept);
      if (end === undefined) return this.#fail("a block is damaged");
      this.#to = end;
    }
    this.#from = kept;
    if ((frame.flags & FLAG_CONTENT_CHECKSUM) !== 0)
      this.#checksum.update(this.#output.subarray(this.#from, this.#to));
    return true;
  }

  /** Moves what the next block may refer to to the front; returns its length. */
  #keepWindow(frame: Frame): number {
    if ((frame.flags & FLAG_INDEPENDENT) !== 0) return 0;
    const kept = Math.min(WINDOW, this.#to);
    this.#output.copyWithin(0, this.#to - kept, this.#to);
    return kept;
  }

  async #endFrame(frame: Frame): Promise<boolean> {
    this.#frame = undefined;
    if ((frame.flags & FLAG_CONTENT_CHECKSUM) === 0) return true;
    const expected = await this.#input.take(4);
    if (expected === undefined) return this.#cut();
    if (word(expected, 0) !== this.#checksum.digest())
      return this.#fail("the content's checksum is wrong");
    return true;
  }

  #trailing(): false {
    if (!this.#anyFrame) return this.#fail("it has no frame");
    this.#onDiagnostic({
      severity: "warning",
      code: "BAD_COMPRESSION",
      message: "bytes behind the last lz4 frame are ignored",
      place: { file: this.file },
    });
    return false;
  }

  #cut(): false {
    // The source has said why it ended.
    if (this.#raw.failed) return false;
    return this.#fail("it is cut");
  }

  #fail(what: string): false {
    this.#failed = true;
    this.#onDiagnostic({
      severity: "error",
      code: "BAD_COMPRESSION",
      message: `the lz4 data is unusable from here on: ${what}`,
      place: { file: this.file, offset: this.#input.offset },
    });
    return false;
  }
}

/**
 * Decompresses one block to `target` at `start`; what lies before it may be referred to. Returns where
 * the block ends in `target`, undefined when it is damaged.
 */
export function decompressBlock(
  source: Uint8Array,
  target: Uint8Array,
  start: number,
): number | undefined {
  let from = 0;
  let at = start;
  while (from < source.length) {
    const token = source[from++] ?? 0;
    let literals = token >>> 4;
    if (literals === COUNT_MORE) {
      let more = 255;
      while (more === 255) {
        if (from === source.length) return undefined;
        more = source[from++] ?? 0;
        literals += more;
      }
    }
    if (literals > source.length - from || literals > target.length - at) return undefined;
    for (const end = at + literals; at < end;) target[at++] = source[from++] ?? 0;
    // > The last sequence contains only literals. The block ends right after them.
    if (from === source.length) return at;

    if (source.length - from < 2) return undefined;
    const offset = (source[from] ?? 0) | ((source[from + 1] ?? 0) << 8);
    from += 2;
    if (offset === 0 || offset > at) return undefined;
    let length = (token & 15) + MATCH_MIN;
    if ((token & 15) === COUNT_MORE) {
      let more = 255;
      while (more === 255) {
        if (from === source.length) return undefined;
        more = source[from++] ?? 0;
        length += more;
      }
    }
    if (length > target.length - at) return undefined;
    // Byte by byte: a match may overlap what it copies to.
    for (const end = at + length; at < end; at += 1) target[at] = target[at - offset] ?? 0;
  }
  return undefined;
}

function checksumOf(bytes: Uint8Array): number {
  const hash = new Xxh32();
  hash.update(bytes);
  return hash.digest();
}

function word(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(at, true);
}
