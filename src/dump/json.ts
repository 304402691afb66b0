/**
 * What `ip -j` prints: an array of objects, or several arrays one behind the other where the answers
 * for both families were joined.
 */
import type { OnDiagnostic } from "../errors.ts";

/** An object whose fields are not known yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Parses the arrays of a file; undefined after an error. */
export function parseJsonArrays(
  text: string,
  file: string,
  onDiagnostic: OnDiagnostic,
): JsonObject[] | undefined {
  const objects: JsonObject[] = [];
  for (const piece of splitArrays(text)) {
    try {
      const parsed: unknown = JSON.parse(piece);
      if (!Array.isArray(parsed)) throw new SyntaxError("expected an array");
      const items: unknown[] = parsed;
      // `ip -j` prints empty objects for what it does not show.
      objects.push(...items.filter(isObject).filter((item) => Object.keys(item).length > 0));
    } catch (error) {
      const message = "not what ip -j prints: expected a JSON array of objects";
      const place = { file, ...placeOf(text, text.indexOf(piece) + faultOf(error)) };
      onDiagnostic({ severity: "error", code: "BAD_ROUTE", message, place });
      return undefined;
    }
  }
  return objects;
}

/** Where in the piece the parser gave up, as far as it says; else its beginning. */
function faultOf(error: unknown): number {
  const found = error instanceof SyntaxError ? /at position (\d+)/.exec(error.message) : null;
  return Number(found?.[1] ?? "0");
}

function placeOf(text: string, at: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: (before.at(-1) ?? "").length + 1 };
}

/** The value of a field when it is a string. */
export function stringOf(object: JsonObject, key: string): string | undefined {
  const value = object[key];
  return typeof value === "string" ? value : undefined;
}

/** The value of a field when it is a number. */
export function numberOf(object: JsonObject, key: string): number | undefined {
  const value = object[key];
  return typeof value === "number" ? value : undefined;
}

/** The object of a field; an empty one when it is none. */
export function objectOf(object: JsonObject, key: string): JsonObject {
  const value = object[key];
  return isObject(value) ? value : {};
}

/** The objects of a field that is an array; none when it is absent. */
export function objectsOf(object: JsonObject, key: string): JsonObject[] {
  const value = object[key];
  if (!Array.isArray(value)) return [];
  const items: unknown[] = value;
  return items.filter(isObject);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Cuts behind every bracket that closes an outermost array. */
function splitArrays(text: string): string[] {
  const pieces: string[] = [];
  let depth = 0;
  let start = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (quoted) {
      if (character === "\\") at += 1;
      else if (character === '"') quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === "[" || character === "{") depth += 1;
    else if (character === "]" || character === "}") {
      depth -= 1;
      if (depth === 0) {
        pieces.push(text.slice(start, at + 1));
        start = at + 1;
      }
    }
  }
  const rest = text.slice(start).trim();
  return rest === "" ? pieces : [...pieces, rest];
}
