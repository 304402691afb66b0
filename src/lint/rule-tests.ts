/**
 * A policy's rules as tests of traffic: a rule matches what any of its tests matches. A test asks something
 * of either end and of the protocol and ports, as the rule's tables do; nothing here knows of tables.
 */
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP, protocolNumber } from "../net/protocol.ts";
import type { PortRange } from "../match/multiport.ts";
import type { Family, Prefix } from "../net/address.ts";
import type {
  Direction,
  IcmpMatch,
  MatchRule,
  PeerRule,
  PolicyPeer,
  PolicyPort,
  PolicyRule,
  RulePort,
  RuleSide,
  ServiceRef,
} from "../policy/model.ts";
import type { Condition, Conditions } from "./conditions.ts";

/** What is asked of one end. */
export interface SideTest {
  /** Of each list one holds. */
  readonly all: readonly (readonly Condition[])[];
  /** None of them holds. */
  readonly none: readonly Condition[];
  /** The family that it is for; undefined: both. */
  readonly families: readonly Family[];
  readonly ports: PortTest;
  /** Its port is one that the Service has there. */
  readonly service: ServiceRef | undefined;
}

/** One of them; none at all: every port. */
export interface PortTest {
  readonly ranges: readonly PortRange[];
  readonly names: readonly string[];
  readonly notRanges: readonly PortRange[];
  readonly notNames: readonly string[];
}

export interface RuleTest {
  readonly source: SideTest;
  readonly destination: SideTest;
  /** Undefined: every protocol. */
  readonly protocol: number | undefined;
  readonly notProtocol: number | undefined;
  readonly icmp: IcmpMatch | undefined;
  readonly notIcmp: IcmpMatch | undefined;
  /** The tables may match more than the rule says. */
  readonly wider: boolean;
}

const BOTH: readonly Family[] = [4, 6];
const ANY_PORT: PortTest = { ranges: [], names: [], notRanges: [], notNames: [] };
const ANYBODY: SideTest = {
  all: [],
  none: [],
  families: BOTH,
  ports: ANY_PORT,
  service: undefined,
};

/** The tests of a rule; none: it matches nothing. */
export function testsOf(
  rule: PolicyRule,
  direction: Direction,
  conditions: Conditions,
): RuleTest[] {
  return rule.kind === "match"
    ? matchTests(rule, conditions)
    : peerTests(rule, direction, conditions);
}

function peerTests(rule: PeerRule, direction: Direction, conditions: Conditions): RuleTest[] {
  const peers: readonly (PolicyPeer | undefined)[] = rule.peers ?? [undefined];
  return portsByProtocol(rule.ports).flatMap(({ protocol, ranges, names }) =>
    peers.flatMap((peer): RuleTest[] => {
      const side = peerSide(peer, conditions);
      // > There are no namedPorts for networks/nodes/domainNames.
      const nameless = peer !== undefined && peer.kind !== "pods" && peer.kind !== "block";
      const own = nameless ? [] : names;
      if (ranges.length === 0 && names.length > 0 && own.length === 0) return [];
      const ports = { ...ANY_PORT, ranges, names: own };
      return [
        {
          source: direction === "ingress" ? side : ANYBODY,
          destination: direction === "ingress" ? { ...ANYBODY, ports } : { ...side, ports },
          protocol,
          notProtocol: undefined,
          icmp: undefined,
          notIcmp: undefined,
          wider: false,
        },
      ];
    }),
  );
}

interface ProtocolPorts {
  readonly protocol: number | undefined;
  /** With no name either: every port. */
  readonly ranges: readonly PortRange[];
  readonly names: readonly string[];
}

function portsByProtocol(ports: readonly PolicyPort[] | undefined): ProtocolPorts[] {
  if (ports === undefined) return [{ protocol: undefined, ranges: [], names: [] }];
  return [...new Set(ports.map(({ protocol }) => protocol))].map((protocol) => {
    const number = protocol === undefined ? undefined : protocolNumber(protocol);
    const own = ports.filter((port) => port.protocol === protocol);
    const ranges = own.filter((port) => port.kind === "range");
    const whole = ranges.some(({ first, last }) => first === 0 && last === 0xffff);
    if (whole) return { protocol: number, ranges: [], names: [] };
    const names = own.flatMap((port) => (port.kind === "named" ? [port.name] : []));
    return { protocol: number, ranges, names };
  });
}

function peerSide(peer: PolicyPeer | undefined, conditions: Conditions): SideTest {
  switch (peer?.kind) {
    case undefined:
      return ANYBODY;
    case "pods":
      return { ...ANYBODY, all: [[conditions.chosen(peer.selector)]] };
    case "block":
      return {
        ...ANYBODY,
        all: [[conditions.within(peer.prefix)]],
        none: peer.except.map((prefix) => conditions.within(prefix)),
      };
    case "networks":
      return { ...ANYBODY, all: [peer.prefixes.map((prefix) => conditions.within(prefix))] };
    case "nodes":
      return { ...ANYBODY, all: [[conditions.node(peer.nodeSelector)]] };
    case "domains":
      return { ...ANYBODY, all: [peer.domainNames.map((name) => conditions.domain(name))] };
  }
}

function matchTests(rule: MatchRule, conditions: Conditions): RuleTest[] {
  // iptables has room for one protocol in a rule; two that differ say no more than the positive one.
  if (rule.protocol !== undefined && rule.protocol === rule.notProtocol) return [];
  const source = ruleSide(rule.source, rule.family, { conditions, asSource: true });
  const destination = ruleSide(rule.destination, rule.family, { conditions, asSource: false });
  return [
    {
      source,
      destination,
      protocol: rule.protocol,
      notProtocol: rule.protocol === undefined ? rule.notProtocol : undefined,
      icmp: rule.icmp,
      notIcmp: rule.notIcmp,
      wider: isWidened(rule),
    },
  ];
}

/** Felix renders three lists in one rule in a way that matches more (WIDER_RULE). */
export function isWidened({ source, destination }: MatchRule): boolean {
  const lists = [source.ports, destination.ports, source.nets, destination.nets];
  return lists.filter((list) => list.length > 1).length >= 3;
}

/** The families in which a rule exists, as far as one side tells. */
export function familiesOf(
  { nets, notNets }: RuleSide,
  family: Family | undefined,
): readonly Family[] {
  const has = (prefixes: readonly Prefix[], one: Family): boolean =>
    prefixes.length === 0 || prefixes.some(({ address }) => address.family === one);
  return BOTH.filter(
    (one) =>
      (family === undefined || family === one) &&
      // > Filtering the rule would completely remove one of its match fields: it does not exist then.
      has(nets, one) &&
      has(notNets, one) &&
      // > Negated catch-all CIDRs create logical contradictions.
      !notNets.some(({ address, bits }) => address.family === one && bits === 0),
  );
}

function ruleSide(
  side: RuleSide,
  family: Family | undefined,
  { conditions, asSource }: { readonly conditions: Conditions; readonly asSource: boolean },
): SideTest {
  const { selector, notSelector, service } = side;
  return {
    all: [
      ...(side.nets.length === 0 ? [] : [side.nets.map((net) => conditions.within(net))]),
      ...(selector === undefined ? [] : [[conditions.chosen(selector)]]),
      ...(service !== undefined && asSource ? [[conditions.serviceAddress(service)]] : []),
    ],
    none: [
      ...side.notNets.map((net) => conditions.within(net)),
      ...(notSelector === undefined ? [] : [conditions.chosen(notSelector)]),
    ],
    families: familiesOf(side, family),
    ports: {
      ranges: rangesIn(side.ports),
      names: namesIn(side.ports),
      notRanges: rangesIn(side.notPorts),
      notNames: namesIn(side.notPorts),
    },
    service: asSource ? undefined : service,
  };
}

function rangesIn(ports: readonly RulePort[]): readonly PortRange[] {
  return ports.filter((port) => port.kind === "range");
}

function namesIn(ports: readonly RulePort[]): string[] {
  return ports.flatMap((port) => (port.kind === "named" ? [port.name] : []));
}

/** Protocols that have ports. */
export const PORTED: readonly number[] = [PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_SCTP];
