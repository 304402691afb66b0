/**
 * Typed reading of an object's fields. A reader gets the value, or undefined when the field is absent
 * (`null` is absent, as for the API server) or of the wrong type, which is reported at its place with
 * its path. Knows no schema.
 */
import { distance } from "fastest-levenshtein";

import type { Diagnostic, DiagnosticCode, OnDiagnostic, Place } from "../errors.ts";
import type { FieldPath, ManifestObject } from "./manifest-object.ts";

/** One value of an object, and where faults in it are reported. */
export interface Field {
  readonly object: ManifestObject;
  readonly path: FieldPath;
  /** Undefined when absent or null. */
  readonly value: unknown;
  readonly onDiagnostic: OnDiagnostic;
}

/** The field that is the whole object. */
export function rootField(object: ManifestObject, onDiagnostic: OnDiagnostic): Field {
  return new InnerField(undefined, "", object.value, { object, onDiagnostic });
}

/** A field inside another; absent when the outer one is no map. */
export function fieldOf(outer: Field, key: string): Field {
  const value = isRecord(outer.value) ? (outer.value[key] ?? undefined) : undefined;
  return inside(outer, key, value);
}

/** A field inside another that must be a map; taken as absent when it is something else. */
export function recordOf(outer: Field, key: string): Field {
  const field = fieldOf(outer, key);
  if (field.value === undefined || isRecord(field.value)) return field;
  reportType(field, "a map");
  return inside(outer, key, undefined);
}

/** The fields of a map, in the order written. */
export function entriesOf(field: Field): (readonly [key: string, value: Field])[] {
  return keysOf(field).map((key) => [key, fieldOf(field, key)] as const);
}

/** The same place with another value: what stands there in other words. */
export function withValue({ object, path, onDiagnostic }: Field, value: unknown): Field {
  return { object, path, value, onDiagnostic };
}

/** The items of a list. Absent and empty: none. */
export function itemsOf(field: Field): Field[] {
  if (field.value === undefined) return [];
  if (Array.isArray(field.value)) {
    const items: unknown[] = field.value;
    return items.map((item, index) => inside(field, index, item ?? undefined));
  }
  reportType(field, "a list");
  return [];
}

/** The items that could be read. What `filter` makes has room for 17 at least, and most lists have one or two and stay. */
export function thoseRead<T>(items: readonly (T | undefined)[]): readonly T[] {
  const isRead = (item: T | undefined): item is T => item !== undefined;
  return items.every(isRead) ? items : items.filter(isRead).slice();
}

/** The same of a list of maps; what is none is reported and left out. */
export function recordsOf(field: Field): Field[] {
  return itemsOf(field).filter((item) => {
    if (isRecord(item.value)) return true;
    reportType(item, "a map");
    return false;
  });
}

/** A field that must be there; reported where it is not. */
export function neededOf(outer: Field, key: string): Field {
  const field = fieldOf(outer, key);
  if (field.value === undefined || field.value === "")
    reportField(field, { code: "MISSING_FIELD", message: "is required" });
  return field;
}

/** The items of a list that is read elsewhere too, where it is reported if it is none. */
export function itemsOfList(field: Field): Field[] {
  return Array.isArray(field.value) ? itemsOf(field) : [];
}

/** The keys of a map, in the order written. */
export function keysOf(field: Field): string[] {
  if (field.value === undefined) return [];
  if (isRecord(field.value)) return Object.keys(field.value);
  reportType(field, "a map");
  return [];
}

function inside(outer: Field, step: string | number, value: unknown): Field {
  return new InnerField(outer, step, value, outer);
}

/** A field by its step from the one around it: few are ever asked for their whole path. */
class InnerField implements Field {
  readonly object: ManifestObject;
  readonly value: unknown;
  readonly onDiagnostic: OnDiagnostic;
  readonly #outer: Field | undefined;
  readonly #step: string | number;

  constructor(
    outer: Field | undefined,
    step: string | number,
    value: unknown,
    { object, onDiagnostic }: Pick<Field, "object" | "onDiagnostic">,
  ) {
    this.object = object;
    this.value = value;
    this.onDiagnostic = onDiagnostic;
    this.#outer = outer;
    this.#step = step;
  }

  get path(): FieldPath {
    if (this.#outer === undefined) return [];
    const steps = [this.#step];
    let outer = this.#outer;
    while (outer instanceof InnerField && outer.#outer !== undefined) {
      steps.push(outer.#step);
      outer = outer.#outer;
    }
    steps.reverse();
    return outer instanceof InnerField ? steps : [...outer.path, ...steps];
  }
}

/** Reads text. */
export function readText(field: Field): string | undefined {
  if (field.value === undefined || typeof field.value === "string") return field.value;
  reportType(field, "a string");
  return undefined;
}

/** Reads a whole number. */
export function readInteger(field: Field): number | undefined {
  if (field.value === undefined) return undefined;
  if (typeof field.value === "number" && Number.isSafeInteger(field.value)) return field.value;
  reportType(field, "a whole number");
  return undefined;
}

/** Reads a number. */
export function readNumber(field: Field): number | undefined {
  if (field.value === undefined) return undefined;
  if (typeof field.value === "number" && Number.isFinite(field.value)) return field.value;
  reportType(field, "a number");
  return undefined;
}

/** Reads a truth value. */
export function readBoolean(field: Field): boolean | undefined {
  if (field.value === undefined || typeof field.value === "boolean") return field.value;
  reportType(field, "true or false");
  return undefined;
}

/** Reads a map of strings, such as labels. */
export function readTextMap(field: Field): ReadonlyMap<string, string> {
  if (field.value === undefined) return NO_TEXTS;
  const map = new Map<string, string>();
  for (const key of keysOf(field)) {
    const value = fieldOf(field, key);
    // Of a map, only null values are absent; the API server takes them as empty.
    const text = value.value === undefined ? "" : readText(value);
    if (text !== undefined) map.set(key, text);
  }
  return map;
}

const NO_TEXTS: ReadonlyMap<string, string> = new Map();

/**
 * Reports every field of a map that is not among the known ones, and a value that is no map.
 *
 * @param wrongWord what is meant by words that are not near the one they stand for
 */
export function checkKnownFields(
  field: Field,
  known: readonly string[],
  wrongWord?: { readonly written: string; readonly meant: string },
): void {
  if (!isRecord(field.value)) {
    if (field.value !== undefined) reportType(field, "a map");
    return;
  }
  for (const key in field.value) {
    if (known.includes(key)) continue;
    const { path } = fieldOf(field, key);
    const suggestion =
      key === wrongWord?.written ? `did you mean "${wrongWord.meant}"?` : suggestionFor(key, known);
    field.onDiagnostic({
      severity: "error",
      code: "UNKNOWN_FIELD",
      message: `${formatPath(path)}: unknown field "${key}"`,
      place: field.object.placeOf(path, "key"),
      ...(suggestion === undefined ? {} : { suggestion }),
    });
  }
}

/** Reports something about a field at its place, with its path before the sentence. */
export function reportField(
  field: Field,
  fault: {
    readonly code: DiagnosticCode;
    readonly message: string;
    /** `error` when absent. */
    readonly severity?: Diagnostic["severity"];
    readonly suggestion?: string | undefined;
  },
): void {
  const { code, message, severity = "error", suggestion } = fault;
  field.onDiagnostic({
    severity,
    code,
    message: `${formatPath(field.path)}: ${message}`,
    place: placeOfField(field),
    ...(suggestion === undefined ? {} : { suggestion }),
  });
}

/** The place of a field's value; of the nearest enclosing field when it is absent. */
export function placeOfField(field: Field): Place {
  return field.object.placeOf(field.path);
}

/** Formats a path as Kubernetes does: `spec.ingress[0].ports[1].port`. */
export function formatPath(path: FieldPath): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (!/^[A-Za-z_]\w*$/.test(step)) text += `[${step}]`;
    else text += text === "" ? step : `.${step}`;
  }
  return text;
}

/** Says which of the known words was probably meant; undefined when none is near. */
export function suggestionFor(word: string, known: readonly string[]): string | undefined {
  const lower = word.toLowerCase();
  const nearest = known
    .map((candidate) => ({ candidate, steps: distance(lower, candidate.toLowerCase()) }))
    .filter(({ candidate, steps }) => steps <= Math.floor((candidate.length + 2) / 3))
    .sort((one, other) => one.steps - other.steps)[0];
  return nearest === undefined ? undefined : `did you mean "${nearest.candidate}"?`;
}

/** Tells whether a value is a map. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function reportType(field: Field, wanted: string): void {
  const quote = wanted === "a string" && !isRecord(field.value) && !Array.isArray(field.value);
  const hint = quote ? ": put it in quotes" : "";
  reportField(field, {
    code: "BAD_VALUE",
    message: `must be ${wanted}, not ${describe(field.value)}${hint}`,
  });
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (isRecord(value)) return "a map";
  return typeof value === "string" ? `"${value}"` : `the ${typeof value} ${String(value)}`;
}
