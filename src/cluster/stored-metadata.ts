/**
 * What Calico keeps of an object's metadata in an annotation, where it stores the object as a custom resource: labels that
 * are not its own, and the name of a policy, which the resource has with the tier before it.
 * Source: libcalico-go lib/backend/k8s/resources/resources.go, ConvertK8sResourceToCalicoResource().
 */
import {
  fieldOf,
  isRecord,
  readText,
  readTextMap,
  reportField,
  withValue,
  type Field,
} from "./fields.ts";

const ANNOTATION = "projectcalico.org/metadata";

/** What the annotation tells, and tells better than the resource does. */
export interface StoredMetadata {
  /** Undefined: it is the resource's. */
  readonly name: string | undefined;
  readonly labels: ReadonlyMap<string, string>;
}

/** Reads the annotation of an object's metadata. Reports BAD_VALUE for one that is no JSON, and what its fields report. */
export function readStoredMetadata(metadata: Field): StoredMetadata {
  const field = fieldOf(fieldOf(metadata, "annotations"), ANNOTATION);
  const text = readText(field);
  if (text === undefined) return NOTHING;
  const stored = withValue(field, parse(text));
  // Go reads null as nothing.
  if (stored.value === null) return NOTHING;
  if (!isRecord(stored.value)) {
    reportField(field, {
      code: "BAD_VALUE",
      message: "is no metadata in JSON, where Calico keeps labels, and names of policies",
    });
    return NOTHING;
  }
  const name = readText(fieldOf(stored, "name"));
  return {
    name: name === "" ? undefined : name,
    labels: readTextMap(fieldOf(stored, "labels")),
  };
}

const NOTHING: StoredMetadata = { name: undefined, labels: new Map() };

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
