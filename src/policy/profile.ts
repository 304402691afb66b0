/**
 * projectcalico.org/v3 Profile. In a Kubernetes cluster Calico makes them itself: that of a namespace
 * allows everything, that of a service account has no rules, both hand on their object's labels, and no
 * pod has any other. Those that a cluster prints are read to see that they say just that.
 * Source: libcalico-go conversion.go, NamespaceToProfile and ServiceAccountToProfile.
 */
import {
  checkKnownFields,
  fieldOf,
  readTextMap,
  recordOf,
  reportField,
  rootField,
  type Field,
} from "../cluster/fields.ts";
import { API_VERSIONS_OF_CALICO, kindRole } from "../cluster/kinds.ts";
import type { ManifestObject } from "../cluster/manifest-object.ts";
import { NAMESPACE_NAME_LABEL, readNamespace } from "../cluster/nodes.ts";
import type { Labels } from "../cluster/snapshot.ts";
import type { OnDiagnostic } from "../errors.ts";
import { NAME_KEY, NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX } from "./calico-labels.ts";
import { readMatchRules } from "./calico-rule.ts";
import { checkMetadata } from "./metadata.ts";
import type { MatchRule, RuleSide } from "./model.ts";

/** Tells whether an object is a Profile, in Calico's API or as it is stored. */
export function isProfile({ apiVersion, kind }: ManifestObject): boolean {
  return kind === "Profile" && API_VERSIONS_OF_CALICO.includes(apiVersion);
}

/** The labels of profiles by their names, as Calico makes them of the namespaces and accounts there are. */
export function profileLabels(objects: readonly ManifestObject[]): Map<string, Labels> {
  const labelsByName = new Map<string, Labels>();
  for (const object of objects) {
    const { apiVersion, kind, metadata } = object;
    if (kindRole(apiVersion, kind) !== "cluster") continue;
    if (kind === "Namespace") {
      const { name, labels } = readNamespace(object);
      labelsByName.set(`kns.${name}`, prefixed(NAMESPACE_PREFIX, name, labels));
    } else if (kind === "ServiceAccount") {
      const { namespace, name, labels } = metadata;
      labelsByName.set(`ksa.${namespace}.${name}`, prefixed(SERVICE_ACCOUNT_PREFIX, name, labels));
    }
  }
  return labelsByName;
}

function prefixed(prefix: string, name: string, labels: Labels): Labels {
  const all = [...labels, [NAME_KEY, name] as const];
  return new Map(all.map(([key, value]) => [prefix + key, value]));
}

/**
 * Checks a profile. Reports what the fields report, and UNSUPPORTED_FEATURE for rules and labels of its
 * own.
 *
 * @param labels what the object has that the profile is made of; undefined: there is no such object
 */
export function checkProfile(
  object: ManifestObject,
  labels: Labels | undefined,
  onDiagnostic: OnDiagnostic,
): void {
  const root = rootField(object, onDiagnostic);
  checkKnownFields(root, ["apiVersion", "kind", "metadata", "spec", "status"]);
  checkMetadata(root, "cluster-wide");
  const spec = recordOf(root, "spec");
  checkKnownFields(spec, ["ingress", "egress", "labelsToApply"]);
  if (labels !== undefined) checkLabels(fieldOf(spec, "labelsToApply"), labels);
  const { name } = object.metadata;
  for (const direction of ["ingress", "egress"] as const) {
    const field = fieldOf(spec, direction);
    const rules = readMatchRules(field, undefined);
    const [first] = rules;
    const allows = rules.length === 1 && first !== undefined && allowsEverything(first);
    const expected = name.startsWith("kns.")
      ? allows
      : // Others are of host endpoints only, which ask for no profile here.
        !name.startsWith("ksa.") || rules.length === 0;
    if (expected) continue;
    const what = name.startsWith("kns.") ? "allows everything" : "has no rules";
    reportField(field, {
      code: "UNSUPPORTED_FEATURE",
      message: `in a Kubernetes cluster profile ${name} ${what}: other rules are not judged`,
    });
  }
}

function checkLabels(field: Field, labels: Labels): void {
  const written = readTextMap(field);
  for (const key of new Set([...labels.keys(), ...written.keys()])) {
    const value = labels.get(key);
    if (written.get(key) === value) continue;
    // Older releases of Calico and of Kubernetes give no labels of names.
    if (!written.has(key) && NAME_LABELS.has(key)) continue;
    const what = value === undefined ? `no label ${key}` : `label ${key} "${value}"`;
    reportField(written.has(key) ? fieldOf(field, key) : field, {
      code: "UNSUPPORTED_FEATURE",
      message: `in a Kubernetes cluster this profile has ${what}, by its object's labels: others are not judged`,
    });
  }
}

const NAME_LABELS: ReadonlySet<string> = new Set([
  NAMESPACE_PREFIX + NAMESPACE_NAME_LABEL,
  NAMESPACE_PREFIX + NAME_KEY,
  SERVICE_ACCOUNT_PREFIX + NAME_KEY,
]);

function allowsEverything(rule: MatchRule): boolean {
  const { action, family, protocol, notProtocol, source, destination } = rule;
  const conditions = [family, protocol, notProtocol];
  return (
    action === "allow" &&
    conditions.every((condition) => condition === undefined) &&
    [source, destination].every(asksNothing)
  );
}

function asksNothing(side: RuleSide): boolean {
  const lists = [side.nets, side.notNets, side.ports, side.notPorts];
  const choices = [side.selector, side.notSelector, side.service];
  return (
    lists.every(({ length }) => length === 0) && choices.every((choice) => choice === undefined)
  );
}
