/**
 * What a rollout makes of pods: where a workload's template is not what it was, its pods get what changes of
 * labels and containers. They keep their names, nodes and addresses, which nobody knows beforehand.
 */
import { isRecord } from "./fields.ts";
import type { ManifestObject } from "./manifest-object.ts";
import { asOwner, ownerKey, ownersOf, templatePath } from "./pods.ts";

/** The proposed objects, their pods as they are once workloads with another template have been rolled out. */
export function rollOut(
  current: readonly ManifestObject[],
  proposed: readonly ManifestObject[],
): ManifestObject[] {
  const before = templatesOf(current);
  const after = templatesOf(proposed);
  const changed = new Set(
    [...after].flatMap(([key, template]) =>
      JSON.stringify(before.get(key)) === JSON.stringify(template) ? [] : [key],
    ),
  );
  if (changed.size === 0) return [...proposed];
  const workloads = new Map(
    proposed
      .filter((object) => templatePath(object) !== undefined)
      .map((object) => [keyOf(object), object]),
  );
  return proposed.map((object) => {
    if (object.kind !== "Pod") return object;
    const owners = ownersOf(object, { workloads, onDiagnostic: () => undefined });
    const key = owners
      .map((owner) => ownerKey(object.metadata.namespace, owner))
      .find((each) => changed.has(each));
    return key === undefined ? object : remade(object, before.get(key), after.get(key));
  });
}

function templatesOf(objects: readonly ManifestObject[]): Map<string, unknown> {
  const templates = new Map<string, unknown>();
  for (const object of objects) {
    const path = templatePath(object);
    if (path === undefined) continue;
    templates.set(
      keyOf(object),
      path.reduce<unknown>((value, key) => fieldOf(value, key), object.value),
    );
  }
  return templates;
}

function keyOf(object: ManifestObject): string {
  return ownerKey(object.metadata.namespace, asOwner(object));
}

function remade(pod: ManifestObject, before: unknown, after: unknown): ManifestObject {
  const labels = new Map(pod.metadata.labels);
  for (const [key] of labelsOf(before)) labels.delete(key);
  for (const [key, value] of labelsOf(after)) labels.set(key, value);
  const value = isRecord(pod.value) ? pod.value : {};
  const metadata = isRecord(value["metadata"]) ? value["metadata"] : {};
  const spec = isRecord(value["spec"]) ? value["spec"] : {};
  const account = fieldOf(fieldOf(after, "spec"), "serviceAccountName");
  return {
    ...pod,
    metadata: { ...pod.metadata, labels },
    value: {
      ...value,
      metadata: { ...metadata, labels: Object.fromEntries(labels) },
      spec: {
        ...spec,
        ...containersOf(spec, before, after),
        ...(account === undefined ? {} : { serviceAccountName: account }),
      },
    },
  };
}

function labelsOf(template: unknown): [string, string][] {
  const labels = fieldOf(fieldOf(template, "metadata"), "labels");
  if (!isRecord(labels)) return [];
  return Object.entries(labels).flatMap(([key, value]) =>
    typeof value === "string" ? [[key, value] satisfies [string, string]] : [],
  );
}

/** Those of the template instead of those that it had; others were put beside them (sidecars). */
function containersOf(
  spec: Readonly<Record<string, unknown>>,
  before: unknown,
  after: unknown,
): Record<string, unknown> {
  const containers: Record<string, unknown> = {};
  for (const key of ["containers", "initContainers"]) {
    const of = (template: unknown): unknown[] => listOf(fieldOf(fieldOf(template, "spec"), key));
    const known = new Set([...of(before), ...of(after)].map((each) => fieldOf(each, "name")));
    const beside = listOf(spec[key]).filter((each) => !known.has(fieldOf(each, "name")));
    containers[key] = [...of(after), ...beside];
  }
  return containers;
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function fieldOf(value: unknown, key: string): unknown {
  return isRecord(value) ? value[key] : undefined;
}
