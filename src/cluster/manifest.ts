/**
 * YAML and JSON text to objects with places. Every `List` and every document is unrolled; kinds that we
 * do not read are listed, never skipped silently.
 */
import type { OnDiagnostic, Place } from "../errors.ts";

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
   * With `"key"` the place of the field's name instead of its value.
   */
  placeOf(path: readonly (string | number)[], part?: "key"): Place;
}

export interface ObjectMetadata {
  readonly name: string;
  /** `default` when a namespaced kind has none; empty for cluster-wide kinds. */
  readonly namespace: string;
  readonly labels: ReadonlyMap<string, string>;
}

/** One manifest file's text. */
export interface ManifestText {
  readonly file: string;
  readonly text: string;
}

/** Parses manifest files to objects, in the order written. */
export function parseManifests(
  texts: readonly ManifestText[],
  onDiagnostic: OnDiagnostic,
): ManifestObject[] {
  throw new Error(`bug: not written yet ${texts.length} ${typeof onDiagnostic}`);
}
