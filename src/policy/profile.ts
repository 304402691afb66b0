/**
 * projectcalico.org/v3 Profile. In a Kubernetes cluster Calico makes those of pods itself: that of a
 * namespace allows everything, that of a service account has no rules, both hand on their object's labels,
 * and no pod has any other. Those that a cluster prints are read to see that they say just that. Others
 * are of host endpoints, and have rules of their own.
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
import { DEFAULT_ALLOW_PROFILE } from "../cluster/host-endpoints.ts";
import type { OnDiagnostic, Place } from "../errors.ts";
import { NAME_KEY, NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX } from "./calico-labels.ts";
import { readMatchRules } from "./calico-rule.ts";
import { checkMetadata } from "./metadata.ts";
import type { MatchRule, RuleSide } from "./model.ts";

/** Tells whether an object is a Profile, in Calico's API or as it is stored. */
export function isProfile({ apiVersion, kind }: ManifestObject): boolean {
  return kind === "Profile" && API_VERSIONS_OF_CALICO.includes(apiVersion);
}

/** What a host endpoint's profile lets through where no policy has a say. */
export interface Profile {
  readonly name: string;
  readonly ingress: readonly MatchRule[];
  readonly egress: readonly MatchRule[];
  /** Undefined: Calico's own. */
  readonly place: Place | undefined;
}

/** Lowers the profiles that host endpoints can have, by name. Reports what the fields report. */
export function lowerProfiles(
  objects: readonly ManifestObject[],
  onDiagnostic: OnDiagnostic,
): Map<string, Profile> {
  const own = objects.filter(isProfile).filter(({ metadata }) => !isOfPods(metadata.name));
  return new Map(
    own.map((object) => {
      const root = rootField(object, onDiagnostic);
      checkKnownFields(root, ["apiVersion", "kind", "metadata", "spec", "status"]);
      checkMetadata(root, "cluster-wide");
      const spec = recordOf(root, "spec");
      checkKnownFields(spec, ["ingress", "egress", "labelsToApply"]);
      readTextMap(fieldOf(spec, "labelsToApply"));
      const { name } = object.metadata;
      const rulesOf = (direction: "ingress" | "egress"): MatchRule[] =>
        readMatchRules(fieldOf(spec, direction), undefined);
      const place = object.placeOf(["metadata", "name"]);
      return [name, { name, ingress: rulesOf("ingress"), egress: rulesOf("egress"), place }];
    }),
  );
}

/** What a profile does that is there without an object; undefined: there is none. */
export function builtInProfile(name: string): "allows" | "no rules" | undefined {
  if (name === DEFAULT_ALLOW_PROFILE || name.startsWith(NAMESPACE_PROFILE)) return "allows";
  return name.startsWith(ACCOUNT_PROFILE) ? "no rules" : undefined;
}

/** Those of namespaces and service accounts. */
function isOfPods(name: string): boolean {
  return name.startsWith(NAMESPACE_PROFILE) || name.startsWith(ACCOUNT_PROFILE);
}

const NAMESPACE_PROFILE = "kns.";
const ACCOUNT_PROFILE = "ksa.";

/** The labels of profiles by their names, as Calico makes them of the namespaces and accounts there are. */
export function profileLabels(objects: readonly ManifestObject[]): Map<string, Labels> {
  const labelsByName = new Map<string, Labels>();
  for (const object of objects) {
    const { apiVersion, kind, metadata } = object;
    if (kindRole(apiVersion, kind) !== "cluster") continue;
    if (kind === "Namespace") {
      const { name, labels } = readNamespace(object);
      labelsByName.set(`${NAMESPACE_PROFILE}${name}`, prefixed(NAMESPACE_PREFIX, name, labels));
    } else if (kind === "ServiceAccount") {
      const { namespace, name, labels } = metadata;
      labelsByName.set(
        `${ACCOUNT_PROFILE}${namespace}.${name}`,
        prefixed(SERVICE_ACCOUNT_PREFIX, name, labels),
      );
    }
  }
  return labelsByName;
}

function prefixed(prefix: string, name: string, labels: Labels): Labels {
  const all = [...labels, [NAME_KEY, name] as const];
  return new Map(all.map(([key, value]) => [prefix + key, value]));
}

/**
 * Checks a profile of pods. Reports what the fields report, and UNSUPPORTED_FEATURE for rules and labels
 * of its own; others are left to `lowerProfiles`.
 *
 * @param labels what the object has that the profile is made of; undefined: there is no such object
 */
export function checkProfile(
  object: ManifestObject,
  labels: Labels | undefined,
  onDiagnostic: OnDiagnostic,
): void {
  if (!isOfPods(object.metadata.name)) return;
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
    if (name.startsWith(NAMESPACE_PROFILE) ? allows : rules.length === 0) continue;
    const what = name.startsWith(NAMESPACE_PROFILE) ? "allows everything" : "has no rules";
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
