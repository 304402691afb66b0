/** Lines and columns of a text that is read as bytes. */
import type { Place } from "../errors.ts";
import type { TextBytes } from "./text-bytes.ts";

/** Tells the places of a text that has no byte order mark. Columns count characters as strings do, in UTF-16. */
export class BytePlaces {
  readonly #file: string;
  readonly #text: TextBytes;
  #lineStarts: Int32Array | undefined;
  /** Of each block, how many bytes more than characters are before it; none of a text in ASCII. */
  #surplus: Int32Array | undefined;

  constructor(file: string, text: TextBytes) {
    this.#file = file;
    this.#text = text;
  }

  /** @param behind how many characters of the line are between the byte and the place */
  placeAt(offset: number, behind = 0): Place {
    const starts = (this.#lineStarts ??= this.#findLines());
    let line = 0;
    for (let end = starts.length; end - line > 1;) {
      const middle = (line + end) >>> 1;
      if ((starts[middle] ?? 0) <= offset) line = middle;
      else end = middle;
    }
    const before = this.#charactersTo(offset) - this.#charactersTo(starts[line] ?? 0);
    return { file: this.#file, line: line + 1, column: before + behind + 1 };
  }

  /** The text from a character on, so many bytes at least where there are as many. */
  textAt(offset: number, byteCount: number): string {
    const { bytes, decode } = this.#text;
    let end = Math.min(offset + byteCount, bytes.length);
    while (isInside(bytes[end])) end += 1;
    return decode(offset, end);
  }

  #findLines(): Int32Array {
    const { bytes } = this.#text;
    // What is not touched of it costs nothing.
    let starts = new Int32Array(Math.max(1024, bytes.length >>> 4));
    let count = 1;
    let bitsSeen = 0;
    for (let at = 0; at < bytes.length; at++) {
      const code = bytes[at] ?? 0;
      bitsSeen |= code;
      if (code !== NEWLINE) continue;
      if (count === starts.length) {
        const grown = new Int32Array(2 * count);
        grown.set(starts);
        starts = grown;
      }
      starts[count] = at + 1;
      count += 1;
    }
    if (bitsSeen >= 0x80) this.#surplus = countSurplus(bytes);
    return starts.subarray(0, count);
  }

  #charactersTo(offset: number): number {
    if (this.#surplus === undefined) return offset;
    const block = Math.floor(offset / BLOCK);
    const { bytes } = this.#text;
    return offset - (this.#surplus[block] ?? 0) - surplusOf(bytes, block * BLOCK, offset);
  }
}

/** Tells whether a byte goes on with a character; there is none behind the end. */
function isInside(code: number | undefined): boolean {
  return code !== undefined && code >= 0x80 && code < 0xc0;
}

const NEWLINE = 0x0a;
const BLOCK = 1024;

function countSurplus(bytes: Uint8Array): Int32Array {
  const surplus = new Int32Array(Math.floor(bytes.length / BLOCK) + 1);
  for (let block = 1; block < surplus.length; block++) {
    const end = block * BLOCK;
    surplus[block] = (surplus[block - 1] ?? 0) + surplusOf(bytes, end - BLOCK, end);
  }
  return surplus;
}

/** How many bytes more than characters there are: all but the first of each, which of four bytes are two. */
function surplusOf(bytes: Uint8Array, start: number, end: number): number {
  let surplus = 0;
  for (let at = start; at < end; at++) {
    const code = bytes[at] ?? 0;
    if (code >= 0xf0) surplus -= 1;
    else if (isInside(code)) surplus += 1;
  }
  return surplus;
}
