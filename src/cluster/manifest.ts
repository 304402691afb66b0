/**
 * Manifest files to Kubernetes objects with places. Every list and every document is unrolled, the
 * namespace default is applied, duplicates are refused; what an object means is for others to read.
 */
import type { OnDiagnostic, Place } from "../errors.ts";
import { formatPlace } from "../errors.ts";
import {
  fieldOf,
  isRecord,
  readText,
  readTextMap,
  recordOf,
  reportField,
  rootField,
  suggestionFor,
} from "./fields.ts";
import { homeGroup, isNamespaced, isStored, kindRole } from "./kinds.ts";
import type { FieldPart, FieldPath, ManifestObject, ManifestText } from "./manifest-object.ts";
import { readStoredMetadata } from "./stored-metadata.ts";
import { parseYaml, type PlacedValue } from "./yaml.ts";

/** A sentence part for a diagnostic, or nothing. */
type SuggestForDuplicate = (object: ManifestObject, first: ManifestObject) => string | undefined;

/**
 * Parses manifest files to objects, in the order written. An object with a fault in what identifies it
 * is reported and left out, as is the second of two with the same kind, namespace and name; the others
 * stand. Reports what `parseYaml` does, and EMPTY_FILE, FOREIGN_KIND (for documents that are no
 * objects), MISSING_FIELD, BAD_VALUE and DUPLICATE_OBJECT.
 *
 * @param suggest what may have been meant by an object that is there already
 */
export function parseManifests(
  texts: readonly ManifestText[],
  onDiagnostic: OnDiagnostic,
  suggest: SuggestForDuplicate = () => undefined,
): ManifestObject[] {
  const objects: ManifestObject[] = [];
  const firstByIdentity = new Map<string, ManifestObject>();
  const accept = (object: ManifestObject): void => {
    if (kindRole(object.apiVersion, object.kind) !== "foreign") {
      const identity = identityOf(object);
      const first = firstByIdentity.get(identity);
      if (first !== undefined) {
        onDiagnostic(duplicateOf(object, first, suggest(object, first)));
        return;
      }
      firstByIdentity.set(identity, object);
    }
    objects.push(object);
  };
  for (const text of texts) {
    let damaged = false;
    const documents = parseYaml(text, (diagnostic) => {
      damaged = true;
      onDiagnostic(diagnostic);
    });
    if (documents.length === 0 && !damaged) {
      onDiagnostic({
        severity: "warning",
        code: "EMPTY_FILE",
        message: "the file has no objects",
        place: { file: text.file },
      });
    }
    for (const document of documents) unroll(document, undefined, { accept, onDiagnostic });
  }
  return objects;
}

/** Puts objects in the place of those with the same kind, namespace and name; new ones come last. */
export function overlayManifests(
  objects: readonly ManifestObject[],
  changed: readonly ManifestObject[],
): ManifestObject[] {
  const byIdentity = new Map(changed.map((object) => [identityOf(object), object]));
  const known = new Set(objects.map(identityOf));
  return [
    ...objects.map((object) => byIdentity.get(identityOf(object)) ?? object),
    ...changed.filter((object) => !known.has(identityOf(object))),
  ];
}

interface Sink {
  readonly accept: (object: ManifestObject) => void;
  readonly onDiagnostic: OnDiagnostic;
}

/** What a typed list says of items that do not say it themselves. */
interface ItemKind {
  readonly apiVersion: string;
  readonly kind: string;
}

/** Hands on the object, or the objects of a list, and the objects of lists in it. */
function unroll(placed: PlacedValue, itemKind: ItemKind | undefined, sink: Sink): void {
  const { value } = placed;
  const place = placed.placeOf([]);
  const { onDiagnostic } = sink;
  if (Array.isArray(value)) {
    // > calicoctl reads a list of resources as it reads documents.
    if (value.some((item) => isRecord(item) && typeof item["kind"] === "string")) {
      for (const index of value.keys()) unroll(placed.at([index]), undefined, sink);
      return;
    }
    reportForeign("a list", place, onDiagnostic);
    return;
  }
  if (!isRecord(value)) {
    onDiagnostic({
      severity: "error",
      code: "BAD_YAML",
      message: "a document must be a Kubernetes object: a map with apiVersion and kind",
      place,
    });
    return;
  }
  const { items } = value;
  const kind = value["kind"] ?? itemKind?.kind;
  const apiVersion = value["apiVersion"] ?? itemKind?.apiVersion;
  if (Array.isArray(items) && (kind === undefined || isListKind(kind))) {
    if (kind === undefined) reportMissing(placed, value, "kind", onDiagnostic);
    const inner =
      typeof kind === "string" && kind !== "List" && typeof apiVersion === "string"
        ? { apiVersion, kind: kind.slice(0, -"List".length) }
        : undefined;
    for (const index of items.keys()) unroll(placed.at(["items", index]), inner, sink);
    return;
  }
  if (kind === "List" || (isListKind(kind) && !hasName(value))) {
    reportItems(placed, value, onDiagnostic);
    return;
  }
  if (kind === undefined && apiVersion === undefined && !isRecord(value["metadata"])) {
    reportForeign("a map with neither apiVersion nor kind", place, onDiagnostic);
    return;
  }
  if (typeof kind !== "string" || kind === "") {
    reportMissing(placed, value, "kind", onDiagnostic);
    return;
  }
  if (typeof apiVersion !== "string" || apiVersion === "") {
    reportMissing(placed, value, "apiVersion", onDiagnostic);
    return;
  }
  const object = identify({ placed, place, apiVersion, kind }, onDiagnostic);
  if (object !== undefined) sink.accept(object);
}

function isListKind(kind: unknown): boolean {
  return typeof kind === "string" && kind.endsWith("List");
}

function hasName({ metadata }: Record<string, unknown>): boolean {
  return isRecord(metadata) && metadata["name"] !== undefined;
}

/**
 * Reports what is wrong with the items of a list that has none to read. `kubectl get -o yaml` prints one
 * of nothing with null, and a List without the field.
 */
function reportItems(
  placed: PlacedValue,
  value: Record<string, unknown>,
  onDiagnostic: OnDiagnostic,
): void {
  const { kind, items } = value;
  const near = Object.keys(value).find((key) => suggestionFor(key, ["items"]) !== undefined);
  if (items !== undefined) {
    if (items === null) return;
    const [message, place] = ["items must be a list", placed.placeOf(["items"])];
    onDiagnostic({ severity: "error", code: "BAD_VALUE", message, place });
  } else if (near !== undefined) {
    const [message, place] = [`unknown field "${near}"`, placed.placeOf([near], "key")];
    const suggestion = 'did you mean "items"?';
    onDiagnostic({ severity: "error", code: "UNKNOWN_FIELD", message, place, suggestion });
  } else if (kind !== "List") {
    const [message, place] = ["the list has no items", placed.placeOf([])];
    onDiagnostic({ severity: "error", code: "MISSING_FIELD", message, place });
  }
}

function reportForeign(what: string, place: Place, onDiagnostic: OnDiagnostic): void {
  const message = `not a Kubernetes object but ${what}: not read`;
  onDiagnostic({ severity: "warning", code: "FOREIGN_KIND", message, place });
}

function reportMissing(
  placed: PlacedValue,
  value: Record<string, unknown>,
  key: "kind" | "apiVersion",
  onDiagnostic: OnDiagnostic,
): void {
  const present = value[key] !== undefined && value[key] !== null;
  const near = present
    ? undefined
    : Object.keys(value).find((other) => suggestionFor(other, [key]) !== undefined);
  onDiagnostic({
    severity: "error",
    code: present ? "BAD_VALUE" : "MISSING_FIELD",
    message: present ? `${key} must be a string that is not empty` : `the object has no ${key}`,
    place: near === undefined ? placed.placeOf([key]) : placed.placeOf([near], "key"),
    ...(near === undefined ? {} : { suggestion: `did you mean "${key}"?` }),
  });
}

const NO_METADATA = { name: "", namespace: "", labels: new Map<string, string>() };

/** Reads the metadata that every object has; undefined when it cannot be identified. */
function identify(
  {
    placed,
    place,
    apiVersion,
    kind,
  }: {
    placed: PlacedValue;
    place: Place;
    apiVersion: string;
    kind: string;
  },
  onDiagnostic: OnDiagnostic,
): ManifestObject | undefined {
  const bare = {
    apiVersion,
    kind,
    value: placed.value,
    place,
    placeOf: (path: FieldPath, part?: FieldPart) => placed.placeOf(path, part),
    metadata: NO_METADATA,
  };
  const foreign = kindRole(apiVersion, kind) === "foreign";
  let fine = true;
  const onFault: OnDiagnostic = (diagnostic) => {
    fine = false;
    // What nobody reads may be as odd as it likes.
    if (!foreign) onDiagnostic(diagnostic);
  };
  const metadata = recordOf(rootField(bare, onFault), "metadata");
  const stored = isStored(apiVersion) ? readStoredMetadata(metadata) : undefined;
  const name = stored?.name ?? readText(fieldOf(metadata, "name")) ?? "";
  const namespace = readText(fieldOf(metadata, "namespace")) ?? "";
  const own = readTextMap(fieldOf(metadata, "labels"));
  const labels = stored === undefined ? own : new Map([...own, ...stored.labels]);
  if (name === "" && fine) {
    reportField(fieldOf(metadata, "name"), {
      code: "MISSING_FIELD",
      message: "the object has no name",
    });
  }
  if (!fine && !foreign) return undefined;
  const home = namespace === "" ? "default" : namespace;
  return { ...bare, metadata: { name, namespace: isNamespaced(kind) ? home : "", labels } };
}

/** Kind, namespace and name; versions of one API are the same object. */
function identityOf({ apiVersion, kind, metadata }: ManifestObject): string {
  return JSON.stringify([homeGroup(apiVersion, kind), kind, metadata.namespace, metadata.name]);
}

function duplicateOf(
  object: ManifestObject,
  first: ManifestObject,
  suggestion: string | undefined,
): Parameters<OnDiagnostic>[0] {
  const { namespace, name } = object.metadata;
  const full = namespace === "" ? name : `${namespace}/${name}`;
  return {
    severity: "error",
    code: "DUPLICATE_OBJECT",
    message: `${object.kind} ${full} is already at ${formatPlace(first.place)}`,
    place: object.placeOf(["metadata", "name"]),
    ...(suggestion === undefined ? {} : { suggestion }),
  };
}
