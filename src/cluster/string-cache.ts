import type { TextBytes } from "./text-bytes.ts";

/** Strings of a text; those that come again and again are made once. */
export class StringCache {
  readonly #bytes: Uint8Array;
  readonly #decode: TextBytes["decode"];
  /** ASCII alone, of which a byte is a character. */
  readonly #kept: string[] = new Array<string>(STRINGS_KEPT).fill("");

  constructor(bytes: Uint8Array, decode: TextBytes["decode"]) {
    this.#bytes = bytes;
    this.#decode = decode;
  }

  get(start: number, end: number): string {
    const bytes = this.#bytes;
    const length = end - start;
    if (length > STRING_MAX || length === 0) return this.#decode(start, end);
    const slot =
      ((bytes[start] ?? 0) * 31 + (bytes[end - 1] ?? 0) * 7 + length * 61) % STRINGS_KEPT;
    const kept = this.#kept[slot] ?? "";
    if (kept.length === length && this.#isAt(kept, start)) return kept;
    const made = this.#decode(start, end);
    if (made.length === length) this.#kept[slot] = made;
    return made;
  }

  #isAt(text: string, start: number): boolean {
    const bytes = this.#bytes;
    for (let at = 0; at < text.length; at++) {
      if (bytes[start + at] !== text.charCodeAt(at)) return false;
    }
    return true;
  }
}

const STRINGS_KEPT = 1024;
const STRING_MAX = 40;
