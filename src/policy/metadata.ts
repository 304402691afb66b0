/** What `metadata` of a policy may hold. Its names change no verdict, so that faults in them are warnings. */
import { checkKnownFields, fieldOf, readText, reportField } from "../cluster/fields.ts";
import type { Field } from "../cluster/fields.ts";
import { isDnsLabel, isDnsSubdomain } from "../cluster/read-selector.ts";

const METADATA_FIELDS = [
  "annotations",
  "clusterName",
  "creationTimestamp",
  "deletionGracePeriodSeconds",
  "deletionTimestamp",
  "finalizers",
  "generateName",
  "generation",
  "labels",
  "managedFields",
  "name",
  "namespace",
  "ownerReferences",
  "resourceVersion",
  "selfLink",
  "uid",
];

/** Checks the metadata of an object that lives in a namespace, or, `cluster-wide`, in none. */
export function checkMetadata(root: Field, scope: "namespaced" | "cluster-wide"): void {
  const metadata = fieldOf(root, "metadata");
  checkKnownFields(metadata, METADATA_FIELDS);
  const { name, namespace } = root.object.metadata;
  if (!isDnsSubdomain(name)) {
    reportField(fieldOf(metadata, "name"), {
      severity: "warning",
      code: "BAD_VALUE",
      message: `"${name}" is no object name: lower-case letters, digits, "-" and ".", at most 253`,
    });
  }
  const namespaceField = fieldOf(metadata, "namespace");
  if (scope === "namespaced" && !isDnsLabel(namespace)) {
    reportField(namespaceField, {
      severity: "warning",
      code: "BAD_VALUE",
      message: `"${namespace}" is no namespace name: lower-case letters, digits and "-", at most 63`,
    });
  }
  const written = scope === "cluster-wide" ? readText(namespaceField) : undefined;
  if (written !== undefined && written !== "") {
    reportField(namespaceField, {
      severity: "warning",
      code: "BAD_VALUE",
      message: `objects of kind ${root.object.kind} are in no namespace: "${written}" says nothing`,
    });
  }
}
