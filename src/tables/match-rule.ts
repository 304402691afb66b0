/**
 * One of Calico's policy rules to what Felix is told of it, for one address family: selectors and named
 * ports become sets, prefixes of the other family fall out.
 * Source: felix/calc/rule_scanner.go, ruleToParsedRule and combineMatchesIfPossible; felix/rules/policy.go,
 * FilterRuleToIPVersion.
 */
import type { PortProtocol } from "../cluster/snapshot.ts";
import type { SetName } from "../match/set.ts";
import type { Family, Prefix } from "../net/address.ts";
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from "../net/protocol.ts";
import type { ExpressedEndpoints, MatchRule, RulePort, RuleSide } from "../policy/model.ts";
import type { FelixRule, FelixSide } from "./felix-rule.ts";
import type { SetCollector } from "./sets.ts";

/** Lowers a rule; undefined where the rule does not exist for the family. */
export function lowerMatchRule(
  rule: MatchRule,
  { family, sets }: { readonly family: Family; readonly sets: SetCollector },
): FelixRule | undefined {
  if (rule.family !== undefined && rule.family !== family) return undefined;
  // iptables has room for one protocol in a rule; two that differ say no more than the positive one.
  if (rule.protocol !== undefined && rule.protocol === rule.notProtocol) return undefined;
  const protocol = namedPortProtocol(rule.protocol);
  const source = lowerSide(rule.source, { side: "source", family, protocol, sets });
  const destination = lowerSide(rule.destination, { side: "destination", family, protocol, sets });
  if (source === undefined || destination === undefined) return undefined;
  return {
    protocol: rule.protocol,
    notProtocol: rule.protocol === undefined ? rule.notProtocol : undefined,
    icmp: rule.icmp,
    notIcmp: rule.notIcmp,
    source,
    destination,
  };
}

interface SideContext {
  readonly side: "source" | "destination";
  readonly family: Family;
  /** Of named ports. */
  readonly protocol: PortProtocol | "any";
  readonly sets: SetCollector;
}

function lowerSide(side: RuleSide, context: SideContext): FelixSide | undefined {
  const { family, sets, protocol } = context;
  const nets = ofFamily(side.nets, family);
  const notNets = ofFamily(side.notNets, family);
  // > Filtering the rule would completely remove one of its match fields: it does not exist then.
  if (nets === undefined || notNets === undefined) return undefined;
  // > Negated catch-all CIDRs create logical contradictions.
  if (notNets.some(({ bits }) => bits === 0)) return undefined;
  const { selector, notSelector } = combine(side);
  const ranges = side.ports.filter((port) => port.kind === "range");
  const namedSets = (ports: readonly RulePort[]): SetName[] =>
    ports.flatMap((port) =>
      // Filtered by the positive selector also where negated: the rule holds only for what it chooses.
      port.kind === "named" ? [sets.portSet({ name: port.name, protocol }, selector)] : [],
    );
  const portSets = namedSets(side.ports);
  // The sets of named ports say the selector already, unless a number may match instead.
  const said = portSets.length > 0 && ranges.length === 0;
  const { service } = side;
  const asSource = context.side === "source";
  return {
    nets,
    notNets,
    sets: [
      ...(selector === undefined || said ? [] : [sets.podSet(selector)]),
      ...(service !== undefined && asSource ? [sets.serviceAddressSet(service)] : []),
    ],
    notSets: notSelector === undefined ? [] : [sets.podSet(notSelector)],
    ports: ranges,
    portSets,
    notPorts: side.notPorts.filter((port) => port.kind === "range"),
    notPortSets: namedSets(side.notPorts),
    ...(service !== undefined && !asSource ? { serviceSet: sets.servicePortSet(service) } : {}),
  };
}

/** The prefixes of a family; undefined when there are some and none is of it. */
function ofFamily(prefixes: readonly Prefix[], family: Family): readonly Prefix[] | undefined {
  const own = prefixes.filter(({ address }) => address.family === family);
  return own.length === 0 && prefixes.length > 0 ? undefined : own;
}

/**
 * With a positive selector the negative one only takes from what it chooses. Without, it also holds for
 * addresses that no endpoint has.
 */
function combine({ selector, notSelector }: RuleSide): {
  readonly selector: ExpressedEndpoints | undefined;
  readonly notSelector: ExpressedEndpoints | undefined;
} {
  if (selector === undefined || notSelector === undefined) return { selector, notSelector };
  return {
    selector: {
      kind: "expression",
      expression: {
        kind: "and",
        operands: [selector.expression, { kind: "not", operand: notSelector.expression }],
      },
    },
    notSelector: undefined,
  };
}

function namedPortProtocol(protocol: number | undefined): PortProtocol | "any" {
  switch (protocol) {
    case PROTOCOL_TCP:
      return "TCP";
    case PROTOCOL_UDP:
      return "UDP";
    case PROTOCOL_SCTP:
      return "SCTP";
    case undefined:
      return "any";
    default:
      // > namedPortProto := labelindex.ProtocolTCP
      return "TCP";
  }
}
