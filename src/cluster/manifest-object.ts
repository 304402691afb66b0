/** What a manifest file holds: its text, and the objects in it with the place of every field. */
import type { Place } from "../errors.ts";
import type { TextBytes } from "./text-bytes.ts";

/** One manifest file's text. */
export interface ManifestText {
  readonly file: string;
  readonly text: string;
  /** The same as bytes, where they are at hand: then the string is asked for where it is needed, and seldom is. */
  readonly encoded?: TextBytes;
}

/** The steps from a value to a value inside it: keys and list positions. */
export type FieldPath = readonly (string | number)[];

/** What of a field is meant, if not all of its value: its name, or a character of its text. */
export type FieldPart = "key" | number;

/** One Kubernetes object as written, with the place of everything in it. */
export interface ManifestObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMetadata;
  /** The whole object as plain data: maps are null-prototype records. */
  readonly value: unknown;
  /** The place of the object. */
  readonly place: Place;
  /**
   * The place of a field, by its path; the nearest enclosing field when the path does not exist.
   * With `"key"` the place of the field's name instead of its value, with a number that of the character
   * there, from 0, of a text.
   */
  placeOf(path: FieldPath, part?: FieldPart): Place;
}

export interface ObjectMetadata {
  /** Empty when the object has none, which only kinds that nobody reads may. */
  readonly name: string;
  /** `default` when a namespaced kind has none; empty for cluster-wide kinds. */
  readonly namespace: string;
  readonly labels: ReadonlyMap<string, string>;
}
