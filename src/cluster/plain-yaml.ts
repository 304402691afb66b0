/**
 * Reads the YAML and JSON that kubectl and people write, many times faster than the library does: block
 * and flow collections, plain, quoted and block scalars. Whatever is rarer (anchors, tags, directives,
 * faults of any kind) it leaves alone: then the library reads the file from its beginning, and has the
 * word on what is wrong. What both read, both read alike.
 */

/** The documents of one file that are not empty, and where everything in them begins. */
export interface PlainYaml {
  readonly documents: readonly PlainNode[];
  readonly offsets: PlainOffsets;
}

/** A value, and its entry among the offsets. */
export interface PlainNode {
  readonly value: unknown;
  readonly entry: number;
}

/** Reads the documents of a file; undefined when it holds anything that is not read here. */
export function parsePlainYaml(text: string): PlainYaml | undefined {
  try {
    return new PlainReader(text).read();
  } catch (error) {
    if (error instanceof Unread) return undefined;
    throw error;
  }
}

/** Thrown at what is left to the library. */
class Unread extends Error {}

/**
 * Where every value begins, and every key. The entry of what is neither map nor list is its offset. That of a map or
 * list is below 0 and says where its own are: its offset, then of each member the key's and the value's entry, or of
 * each item its entry.
 */
export class PlainOffsets {
  #entries: Int32Array;
  /** From 1: minus 0 is not below 0. */
  #count = 1;
  /** Keys as written, of maps whose keys an object keeps in another order. */
  readonly #keys = new Map<object, readonly string[]>();

  /** @param textLength characters, of which few have an entry: room that is not touched costs nothing */
  constructor(textLength: number) {
    this.#entries = new Int32Array(Math.max(1024, textLength >>> 3));
  }

  /** The value at the end of a path; where there is none, undefined with the entry of the nearest outer one. */
  find(node: PlainNode, path: readonly (string | number)[]): PlainNode {
    let { value, entry } = node;
    for (const step of path) {
      const place = this.#placeOf(value, entry, step);
      if (place < 0) return { value: undefined, entry };
      entry = this.#entries[place] ?? 0;
      value = (value as Readonly<Record<string | number, unknown>>)[step];
    }
    return { value, entry };
  }

  /** The offset of the first character. */
  offsetOf({ entry }: PlainNode): number {
    return entry < 0 ? (this.#entries[-entry] ?? 0) : entry;
  }

  /** The offset of the key that a path ends with; undefined where there is none. */
  ofKey(node: PlainNode, path: readonly (string | number)[]): number | undefined {
    const last = path.at(-1);
    if (typeof last !== "string") return undefined;
    const { value, entry } = this.find(node, path.slice(0, -1));
    const place = this.#placeOf(value, entry, last);
    return place < 0 ? undefined : this.#entries[place - 1];
  }

  /** Notes a map or list, which has what was found from `start` on. @returns its entry */
  add(found: readonly number[], start: number): number {
    const first = this.#count;
    const end = first + found.length - start;
    let entries = this.#entries;
    if (end > entries.length) {
      entries = new Int32Array(Math.max(2 * entries.length, end));
      entries.set(this.#entries);
      this.#entries = entries;
    }
    for (let at = first; at < end; at++) entries[at] = found[start + at - first] ?? 0;
    this.#count = end;
    return -first;
  }

  /** Notes the keys of a map as written. */
  addKeys(container: object, keys: readonly string[]): void {
    this.#keys.set(container, keys);
  }

  /** Where the entry of a member or an item is; below 0 where there is none. */
  #placeOf(container: unknown, entry: number, step: string | number): number {
    if (Array.isArray(container)) {
      const there = typeof step === "number" && step >= 0 && step < container.length;
      return there ? 1 - entry + step : -1;
    }
    if (typeof step !== "string" || typeof container !== "object" || container === null) return -1;
    const index = this.#keys.get(container)?.indexOf(step) ?? indexOfKey(container, step);
    return index < 0 ? -1 : 2 - entry + 2 * index;
  }
}

function indexOfKey(record: object, wanted: string): number {
  let index = 0;
  for (const key in record) {
    if (key === wanted) return index;
    index += 1;
  }
  return -1;
}

/** A map that has no keys but the input's own; `__proto__` is one like any other. */
class PlainRecord {
  [key: string]: unknown;
}
Reflect.deleteProperty(PlainRecord.prototype, "constructor");
Object.setPrototypeOf(PlainRecord.prototype, null);

const SPACE = 0x20;
const NEWLINE = 0x0a;
const TAB = 0x09;
const QUOTE = 0x22;
const APOSTROPHE = 0x27;
const HASH = 0x23;
const PERCENT = 0x25;
const COMMA = 0x2c;
const DASH = 0x2d;
const COLON = 0x3a;
const ANGLE = 0x3e;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const BAR = 0x7c;
const CLOSE_BRACE = 0x7d;

/** Characters that no plain scalar read here begins with, whatever follows. */
const INDICATORS = new Set([..."?:,[]{}#&*!|>'\"%@`"].map((character) => character.charCodeAt(0)));
/** Deeper values are left to the library, which refuses them at 100. */
const DEPTH_MAX = 60;
/** A key of YAML ends at 1024 characters. */
const KEY_MAX = 1000;
/** The column where the document has no more content. */
const NO_COLUMN = -1;

/**
 * Reads one text. Where a block value begins, `at` is at its first character and `column` is that
 * character's. Behind a block value both are those of the next content; behind what stands on a line
 * (scalars, flow collections) `at` is behind its last character.
 */
class PlainReader {
  readonly #text: string;
  /** Lines end in carriage returns, too, of which `text` has made spaces. */
  readonly #windows: boolean;
  readonly #offsets: PlainOffsets;
  /** Entries of the values on the way here, and of those in maps and lists that are not complete. */
  readonly #found: number[] = [];
  readonly #strings: StringCache;
  #at = 0;
  #lineStart = 0;
  #column = NO_COLUMN;
  #depth = 0;

  constructor(text: string) {
    this.#windows = text.includes("\r");
    if (this.#windows && /(^|[^\r])\n/.test(text)) throw new Unread();
    // A space before a line end says nothing, but in block scalars.
    this.#text = this.#windows ? text.replaceAll("\r\n", " \n") : text;
    this.#strings = new StringCache(this.#text);
    this.#offsets = new PlainOffsets(text.length);
  }

  read(): PlainYaml {
    const text = this.#text;
    if (text.startsWith("\ufeff") || text.includes("\r")) throw new Unread();
    const documents: PlainNode[] = [];
    this.#findContent(0);
    while (true) {
      if (this.#column !== NO_COLUMN) {
        this.#found.push(this.#at);
        const value = this.#readBlock(-1);
        if (this.#column !== NO_COLUMN || typeof value !== "object") throw new Unread();
        const entry = this.#found.pop() ?? 0;
        if (value !== null) documents.push({ value, entry });
      }
      if (this.#at >= text.length) return { documents, offsets: this.#offsets };
      // The marker of the next document.
      this.#at += 3;
      this.#nextContent();
    }
  }

  /** Goes on to the next line that has content; only a comment may be left of the present one. */
  #nextContent(): void {
    const text = this.#text;
    let at = this.#at;
    while (text.charCodeAt(at) === SPACE) at += 1;
    const code = text.charCodeAt(at);
    if (at >= text.length) this.#findContent(at);
    else if (code === NEWLINE) this.#findContent(at + 1);
    else if (code === HASH && at > this.#at) this.#findContent(this.#lineEnd(at) + 1);
    else throw new Unread();
  }

  /** Goes on to the first content from the beginning of a line on. */
  #findContent(lineStart: number): void {
    const text = this.#text;
    let start = lineStart;
    while (true) {
      let at = start;
      while (text.charCodeAt(at) === SPACE) at += 1;
      const code = text.charCodeAt(at);
      if (code === NEWLINE) start = at + 1;
      else if (code === HASH) start = this.#lineEnd(at) + 1;
      else if (code === TAB) throw new Unread();
      else {
        this.#at = at;
        this.#lineStart = start;
        this.#column = at >= text.length || this.#isMarker(at, start) ? NO_COLUMN : at - start;
        return;
      }
    }
  }

  #isMarker(at: number, lineStart: number): boolean {
    const text = this.#text;
    if (at !== lineStart) return false;
    if (text.charCodeAt(at) === PERCENT || text.startsWith("...", at)) throw new Unread();
    return text.startsWith("---", at) && this.#isBlank(at + 3);
  }

  #lineEnd(at: number): number {
    const end = this.#text.indexOf("\n", at);
    return end < 0 ? this.#text.length : end;
  }

  #isBlank(at: number): boolean {
    const code = this.#text.charCodeAt(at);
    return code === SPACE || code === NEWLINE || at >= this.#text.length;
  }

  #isDash(at: number): boolean {
    return this.#text.charCodeAt(at) === DASH && this.#isBlank(at + 1);
  }

  #skipSpaces(): void {
    while (this.#text.charCodeAt(this.#at) === SPACE) this.#at += 1;
  }

  /** Reads a block value. @param parent column of the collection it is in; its lines are right of it */
  #readBlock(parent: number): unknown {
    if (this.#isDash(this.#at)) return this.#readBlockList();
    if (this.#keyEnd() >= 0) return this.#readBlockMap();
    const value = this.#readInline(parent);
    this.#nextContent();
    return value;
  }

  /** Where the key that begins here ends: at its colon; -1 where none does. */
  #keyEnd(): number {
    const text = this.#text;
    const first = text.charCodeAt(this.#at);
    if (first === QUOTE || first === APOSTROPHE) {
      let at = this.#quoteEnd(this.#at, first) + 1;
      while (text.charCodeAt(at) === SPACE) at += 1;
      return text.charCodeAt(at) === COLON && this.#isBlank(at + 1) ? at : -1;
    }
    if (INDICATORS.has(first) || this.#isDash(this.#at)) return -1;
    for (let at = this.#at; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === COLON && this.#isBlank(at + 1)) return at;
      if (code === NEWLINE) return -1;
      if (code === HASH && text.charCodeAt(at - 1) === SPACE) return -1;
    }
    return -1;
  }

  #readBlockMap(): Record<string, unknown> {
    this.#enter();
    const column = this.#column;
    const first = this.#found.length;
    const record = new PlainRecord();
    let keys: string[] | undefined;
    while (true) {
      this.#found.push(this.#at);
      const key = this.#readBlockKey();
      keys = noteKey(record, key, keys);
      record[key] = this.#readBehind(column, column);
      if (this.#column < column) break;
      if (this.#column > column) throw new Unread();
    }
    return this.#leaveMap(record, first, keys);
  }

  /** Reads a key and its colon. */
  #readBlockKey(): string {
    const start = this.#at;
    const code = this.#text.charCodeAt(start);
    const colon = this.#keyEnd();
    if (colon < 0 || colon - start > KEY_MAX) throw new Unread();
    const quoted = code === QUOTE || code === APOSTROPHE;
    const key = quoted ? this.#readQuoted(undefined) : this.#plainKey(start, colon);
    this.#at = colon + 1;
    return key;
  }

  #readBlockList(): unknown[] {
    this.#enter();
    const column = this.#column;
    const first = this.#found.length;
    const list: unknown[] = [];
    do {
      this.#at += 1;
      list.push(this.#readItem(column));
      if (this.#column > column) throw new Unread();
    } while (this.#column === column && this.#isDash(this.#at));
    // A list that has grown has room for 17 items at least; most have one or two, and stay.
    return this.#leave(list.slice(), first);
  }

  /** Reads what stands behind a dash: a collection may begin there. */
  #readItem(column: number): unknown {
    const start = this.#at;
    this.#skipSpaces();
    if (this.#endsLine(start)) {
      this.#at = start;
      return this.#readBehind(column, column + 1);
    }
    this.#found.push(this.#at);
    this.#column = this.#at - this.#lineStart;
    return this.#readBlock(column);
  }

  /**
   * Reads what stands behind a colon or dash, on its line or below.
   *
   * @param listColumn where a list below may begin: at a map's own column, but right of a list's
   */
  #readBehind(column: number, listColumn: number): unknown {
    const start = this.#at;
    this.#skipSpaces();
    const returned = this.#windows && this.#text.charCodeAt(this.#at) === NEWLINE;
    const slot = this.#found.push(returned ? this.#at - 1 : this.#at) - 1;
    if (!this.#endsLine(start)) {
      const value = this.#readInline(column);
      this.#nextContent();
      return value;
    }
    this.#at = start;
    this.#nextContent();
    if (this.#column <= column && !(this.#column >= listColumn && this.#isDash(this.#at))) {
      return null;
    }
    this.#found[slot] = this.#at;
    return this.#readBlock(column);
  }

  /** Nothing stands on the line from here on but perhaps a comment. */
  #endsLine(start: number): boolean {
    const code = this.#text.charCodeAt(this.#at);
    return code === NEWLINE || this.#at >= this.#text.length || (code === HASH && this.#at > start);
  }

  /** Reads a scalar or a flow collection. */
  #readInline(parent: number): unknown {
    switch (this.#text.charCodeAt(this.#at)) {
      case QUOTE:
      case APOSTROPHE:
        return this.#readQuoted(parent);
      case OPEN_BRACE:
        return this.#readFlowMap(parent);
      case OPEN_BRACKET:
        return this.#readFlowList(parent);
      case BAR:
      case ANGLE:
        return this.#readBlockScalar(parent);
      default:
        return this.#readPlain(parent);
    }
  }

  #enter(): void {
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) throw new Unread();
  }

  /** Behind a map or list, whose own offset is before what was found in it. */
  #leave<T extends object>(container: T, first: number): T {
    const found = this.#found;
    this.#depth -= 1;
    found[first - 1] = this.#offsets.add(found, first - 1);
    found.length = first;
    return container;
  }

  #leaveMap(
    record: Record<string, unknown>,
    first: number,
    keys: readonly string[] | undefined,
  ): Record<string, unknown> {
    if (keys !== undefined) this.#offsets.addKeys(record, keys);
    return this.#leave(record, first);
  }

  #readFlowMap(parent: number): Record<string, unknown> {
    this.#enter();
    const text = this.#text;
    const first = this.#found.length;
    const record = new PlainRecord();
    let keys: string[] | undefined;
    this.#at += 1;
    this.#skipFlowSpace(parent);
    while (text.charCodeAt(this.#at) !== CLOSE_BRACE) {
      this.#found.push(this.#at);
      const key = this.#readFlowKey();
      keys = noteKey(record, key, keys);
      this.#skipFlowSpace(parent);
      this.#found.push(this.#at);
      record[key] = this.#readFlowValue(parent);
      this.#endFlowItem(parent, CLOSE_BRACE);
    }
    this.#at += 1;
    return this.#leaveMap(record, first, keys);
  }

  /** Reads a key of a flow map and its colon. */
  #readFlowKey(): string {
    const text = this.#text;
    const start = this.#at;
    const code = text.charCodeAt(start);
    const quoted = code === QUOTE || code === APOSTROPHE;
    const end = quoted ? start : this.#flowPlainEnd(start);
    const key = quoted ? this.#readQuoted(undefined) : this.#plainKey(start, end);
    if (!quoted) this.#at = end;
    if (this.#at - start > KEY_MAX) throw new Unread();
    this.#skipSpaces();
    // Behind a quote the colon may be next to its value, as in JSON.
    const ends = text.charCodeAt(this.#at) === COLON && (quoted || this.#isBlank(this.#at + 1));
    if (!ends) throw new Unread();
    this.#at += 1;
    return key;
  }

  #readFlowList(parent: number): unknown[] {
    this.#enter();
    const first = this.#found.length;
    const list: unknown[] = [];
    this.#at += 1;
    this.#skipFlowSpace(parent);
    while (this.#text.charCodeAt(this.#at) !== CLOSE_BRACKET) {
      this.#found.push(this.#at);
      list.push(this.#readFlowValue(parent));
      this.#endFlowItem(parent, CLOSE_BRACKET);
    }
    this.#at += 1;
    // A list that has grown has room for 17 items at least; most have one or two, and stay.
    return this.#leave(list.slice(), first);
  }

  #readFlowValue(parent: number): unknown {
    switch (this.#text.charCodeAt(this.#at)) {
      case QUOTE:
      case APOSTROPHE:
        return this.#readQuoted(parent);
      case OPEN_BRACE:
        return this.#readFlowMap(parent);
      case OPEN_BRACKET:
        return this.#readFlowList(parent);
      default: {
        const start = this.#at;
        this.#at = this.#flowPlainEnd(start);
        return resolvePlain(this.#strings.get(start, this.#at));
      }
    }
  }

  /** Goes on to the next item, or to the bracket. */
  #endFlowItem(parent: number, bracket: number): void {
    this.#skipFlowSpace(parent);
    const code = this.#text.charCodeAt(this.#at);
    if (code === bracket) return;
    if (code !== COMMA) throw new Unread();
    // A bracket may follow.
    this.#at += 1;
    this.#skipFlowSpace(parent);
  }

  /** Skips spaces and line ends; lines must be right of the parent. */
  #skipFlowSpace(parent: number): void {
    const text = this.#text;
    while (true) {
      this.#skipSpaces();
      if (text.charCodeAt(this.#at) !== NEWLINE) return;
      this.#lineStart = this.#at + 1;
      this.#at += 1;
      this.#skipSpaces();
      if (text.charCodeAt(this.#at) === NEWLINE) continue;
      if (this.#at - this.#lineStart <= parent) throw new Unread();
      if (this.#isMarker(this.#at, this.#lineStart)) throw new Unread();
      return;
    }
  }

  /** Where a plain scalar in a flow collection ends; it is one line, and not empty. */
  #flowPlainEnd(start: number): number {
    const text = this.#text;
    const first = text.charCodeAt(start);
    const dash = first === DASH && (this.#isBlank(start + 1) || this.#isFlowIndicator(start + 1));
    if (INDICATORS.has(first) || dash) throw new Unread();
    for (let at = start; at < text.length; at++) {
      switch (text.charCodeAt(at)) {
        case COMMA:
        case CLOSE_BRACKET:
        case CLOSE_BRACE:
        case NEWLINE:
          return this.#trimmed(start, at);
        case COLON:
          if (this.#isBlank(at + 1)) return this.#trimmed(start, at);
          if (this.#isFlowIndicator(at + 1)) throw new Unread();
          break;
        case OPEN_BRACKET:
        case OPEN_BRACE:
        case TAB:
          throw new Unread();
        case HASH:
          if (text.charCodeAt(at - 1) === SPACE) throw new Unread();
          break;
      }
    }
    throw new Unread();
  }

  #isFlowIndicator(at: number): boolean {
    return ",[]{}".includes(this.#text.charAt(at));
  }

  #trimmed(start: number, end: number): number {
    let at = end;
    while (at > start && this.#text.charCodeAt(at - 1) === SPACE) at -= 1;
    return at;
  }

  /** Reads a plain scalar in a block, which may go on in the lines below. */
  #readPlain(parent: number): unknown {
    const start = this.#at;
    if (INDICATORS.has(this.#text.charCodeAt(start)) || this.#isDash(start)) throw new Unread();
    this.#at = this.#plainEnd(start);
    let value = this.#strings.get(start, this.#at);
    for (let next = this.#continuation(parent); next >= 0; next = this.#continuation(parent)) {
      this.#at = this.#plainEnd(next);
      value += ` ${this.#text.slice(next, this.#at)}`;
    }
    return resolvePlain(value);
  }

  /** Where the part of a plain scalar on one line ends. */
  #plainEnd(start: number): number {
    const text = this.#text;
    let at = start;
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === NEWLINE) break;
      if (code === TAB || (code === COLON && this.#isBlank(at + 1))) throw new Unread();
      if (code === HASH && text.charCodeAt(at - 1) === SPACE) break;
    }
    return this.#trimmed(start, at);
  }

  /** Where a plain scalar goes on in the next line; -1 where it does not. */
  #continuation(parent: number): number {
    const text = this.#text;
    let at = this.#at;
    while (text.charCodeAt(at) === SPACE) at += 1;
    if (text.charCodeAt(at) !== NEWLINE) return -1;
    let lineStart = at + 1;
    let blank = false;
    for (at = lineStart; text.charCodeAt(at) === SPACE || text.charCodeAt(at) === NEWLINE; at++) {
      if (text.charCodeAt(at) !== NEWLINE) continue;
      blank = true;
      lineStart = at + 1;
    }
    if (at >= text.length || at - lineStart <= parent || this.#isMarker(at, lineStart)) return -1;
    if (text.charCodeAt(at) === HASH) return -1;
    // Empty lines in a scalar are its line ends.
    if (blank) throw new Unread();
    this.#lineStart = lineStart;
    return at;
  }

  /** The string of a plain key; a key that the schema takes for something else is left alone. */
  #plainKey(start: number, end: number): string {
    const key = this.#strings.get(start, this.#trimmed(start, end));
    if (key === "<<" || key.includes("\t") || WORDS.has(key)) throw new Unread();
    if (looksNumeric(key) && isNumeric(key) && !/^(0|[1-9]\d{0,14})$/.test(key)) throw new Unread();
    return key;
  }

  /** The position of the quote that ends a scalar. */
  #quoteEnd(start: number, quote: number): number {
    const text = this.#text;
    const character = quote === QUOTE ? '"' : "'";
    for (let end = text.indexOf(character, start + 1); ; end = text.indexOf(character, end + 1)) {
      if (end < 0) throw new Unread();
      if (quote === QUOTE) {
        let slashes = 0;
        while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes += 1;
        if (slashes % 2 === 0) return end;
      } else if (text.charCodeAt(end + 1) === APOSTROPHE) {
        end += 1;
      } else {
        return end;
      }
    }
  }

  /** Reads a quoted scalar. @param parent undefined: a key, which is one line */
  #readQuoted(parent: number | undefined): string {
    const text = this.#text;
    const start = this.#at + 1;
    const quote = text.charCodeAt(start - 1);
    const end = this.#quoteEnd(start - 1, quote);
    this.#at = end + 1;
    let value = this.#strings.get(start, end);
    if (value.includes("\n")) value = this.#foldQuoted(value, start, parent);
    if (quote === APOSTROPHE) return value.includes("'") ? value.replaceAll("''", "'") : value;
    return value.includes("\\") ? unescape(value) : value;
  }

  /** Line ends in a quoted scalar are spaces, with no other around them. */
  #foldQuoted(value: string, start: number, parent: number | undefined): string {
    if (parent === undefined) throw new Unread();
    let lineStart = start;
    return value
      .split("\n")
      .map((line, index, lines) => {
        const first = index === 0;
        const content = first ? line : line.trimStart();
        const column = line.length - content.length;
        const odd = content === "" || line.includes("\t") || line.endsWith("\\");
        if (odd || (!first && (column <= parent || this.#isMarker(lineStart + column, lineStart))))
          throw new Unread();
        lineStart += line.length + 1;
        this.#lineStart = lineStart;
        return index === lines.length - 1 ? content : content.trimEnd();
      })
      .join(" ");
  }

  /** Reads a literal or folded scalar, and stops at its last line end. */
  #readBlockScalar(parent: number): string {
    const text = this.#text;
    const head = this.#lineEnd(this.#at);
    const indicator = text.slice(this.#at, head);
    if (this.#windows || !/^[|>][-+]?$/.test(indicator)) throw new Unread();
    const lines: string[] = [];
    let indent = 0;
    let end = head;
    for (let at = head + 1; at < text.length; at = end + 1) {
      const lineEnd = text.indexOf("\n", at);
      // Without a line end at the end of the text, rules of their own begin.
      if (lineEnd < 0) throw new Unread();
      const line = text.slice(at, lineEnd);
      const column = line.search(/[^ ]/);
      if (column >= 0 && indent === 0) {
        indent = column;
        if (indent <= parent || lines.some((each) => each.length > 0)) throw new Unread();
      }
      if (column >= 0 && column < indent) break;
      lines.push(column < 0 && line.length <= indent ? "" : line.slice(indent));
      end = lineEnd;
    }
    if (indent === 0) throw new Unread();
    this.#at = end;
    this.#lineStart = end + 1;
    return chomp(lines, indicator);
  }
}

/** Notes a key of a map: undefined as long as an object keeps the map's order. */
function noteKey(
  record: Record<string, unknown>,
  key: string,
  keys: string[] | undefined,
): string[] | undefined {
  // Twice the same key is for the library to report.
  if (record[key] !== undefined) throw new Unread();
  // An object has keys that are numbers before all others.
  const code = key.charCodeAt(0);
  const noted = keys ?? (code >= 0x30 && code <= 0x39 ? Object.keys(record) : undefined);
  noted?.push(key);
  return noted;
}

/** Strings of a text; those that come again and again are made once. */
class StringCache {
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

function chomp(lines: readonly string[], indicator: string): string {
  let count = lines.length;
  while (count > 0 && lines[count - 1] === "") count -= 1;
  const content = lines.slice(0, count);
  const folded = indicator.startsWith(">");
  // Lines that are empty or further to the right are not folded as others are.
  if (folded && content.some((line) => line === "" || line.startsWith(" "))) throw new Unread();
  const text = content.join(folded ? " " : "\n");
  if (indicator.endsWith("-")) return text;
  return `${text}\n${indicator.endsWith("+") ? "\n".repeat(lines.length - count) : ""}`;
}

const ESCAPED: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ["\\", "\\"],
  ["/", "/"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);

/** The escapes that JSON has, too. */
function unescape(text: string): string {
  return text.replace(/\\(u[0-9a-fA-F]{4}|[^])/g, (_, escape: string) => {
    if (escape.length === 5) return String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    const character = ESCAPED.get(escape);
    if (character === undefined) throw new Unread();
    return character;
  });
}

/** Plain words that the core schema of YAML 1.2 takes for no strings. */
const WORDS: ReadonlyMap<string, boolean | null> = new Map<string, boolean | null>([
  ["true", true],
  ["True", true],
  ["TRUE", true],
  ["false", false],
  ["False", false],
  ["FALSE", false],
  ["null", null],
  ["Null", null],
  ["NULL", null],
  ["~", null],
]);

/** A plain scalar as kubectl reads it. */
function resolvePlain(text: string): unknown {
  if (looksNumeric(text)) {
    if (/^(0|[1-9]\d{0,14})$/.test(text)) return Number(text);
    return resolveOldPlain(text) ?? resolveFloat(text);
  }
  if (text.length > WORD_MAX) return text;
  const word = WORDS.get(text);
  return word === undefined ? (resolveOldPlain(text) ?? text) : word;
}

/**
 * What a plain scalar is by YAML 1.1 and not by 1.2: kubectl takes `on` for a boolean, `010` for eight and
 * `1_000` for a thousand. Undefined where both say the same, or 1.1 is not heeded.
 * Source: sigs.k8s.io/yaml, resolve.go of its goyaml.v2.
 */
export function resolveOldPlain(text: string): boolean | number | undefined {
  if (/^(yes|Yes|YES|on|On|ON)$/.test(text)) return true;
  if (/^(no|No|NO|off|Off|OFF)$/.test(text)) return false;
  if (!/^[-+]?\d[\d_]*$/.test(text)) return undefined;
  const digits = text.replaceAll("_", "");
  return /^[-+]?0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
}

/** Length of the longest word that is no string. */
const WORD_MAX = 5;

function resolveFloat(text: string): number | string {
  if (/^[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?$/.test(text)) return Number.parseFloat(text);
  if (isNumeric(text)) throw new Unread();
  return text;
}

/** Tells whether text begins as numbers do. */
function looksNumeric(text: string): boolean {
  const code = text.charCodeAt(0);
  return (code >= 0x30 && code <= 0x39) || code === 0x2b || code === DASH || code === 0x2e;
}

/** Tells whether the core schema or kubectl may take a plain scalar for a number. */
function isNumeric(text: string): boolean {
  const number = /^[-+]?(\d[\d_]*|0[xo][\da-fA-F]+|(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?)$/;
  return number.test(text) || /^[-+]?\.(inf|nan)$/i.test(text);
}
