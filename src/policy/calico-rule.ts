/**
 * The rules of Calico's policies and profiles, read and checked as libcalico-go does, and one selector
 * made of the several fields that choose endpoints.
 * Sources: api/pkg/apis/projectcalico/v3/policy_common.go; libcalico-go lib/validator/v3 validateRule,
 * validateEntityRule; lib/backend/syncersv1/updateprocessors/rules.go getEndpointSelector.
 */
import {
  checkKnownFields,
  fieldOf,
  itemsOf,
  itemsOfList,
  placeOfField,
  readText,
  recordOf,
  reportField,
  suggestionFor,
  type Field,
} from "../cluster/fields.ts";
import { readNet } from "../cluster/read-network.ts";
import { readExpression } from "../cluster/read-selector.ts";
import {
  conjunctionOf,
  formatExpression,
  mapConditions,
  prefixLabels,
  type SelectorExpression,
} from "../cluster/selector-expression.ts";
import { formatPrefix, parseAddress, parsePrefix, type Family } from "../net/address.ts";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from "../net/protocol.ts";
import {
  LABEL_NAMESPACE,
  LABEL_SERVICE_ACCOUNT,
  NAMESPACE_PREFIX,
  SERVICE_ACCOUNT_PREFIX,
} from "./calico-labels.ts";
import {
  hasPorts,
  readIcmp,
  readRulePorts,
  readRuleProtocol,
  readServiceMatch,
  refuseBeside,
  type RuleProtocol,
} from "./calico-rule-items.ts";
import type { MatchRule, RuleAction, RuleSide } from "./model.ts";

const ACTIONS: ReadonlyMap<string, RuleAction> = new Map([
  ["Allow", "allow"],
  ["Deny", "deny"],
  ["Pass", "pass"],
  ["Log", "log"],
]);

/** Reads the rules of one direction of a policy, which is in a namespace or in none. */
export function readMatchRules(field: Field, policyNamespace: string | undefined): MatchRule[] {
  return itemsOf(field).map((item, index) => readMatchRule(item, index, policyNamespace));
}

function readMatchRule(
  field: Field,
  index: number,
  policyNamespace: string | undefined,
): MatchRule {
  checkKnownFields(field, [
    "action",
    "ipVersion",
    "protocol",
    "icmp",
    "notProtocol",
    "notICMP",
    "source",
    "destination",
    "http",
    "metadata",
  ]);
  const protocol = readRuleProtocol(fieldOf(field, "protocol"));
  const notProtocol = readRuleProtocol(fieldOf(field, "notProtocol"));
  const icmp = readIcmp(fieldOf(field, "icmp"));
  const notIcmp = readIcmp(fieldOf(field, "notICMP"));
  const asksForIcmp = icmp !== undefined || notIcmp !== undefined;
  refuseLayer7(fieldOf(field, "http"));
  checkIcmp(field, protocol);
  const source = readSide(recordOf(field, "source"), "source", policyNamespace);
  const destination = readSide(recordOf(field, "destination"), "destination", policyNamespace);
  for (const name of ["source", "destination"]) checkPorts(fieldOf(field, name), protocol);
  const family = readFamily(field, protocol, notProtocol, asksForIcmp);
  checkNets(field, family);
  return {
    kind: "match",
    index,
    action: readAction(fieldOf(field, "action")),
    family,
    protocol: protocol?.number,
    notProtocol: notProtocol?.number,
    icmp,
    notIcmp,
    source,
    destination,
    place: placeOfField(field),
  };
}

function readAction(field: Field): RuleAction {
  const written = readText(field);
  const action = written === undefined ? undefined : ACTIONS.get(written);
  if (action !== undefined) return action;
  if (field.value === undefined) {
    reportField(field, { code: "MISSING_FIELD", message: "the rule has no action" });
  } else if (written !== undefined) {
    const words = [...ACTIONS.keys()];
    reportField(field, {
      code: "BAD_VALUE",
      message: `"${written}" is no action: ${words.join(", ")}`,
      suggestion: suggestionFor(written, words),
    });
  }
  return "deny";
}

/** > No explicit version, see if we can work out the version from the protocol. */
function readFamily(
  rule: Field,
  protocol: RuleProtocol | undefined,
  notProtocol: RuleProtocol | undefined,
  asksForIcmp: boolean,
): Family | undefined {
  const field = fieldOf(rule, "ipVersion");
  const implied =
    protocol?.named === true || asksForIcmp ? IMPLIED_FAMILY.get(protocol?.number) : undefined;
  const { value } = field;
  if (value === undefined) return implied;
  if (value !== 4 && value !== 6) {
    reportField(field, { code: "BAD_VALUE", message: "must be 4 or 6" });
    return undefined;
  }
  const excluded = notProtocol?.named === true ? IMPLIED_FAMILY.get(notProtocol.number) : undefined;
  const wanted = [implied, excluded].find((family) => family !== undefined && family !== value);
  if (wanted !== undefined) {
    reportField(field, { code: "BAD_VALUE", message: `must be ${wanted} with this protocol` });
  }
  return value;
}

const IMPLIED_FAMILY: ReadonlyMap<number | undefined, Family> = new Map([
  [PROTOCOL_ICMP, 4],
  [PROTOCOL_ICMPV6, 6],
]);

/** Felix leaves it to Envoy, if the cluster has that; its tables let pass whatever the rest matches. */
function refuseLayer7(field: Field): void {
  if (field.value === undefined) return;
  reportField(field, {
    code: "UNSUPPORTED_FEATURE",
    message:
      "HTTP requests are not judged: the packet filter sees none of them, Envoy enforces this",
  });
}

function checkIcmp(rule: Field, protocol: RuleProtocol | undefined): void {
  for (const key of ["icmp", "notICMP"]) {
    const field = fieldOf(rule, key);
    if (field.value === undefined || IMPLIED_FAMILY.has(protocol?.number)) continue;
    reportField(field, { code: "BAD_VALUE", message: "needs protocol ICMP or ICMPv6 beside it" });
  }
}

/** > Rules that specify ports must set protocol to TCP, UDP or SCTP. */
function checkPorts(side: Field, protocol: RuleProtocol | undefined): void {
  for (const key of ["ports", "notPorts"]) {
    const field = fieldOf(side, key);
    if (!Array.isArray(field.value) || field.value.length === 0) continue;
    if (protocol !== undefined && hasPorts(protocol.number)) continue;
    reportField(field, {
      code: "BAD_PORT",
      message: "the rule needs protocol TCP, UDP or SCTP: others have no ports",
    });
  }
}

/**
 * Warns of prefixes that calicoctl and the API server of Calico refuse; the CRDs do not, and Felix masks
 * them and takes those of a family for that family's tables.
 *
 * > valid (strictly masked) IP network; rule IP version doesn't match CIDR version; rule contains both
 * > IPv4 and IPv6 CIDRs
 */
function checkNets(rule: Field, version: Family | undefined): void {
  let family = version;
  for (const side of ["source", "destination"]) {
    for (const key of ["nets", "notNets"]) {
      for (const item of itemsOfList(fieldOf(fieldOf(rule, side), key))) {
        const own = netFamily(item);
        checkNet(item, own, family);
        family ??= own;
      }
    }
  }
}

/** @param family the rule's, or that of its first prefix */
function checkNet(item: Field, own: Family | undefined, family: Family | undefined): void {
  const parsed = typeof item.value === "string" ? parsePrefix(item.value) : undefined;
  const warn = (message: string): void => {
    reportField(item, { severity: "warning", code: "BAD_PREFIX", message });
  };
  if (parsed?.hostBits === true) {
    warn(`has bits behind the prefix: read as ${formatPrefix(parsed.prefix)}`);
  }
  if (own !== undefined && family !== undefined && own !== family) {
    warn(`is IPv${own} in a rule of IPv${family}: Calico's API refuses that`);
  }
}

function netFamily({ value }: Field): Family | undefined {
  if (typeof value !== "string") return undefined;
  return (parsePrefix(value)?.prefix.address ?? parseAddress(value))?.family;
}

function readSide(
  field: Field,
  name: "source" | "destination",
  policyNamespace: string | undefined,
): RuleSide {
  checkKnownFields(field, [
    "nets",
    "notNets",
    "selector",
    "notSelector",
    "namespaceSelector",
    "ports",
    "notPorts",
    "serviceAccounts",
    "services",
    "domains",
  ]);
  const domains = fieldOf(field, "domains");
  if (domains.value !== undefined) {
    reportField(domains, {
      code: "UNSUPPORTED_FEATURE",
      message: "domain names are not read: which addresses they stand for is known to no manifest",
    });
  }
  const netsOf = (key: string) =>
    itemsOf(fieldOf(field, key))
      .map(readNet)
      .filter((net) => net !== undefined);
  // Not checked there: `global()` is then everything.
  const notSelector = readExpression(fieldOf(field, "notSelector"), "allowed");
  const expression = readSelectors(field, policyNamespace, notSelector !== undefined);
  const services = fieldOf(field, "services");
  if (services.value !== undefined) checkService(field, name);
  return {
    nets: netsOf("nets"),
    notNets: netsOf("notNets"),
    selector: expression && { kind: "expression", expression },
    notSelector: notSelector && { kind: "expression", expression: notSelector },
    ports: readRulePorts(fieldOf(field, "ports")),
    notPorts: readRulePorts(fieldOf(field, "notPorts")),
    service: readServiceMatch(services, policyNamespace),
  };
}

function checkService(side: Field, name: "source" | "destination"): void {
  const others = [
    ...["selector", "notSelector", "namespaceSelector", "serviceAccounts", "nets", "notNets"],
    // A destination's ports are those of the Service's endpoints.
    ...(name === "destination" ? ["ports", "notPorts"] : []),
  ];
  for (const key of others) {
    const field = fieldOf(side, key);
    const empty = field.value === "" || (Array.isArray(field.value) && field.value.length === 0);
    if (field.value !== undefined && !empty) refuseBeside(field, "services");
  }
}

/**
 * Makes one selector of those that choose the endpoints of a side; undefined when the side asks for none.
 * In a policy of a namespace, a negative selector alone limits the side to that namespace.
 */
function readSelectors(
  side: Field,
  policyNamespace: string | undefined,
  negated: boolean,
): SelectorExpression | undefined {
  const namespaceField = fieldOf(side, "namespaceSelector");
  const written = readExpression(namespaceField, "allowed");
  if (written !== undefined && GLOBAL_BESIDE.test(formatExpression(written))) {
    reportField(namespaceField, {
      code: "BAD_SELECTOR",
      message: "global() may not stand beside && or || in a namespaceSelector",
    });
  }
  const namespaces =
    written === undefined ? inNamespace(policyNamespace) : namespaceExpression(written);
  const chosen = [
    readServiceAccounts(fieldOf(side, "serviceAccounts")),
    readExpression(fieldOf(side, "selector")),
  ].filter((expression) => expression !== undefined);
  if (chosen.length === 0 && !negated && written === undefined) return undefined;
  if (chosen.length === 0) return namespaces;
  const rest = conjunctionOf(chosen);
  return namespaces === undefined ? rest : conjunctionOf([namespaces, rest]);
}

/**
 * > global() cannot be used with other selectors.
 *
 * Looked for in the canonical text, so that `!global()` may be a last operand.
 */
const GLOBAL_BESIDE = /(&&|\|\|) global\(\)|global\(\) (&&|\|\|)/;

/** What is in a namespace; in no matter which, where there is none. */
export function inNamespace(namespace: string | undefined): SelectorExpression | undefined {
  return namespace === undefined
    ? undefined
    : { kind: "compare", label: LABEL_NAMESPACE, operator: "==", value: namespace };
}

/**
 * > We treat "all()" as "select all namespaces"; "global()" as the opposite: host endpoints and global
 * > network sets.
 */
export function namespaceExpression(selector: SelectorExpression): SelectorExpression {
  const inAny: SelectorExpression = { kind: "has", label: LABEL_NAMESPACE };
  return mapConditions(prefixLabels(selector, NAMESPACE_PREFIX), (condition) => {
    if (condition.kind === "all") return inAny;
    return condition.kind === "global" ? { kind: "not", operand: inAny } : condition;
  });
}

/** What runs as a service account whose labels a selector chooses. */
export function serviceAccountExpression(selector: SelectorExpression): SelectorExpression {
  return prefixLabels(selector, SERVICE_ACCOUNT_PREFIX);
}

function readServiceAccounts(field: Field): SelectorExpression | undefined {
  if (field.value === undefined) return undefined;
  checkKnownFields(field, ["names", "selector"]);
  const selector = readExpression(fieldOf(field, "selector"), "allowed");
  const names = itemsOf(fieldOf(field, "names"))
    .map(readText)
    .filter((name) => name !== undefined);
  const parts: SelectorExpression[] = [];
  if (selector !== undefined) parts.push(serviceAccountExpression(selector));
  if (names.length > 0) {
    const values = new Set(names.toSorted());
    parts.push({ kind: "in", label: LABEL_SERVICE_ACCOUNT, values, invert: false });
  }
  return parts.length === 0 ? undefined : conjunctionOf(parts);
}
