/**
 * Reads exactly as many bytes as asked for from a source that gives what it has. For the headers and
 * blocks of compressed captures; memory is the largest piece asked for.
 */
import type { ByteSource } from "./stream.ts";

const BUFFER_SIZE = 1 << 17;

/** A source with a buffer in front. What it gives is valid until the next call. */
export class ExactReader {
  /** Bytes taken so far. */
  offset = 0;
  /** How many bytes were there when `take` found too few; they stay. */
  got = 0;
  readonly #raw: ByteSource;
  #buffer = new Uint8Array(BUFFER_SIZE);
  #from = 0;
  #to = 0;

  constructor(raw: ByteSource) {
    this.#raw = raw;
  }

  /** The next `size` bytes; undefined when there are fewer before the end. */
  async take(size: number): Promise<Uint8Array | undefined> {
    while (this.#to - this.#from < size) {
      if (await this.#fill(size)) continue;
      this.got = this.#to - this.#from;
      return undefined;
    }
    return this.#advance(size);
  }

  /** What is there, at least one byte; undefined at the end. */
  async takeSome(): Promise<Uint8Array | undefined> {
    if (this.#from === this.#to && !(await this.#fill(1))) return undefined;
    return this.#advance(this.#to - this.#from);
  }

  /** Gives the last `size` bytes taken back. */
  giveBack(size: number): void {
    this.#from -= size;
    this.offset -= size;
  }

  /** Passes over `size` bytes; false when there are fewer. */
  async skip(size: number): Promise<boolean> {
    let left = size;
    while (left > 0) {
      if (this.#from === this.#to && !(await this.#fill(1))) return false;
      left -= this.#advance(Math.min(left, this.#to - this.#from)).length;
    }
    return true;
  }

  #advance(size: number): Uint8Array {
    const bytes = this.#buffer.subarray(this.#from, this.#from + size);
    this.#from += size;
    this.offset += size;
    return bytes;
  }

  /** Reads more behind what is there, with room for `size` in all; false at the end. */
  async #fill(size: number): Promise<boolean> {
    this.#buffer.copyWithin(0, this.#from, this.#to);
    this.#to -= this.#from;
    this.#from = 0;
    if (this.#buffer.length < size) {
      const larger = new Uint8Array(size);
      larger.set(this.#buffer.subarray(0, this.#to));
      this.#buffer = larger;
    }
    const count = await this.#raw.read(this.#buffer.subarray(this.#to));
    this.#to += count;
    return count > 0;
  }
}
