/**
 * How far one of Calico's rules is from matching a flow, in words, for the nearest miss. Explains a
 * verdict and never decides one.
 */
import { expressionMatches, formatExpression } from "../cluster/selector-expression.ts";
import { endpointName } from "../cluster/snapshot.ts";
import { formatAddress, formatPrefix, prefixContains } from "../net/address.ts";
import { protocolName } from "../net/protocol.ts";
import { networkSetLabels } from "../policy/calico-labels.ts";
import type { ExpressedEndpoints, MatchRule, RulePort, RuleSide } from "../policy/model.ts";
import { selectsEndpoint } from "../policy/selects.ts";
import type { Facts, FlowEnd, Outcome } from "./flow-facts.ts";

/** Counts the conditions of a rule that do not hold. */
export function matchRuleOutcome(rule: MatchRule, facts: Facts): Outcome {
  const unmet = [
    ...protocolMisses(rule, facts),
    ...sideMisses("source", rule.source, facts.source, facts),
    ...sideMisses("destination", rule.destination, facts.target, facts),
  ];
  return { unmet: unmet.length, words: unmet.join("; ") };
}

function* protocolMisses(rule: MatchRule, { protocol, source }: Facts): Generator<string> {
  const nameOf = (number: number): string => protocolName(number).toUpperCase();
  if (rule.family !== undefined && source.address?.family !== rule.family) {
    yield `needs IPv${rule.family}`;
  }
  if (rule.protocol !== undefined && nameOf(rule.protocol) !== protocol) {
    yield `needs ${nameOf(rule.protocol)}, has ${protocol}`;
  }
  if (rule.notProtocol !== undefined && nameOf(rule.notProtocol) === protocol) {
    yield `needs another protocol than ${protocol}`;
  }
  // Types are not among what is known of a flow.
  if (rule.icmp !== undefined) yield `needs ICMP type ${rule.icmp.type}`;
  if (rule.notIcmp !== undefined) yield `needs another ICMP type than ${rule.notIcmp.type}`;
}

function* sideMisses(
  name: "source" | "destination",
  side: RuleSide,
  end: FlowEnd,
  { snapshot, protocol }: Facts,
): Generator<string> {
  const { address, endpoint } = end;
  const has = address === undefined ? "an unknown address" : formatAddress(address);
  const who = endpoint === undefined ? has : endpointName(endpoint);
  const isIn = (nets: RuleSide["nets"]): boolean =>
    address !== undefined && nets.some((net) => prefixContains(net, address));
  const isChosen = (selector: ExpressedEndpoints): boolean => {
    if (endpoint !== undefined) return selectsEndpoint(selector, endpoint, snapshot);
    return snapshot.networkSets.some(
      (set) =>
        isIn(set.prefixes) &&
        expressionMatches(selector.expression, networkSetLabels(set, snapshot)),
    );
  };
  const hasPort = (ports: readonly RulePort[]): boolean =>
    ports.some((port) =>
      port.kind === "range"
        ? end.port !== undefined && port.first <= end.port && end.port <= port.last
        : endpoint?.ports.some(
            (own) => own.name === port.name && own.port === end.port && own.protocol === protocol,
          ) === true,
    );
  if (side.nets.length > 0 && !isIn(side.nets)) {
    yield `${name} needs an address in ${side.nets.map(formatPrefix).join(", ")}, has ${has}`;
  }
  if (isIn(side.notNets)) yield `${name} needs an address outside the notNets, has ${has}`;
  if (side.selector !== undefined && !isChosen(side.selector)) {
    yield `${name} needs ${formatExpression(side.selector.expression)}, is ${who}`;
  }
  if (side.notSelector !== undefined && isChosen(side.notSelector)) {
    yield `${name} must not have ${formatExpression(side.notSelector.expression)}, is ${who}`;
  }
  if (side.ports.length > 0 && !hasPort(side.ports)) {
    yield `${name} port needs ${portsText(side.ports)}, has ${end.port ?? "none"}`;
  }
  if (hasPort(side.notPorts)) yield `${name} port must not be ${end.port ?? "it"}`;
  if (side.service !== undefined) {
    const { namespace, name: service } = side.service;
    const members = snapshot.membersByService.get(endpointName(side.service));
    const own = (members?.ports ?? []).filter((member) => formatAddress(member.address) === has);
    const ports = own.map((member) => `${member.port}/${member.protocol}`);
    if (members?.addresses.some((member) => formatAddress(member) === has) !== true) {
      yield `${name} needs an endpoint of Service ${namespace}/${service}, is ${who}`;
      // Of a source, only the address is asked.
    } else if (name === "destination" && !ports.includes(`${end.port}/${protocol}`)) {
      const wanted = ports.length === 0 ? "a port" : ports.join(", ");
      yield `destination port needs ${wanted} of Service ${namespace}/${service}, has ${end.port ?? "none"}`;
    }
  }
}

function portsText(ports: readonly RulePort[]): string {
  return ports
    .map((port) => {
      if (port.kind === "named") return port.name;
      return port.first === port.last ? `${port.first}` : `${port.first}-${port.last}`;
    })
    .join(", ");
}
