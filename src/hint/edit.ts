/**
 * What a hint changes in the manifests: an item that goes into a list of a policy, or a policy of its own.
 * Applied to the objects, so that the change can be judged, and told as a place in the file with its text.
 */
import { stringify } from "yaml";
import { isRecord } from "../cluster/fields.ts";
import type { FieldPath, ManifestObject } from "../cluster/manifest-object.ts";
import type { Place } from "../errors.ts";
import type { HintEdit, Insertion } from "../report/hints.ts";

/** Plain data, as manifests hold. */
export type Plain =
  string | number | boolean | readonly Plain[] | { readonly [key: string]: Plain | undefined };

/** One change; every index is that of the list as it is written. */
export type Edit =
  | {
      readonly kind: "insert";
      readonly object: ManifestObject;
      /** The list; perhaps it is not there yet. */
      readonly list: FieldPath;
      /** Before which item; the list's length: behind the last. */
      readonly index: number;
      readonly item: Plain;
      /** What comes first in the list decides. */
      readonly ordered: boolean;
    }
  | {
      readonly kind: "policy";
      readonly value: NewPolicy;
      /** The file that it could stand in. */
      readonly file: string;
    };

/** A policy that is not there yet. */
export interface NewPolicy {
  readonly [key: string]: Plain;
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** The objects with the changes made. */
export function applyEdits(
  objects: readonly ManifestObject[],
  edits: readonly Edit[],
): ManifestObject[] {
  const byObject = new Map<ManifestObject, (Edit & { readonly kind: "insert" })[]>();
  for (const edit of edits) {
    if (edit.kind !== "insert") continue;
    byObject.set(edit.object, [...(byObject.get(edit.object) ?? []), edit]);
  }
  const changed = objects.map((object) => {
    const own = byObject.get(object);
    if (own === undefined) return object;
    const value: unknown = structuredClone(object.value);
    // What lies deeper and further behind comes first: no index has moved then.
    const ordered = own.toSorted(
      (one, other) => other.list.length - one.list.length || other.index - one.index,
    );
    for (const { list, index, item } of ordered) insert(value, list, { index, item });
    return { ...object, value };
  });
  return [
    ...changed,
    ...edits.flatMap((edit) => (edit.kind === "policy" ? [newObject(edit)] : [])),
  ];
}

function insert(
  value: unknown,
  path: FieldPath,
  { index, item }: { readonly index: number; readonly item: Plain },
): void {
  let outer = value;
  for (const step of path.slice(0, -1)) outer = stepInto(outer, step);
  const key = path.at(-1);
  if (typeof key !== "string" || !isRecord(outer)) throw new Error("bug: no list can be there");
  const list: unknown = outer[key];
  if (Array.isArray(list)) list.splice(index, 0, item);
  else outer[key] = [item];
}

function stepInto(value: unknown, step: string | number): unknown {
  if (typeof step === "number") return Array.isArray(value) ? (value[step] as unknown) : undefined;
  return isRecord(value) ? value[step] : undefined;
}

function newObject({ value, file }: Edit & { readonly kind: "policy" }): ManifestObject {
  const { apiVersion, kind, metadata } = value;
  const place = { file };
  return {
    ...{ apiVersion, kind, value, place },
    placeOf: () => place,
    metadata: { name: metadata.name, namespace: metadata.namespace ?? "", labels: new Map() },
  };
}

/**
 * Where a rule of a changed policy was before the change.
 *
 * @param index of the rule now
 * @returns undefined for a rule that was put there
 */
export function indexBefore(
  edits: readonly Edit[],
  object: ManifestObject,
  list: FieldPath,
  index: number,
): number | undefined {
  const key = list.join(".");
  const inserted = edits
    .flatMap((edit) =>
      edit.kind === "insert" && edit.object === object && edit.list.join(".") === key
        ? [edit.index]
        : [],
    )
    .sort((one, other) => one - other);
  let before = 0;
  for (const place of inserted) {
    if (place + before === index) return undefined;
    if (place + before < index) before++;
  }
  return index - before;
}

/** Tells of a change where it goes, and as which text. */
export function tellEdit(edit: Edit, textOf: (file: string) => string | undefined): HintEdit {
  if (edit.kind === "policy") {
    const { value, file } = edit;
    const { kind, metadata } = value;
    const yaml = toYaml(value);
    return {
      ...{ kind, namespace: metadata.namespace, name: metadata.name, yaml },
      list: undefined,
      place: { file },
      way: "new",
      insertion: insertionOfPolicy(file, yaml, textOf(file)),
    };
  }
  const { object, list, index, item, ordered } = edit;
  const { namespace, name } = object.metadata;
  const items = itemsAt(object, list);
  const beside = items !== undefined && index < items.length && index > 0;
  return {
    ...{ kind: object.kind, namespace: namespace === "" ? undefined : namespace, name },
    list: pathText(list),
    place: beside ? object.placeOf([...list, index]) : object.placeOf(list, "key"),
    way: beside ? "above" : ordered ? "first" : "in",
    yaml: toYaml([item]),
    insertion: insertionOfItem(edit, items, textOf(object.place.file)),
  };
}

/** Tells whether the item is the first of its list: as text, two such changes of a list cannot both be made. */
export function beginsList(edit: Edit): boolean {
  return edit.kind === "insert" && (itemsAt(edit.object, edit.list)?.length ?? 0) === 0;
}

/** `spec.ingress[1].from`. */
function pathText(path: FieldPath): string {
  return path
    .map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`))
    .join("")
    .slice(1);
}

function itemsAt(object: ManifestObject, list: FieldPath): readonly unknown[] | undefined {
  let value = object.value;
  for (const step of list) value = stepInto(value, step);
  return Array.isArray(value) ? value : undefined;
}

function toYaml(value: Plain): string {
  return stringify(value, { lineWidth: 0 });
}

/** JSON with spaces: a flow collection of YAML, too. */
function toFlow(value: Plain | undefined): string {
  if (Array.isArray(value)) return `[${value.map((each: Plain) => toFlow(each)).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}: ${toFlow(inner)}`).join(", ")}}`;
}

/** Undefined: the file cannot hold another document, or nobody has its text. */
function insertionOfPolicy(
  file: string,
  yaml: string,
  text: string | undefined,
): Insertion | undefined {
  if (text === undefined || /^\s*[[{]/.test(text)) return undefined;
  const lines = text.split("\n");
  const last = lines.at(-1) ?? "";
  // A text that ends in a line end goes on at the line behind it.
  const column = last.length + 1;
  return { file, line: lines.length, column, text: `${last === "" ? "" : "\n"}---\n${yaml}` };
}

function insertionOfItem(
  { object, list, index, item }: Edit & { readonly kind: "insert" },
  items: readonly unknown[] | undefined,
  text: string | undefined,
): Insertion | undefined {
  if (text === undefined) return undefined;
  const lines = text.split("\n");
  const at = items !== undefined && items.length > 0 ? object.placeOf([...list, index]) : undefined;
  if (at !== undefined) {
    const before = textBefore(lines, at);
    if (before === undefined) return undefined;
    const dash = /^( *)- +$/.exec(before);
    if (dash !== null) {
      // What a comment is about stays below it.
      let { line = 1 } = at;
      while (/^ *#/.test(lines[line - 2] ?? "")) line--;
      return lineAbove({ ...at, line }, indent(toYaml([item]), dash[1]?.length ?? 0));
    }
    return { ...fullPlace(at), text: `${toFlow(item)}, ` };
  }
  // An empty list, or none yet: it goes into the map around it.
  const key = list.at(-1);
  if (typeof key !== "string") return undefined;
  const outer = list.slice(0, -1);
  if (items !== undefined) {
    const place = object.placeOf(list);
    const line = lines[(place.line ?? 0) - 1];
    if (place.column === undefined || line?.[place.column - 1] !== "[") return undefined;
    return { ...fullPlace(place), column: place.column + 1, text: toFlow(item) };
  }
  const place = object.placeOf(outer);
  const before = textBefore(lines, place);
  if (before === undefined || place.column === undefined) return undefined;
  if (lines[(place.line ?? 0) - 1]?.[place.column - 1] === "{") {
    const flow = `${JSON.stringify(key)}: [${toFlow(item)}], `;
    return { ...fullPlace(place), column: place.column + 1, text: flow };
  }
  if (!/^ *$/.test(before)) return undefined;
  return lineAbove(place, indent(toYaml({ [key]: [item] }), before.length));
}

function textBefore(lines: readonly string[], { line, column }: Place): string | undefined {
  if (line === undefined || column === undefined) return undefined;
  return lines[line - 1]?.slice(0, column - 1);
}

function lineAbove({ file, line = 1 }: Place, text: string): Insertion {
  return { file, line, column: 1, text };
}

function fullPlace({ file, line = 1, column = 1 }: Place): Omit<Insertion, "text"> {
  return { file, line, column };
}

function indent(text: string, by: number): string {
  return text.replace(/^(?=.)/gm, " ".repeat(by));
}
