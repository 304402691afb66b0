/** Calico's NetworkSet and GlobalNetworkSet: addresses with labels. */
import type { OnDiagnostic } from "../errors.ts";
import { checkKnownFields, fieldOf, itemsOf, recordOf, reportField, rootField } from "./fields.ts";
import type { ManifestObject } from "./manifest-object.ts";
import { readNet } from "./read-network.ts";
import type { NetworkSet } from "./snapshot.ts";

/** Reads a set; what is no prefix or address was reported and is left out. */
export function readNetworkSet(object: ManifestObject, onDiagnostic: OnDiagnostic): NetworkSet {
  const root = rootField(object, onDiagnostic);
  checkKnownFields(root, ["apiVersion", "kind", "metadata", "spec"]);
  const spec = recordOf(root, "spec");
  const domains = fieldOf(spec, "allowedEgressDomains");
  if (domains.value !== undefined) {
    reportField(domains, {
      code: "UNSUPPORTED_FEATURE",
      message: "domain names are not read: which addresses they stand for is known to no manifest",
    });
  }
  checkKnownFields(spec, ["nets", "allowedEgressDomains"]);
  const { namespace, name, labels } = object.metadata;
  return {
    namespace: namespace === "" ? undefined : namespace,
    name,
    labels,
    prefixes: itemsOf(fieldOf(spec, "nets"))
      .map(readNet)
      .filter((net) => net !== undefined),
    place: object.place,
  };
}
