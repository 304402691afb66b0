/**
 * Reads the YAML and JSON that kubectl and people write, many times faster than the library does: block
 * and flow collections, plain, quoted and block scalars. Whatever is rarer (anchors, tags, directives,
 * faults of any kind) it leaves alone: then the library reads the file from its beginning, and has the
 * word on what is wrong. What both read, both read alike.
 */
import { PlainOffsets, type PlainNode } from "./plain-offsets.ts";
import { noteKey, PlainRecord } from "./plain-record.ts";
import { chomp, isStringKey, resolvePlain, unescape } from "./plain-scalar.ts";
import { StringCache } from "./string-cache.ts";
import type { TextBytes } from "./text-bytes.ts";
import { Unread } from "./unread.ts";

/** The documents of one file that are not empty, and where everything in them begins. */
export interface PlainYaml {
  readonly documents: readonly PlainNode[];
  readonly offsets: PlainOffsets;
}

/** Reads the documents of a file; undefined when it holds anything that is not read here. */
export function parsePlainYaml(text: TextBytes): PlainYaml | undefined {
  try {
    return new PlainReader(text).read();
  } catch (error) {
    if (error instanceof Unread) return undefined;
    throw error;
  }
}

const SPACE = 0x20;
const NEWLINE = 0x0a;
const TAB = 0x09;
const RETURN = 0x0d;
const QUOTE = 0x22;
const APOSTROPHE = 0x27;
const HASH = 0x23;
const PERCENT = 0x25;
const COMMA = 0x2c;
const DASH = 0x2d;
const DOT = 0x2e;
const COLON = 0x3a;
const ANGLE = 0x3e;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const BAR = 0x7c;
const CLOSE_BRACE = 0x7d;
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/** Characters that no plain scalar read here begins with, whatever follows. */
const INDICATORS = codesOf("?:,[]{}#&*!|>'\"%@`");
const FLOW_INDICATORS = codesOf(",[]{}");
/** Deeper values are left to the library, which refuses them at 100. */
const DEPTH_MAX = 60;
/** A key of YAML ends at 1024 characters. */
const KEY_MAX = 1000;
/** The column where the document has no more content. */
const NO_COLUMN = -1;

/**
 * Reads one text. Where a block value begins, `at` is at its first character and `column` is that
 * character's. Behind a block value both are those of the next content; behind what stands on a line
 * (scalars, flow collections) `at` is behind its last character. It is one class, as readers that share
 * a place in the text took longer (tried).
 */
class PlainReader {
  readonly #bytes: Uint8Array;
  /** Lines end in carriage returns, too, which are spaces in `bytes`. */
  readonly #windows: boolean;
  readonly #offsets: PlainOffsets;
  readonly #decode: TextBytes["decode"];
  readonly #strings: StringCache;
  /** What is before the quote that was found last has neither line ends nor escapes. */
  #plainlyQuoted = true;
  #at = 0;
  #lineStart = 0;
  #column = NO_COLUMN;
  #depth = 0;

  constructor({ bytes, decode }: TextBytes) {
    this.#windows = bytes.includes(RETURN);
    // A space before a line end says nothing, but in block scalars: nor do the returns that strings still hold.
    this.#bytes = this.#windows ? withoutReturns(bytes) : bytes;
    this.#decode = decode;
    this.#strings = new StringCache(this.#bytes, decode);
    this.#offsets = new PlainOffsets(bytes.length);
  }

  read(): PlainYaml {
    const bytes = this.#bytes;
    const documents: PlainNode[] = [];
    this.#findContent(0);
    while (true) {
      if (this.#column !== NO_COLUMN) {
        this.#offsets.note(this.#at);
        const value = this.#readBlock(-1);
        if (this.#column !== NO_COLUMN || typeof value !== "object") throw new Unread();
        const entry = this.#offsets.take();
        if (value !== null) documents.push({ value, entry });
      }
      if (this.#at >= bytes.length) return { documents, offsets: this.#offsets };
      // The marker of the next document.
      this.#at += 3;
      this.#nextContent();
    }
  }

  /** Goes on to the next line that has content; only a comment may be left of the present one. */
  #nextContent(): void {
    const bytes = this.#bytes;
    let at = this.#at;
    while (bytes[at] === SPACE) at += 1;
    const code = bytes[at];
    if (at >= bytes.length) this.#findContent(at);
    else if (code === NEWLINE) this.#findContent(at + 1);
    else if (code === HASH && at > this.#at) this.#findContent(this.#lineEnd(at) + 1);
    else throw new Unread();
  }

  /** Goes on to the first content from the beginning of a line on. */
  #findContent(lineStart: number): void {
    const bytes = this.#bytes;
    let start = lineStart;
    while (true) {
      let at = start;
      while (bytes[at] === SPACE) at += 1;
      const code = bytes[at];
      if (code === NEWLINE) start = at + 1;
      else if (code === HASH) start = this.#lineEnd(at) + 1;
      else if (code === TAB || this.#isByteOrderMark(at)) throw new Unread();
      else {
        this.#at = at;
        this.#lineStart = start;
        this.#column = at >= bytes.length || this.#isMarker(at, start) ? NO_COLUMN : at - start;
        return;
      }
    }
  }

  #isByteOrderMark(at: number): boolean {
    return BYTE_ORDER_MARK.every((code, index) => this.#bytes[at + index] === code);
  }

  #isMarker(at: number, lineStart: number): boolean {
    const bytes = this.#bytes;
    if (at !== lineStart) return false;
    const code = bytes[at];
    const threefold = bytes[at + 1] === code && bytes[at + 2] === code;
    if (code === PERCENT || (code === DOT && threefold)) throw new Unread();
    return code === DASH && threefold && this.#isBlank(at + 3);
  }

  #lineEnd(at: number): number {
    const bytes = this.#bytes;
    let end = at;
    while (end < bytes.length && bytes[end] !== NEWLINE) end += 1;
    return end;
  }

  #isBlank(at: number): boolean {
    const code = this.#bytes[at];
    return code === SPACE || code === NEWLINE || at >= this.#bytes.length;
  }

  #isDash(at: number): boolean {
    return this.#bytes[at] === DASH && this.#isBlank(at + 1);
  }

  #skipSpaces(): void {
    const bytes = this.#bytes;
    let at = this.#at;
    while (bytes[at] === SPACE) at += 1;
    this.#at = at;
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
    const bytes = this.#bytes;
    const first = bytes[this.#at];
    if (first === QUOTE || first === APOSTROPHE) {
      let at = this.#quoteEnd(this.#at, first) + 1;
      while (bytes[at] === SPACE) at += 1;
      return bytes[at] === COLON && this.#isBlank(at + 1) ? at : -1;
    }
    if (INDICATORS.has(first) || this.#isDash(this.#at)) return -1;
    for (let at = this.#at; at < bytes.length; at++) {
      const code = bytes[at];
      if (code === COLON && this.#isBlank(at + 1)) return at;
      if (code === NEWLINE) return -1;
      if (code === HASH && bytes[at - 1] === SPACE) return -1;
    }
    return -1;
  }

  #readBlockMap(): Record<string, unknown> {
    this.#enter();
    const column = this.#column;
    const first = this.#offsets.noted;
    const record = new PlainRecord();
    let keys: string[] | undefined;
    while (true) {
      this.#offsets.note(this.#at);
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
    const code = this.#bytes[start];
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
    const first = this.#offsets.noted;
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
    this.#offsets.note(this.#at);
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
    const returned = this.#windows && this.#bytes[this.#at] === NEWLINE;
    const slot = this.#offsets.note(returned ? this.#at - 1 : this.#at);
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
    this.#offsets.move(slot, this.#at);
    return this.#readBlock(column);
  }

  /** Nothing stands on the line from here on but perhaps a comment. */
  #endsLine(start: number): boolean {
    const code = this.#bytes[this.#at];
    return (
      code === NEWLINE || this.#at >= this.#bytes.length || (code === HASH && this.#at > start)
    );
  }

  /** Reads a scalar or a flow collection. */
  #readInline(parent: number): unknown {
    switch (this.#bytes[this.#at]) {
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

  /** Notes where everything in a map or list began that has just been read. */
  #leave<T extends object>(container: T, first: number): T {
    this.#depth -= 1;
    this.#offsets.complete(first);
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
    const bytes = this.#bytes;
    const first = this.#offsets.noted;
    const record = new PlainRecord();
    let keys: string[] | undefined;
    this.#at += 1;
    this.#skipFlowSpace(parent);
    while (bytes[this.#at] !== CLOSE_BRACE) {
      this.#offsets.note(this.#at);
      const key = this.#readFlowKey();
      keys = noteKey(record, key, keys);
      this.#skipFlowSpace(parent);
      this.#offsets.note(this.#at);
      record[key] = this.#readFlowValue(parent);
      this.#endFlowItem(parent, CLOSE_BRACE);
    }
    this.#at += 1;
    return this.#leaveMap(record, first, keys);
  }

  /** Reads a key of a flow map and its colon. */
  #readFlowKey(): string {
    const bytes = this.#bytes;
    const start = this.#at;
    const code = bytes[start];
    const quoted = code === QUOTE || code === APOSTROPHE;
    const end = quoted ? start : this.#flowPlainEnd(start);
    const key = quoted ? this.#readQuoted(undefined) : this.#plainKey(start, end);
    if (!quoted) this.#at = end;
    if (this.#at - start > KEY_MAX) throw new Unread();
    this.#skipSpaces();
    // Behind a quote the colon may be next to its value, as in JSON.
    const ends = bytes[this.#at] === COLON && (quoted || this.#isBlank(this.#at + 1));
    if (!ends) throw new Unread();
    this.#at += 1;
    return key;
  }

  #readFlowList(parent: number): unknown[] {
    this.#enter();
    const first = this.#offsets.noted;
    const list: unknown[] = [];
    this.#at += 1;
    this.#skipFlowSpace(parent);
    while (this.#bytes[this.#at] !== CLOSE_BRACKET) {
      this.#offsets.note(this.#at);
      list.push(this.#readFlowValue(parent));
      this.#endFlowItem(parent, CLOSE_BRACKET);
    }
    this.#at += 1;
    // A list that has grown has room for 17 items at least; most have one or two, and stay.
    return this.#leave(list.slice(), first);
  }

  #readFlowValue(parent: number): unknown {
    switch (this.#bytes[this.#at]) {
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
    const code = this.#bytes[this.#at];
    if (code === bracket) return;
    if (code !== COMMA) throw new Unread();
    // A bracket may follow.
    this.#at += 1;
    this.#skipFlowSpace(parent);
  }

  /** Skips spaces and line ends; lines must be right of the parent. */
  #skipFlowSpace(parent: number): void {
    const bytes = this.#bytes;
    while (true) {
      this.#skipSpaces();
      if (bytes[this.#at] !== NEWLINE) return;
      this.#lineStart = this.#at + 1;
      this.#at += 1;
      this.#skipSpaces();
      if (bytes[this.#at] === NEWLINE) continue;
      if (this.#at - this.#lineStart <= parent) throw new Unread();
      if (this.#isMarker(this.#at, this.#lineStart)) throw new Unread();
      return;
    }
  }

  /** Where a plain scalar in a flow collection ends; it is one line, and not empty. */
  #flowPlainEnd(start: number): number {
    const bytes = this.#bytes;
    const first = bytes[start];
    const dash = first === DASH && (this.#isBlank(start + 1) || this.#isFlowIndicator(start + 1));
    if (INDICATORS.has(first) || dash) throw new Unread();
    for (let at = start; at < bytes.length; at++) {
      switch (bytes[at] ?? NEWLINE) {
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
          if (bytes[at - 1] === SPACE) throw new Unread();
          break;
      }
    }
    throw new Unread();
  }

  #isFlowIndicator(at: number): boolean {
    return FLOW_INDICATORS.has(this.#bytes[at]);
  }

  #trimmed(start: number, end: number): number {
    let at = end;
    while (at > start && this.#bytes[at - 1] === SPACE) at -= 1;
    return at;
  }

  /** Reads a plain scalar in a block, which may go on in the lines below. */
  #readPlain(parent: number): unknown {
    const start = this.#at;
    if (INDICATORS.has(this.#bytes[start]) || this.#isDash(start)) throw new Unread();
    this.#at = this.#plainEnd(start);
    let value = this.#strings.get(start, this.#at);
    for (let next = this.#continuation(parent); next >= 0; next = this.#continuation(parent)) {
      this.#at = this.#plainEnd(next);
      value += ` ${this.#decode(next, this.#at)}`;
    }
    return resolvePlain(value);
  }

  /** Where the part of a plain scalar on one line ends. */
  #plainEnd(start: number): number {
    const bytes = this.#bytes;
    let at = start;
    for (; at < bytes.length; at++) {
      const code = bytes[at];
      if (code === NEWLINE) break;
      if (code === TAB || (code === COLON && this.#isBlank(at + 1))) throw new Unread();
      if (code === HASH && bytes[at - 1] === SPACE) break;
    }
    return this.#trimmed(start, at);
  }

  /** Where a plain scalar goes on in the next line; -1 where it does not. */
  #continuation(parent: number): number {
    const bytes = this.#bytes;
    let at = this.#at;
    while (bytes[at] === SPACE) at += 1;
    if (bytes[at] !== NEWLINE) return -1;
    let lineStart = at + 1;
    let blank = false;
    for (at = lineStart; bytes[at] === SPACE || bytes[at] === NEWLINE; at++) {
      if (bytes[at] !== NEWLINE) continue;
      blank = true;
      lineStart = at + 1;
    }
    if (at >= bytes.length || at - lineStart <= parent || this.#isMarker(at, lineStart)) return -1;
    if (bytes[at] === HASH) return -1;
    // Empty lines in a scalar are its line ends.
    if (blank) throw new Unread();
    this.#lineStart = lineStart;
    return at;
  }

  /** The string of a plain key; a key that the schema takes for something else is left alone. */
  #plainKey(start: number, end: number): string {
    const key = this.#strings.get(start, this.#trimmed(start, end));
    if (!isStringKey(key)) throw new Unread();
    return key;
  }

  /** The position of the quote that ends a scalar; notes whether there is anything to fold or unescape before it. */
  #quoteEnd(start: number, quote: number): number {
    const bytes = this.#bytes;
    this.#plainlyQuoted = true;
    for (let end = start + 1; end < bytes.length; end++) {
      const code = bytes[end];
      if (code === quote) {
        if (quote === QUOTE || bytes[end + 1] !== APOSTROPHE) return end;
        this.#plainlyQuoted = false;
        end += 1;
      } else if (code === NEWLINE) {
        this.#plainlyQuoted = false;
      } else if (code === BACKSLASH && quote === QUOTE) {
        this.#plainlyQuoted = false;
        end += 1;
      }
    }
    throw new Unread();
  }

  /** Reads a quoted scalar. @param parent undefined: a key, which is one line */
  #readQuoted(parent: number | undefined): string {
    const bytes = this.#bytes;
    const start = this.#at + 1;
    const quote = bytes[this.#at] === QUOTE ? QUOTE : APOSTROPHE;
    const end = this.#quoteEnd(start - 1, quote);
    this.#at = end + 1;
    let value = this.#strings.get(start, end);
    if (this.#plainlyQuoted) return value;
    if (value.includes("\n")) value = this.#foldQuoted(value, start, parent);
    return quote === APOSTROPHE ? value.replaceAll("''", "'") : unescape(value);
  }

  /** Line ends in a quoted scalar are spaces, with no other around them. */
  #foldQuoted(value: string, start: number, parent: number | undefined): string {
    if (parent === undefined) throw new Unread();
    let lineStart = start;
    return value
      .split(/\r?\n/)
      .map((line, index, lines) => {
        const first = index === 0;
        // Other blanks, such as the no-break space, are the scalar's own.
        const content = first ? line : line.replace(/^ +/, "");
        const column = line.length - content.length;
        const odd = content === "" || line.includes("\t") || line.endsWith("\\");
        if (odd || (!first && (column <= parent || this.#isMarker(lineStart + column, lineStart))))
          throw new Unread();
        this.#lineStart = lineStart;
        lineStart = this.#lineEnd(lineStart) + 1;
        return index === lines.length - 1 ? content : content.replace(/ +$/, "");
      })
      .join(" ");
  }

  /** Reads a literal or folded scalar, and stops at its last line end. */
  #readBlockScalar(parent: number): string {
    const bytes = this.#bytes;
    const head = this.#lineEnd(this.#at);
    const indicator = this.#decode(this.#at, head);
    if (this.#windows || !/^[|>][-+]?$/.test(indicator)) throw new Unread();
    const lines: string[] = [];
    let indent = 0;
    let end = head;
    for (let at = head + 1; at < bytes.length; at = end + 1) {
      const lineEnd = this.#lineEnd(at);
      // Without a line end at the end of the text, rules of their own begin.
      if (lineEnd === bytes.length) throw new Unread();
      const line = this.#decode(at, lineEnd);
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

/** The codes of characters. What is read behind the end of a text, undefined, is none of them. */
function codesOf(characters: string): ReadonlySet<number | undefined> {
  return new Set([...characters].map((character) => character.charCodeAt(0)));
}

/** Makes spaces of carriage returns, of which every line has one at its end, and there alone. */
function withoutReturns(bytes: Uint8Array): Uint8Array {
  if (bytes.at(-1) === RETURN) throw new Unread();
  return bytes.map((code, at) => {
    const returned = at > 0 && bytes[at - 1] === RETURN;
    if ((code === NEWLINE) !== returned) throw new Unread();
    return code === RETURN ? SPACE : code;
  });
}
