/**
 * What the cluster-wide kinds of policy.networking.k8s.io have in common: subject, peers and rules that
 * are tried in order. Each kind says how its API spells them; checked as the CRDs make the API server
 * check them, those of the experimental channel included.
 * Source: network-policy-api, the field comments and validation markers of apis/.
 */
import {
  checkKnownFields,
  fieldOf,
  isRecord,
  itemsOf,
  placeOfField,
  readInteger,
  readText,
  recordOf,
  reportField,
  rootField,
  suggestionFor,
  type Field,
} from "../cluster/fields.ts";
import type { ManifestObject } from "../cluster/manifest-object.ts";
import { readLabelSelector } from "../cluster/read-selector.ts";
import type { LabelSelector } from "../cluster/selector.ts";
import type { OnDiagnostic } from "../errors.ts";
import type { Prefix } from "../net/address.ts";
import { checkMetadata } from "./metadata.ts";
import { readPolicyPrefix } from "./network-policy-items.ts";
import { clusterWideSubjectText } from "./subject-text.ts";
import type {
  LabelledPods,
  PeerRule,
  Policy,
  PolicyKindName,
  PolicyPeer,
  PolicyPort,
  RuleAction,
  Tier,
} from "./model.ts";

/** How one kind differs from the others. */
export interface ClusterWideKind {
  readonly name: PolicyKindName;
  /** Fields of the spec beside subject and rules. */
  readonly specFields: readonly string[];
  /** Where the policy stands; undefined when it was reported. */
  readonly readPlace: (spec: Field) => { readonly tier: Tier; readonly order: number } | undefined;
  readonly actions: Readonly<Record<string, RuleAction>>;
  /** What can stand in `to`; in `from` there are only namespaces and pods. */
  readonly egressPeers: readonly string[];
  /** Most rules of a direction, peers and ports of a rule. */
  readonly mostItems: number;
  readonly portsKey: string;
  /** Reads one item of `portsKey`; undefined when it was reported. */
  readonly readPort: (field: Field) => PolicyPort | undefined;
  /** `pods` has a selector of namespaces, be it empty. */
  readonly namespacesRequired: boolean;
  /** Before release 0.1.2 the kind had another way to choose namespaces. */
  readonly earlyForm: boolean;
  /** Networks with bits behind the prefix are refused, and not only warned of. */
  readonly networksMasked: boolean;
}

/** Most networks or domain names of one peer. */
const MOST_NETWORKS = 25;
/** Most characters of a rule's name. */
const LONGEST_NAME = 100;

/** Lowers an object of such a kind; undefined when there was an error. */
export function lowerClusterWide(
  object: ManifestObject,
  kind: ClusterWideKind,
  onDiagnostic: OnDiagnostic,
): Policy | undefined {
  let fine = true;
  const root = rootField(object, (diagnostic) => {
    if (diagnostic.severity === "error") fine = false;
    onDiagnostic(diagnostic);
  });
  checkKnownFields(root, ["apiVersion", "kind", "metadata", "spec", "status"]);
  checkMetadata(root, "cluster-wide");
  const spec = recordOf(root, "spec");
  checkKnownFields(spec, [...kind.specFields, "subject", "ingress", "egress"]);
  const at = kind.readPlace(spec);
  const subject = readSubject(fieldOf(spec, "subject"), kind);
  const ingress = readRules(fieldOf(spec, "ingress"), { kind, peersKey: "from" });
  const egress = readRules(fieldOf(spec, "egress"), { kind, peersKey: "to" });
  if (!fine || at === undefined || subject === undefined) return undefined;
  const { name } = object.metadata;
  const place = object.placeOf(["metadata", "name"]);
  return {
    ref: { kind: kind.name, namespace: undefined, name, place },
    ...at,
    subject: { ...subject, text: subjectTextOf(fieldOf(spec, "subject"), kind) },
    // > CNPs with no ingress rules do not affect ingress traffic.
    ingress: ingress.length === 0 ? undefined : ingress,
    egress: egress.length === 0 ? undefined : egress,
    ingressPlace: placeOfField(fieldOf(spec, "ingress")),
    egressPlace: placeOfField(fieldOf(spec, "egress")),
  };
}

/** Reads a priority from 0 to 1000, which has no default; undefined when it was reported. */
export function readPriority(spec: Field): number | undefined {
  const field = fieldOf(spec, "priority");
  if (field.value === undefined) return reportMissing(field);
  const priority = readInteger(field);
  if (priority === undefined || (priority >= 0 && priority <= 1000)) return priority;
  reportField(field, { code: "BAD_VALUE", message: `${priority} is no priority: 0 to 1000` });
  return undefined;
}

/** Reads a word out of several; undefined when it was reported. */
export function readChoice<T extends string>(
  field: Field,
  what: string,
  choices: readonly T[],
): T | undefined {
  if (field.value === undefined) return reportMissing(field);
  const written = readText(field);
  const choice = choices.find((one) => one === written);
  if (choice === undefined && written !== undefined) {
    reportField(field, {
      code: "BAD_VALUE",
      message: `"${written}" is no ${what}: one of ${choices.join(", ")}`,
      suggestion: suggestionFor(written, choices),
    });
  }
  return choice;
}

/**
 * Finds the one field that is set of those of which exactly one must be; undefined when it was reported.
 * The maps of these objects all say what they mean by which field they have.
 */
export function onlyFieldOf(
  field: Field,
  known: readonly string[],
  code: "BAD_PEER" | "BAD_PORT" | "BAD_VALUE",
): { readonly key: string; readonly value: Field } | undefined {
  checkKnownFields(field, known);
  if (field.value !== undefined && !isRecord(field.value)) return undefined;
  const [first, ...others] = known
    .map((key) => ({ key, value: fieldOf(field, key) }))
    .filter(({ value }) => value.value !== undefined);
  const choices = known.length === 1 ? known.join("") : `exactly one of ${known.join(", ")}`;
  if (first === undefined) {
    reportField(field, { code, message: `must have ${choices}` });
    return undefined;
  }
  if (others.length > 0) {
    const written = [first, ...others].map(({ key }) => key).join(" and ");
    reportField(field, { code, message: `has ${written}: must have ${choices}` });
    return undefined;
  }
  return first;
}

/** Reports that a field has to be there. */
export function reportMissing(field: Field): undefined {
  reportField(field, { code: "MISSING_FIELD", message: "is required" });
  return undefined;
}

/** > Subject: exactly one field must be set. Host-networked pods are not included. */
function readSubject(field: Field, kind: ClusterWideKind): LabelledPods | undefined {
  if (field.value === undefined) return reportMissing(field);
  const only = onlyFieldOf(field, ["namespaces", "pods"], "BAD_VALUE");
  return only && readPods(only, kind);
}

/** The text of a subject in which nothing was found to be wrong. */
function subjectTextOf(field: Field, { earlyForm }: ClusterWideKind): string {
  const pods = fieldOf(field, "pods");
  const early = fieldOf(pods, "namespaces");
  const namespaces = [
    fieldOf(field, "namespaces"),
    ...(earlyForm ? [early] : []),
    fieldOf(pods, "namespaceSelector"),
  ].find(({ value }) => value !== undefined);
  const inner = namespaces && fieldOf(namespaces, "namespaceSelector");
  return clusterWideSubjectText(
    earlyForm && inner?.value !== undefined ? inner : namespaces,
    pods.value === undefined ? undefined : fieldOf(pods, "podSelector"),
  );
}

/** What the rules of one direction have in common. */
interface RuleContext {
  readonly kind: ClusterWideKind;
  readonly peersKey: "from" | "to";
}

function readRules(field: Field, context: RuleContext): PeerRule[] {
  const items = itemsOf(field);
  checkCount(field, items, context.kind.mostItems);
  return items.map((item, index) => readRule(item, index, context));
}

function readRule(field: Field, index: number, { kind, peersKey }: RuleContext): PeerRule {
  const { portsKey, mostItems } = kind;
  const otherKey = peersKey === "from" ? "to" : "from";
  const written = { written: otherKey, meant: peersKey };
  checkKnownFields(field, ["name", "action", peersKey, portsKey], written);
  checkRuleName(fieldOf(field, "name"));
  const action = readChoice(fieldOf(field, "action"), "action", Object.keys(kind.actions)) ?? "";
  const peersField = fieldOf(field, peersKey);
  const peerItems = itemsOf(peersField);
  // > This field must be defined and contain at least one item.
  if (peersField.value === undefined) reportMissing(peersField);
  else checkCount(peersField, peerItems, mostItems, 1);
  const portsField = fieldOf(field, portsKey);
  const portItems = itemsOf(portsField);
  if (portsField.value !== undefined) checkCount(portsField, portItems, mostItems, 1);
  const peers = peerItems.map((item) => readPeer(item, { kind, peersKey }));
  const ports = portItems.map(kind.readPort).filter((port) => port !== undefined);
  const known = peers.filter((peer) => peer !== undefined);
  checkTogether(field, { action, peers: known, ports });
  return {
    kind: "peers",
    index,
    action: kind.actions[action] ?? "deny",
    peers: known,
    // > If unspecified, protocol-specific attributes will not be used to match traffic.
    ports: portsField.value === undefined ? undefined : ports,
    place: placeOfField(field),
  };
}

/** Reports what cannot stand in one rule. */
function checkTogether(
  field: Field,
  {
    action,
    peers,
    ports,
  }: { action: string; peers: readonly PolicyPeer[]; ports: readonly PolicyPort[] },
): void {
  // > networks/nodes/domainNames peer cannot be set with namedPorts since there are no namedPorts for them.
  if (
    ports.some((port) => port.kind === "named") &&
    peers.some((peer) => peer.kind !== "pods" && peer.kind !== "block")
  ) {
    const message =
      "named ports are those of pods: of the peers that are none only the other ports match";
    reportField(field, { severity: "warning", code: "BAD_PORT", message });
  }
  // > DomainNames is only supported for Accept rules.
  if (!/^(Accept|Allow)?$/.test(action) && peers.some((peer) => peer.kind === "domains")) {
    const message = `domainNames can be accepted only: what ${action} would do is not defined`;
    reportField(field, { code: "BAD_PEER", message });
  }
}

function checkRuleName(field: Field): void {
  const name = readText(field);
  if (name === undefined || name.length <= LONGEST_NAME) return;
  const message = `has ${name.length} characters: at most ${LONGEST_NAME}`;
  reportField(field, { code: "BAD_VALUE", message });
}

function checkCount(field: Field, items: readonly Field[], most: number, least = 0): void {
  if (items.length > most) {
    reportField(field, {
      code: "BAD_VALUE",
      message: `has ${items.length} items: at most ${most}`,
    });
  }
  if (Array.isArray(field.value) && items.length < least) {
    reportField(field, { code: "BAD_VALUE", message: "is empty: at least one item" });
  }
}

/** Reads one peer; undefined when it was reported. */
function readPeer(field: Field, { kind, peersKey }: RuleContext): PolicyPeer | undefined {
  const known = peersKey === "from" ? ["namespaces", "pods"] : kind.egressPeers;
  const only = onlyFieldOf(field, known, "BAD_PEER");
  if (only === undefined) return undefined;
  const { key, value } = only;
  const place = placeOfField(field);
  if (key === "nodes") return { kind: "nodes", nodeSelector: readLabelSelector(value), place };
  if (key === "networks") {
    const prefixes = readNetworks(value, kind);
    return prefixes.length === 0 ? undefined : { kind: "networks", prefixes, place };
  }
  if (key === "domainNames") {
    return { kind: "domains", domainNames: readDomainNames(value), place };
  }
  const selector = readPods(only, kind);
  return selector && { kind: "pods", selector, place };
}

/** Reads `namespaces` or `pods`; undefined when it was reported. */
function readPods(
  { key, value }: { readonly key: string; readonly value: Field },
  kind: ClusterWideKind,
): LabelledPods | undefined {
  if (key === "namespaces") {
    const namespaces = readNamespaces(value, kind);
    return namespaces && selectorOf(namespaces, EVERY_POD);
  }
  const early = fieldOf(value, "namespaces");
  if (early.value !== undefined && kind.earlyForm) {
    checkKnownFields(value, ["namespaces", "podSelector"]);
    const namespaces = readNamespaces(early, kind);
    return namespaces && selectorOf(namespaces, readLabelSelector(fieldOf(value, "podSelector")));
  }
  checkKnownFields(value, ["namespaceSelector", "podSelector"]);
  const namespaces = fieldOf(value, "namespaceSelector");
  const pods = fieldOf(value, "podSelector");
  if (kind.namespacesRequired) warnIfAbsent(namespaces, "namespace");
  warnIfAbsent(pods, "pod of the namespaces");
  return selectorOf(readLabelSelector(namespaces), readLabelSelector(pods));
}

/** An API server refuses the absence, which can mean one thing only. */
function warnIfAbsent(field: Field, what: string): void {
  if (field.value !== undefined) return;
  reportField(field, {
    severity: "warning",
    code: "MISSING_FIELD",
    message: `absent, which selects every ${what}: write {} to say so`,
  });
}

/** > Namespaces defines a way to select all pods within a set of Namespaces. */
const EVERY_POD: LabelSelector = { requirements: [] };

function selectorOf(namespaceSelector: LabelSelector, podSelector: LabelSelector): LabelledPods {
  return { kind: "labels", namespace: undefined, namespaceSelector, podSelector };
}

/**
 * Reads a selector of namespaces; undefined when it was reported. Before release 0.1.2 it had a map of
 * its own, in which sameLabels and notSameLabels could stand instead, which look at the subject.
 */
function readNamespaces(field: Field, { earlyForm }: ClusterWideKind): LabelSelector | undefined {
  for (const key of ["sameLabels", "notSameLabels", "notSelf"]) {
    const relative = fieldOf(field, key);
    if (relative.value === undefined) continue;
    const message =
      "is of the API before release 0.1.2, and is not judged: choose the namespaces by their labels";
    reportField(relative, { code: "UNSUPPORTED_FEATURE", message });
    return undefined;
  }
  const early = fieldOf(field, "namespaceSelector");
  if (!earlyForm || early.value === undefined) return readLabelSelector(field);
  checkKnownFields(field, ["namespaceSelector"]);
  reportField(early, {
    severity: "warning",
    code: "UNSUPPORTED_FEATURE",
    message:
      "is of the API before release 0.1.2: later ones have the selector one step further out, and ignore this one",
  });
  return readLabelSelector(early);
}

function readNetworks(field: Field, { networksMasked }: ClusterWideKind): Prefix[] {
  const items = itemsOf(field);
  checkCount(field, items, MOST_NETWORKS, 1);
  const severity = networksMasked ? "error" : "warning";
  return items.flatMap((item) => {
    if (item.value === undefined) {
      reportField(item, { code: "BAD_PREFIX", message: "is empty" });
    }
    return readPolicyPrefix(item, severity) ?? [];
  });
}

const DOMAIN_NAME =
  /^(\*\.)?([a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?$/;

function readDomainNames(field: Field): string[] {
  const items = itemsOf(field);
  checkCount(field, items, MOST_NETWORKS, 1);
  return items.flatMap((item) => {
    const name = item.value === undefined ? "" : readText(item);
    if (name !== undefined && (name.length > 253 || !DOMAIN_NAME.test(name))) {
      const message = `"${name}" is no domain name: labels with dots between, "*" for the first`;
      reportField(item, { code: "BAD_VALUE", message });
    }
    return name ?? [];
  });
}
