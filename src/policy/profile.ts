/**
 * projectcalico.org/v3 Profile. In a Kubernetes cluster Calico makes them itself: that of a namespace
 * allows everything, that of a service account has no rules, and no pod has any other. Those that a
 * cluster prints are read to see that they say just that.
 * Source: libcalico-go conversion.go, NamespaceToProfile and ServiceAccountToProfile.
 */
import {
  checkKnownFields,
  fieldOf,
  readTextMap,
  recordOf,
  reportField,
  rootField,
} from "../cluster/fields.ts";
import { API_VERSIONS_OF_CALICO } from "../cluster/kinds.ts";
import type { ManifestObject } from "../cluster/manifest-object.ts";
import type { OnDiagnostic } from "../errors.ts";
import { readMatchRules } from "./calico-rule.ts";
import { checkMetadata } from "./metadata.ts";
import type { MatchRule, RuleSide } from "./model.ts";

/** Tells whether an object is a Profile, in Calico's API or as it is stored. */
export function isProfile({ apiVersion, kind }: ManifestObject): boolean {
  return kind === "Profile" && API_VERSIONS_OF_CALICO.includes(apiVersion);
}

/** Checks a profile. Reports what the fields report, and UNSUPPORTED_FEATURE for rules of its own. */
export function checkProfile(object: ManifestObject, onDiagnostic: OnDiagnostic): void {
  const root = rootField(object, onDiagnostic);
  checkKnownFields(root, ["apiVersion", "kind", "metadata", "spec", "status"]);
  checkMetadata(root, "cluster-wide");
  const spec = recordOf(root, "spec");
  checkKnownFields(spec, ["ingress", "egress", "labelsToApply"]);
  readTextMap(fieldOf(spec, "labelsToApply"));
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
