/** Lines and columns of a text that is read as bytes. */
import type { Place } from "../errors.ts";
import type { TextBytes } from "./text-bytes.ts";

/** Tells the places of a text that has no byte order mark. Columns count characters as strings do, in UTF-16. */
export class BytePlaces {
  readonly #file: string;
  readonly #text: TextBytes;
  #blocks: Blocks | undefined;

  constructor(file: string, text: TextBytes) {
    this.#file = file;
    this.#text = text;
  }

  /** @param behind how many characters of the line are between the byte and the place */
  placeAt(offset: number, behind = 0): Place {
    const { bytes } = this.#text;
    const { lines, lineStarts } = (this.#blocks ??= countBlocks(bytes));
    const block = Math.floor(offset / BLOCK);
    let line = lines[block] ?? 0;
    let start = lineStarts[block] ?? 0;
    for (let at = block * BLOCK; at < offset; at++) {
      if (bytes[at] !== NEWLINE) continue;
      line += 1;
      start = at + 1;
    }
    const before = this.#charactersTo(offset) - this.#charactersTo(start);
    return { file: this.#file, line: line + 1, column: before + behind + 1 };
  }

  /** The text from a character on, so many bytes at least where there are as many. */
  textAt(offset: number, byteCount: number): string {
    const { bytes, decode } = this.#text;
    let end = Math.min(offset + byteCount, bytes.length);
    while (isInside(bytes[end])) end += 1;
    return decode(offset, end);
  }

  #charactersTo(offset: number): number {
    const surplus = this.#blocks?.surplus;
    if (surplus === undefined) return offset;
    const block = Math.floor(offset / BLOCK);
    return offset - (surplus[block] ?? 0) - surplusOf(this.#text.bytes, block * BLOCK, offset);
  }
}

/** Tells whether a byte goes on with a character; there is none behind the end. */
function isInside(code: number | undefined): boolean {
  return code !== undefined && code >= 0x80 && code < 0xc0;
}

const NEWLINE = 0x0a;
/** Bytes: so many are counted for a place, and lines are not kept one by one. */
const BLOCK = 64;

/** What is before each block of a text, and before its end. */
interface Blocks {
  /** How many line ends. */
  readonly lines: Int32Array;
  /** Where the line begins that the block's first byte is in. */
  readonly lineStarts: Int32Array;
  /** How many bytes more than characters; none of a text in ASCII. */
  readonly surplus: Int32Array | undefined;
}

function countBlocks(bytes: Uint8Array): Blocks {
  const count = Math.floor(bytes.length / BLOCK) + 1;
  const lines = new Int32Array(count);
  const lineStarts = new Int32Array(count);
  let line = 0;
  let start = 0;
  let bitsSeen = 0;
  for (let block = 0; block < count; block++) {
    lines[block] = line;
    lineStarts[block] = start;
    const end = Math.min(bytes.length, (block + 1) * BLOCK);
    for (let at = block * BLOCK; at < end; at++) {
      const code = bytes[at] ?? 0;
      bitsSeen |= code;
      if (code !== NEWLINE) continue;
      line += 1;
      start = at + 1;
    }
  }
  return { lines, lineStarts, surplus: bitsSeen < 0x80 ? undefined : countSurplus(bytes, count) };
}

function countSurplus(bytes: Uint8Array, count: number): Int32Array {
  const surplus = new Int32Array(count);
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
