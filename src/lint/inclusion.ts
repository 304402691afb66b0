/**
 * Whether one part of a policy means all that another one means, in every cluster: said of selectors, blocks
 * and ports by what is written. `false` means that it is not proved.
 */
import { NAMESPACE_NAME_LABEL } from "../cluster/nodes.ts";
import { formatExpression } from "../cluster/selector-expression.ts";
import type { SelectorExpression } from "../cluster/selector-expression.ts";
import type { LabelSelector, Requirement } from "../cluster/selector.ts";
import type { PortRange } from "../match/multiport.ts";
import { prefixContains } from "../net/address.ts";
import type { Family, Prefix } from "../net/address.ts";
import type {
  EndpointSelector,
  ExpressedEndpoints,
  IcmpMatch,
  MatchRule,
  PeerRule,
  PolicyPeer,
  PolicyPort,
  PolicyRule,
  RulePort,
  RuleSide,
} from "../policy/model.ts";
import { familiesOf, isWidened } from "./rule-tests.ts";

/** Tells whether the first selector chooses all labels that the second does. */
function selectorCovers(wide: LabelSelector, narrow: LabelSelector): boolean {
  return wide.requirements.every((requirement) => isImplied(requirement, narrow.requirements));
}

function isImplied({ key, operator, values }: Requirement, by: readonly Requirement[]): boolean {
  return by.some((given) => {
    if (given.key !== key) return false;
    switch (operator) {
      case "In":
        return given.operator === "In" && given.values.every((value) => values.includes(value));
      case "NotIn":
        return (
          given.operator === "DoesNotExist" ||
          (given.operator === "In" && !given.values.some((value) => values.includes(value))) ||
          (given.operator === "NotIn" && values.every((value) => given.values.includes(value)))
        );
      case "Exists":
        return given.operator === "Exists" || given.operator === "In";
      case "DoesNotExist":
        return given.operator === "DoesNotExist";
    }
  });
}

/** The same of expressions: of those that are joined by `&&` the first has no more than the second. */
function expressionCovers(wide: SelectorExpression, narrow: SelectorExpression): boolean {
  const parts = (expression: SelectorExpression): string[] => {
    if (expression.kind === "all") return [];
    if (expression.kind === "and") return expression.operands.flatMap(parts);
    return [formatExpression(expression)];
  };
  const given = new Set(parts(narrow));
  return parts(wide).every((part) => given.has(part));
}

/** Tells whether the first selector chooses all endpoints that the second does. */
export function endpointsCover(wide: EndpointSelector, narrow: EndpointSelector): boolean {
  if (wide.kind === "expression" || narrow.kind === "expression") {
    return (
      wide.kind === "expression" &&
      (wide.expression.kind === "all" ||
        (narrow.kind === "expression" && expressionCovers(wide.expression, narrow.expression)))
    );
  }
  // No selector: everything.
  if (!selectorCovers(wide.podSelector ?? NO_REQUIREMENT, narrow.podSelector ?? NO_REQUIREMENT)) {
    return false;
  }
  const namespaces = (narrow.namespaceSelector?.requirements ?? []).concat(
    narrow.namespace === undefined ? [] : named(narrow.namespace),
  );
  const asked = (wide.namespaceSelector?.requirements ?? []).concat(
    wide.namespace === undefined ? [] : named(wide.namespace),
  );
  return selectorCovers({ requirements: asked }, { requirements: namespaces });
}

const NO_REQUIREMENT: LabelSelector = { requirements: [] };

function named(namespace: string): Requirement[] {
  return [{ key: NAMESPACE_NAME_LABEL, operator: "In", values: [namespace] }];
}

/** Tells whether the first peer is all that the second is. */
export function peerCovers(wide: PolicyPeer, narrow: PolicyPeer): boolean {
  if (wide.kind === "pods" && narrow.kind === "pods") {
    return endpointsCover(wide.selector, narrow.selector);
  }
  if (wide.kind === "nodes" && narrow.kind === "nodes") {
    return selectorCovers(wide.nodeSelector, narrow.nodeSelector);
  }
  if (wide.kind === "domains" && narrow.kind === "domains") {
    return narrow.domainNames.every((name) => wide.domainNames.includes(name));
  }
  const [outer, inner] = [blocksOf(wide), blocksOf(narrow)];
  if (outer === undefined || inner === undefined) return false;
  return inner.every((block) => outer.some((each) => blockCovers(each, block)));
}

interface Block {
  readonly prefix: Prefix;
  readonly except: readonly Prefix[];
}

function blocksOf(peer: PolicyPeer): readonly Block[] | undefined {
  if (peer.kind === "block") return [peer];
  if (peer.kind !== "networks") return undefined;
  return peer.prefixes.map((prefix) => ({ prefix, except: [] }));
}

/** What the first leaves out, the second does not hold or leaves out, too. */
export function blockCovers(wide: Block, narrow: Block): boolean {
  return (
    prefixCovers(wide.prefix, narrow.prefix) &&
    wide.except.every(
      (gap) =>
        (!prefixCovers(gap, narrow.prefix) && !prefixCovers(narrow.prefix, gap)) ||
        narrow.except.some((own) => prefixCovers(own, gap)),
    )
  );
}

/** Tells whether the first prefix holds all addresses of the second. */
export function prefixCovers(wide: Prefix, narrow: Prefix): boolean {
  return wide.bits <= narrow.bits && prefixContains(wide, narrow.address);
}

/** Tells whether ports mean all that one port means; undefined: every port of every protocol. */
export function portsCover(wide: readonly PolicyPort[] | undefined, narrow: PolicyPort): boolean {
  if (wide === undefined) return true;
  if (narrow.kind === "named") {
    return wide.some((port) =>
      port.kind === "named"
        ? port.name === narrow.name &&
          (port.protocol === undefined || port.protocol === narrow.protocol)
        : port.protocol === narrow.protocol && port.first === 0 && port.last === 65_535,
    );
  }
  const own = wide.filter((port) => port.kind === "range" && port.protocol === narrow.protocol);
  return rangesCover(
    own.filter((port) => port.kind === "range"),
    narrow,
  );
}

/** Tells whether ranges together hold another one. */
function rangesCover(ranges: readonly PortRange[], { first, last }: PortRange): boolean {
  let reached = first;
  for (const range of ranges.toSorted((one, other) => one.first - other.first)) {
    if (range.first <= reached) reached = Math.max(reached, range.last + 1);
  }
  return reached > last;
}

/**
 * Tells whether rules of the same action, each of which may match, together match all that another one
 * does: each of its peers, on each of its ports, is all of a peer of theirs.
 */
export function rulesCover(wide: readonly PolicyRule[], narrow: PolicyRule): boolean {
  if (narrow.kind === "match") {
    return wide.some((rule) => rule.kind === "match" && matchCovers(rule, narrow));
  }
  const rules = wide.filter((rule) => rule.kind === "peers");
  return (narrow.peers ?? [undefined]).every((peer) => {
    const about = rules.filter((rule) => ruleHasPeer(rule, peer));
    if (about.some(({ ports }) => ports === undefined)) return true;
    const ports = about.flatMap((rule) => rule.ports ?? []);
    return narrow.ports?.every((port) => portsCover(ports, port)) ?? false;
  });
}

function ruleHasPeer({ peers }: PeerRule, peer: PolicyPeer | undefined): boolean {
  if (peers === undefined) return true;
  return peer !== undefined && peers.some((each) => peerCovers(each, peer));
}

function matchCovers(wide: MatchRule, narrow: MatchRule): boolean {
  // What its tables match beside what it says, nothing here tells.
  if (isWidened(narrow)) return false;
  return (
    familiesIn(narrow).every((family) => familiesIn(wide).includes(family)) &&
    (wide.protocol === undefined || wide.protocol === narrow.protocol) &&
    (wide.notProtocol === undefined ||
      wide.notProtocol === narrow.notProtocol ||
      (narrow.protocol !== undefined && narrow.protocol !== wide.notProtocol)) &&
    icmpCovers(wide.icmp, narrow.icmp) &&
    (wide.notIcmp === undefined || sameIcmp(wide.notIcmp, narrow.notIcmp)) &&
    sideCovers(wide.source, narrow.source) &&
    sideCovers(wide.destination, narrow.destination)
  );
}

function familiesIn({ source, destination, family }: MatchRule): Family[] {
  const ofDestination = familiesOf(destination, family);
  return familiesOf(source, family).filter((each) => ofDestination.includes(each));
}

function icmpCovers(wide: IcmpMatch | undefined, narrow: IcmpMatch | undefined): boolean {
  if (wide === undefined) return true;
  return wide.type === narrow?.type && (wide.code === undefined || wide.code === narrow.code);
}

function sameIcmp(one: IcmpMatch, other: IcmpMatch | undefined): boolean {
  return one.type === other?.type && one.code === other.code;
}

function sideCovers(wide: RuleSide, narrow: RuleSide): boolean {
  return (
    (wide.nets.length === 0 ||
      (narrow.nets.length > 0 &&
        narrow.nets.every((net) => wide.nets.some((each) => prefixCovers(each, net))))) &&
    wide.notNets.every((gap) => narrow.notNets.some((own) => prefixCovers(own, gap))) &&
    chosenCovers(wide.selector, narrow.selector) &&
    (wide.notSelector === undefined ||
      (narrow.notSelector !== undefined && sameExpression(wide.notSelector, narrow.notSelector))) &&
    rulePortsCover(wide.ports, narrow.ports) &&
    wide.notPorts.every((port) => narrow.notPorts.some((own) => samePort(own, port))) &&
    (wide.service === undefined ||
      (wide.service.namespace === narrow.service?.namespace &&
        wide.service.name === narrow.service.name))
  );
}

/** `all()` is everything with labels, and not every address. */
function chosenCovers(
  wide: ExpressedEndpoints | undefined,
  narrow: ExpressedEndpoints | undefined,
): boolean {
  if (wide === undefined) return true;
  return narrow !== undefined && expressionCovers(wide.expression, narrow.expression);
}

function sameExpression(one: ExpressedEndpoints, other: ExpressedEndpoints): boolean {
  return formatExpression(one.expression) === formatExpression(other.expression);
}

function rulePortsCover(wide: readonly RulePort[], narrow: readonly RulePort[]): boolean {
  if (wide.length === 0) return true;
  const ranges = wide.filter((port) => port.kind === "range");
  return (
    narrow.length > 0 &&
    narrow.every((port) =>
      port.kind === "range" ? rangesCover(ranges, port) : wide.some((each) => samePort(each, port)),
    )
  );
}

function samePort(one: RulePort, other: RulePort): boolean {
  if (one.kind === "named") return other.kind === "named" && one.name === other.name;
  return other.kind === "range" && one.first === other.first && one.last === other.last;
}
