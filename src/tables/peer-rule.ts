/**
 * Rules of NetworkPolicies and cluster-wide policies. One is "any of these peers, on any of these ports";
 * Felix's rules are an AND of lists. So a rule becomes one for each protocol and peer, as libcalico-go
 * converts it, and each of those becomes what `renderFelixRule` makes of it.
 * Source: libcalico-go conversion.go k8sRuleToCalico.
 */
import type { PortProtocol } from "../cluster/snapshot.ts";
import type { PortRange } from "../match/multiport.ts";
import type { SetName } from "../match/set.ts";
import type {
  Direction,
  LabelledPods,
  PeerRule,
  PolicyPeer,
  PolicyPort,
  RuleAction,
} from "../policy/model.ts";
import { OPEN } from "./dialect-rule.ts";
import { renderFelixRule } from "./felix-rule.ts";
import type { FelixSide } from "./felix-rule.ts";
import type { Rule, RuleOrigin } from "./model.ts";
import { compilePeer, missingOf } from "./peer-side.ts";
import type { Meaning, PeerMeaning } from "./peer-side.ts";
import type { PolicyContext, RuleContext } from "./policy-context.ts";
import { portProtocolNumber } from "./sets.ts";

/** Compiles a rule for one family. */
export function compilePeerRule(given: RuleContext<PeerRule>): Rule[] {
  const rules: Rule[] = [];
  const peers = splitDomains(given.rule.peers ?? ANY_PEER).map((peer): AskedPeer => ({
    peer,
    meanings: undefined,
  }));
  for (const ports of portsByProtocol(given.rule.ports)) {
    for (const peer of peers) addRules(rules, given, ports, peer);
  }
  return rules;
}

/** No peers: matches any peer. */
const ANY_PEER = [undefined];

interface AskedPeer {
  readonly peer: PolicyPeer | undefined;
  /** Once some protocol has asked for them. */
  meanings: readonly PeerMeaning[] | undefined;
}

/** Of one domain name the addresses may be known, and of another not. */
function splitDomains(
  peers: readonly (PolicyPeer | undefined)[],
): readonly (PolicyPeer | undefined)[] {
  if (peers.every((peer) => peer?.kind !== "domains")) return peers;
  return peers.flatMap((peer): readonly (PolicyPeer | undefined)[] =>
    peer?.kind === "domains"
      ? peer.domainNames.map((name) => ({ ...peer, domainNames: [name] }))
      : [peer],
  );
}

/** The ports of one protocol. */
interface ProtocolPorts {
  /** Undefined: every protocol. */
  readonly protocol: PortProtocol | undefined;
  /** Sorted and joined; with no named port either: every port. */
  readonly ranges: readonly PortRange[];
  readonly names: readonly string[];
}

/** By protocol name, as Calico sorts them; an item that means every port of it takes in the others. */
function portsByProtocol(ports: readonly PolicyPort[] | undefined): ProtocolPorts[] {
  // No ports: matches every port of every protocol.
  if (ports === undefined) return [everyPortOf(undefined)];
  const protocols: (PortProtocol | undefined)[] = [];
  for (const { protocol } of ports) if (!protocols.includes(protocol)) protocols.push(protocol);
  return protocols.sort().map((protocol) => portsOf(protocol, ports));
}

function everyPortOf(protocol: PortProtocol | undefined): ProtocolPorts {
  return { protocol, ranges: [], names: [] };
}

function portsOf(protocol: PortProtocol | undefined, ports: readonly PolicyPort[]): ProtocolPorts {
  const ranges: PortRange[] = [];
  const names: string[] = [];
  for (const port of ports) {
    if (port.protocol !== protocol) continue;
    if (port.kind === "named") {
      if (!names.includes(port.name)) names.push(port.name);
    } else if (port.first === 0 && port.last === 0xffff) {
      return everyPortOf(protocol);
    } else {
      ranges.push({ first: port.first, last: port.last });
    }
  }
  return { protocol, ranges: joinRanges(ranges), names };
}

/** Ranges that touch or overlap become one. Source: conversion.go SimplifyPorts. */
function joinRanges(ranges: readonly PortRange[]): readonly PortRange[] {
  // Without the room that it has grown.
  if (ranges.length < 2) return ranges.slice();
  const joined: PortRange[] = [];
  for (const { first, last } of ranges.toSorted((one, other) => one.first - other.first)) {
    const previous = joined.at(-1);
    if (previous !== undefined && first <= previous.last + 1) {
      joined[joined.length - 1] = {
        first: previous.first,
        last: Math.max(previous.last, last),
      };
    } else {
      joined.push({ first, last });
    }
  }
  return joined.slice();
}

/** Adds the rules of one protocol and one peer. */
function addRules(
  rules: Rule[],
  { policy, direction, rule, context }: RuleContext<PeerRule>,
  ports: ProtocolPorts,
  asked: AskedPeer,
): void {
  const { family, dialect } = context;
  const { peer } = asked;
  // > There are no namedPorts for networks/nodes/domainNames.
  const nameless = peer !== undefined && peer.kind !== "pods" && peer.kind !== "block";
  if (nameless && ports.names.length > 0) {
    if (ports.ranges.length === 0) return;
    addRules(rules, { policy, direction, rule, context }, { ...ports, names: [] }, asked);
    return;
  }
  const protocol = ports.protocol && portProtocolNumber(ports.protocol);
  const missing = peer === undefined ? undefined : missingOf(peer, context);
  const { action, index } = rule;
  const place = peer?.place ?? rule.place;
  asked.meanings ??= compilePeer(peer, direction, context);
  for (const port of portMeanings(ports, { direction, peer, context })) {
    for (const each of asked.meanings) {
      const peerSide = port.saysPeer && each.question === undefined ? ANYONE : each.side;
      const question = port.question ?? each.question;
      const origin = (effect: RuleAction | "part"): RuleOrigin => {
        const plain: RuleOrigin = {
          kind: "policy-rule",
          effect,
          policy: policy.ref,
          direction,
          rule: index,
          place,
        };
        if (question !== undefined) return { ...plain, open: { question, dialect: dialect.title } };
        return missing === undefined ? plain : { ...plain, missing };
      };
      const source = direction === "ingress" ? peerSide : ANYONE;
      const destination = direction === "ingress" ? port.side : { ...peerSide, ...port.side };
      const also = question === undefined ? each.also : [...(each.also ?? []), OPEN];
      const felixRule = { protocol, source, destination, also };
      rules.push(...renderFelixRule(felixRule, { action, family, origin }).rules);
    }
  }
}

const ANYONE: FelixSide = {};

/** What the ports of one protocol come to; names may mean more than is certain. */
function portMeanings(
  { protocol, ranges, names }: ProtocolPorts,
  {
    direction,
    peer,
    context: { sets, dialect },
  }: {
    readonly direction: Direction;
    readonly peer: PolicyPeer | undefined;
    readonly context: PolicyContext;
  },
): (Meaning & { readonly saysPeer: boolean })[] {
  const numbers: FelixSide = { ports: ranges };
  if (names.length === 0) return [{ side: numbers, saysPeer: false }];
  const pods = peer?.kind === "pods" && direction === "egress" ? peer.selector : undefined;
  const setOf = (name: string, runningOnly: boolean, selector: LabelledPods | undefined): SetName =>
    // > ingress: the port so named of the selected pod; egress: of the peer. Without pods as peer the
    // set has every endpoint's, and the chain or the prefix narrows it.
    sets.portSet({ name, protocol: protocol ?? "any", runningOnly }, selector);
  const runningOnly = dialect.namesInitPorts !== "yes";
  const numbersOf = (name: string): readonly number[] => sets.portNumbers(name, protocol);
  const loose = direction === "egress" && dialect.namesArePeers === "open";
  const certain = loose ? names.filter((name) => numbersOf(name).length === 1) : names;
  const portSets = certain.map((name) => setOf(name, runningOnly, pods));
  // A set of the peer's named ports says already that it is the peer, unless a number may match instead.
  const saysPeer = pods !== undefined && portSets.length > 0 && ranges.length === 0;
  const open: Meaning[] = [];
  if (dialect.namesInitPorts === "open" && names.some((name) => sets.hasInitPort(name))) {
    const all = names.map((name) => setOf(name, false, undefined));
    open.push({ side: { portSets: all }, question: "init-ports" });
  }
  for (const name of loose ? names : []) {
    const [only, ...others] = numbersOf(name);
    if (only === undefined) continue;
    const side: FelixSide =
      others.length === 0
        ? { ports: [{ first: only, last: only }] }
        : { portSets: [setOf(name, false, undefined)] };
    open.push({ side, question: "port-names" });
  }
  return [
    ...(ranges.length + portSets.length === 0
      ? []
      : [{ side: { ...numbers, portSets }, saysPeer }]),
    ...open.map((each) => ({ ...each, saysPeer: false })),
  ];
}
