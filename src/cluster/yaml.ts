/**
 * YAML and JSON text to plain data with places. Reads what kubectl would send to an API server: the
 * YAML 1.2 core schema, and the YAML 1.1 booleans and numbers that kubectl's reader still resolves.
 * Refuses what could mislead or exhaust: duplicate keys, merge keys, tags, alias bombs, deep nesting.
 * Knows nothing of Kubernetes objects.
 */
import {
  Composer,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  Parser,
  type CST,
  type Document,
  type Scalar,
  type YAMLError,
} from "yaml";

import type { DiagnosticCode, OnDiagnostic, Place } from "../errors.ts";
import { BytePlaces } from "./byte-places.ts";
import type { FieldPart, FieldPath, ManifestText } from "./manifest-object.ts";
import type { PlainNode, PlainOffsets } from "./plain-offsets.ts";
import { resolveOldPlain } from "./plain-scalar.ts";
import { parsePlainYaml } from "./plain-yaml.ts";
import { encodeText } from "./text-bytes.ts";

/** One document's value with the place of everything in it. */
export interface PlacedValue {
  /** Plain data; maps are null-prototype records. */
  readonly value: unknown;
  /** As `ManifestObject.placeOf`. */
  placeOf(path: FieldPath, part?: FieldPart): Place;
  /** The same for a value inside this one. */
  at(path: FieldPath): PlacedValue;
}

/** Deepest nesting that is read; Kubernetes objects stay under 30. */
const MAX_DEPTH = 100;
/** What the library says in words of YAML's grammar, in words of who writes manifests. */
const SYNTAX_SENTENCES: Readonly<Record<string, string>> = {
  "Implicit map keys need to be followed by map values":
    "a key must have a colon and a space behind it",
  "Nested mappings are not allowed in compact mappings":
    "a map cannot begin behind a key on its line: is the next line indented too far?",
  "Implicit keys need to be on a single line": "a key must be on one line",
};

function syntaxSentence(message: string, found: string): string {
  const own = SYNTAX_SENTENCES[message];
  if (own !== undefined) return own;
  const token = /^Unexpected \S+ token$/.test(message) && /^\S/.test(found);
  if (token) return `unexpected "${found.split("\n")[0]}"`;
  return (message.charAt(0).toLowerCase() + message.slice(1)).replace(/\.$/, "");
}

/** Most values that aliases may stand for in one document. */
const MAX_ALIASED_VALUES = 10_000;

/**
 * Parses the documents of one file, empty ones left out. A document with an error is reported and left
 * out; the others stand. Reports BAD_YAML, DUPLICATE_KEY, UNSUPPORTED_FEATURE and LIMIT_EXCEEDED.
 */
export function parseYaml(manifest: ManifestText, onDiagnostic: OnDiagnostic): PlacedValue[] {
  const encoded = manifest.encoded ?? encodeText(manifest.text);
  const plain = encoded && parsePlainYaml(encoded);
  if (encoded === undefined || plain === undefined) return parseAnyYaml(manifest, onDiagnostic);
  const { documents, offsets } = plain;
  const places = new BytePlaces(manifest.file, encoded);
  return documents.map((document) => new PlacedPlain(document, offsets, places));
}

/** The same by the library alone: it reads everything, and says what is wrong. */
export function parseAnyYaml(
  { file, text }: ManifestText,
  onDiagnostic: OnDiagnostic,
): PlacedValue[] {
  const lines = new LineCounter();
  // The library sets a byte order mark aside before it counts.
  const shift = text.startsWith("\ufeff") ? 1 : 0;
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(Math.max(0, offset));
    return { file, line, column: col - (line === 1 && offset >= shift ? shift : 0) };
  };
  const values: PlacedValue[] = [];
  const accept = (documents: Iterable<Document.Parsed>): void => {
    for (const document of documents) {
      const converter = new Converter({ text, placeAt }, onDiagnostic);
      const value = converter.convertDocument(document);
      if (value !== undefined) values.push(value);
    }
  };
  const composer = new Composer({
    version: "1.2",
    schema: "core",
    merge: false,
    uniqueKeys: false,
    prettyErrors: false,
  });
  for (const token of new Parser(lines.addNewLine).parse(text)) {
    const tooDeep = token.type === "document" ? deepToken(token) : undefined;
    if (tooDeep === undefined) {
      accept(composer.next(token));
      continue;
    }
    onDiagnostic({
      severity: "error",
      code: "LIMIT_EXCEEDED",
      message: `values are nested more than ${MAX_DEPTH} deep`,
      place: placeAt(tooDeep),
    });
  }
  accept(composer.end());
  return values;
}

/** A value of the plain reader; there is one for each object. */
class PlacedPlain implements PlacedValue {
  readonly #node: PlainNode;
  readonly #offsets: PlainOffsets;
  readonly #places: BytePlaces;

  constructor(node: PlainNode, offsets: PlainOffsets, places: BytePlaces) {
    this.#node = node;
    this.#offsets = offsets;
    this.#places = places;
  }

  get value(): unknown {
    return this.#node.value;
  }

  placeOf(path: FieldPath, part?: FieldPart): Place {
    const key = part === "key" ? this.#offsets.ofKey(this.#node, path) : undefined;
    if (key !== undefined) return this.#places.placeAt(key);
    const start = this.#offsets.offsetOf(this.#offsets.find(this.#node, path));
    if (typeof part !== "number") return this.#places.placeAt(start);
    const text = this.#places.textAt(start, (part + 2) * ESCAPE_MAX);
    return this.#places.placeAt(start, offsetInText(text, 0, part));
  }

  at(path: FieldPath): PlacedValue {
    return new PlacedPlain(this.#offsets.find(this.#node, path), this.#offsets, this.#places);
  }
}

/** A file's text, and where its characters are. */
interface Source {
  readonly text: string;
  readonly placeAt: (offset: number) => Place;
}

/**
 * Finds a character of a text value by its number, from 0: one that is written on one line, plain or in
 * quotes. Of any other, and where no number is given, the beginning.
 */
function offsetInText(text: string, start: number, part: FieldPart | undefined): number {
  if (typeof part !== "number") return start;
  const quote = text[start];
  // A text of several lines, whose indentation is left out.
  if (quote === "|" || quote === ">") return start;
  const quoted = quote === '"' || quote === "'";
  let at = quoted ? start + 1 : start;
  for (let left = part; left > 0; left--) {
    if (text[at] === "\n" || at >= text.length) return start;
    if (quote === "'" && text.startsWith("''", at)) at += 2;
    else if (quote === '"' && text[at] === "\\") at += ESCAPE_LENGTHS.get(text[at + 1]) ?? 2;
    else at++;
  }
  return at;
}

/** Of the escapes in double quotes that are longer than two characters. */
const ESCAPE_LENGTHS: ReadonlyMap<string | undefined, number> = new Map([
  ["x", 4],
  ["u", 6],
  ["U", 10],
]);
/** Length of the longest; no character has more bytes. */
const ESCAPE_MAX = 10;

/** Finds a token nested too deep, before anything recurses into it; its offset. */
function deepToken(document: CST.Document): number | undefined {
  const pending: { token: CST.Token; depth: number }[] = [];
  if (document.value) pending.push({ token: document.value, depth: 0 });
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { token, depth } = next;
    if (!("items" in token)) continue;
    if (depth >= MAX_DEPTH) return token.offset;
    for (const { key, value } of token.items) {
      if (key) pending.push({ token: key, depth: depth + 1 });
      if (value) pending.push({ token: value, depth: depth + 1 });
    }
  }
  return undefined;
}

/** Converts one document's nodes to plain data, and remembers what its aliases stand for. */
class Converter {
  private readonly source: Source;
  private readonly onDiagnostic: OnDiagnostic;
  private readonly nodeByAnchor = new Map<string, unknown>();
  private readonly nodeByAlias = new Map<unknown, unknown>();
  private aliasedValues = 0;
  /** The outermost alias being replaced. */
  private openAlias: unknown;
  private failed = false;

  constructor(source: Source, onDiagnostic: OnDiagnostic) {
    this.source = source;
    this.onDiagnostic = onDiagnostic;
  }

  convertDocument(document: Document.Parsed): PlacedValue | undefined {
    const [error] = [...document.errors, ...document.warnings];
    if (error !== undefined) {
      this.reportSyntax(error, document);
      return undefined;
    }
    const value = this.convert(document.contents, 0);
    if (this.failed || value === null) return undefined;
    return this.placed(document.contents, value);
  }

  private placed(node: unknown, value: unknown): PlacedValue {
    return {
      value,
      placeOf: (path, part) => {
        const start = this.offsetOf(node, path, part);
        return this.source.placeAt(offsetInText(this.source.text, start, part));
      },
      at: (path) => {
        let inner = value;
        for (const step of path) inner = isRecordOrList(inner) ? inner[step] : undefined;
        return this.placed(
          path.reduce((outer, step) => this.child(outer, step), node),
          inner,
        );
      },
    };
  }

  private convert(node: unknown, depth: number): unknown {
    if (depth > MAX_DEPTH) {
      return this.fail(node, "LIMIT_EXCEEDED", `values are nested more than ${MAX_DEPTH} deep`);
    }
    if (this.openAlias !== undefined && ++this.aliasedValues > MAX_ALIASED_VALUES) {
      const sentence = `too many aliases: they stand for more than ${MAX_ALIASED_VALUES} values`;
      return this.failed ? null : this.fail(this.openAlias, "LIMIT_EXCEEDED", sentence);
    }
    if (isAlias(node)) {
      const target = this.nodeByAnchor.get(node.source);
      if (target === undefined) {
        return this.fail(node, "BAD_YAML", `alias *${node.source} has no anchor before it`);
      }
      this.nodeByAlias.set(node, target);
      const outer = this.openAlias;
      this.openAlias = outer ?? node;
      const value = this.convert(target, depth);
      this.openAlias = outer;
      return value;
    }
    const value = this.convertContent(node, depth);
    // Known only from here on, so that an anchor cannot hold an alias of itself.
    if ((isScalar(node) || isMap(node) || isSeq(node)) && node.anchor !== undefined) {
      this.nodeByAnchor.set(node.anchor, node);
    }
    return value;
  }

  private convertContent(node: unknown, depth: number): unknown {
    if (isScalar(node)) {
      const value = scalarValue(node);
      if (typeof value !== "object" || value === null) return value;
      return this.fail(node, "BAD_YAML", `tag ${node.tag ?? "!"} is not read`);
    }
    if (isSeq(node)) return node.items.map((item) => this.convert(item, depth + 1));
    if (!isMap(node)) return null;
    const record = newRecord();
    const keyNodes = new Map<string, unknown>();
    for (const { key: keyNode, value } of node.items) {
      const key = isAlias(keyNode) ? this.convert(keyNode, depth + 1) : keyOf(keyNode);
      if (typeof key !== "string") {
        const braces = isMap(keyNode) && keyNode.flow === true && node.flow === true;
        const sentence = braces ? TEMPLATE_SENTENCE : "a key must be a string";
        this.fail(braces ? node : keyNode, "BAD_YAML", sentence);
        continue;
      }
      if (key === "<<" && isScalar(keyNode) && keyNode.type === "PLAIN") {
        this.fail(
          keyNode,
          "UNSUPPORTED_FEATURE",
          "merge keys (<<) are not read: write the fields out",
        );
        continue;
      }
      const earlier = keyNodes.get(key);
      if (earlier !== undefined) {
        const { line } = this.source.placeAt(offsetOfNode(earlier));
        this.fail(keyNode, "DUPLICATE_KEY", `key "${key}" is already on line ${line}`);
        continue;
      }
      keyNodes.set(key, keyNode);
      record[key] = this.convert(value, depth + 1);
    }
    return record;
  }

  private fail(node: unknown, code: DiagnosticCode, message: string): null {
    this.failed = true;
    const place = this.source.placeAt(offsetOfNode(node));
    this.onDiagnostic({ severity: "error", code, message, place });
    return null;
  }

  private reportSyntax(error: YAMLError, document: Document.Parsed): void {
    const [start, , end] = document.range;
    const source = this.source.text.slice(start, Math.max(end, error.pos[1]));
    // Braces behind a quote or a # are text; others are a template that nobody rendered.
    const braces = /^[^'"#\n]*?\{\{/m.exec(source);
    const template = braces !== null;
    const offset = template ? start + braces.index + braces[0].length - 2 : error.pos[0];
    const found = this.source.text.slice(...error.pos);
    this.onDiagnostic({
      severity: "error",
      code: "BAD_YAML",
      message: template ? TEMPLATE_SENTENCE : syntaxSentence(error.message, found),
      place: this.source.placeAt(offset),
    });
  }

  private child(node: unknown, step: string | number): unknown {
    const target = isAlias(node) ? this.nodeByAlias.get(node) : node;
    if (isSeq(target)) return typeof step === "number" ? target.items[step] : undefined;
    return this.pairOf(target, step)?.value;
  }

  private pairOf(
    node: unknown,
    key: string | number,
  ): { key: unknown; value: unknown } | undefined {
    const target = isAlias(node) ? this.nodeByAlias.get(node) : node;
    if (!isMap(target)) return undefined;
    return target.items.find((pair) => keyOf(this.nodeByAlias.get(pair.key) ?? pair.key) === key);
  }

  private offsetOf(root: unknown, path: FieldPath, part: FieldPart | undefined): number {
    let node = root;
    for (const [index, step] of path.entries()) {
      if (part === "key" && index === path.length - 1) {
        const pair = this.pairOf(node, step);
        if (pair !== undefined) return offsetOfNode(pair.key);
      }
      const child = this.child(node, step);
      if (child === undefined || child === null) break;
      node = child;
    }
    return offsetOfNode(node);
  }
}

const TEMPLATE_SENTENCE =
  "{{ is a template's brace: render the template first (helm template, envsubst or the like)";

/** Makes a map that has no keys but the input's own; `__proto__` is one like any other. */
function newRecord(): Record<string, unknown> {
  return Object.create(null) as Record<string, unknown>;
}

function isRecordOrList(value: unknown): value is Record<string | number, unknown> {
  return typeof value === "object" && value !== null;
}

function offsetOfNode(node: unknown): number {
  return isScalar(node) || isMap(node) || isSeq(node) || isAlias(node) ? (node.range?.[0] ?? 0) : 0;
}

/** A key as JSON has it: kubectl turns numbers and booleans into text. */
function keyOf(node: unknown): string | undefined {
  if (!isScalar(node)) return undefined;
  const value = scalarValue(node);
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? `${value}` : undefined;
}

/** A scalar as kubectl reads it. */
function scalarValue(scalar: Scalar): unknown {
  const { value, source } = scalar;
  if (scalar.type !== "PLAIN" || source === undefined) return value;
  return resolveOldPlain(source) ?? value;
}
