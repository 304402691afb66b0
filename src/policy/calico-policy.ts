/**
 * What Calico's policy kinds have in common: the spec with tier, order, selectors, types and rules, its
 * defaults, and the lowering. The kinds differ in their fields, each in a file of its own.
 * Sources: api/pkg/apis/projectcalico/v3 (networkpolicy.go, globalnetworkpolicy.go), api/pkg/defaults
 * networkpolicy.go; libcalico-go updateprocessors (networkpolicyprocessor.go,
 * globalnetworkpolicyprocessor.go).
 */
import {
  checkKnownFields,
  fieldOf,
  itemsOf,
  itemsOfList,
  placeOfField,
  readBoolean,
  readNumber,
  readText,
  recordOf,
  reportField,
  rootField,
  suggestionFor,
  type Field,
} from "../cluster/fields.ts";
import { API_VERSIONS_OF_CALICO } from "../cluster/kinds.ts";
import type { ManifestObject } from "../cluster/manifest-object.ts";
import { readExpression } from "../cluster/read-selector.ts";
import { ALL, conjunctionOf, mapConditions } from "../cluster/selector-expression.ts";
import type { SelectorExpression } from "../cluster/selector-expression.ts";
import type { Place } from "../errors.ts";
import { LABEL_NAMESPACE, LABEL_SERVICE_ACCOUNT } from "./calico-labels.ts";
import {
  inNamespace,
  namespaceExpression,
  readMatchRules,
  serviceAccountExpression,
} from "./calico-rule.ts";
import type { LowerContext, PolicyKind } from "./kind.ts";
import { checkMetadata } from "./metadata.ts";
import type { Direction, HostLayer, Policy, PolicyKindName } from "./model.ts";
import { readStagedAction } from "./staged.ts";
import { calicoSubjectText } from "./subject-text.ts";

/** What tells one of Calico's policy kinds from the others. */
export interface CalicoKind {
  readonly name: PolicyKindName;
  readonly scope: "namespaced" | "cluster-wide";
  readonly staged: boolean;
}

/** Makes the kinds that a kind of Calico's is, one for each of its groups. */
export function calicoKinds(
  kind: string,
  lower: (object: ManifestObject, context: LowerContext) => Policy | undefined,
): PolicyKind[] {
  return API_VERSIONS_OF_CALICO.map((apiVersion) => ({
    apiVersion,
    kind,
    lower,
  }));
}

const COMMON_FIELDS = [
  "tier",
  "order",
  "selector",
  "serviceAccountSelector",
  "types",
  "ingress",
  "egress",
  "performanceHints",
];
const GLOBAL_FIELDS = ["namespaceSelector", "applyOnForward", "preDNAT", "doNotTrack"];

/** Checks and lowers a policy; undefined when there was an error. */
export function lowerCalicoPolicy(
  object: ManifestObject,
  { name: kind, scope, staged }: CalicoKind,
  { onDiagnostic, tiers }: LowerContext,
): Policy | undefined {
  let fine = true;
  const root = rootField(object, (diagnostic) => {
    if (diagnostic.severity === "error") fine = false;
    onDiagnostic(diagnostic);
  });
  checkKnownFields(root, ["apiVersion", "kind", "metadata", "spec", "status"]);
  checkMetadata(root, scope);
  const spec = recordOf(root, "spec");
  checkKnownFields(spec, [
    ...COMMON_FIELDS,
    ...(scope === "cluster-wide" ? GLOBAL_FIELDS : []),
    ...(staged ? ["stagedAction"] : []),
  ]);
  const { name } = object.metadata;
  const namespace = scope === "namespaced" ? object.metadata.namespace : undefined;
  const stagedAction = staged ? readStagedAction(fieldOf(spec, "stagedAction")) : undefined;
  const tier = tiers.read(fieldOf(spec, "tier"), staged);
  const order = readNumber(fieldOf(spec, "order")) ?? Infinity;
  const expression = readSubject(spec, namespace);
  const ingressField = fieldOf(spec, "ingress");
  const egressField = fieldOf(spec, "egress");
  const ingress = readMatchRules(ingressField, namespace);
  const egress = readMatchRules(egressField, namespace);
  refuseServices(ingressField, "destination");
  refuseServices(egressField, "source");
  checkHints(fieldOf(spec, "performanceHints"));
  const host = readHostLayer(spec);
  const places = readTypes(spec, { ingress: ingress.length > 0, egress: egress.length > 0 });
  if (!fine) return undefined;
  const place = object.placeOf(["metadata", "name"]);
  return {
    ref: { kind, namespace, name, place },
    tier,
    order,
    subject: { kind: "expression", expression, text: calicoSubjectText(spec, namespace) },
    ingress: places.ingress === undefined ? undefined : ingress,
    egress: places.egress === undefined ? undefined : egress,
    ingressPlace: places.ingress ?? placeOfField(spec),
    egressPlace: places.egress ?? placeOfField(spec),
    ...(host === undefined ? {} : { host }),
    ...(stagedAction === undefined ? {} : { stagedAction }),
  };
}

/** > (selector) && namespace && (pcns. namespaceSelector) && (pcsa. serviceAccountSelector) */
function readSubject(spec: Field, namespace: string | undefined): SelectorExpression {
  const selector = readExpression(fieldOf(spec, "selector"));
  const own = inNamespace(namespace);
  const namespaces = readExpression(fieldOf(spec, "namespaceSelector"));
  const accounts = readExpression(fieldOf(spec, "serviceAccountSelector"));
  let parts = [selector, own].filter((part) => part !== undefined);
  if (namespaces !== undefined) {
    // Also in `selector`: whoever says all() then means everything that is in a namespace.
    parts = [...parts, namespaceExpression(namespaces)].map((part) =>
      allBecomes(part, LABEL_NAMESPACE),
    );
  }
  if (accounts !== undefined) {
    parts = [...parts, serviceAccountExpression(accounts)];
    // Not in a namespace: there all() stays all.
    if (namespace === undefined) {
      parts = parts.map((part) => allBecomes(part, LABEL_SERVICE_ACCOUNT));
    }
  }
  return parts.length === 0 ? ALL : conjunctionOf(parts);
}

function allBecomes(expression: SelectorExpression, label: string): SelectorExpression {
  return mapConditions(expression, (condition) =>
    condition.kind === "all" ? { kind: "has", label } : condition,
  );
}

/** Reads which traffic of host endpoints the policy is for; undefined: what they send and get themselves. */
function readHostLayer(spec: Field): HostLayer | undefined {
  const preDnatField = fieldOf(spec, "preDNAT");
  const untrackedField = fieldOf(spec, "doNotTrack");
  const onForward = readBoolean(fieldOf(spec, "applyOnForward")) ?? false;
  const preDnat = readBoolean(preDnatField) ?? false;
  const untracked = readBoolean(untrackedField) ?? false;
  if (preDnat && untracked) {
    reportField(preDnatField, { code: "BAD_VALUE", message: "may not stand beside doNotTrack" });
  }
  if ((preDnat || untracked) && !onForward) {
    reportField(preDnat ? preDnatField : untrackedField, {
      code: "BAD_VALUE",
      message: "needs applyOnForward: true beside it",
    });
  }
  if (preDnat && itemsOfList(fieldOf(spec, "egress")).length > 0) {
    reportField(fieldOf(spec, "egress"), {
      code: "BAD_VALUE",
      message: "preDNAT policies have no egress rules",
    });
  }
  if (preDnat && itemsOfList(fieldOf(spec, "types")).some(({ value }) => value === "Egress")) {
    reportField(fieldOf(spec, "types"), {
      code: "BAD_VALUE",
      message: "preDNAT policies have no egress",
    });
  }
  if (preDnat) return "pre-dnat";
  if (untracked) return "untracked";
  return onForward ? "forwarded" : undefined;
}

/** > Services are only allowed as a source on Ingress rules; as a destination on Egress rules. */
function refuseServices(rules: Field, side: "source" | "destination"): void {
  for (const rule of itemsOfList(rules)) {
    const services = fieldOf(fieldOf(rule, side), "services");
    if (services.value === undefined) continue;
    reportField(services, {
      code: "BAD_PEER",
      message: `may not be the ${side} of a rule in ${rules.path.at(-1) ?? ""}`,
    });
  }
}

/** They change how Felix works, and no verdict. */
function checkHints(field: Field): void {
  const seen = new Set<string>();
  for (const item of itemsOf(field)) {
    const hint = readText(item);
    if (hint === undefined) continue;
    if (hint !== PERFORMANCE_HINT || seen.has(hint)) {
      reportField(item, {
        code: "BAD_VALUE",
        message: seen.has(hint)
          ? `"${hint}" is there twice`
          : `"${hint}" is no performance hint: ${PERFORMANCE_HINT}`,
        suggestion: suggestionFor(hint, seen.has(hint) ? [] : [PERFORMANCE_HINT]),
      });
    }
    seen.add(hint);
  }
}

const PERFORMANCE_HINT = "AssumeNeededOnEveryNode";

/**
 * Finds the directions that the policy applies to, and the place that says so.
 *
 * > [ PolicyTypeIngress ], if there are no Egress rules (including the case where there are also no
 * > Ingress rules); [ PolicyTypeEgress ], if there are Egress rules but no Ingress rules.
 */
function readTypes(
  spec: Field,
  has: { readonly [D in Direction]: boolean },
): { readonly [D in Direction]: Place | undefined } {
  const field = fieldOf(spec, "types");
  const items = itemsOf(field);
  if (items.length === 0) {
    const placeOf = (key: Direction): Place => {
      const rules = fieldOf(spec, key);
      return rules.object.placeOf(rules.path, "key");
    };
    return {
      ingress: has.ingress || !has.egress ? placeOf("ingress") : undefined,
      egress: has.egress ? placeOf("egress") : undefined,
    };
  }
  let ingress: Place | undefined;
  let egress: Place | undefined;
  for (const item of items) {
    const type = readText(item);
    const again = type === "Ingress" ? ingress : type === "Egress" ? egress : undefined;
    if (again !== undefined) {
      reportField(item, { code: "BAD_VALUE", message: `"${type ?? ""}" is there twice` });
    } else if (type === "Ingress") ingress = placeOfField(item);
    else if (type === "Egress") egress = placeOfField(item);
    else if (type !== undefined || item.value === undefined) {
      reportField(item, {
        code: "BAD_VALUE",
        message: `"${type ?? ""}" is no policy type: Ingress or Egress`,
        suggestion: type === undefined ? undefined : suggestionFor(type, ["Ingress", "Egress"]),
      });
    }
  }
  return { ingress, egress };
}
