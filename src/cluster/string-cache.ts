/** Strings of a text; those that come again and again are made once. */
export class StringCache {
  readonly #text: string;
  readonly #kept: string[] = new Array<string>(STRINGS_KEPT).fill("");

  constructor(text: string) {
    this.#text = text;
  }

  get(start: number, end: number): string {
    const text = this.#text;
    const length = end - start;
    if (length > STRING_MAX || length === 0) return text.slice(start, end);
    const slot =
      (text.charCodeAt(start) * 31 + text.charCodeAt(end - 1) * 7 + length * 61) % STRINGS_KEPT;
    const kept = this.#kept[slot] ?? "";
    if (kept.length === length && text.startsWith(kept, start)) return kept;
    const made = text.slice(start, end);
    this.#kept[slot] = made;
    return made;
  }
}

const STRINGS_KEPT = 1024;
const STRING_MAX = 40;
