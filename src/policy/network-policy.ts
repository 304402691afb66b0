/**
 * networking.k8s.io/v1 NetworkPolicy: checked as the API server checks it, defaults applied, lowered to
 * the common form. Ports and IP blocks are next door.
 * Sources: kubernetes pkg/apis/networking/v1/defaults.go, pkg/apis/networking/validation/validation.go,
 * and the field comments of the API (staging/src/k8s.io/api/networking/v1/types.go).
 */
import {
  checkKnownFields,
  fieldOf,
  itemsOf,
  placeOfField,
  readText,
  recordOf,
  reportField,
  rootField,
  suggestionFor,
  thoseRead,
  type Field,
} from "../cluster/fields.ts";
import type { ManifestObject } from "../cluster/manifest-object.ts";
import { readLabelSelector } from "../cluster/read-selector.ts";
import type { LabelSelector } from "../cluster/selector.ts";
import type { Place } from "../errors.ts";
import type { LowerContext, PolicyKind } from "./kind.ts";
import { checkMetadata } from "./metadata.ts";
import type { Direction, Policy, PolicyKindName, PolicyPeer, PolicyRule } from "./model.ts";
import { readPolicyBlock, readPolicyPort } from "./network-policy-items.ts";
import { DEFAULT_TIER, KUBERNETES_ORDER } from "./order.ts";
import type { SelectorPool } from "./selector-pool.ts";
import { namespacedSubjectText } from "./subject-text.ts";

/** The one policy kind of the Kubernetes core. */
export const networkPolicy: PolicyKind = {
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  lower: (object, context) =>
    lowerKubernetesPolicy(
      object,
      { name: "networking.k8s.io NetworkPolicy", moreFields: [] },
      context,
    ),
};

/**
 * Lowers an object with the spec of a NetworkPolicy.
 *
 * The object and the common form differ in three ways: absence and emptiness mean different things from
 * field to field, the directions are named by `policyTypes` or by what is there, and a rule's peers are
 * `from` or `to`. The result holds one rule list for each direction that applies, in manifest order.
 */
export function lowerKubernetesPolicy(
  object: ManifestObject,
  kind: { readonly name: PolicyKindName; readonly moreFields: readonly string[] },
  { onDiagnostic, selectors }: Pick<LowerContext, "onDiagnostic" | "selectors">,
): Policy | undefined {
  let fine = true;
  const root = rootField(object, (diagnostic) => {
    if (diagnostic.severity === "error") fine = false;
    onDiagnostic(diagnostic);
  });
  // `status` was in the API from 1.24 to 1.27.
  checkKnownFields(root, ["apiVersion", "kind", "metadata", "spec", "status"]);
  checkMetadata(root, "namespaced");
  const spec = recordOf(root, "spec");
  checkKnownFields(spec, ["podSelector", "policyTypes", "ingress", "egress", ...kind.moreFields]);
  const selector = fieldOf(spec, "podSelector");
  // After an error the absence is likely to be the same fault, a misspelt name.
  if (selector.value === undefined && fine) {
    reportField(selector, {
      severity: "warning",
      code: "MISSING_FIELD",
      message: `absent, which selects every pod of namespace ${object.metadata.namespace}: write {} to say so`,
    });
  }
  const podSelector = selectors.labels(readLabelSelector(selector));
  const { namespace, name } = object.metadata;
  const ingress = readRules(fieldOf(spec, "ingress"), { peersKey: "from", namespace, selectors });
  const egress = readRules(fieldOf(spec, "egress"), { peersKey: "to", namespace, selectors });
  const places = readPolicyTypes(spec, egress.length > 0);
  if (!fine) return undefined;
  const place = object.placeOf(["metadata", "name"]);
  return {
    ref: { kind: kind.name, namespace, name, place },
    tier: DEFAULT_TIER,
    order: KUBERNETES_ORDER,
    // > An empty selector matches all pods in the policy's namespace.
    subject: {
      kind: "labels",
      namespace,
      namespaceSelector: undefined,
      podSelector,
      text: namespacedSubjectText(selector, namespace),
    },
    // > If a policy type is not listed, its rules are ignored.
    ingress: places.ingress === undefined ? undefined : ingress,
    egress: places.egress === undefined ? undefined : egress,
    ingressPlace: places.ingress ?? placeOfField(spec),
    egressPlace: places.egress ?? placeOfField(spec),
  };
}

/**
 * Finds the directions that the policy applies to, and the place that says so.
 *
 * > If no policyTypes are specified on a NetworkPolicy then by default Ingress will always be set and
 * > Egress will be set if the NetworkPolicy has any egress rules.
 */
function readPolicyTypes(
  spec: Field,
  hasEgressRules: boolean,
): { readonly [D in Direction]: Place | undefined } {
  const field = fieldOf(spec, "policyTypes");
  const items = itemsOf(field);
  // Empty is as absent: `egress: []` without policyTypes isolates nothing.
  if (items.length === 0) {
    const egress = fieldOf(spec, "egress");
    const egressPlace = egress.object.placeOf(egress.path, "key");
    return { ingress: placeOfField(spec), egress: hasEgressRules ? egressPlace : undefined };
  }
  if (items.length > 2) {
    reportField(field, { code: "BAD_VALUE", message: "may not specify more than two policyTypes" });
  }
  let ingress: Place | undefined;
  let egress: Place | undefined;
  for (const item of items) {
    const type = readText(item);
    if (type === "Ingress") ingress ??= placeOfField(item);
    else if (type === "Egress") egress ??= placeOfField(item);
    else if (type !== undefined || item.value === undefined) {
      const suggestion =
        type === undefined ? undefined : suggestionFor(type, ["Ingress", "Egress"]);
      reportField(item, {
        code: "BAD_VALUE",
        message: `"${type ?? ""}" is no policy type: Ingress or Egress`,
        suggestion,
      });
    }
  }
  return { ingress, egress };
}

/** What the rules of one direction have in common. */
interface RuleContext {
  readonly peersKey: "from" | "to";
  /** The policy's. */
  readonly namespace: string;
  readonly selectors: SelectorPool;
}

/** Reads the rules of one direction. Absent and empty: no rules, which isolates if the type applies. */
function readRules(field: Field, context: RuleContext): PolicyRule[] {
  return itemsOf(field).map((item, index) => readRule(item, index, context));
}

function readRule(field: Field, index: number, context: RuleContext): PolicyRule {
  const { peersKey } = context;
  const otherKey = peersKey === "from" ? "to" : "from";
  checkKnownFields(field, ["ports", peersKey], { written: otherKey, meant: peersKey });
  const peers = itemsOf(fieldOf(field, peersKey)).map((item) => readPeer(item, context));
  const ports = itemsOf(fieldOf(field, "ports")).map(readPolicyPort);
  return {
    kind: "peers",
    index,
    action: "allow",
    // > If this field is empty or missing, this rule matches all sources.
    peers: peers.length === 0 ? undefined : thoseRead(peers),
    // > If this field is empty or missing, this rule matches all ports.
    ports: ports.length === 0 ? undefined : thoseRead(ports),
    place: placeOfField(field),
  };
}

/** Reads one peer; undefined when it was reported. Absent selectors differ from empty ones. */
function readPeer(field: Field, { namespace, selectors }: RuleContext): PolicyPeer | undefined {
  checkKnownFields(field, ["podSelector", "namespaceSelector", "ipBlock"]);
  const podSelector = fieldOf(field, "podSelector");
  const namespaceSelector = fieldOf(field, "namespaceSelector");
  const block = fieldOf(field, "ipBlock");
  const read = (selector: Field): LabelSelector => selectors.labels(readLabelSelector(selector));
  const selects = podSelector.value !== undefined || namespaceSelector.value !== undefined;
  const pods: PolicyPeer = {
    kind: "pods",
    selector: selectors.pods({
      kind: "labels",
      // > Otherwise it selects the pods matching podSelector in the policy's own namespace.
      namespace: namespaceSelector.value === undefined ? namespace : undefined,
      namespaceSelector:
        namespaceSelector.value === undefined ? undefined : read(namespaceSelector),
      // > Otherwise it selects all Pods in the Namespaces selected by NamespaceSelector.
      podSelector: read(podSelector),
    }),
    place: placeOfField(field),
  };
  if (block.value === undefined) {
    if (selects) return pods;
    const message = "must specify a peer: podSelector, namespaceSelector or ipBlock";
    reportField(field, { code: "BAD_PEER", message });
    return undefined;
  }
  if (selects) {
    reportField(block, {
      code: "BAD_PEER",
      message: "may not specify both ipBlock and another peer",
    });
  }
  return readPolicyBlock(block, placeOfField(field));
}
