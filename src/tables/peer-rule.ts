/**
 * Rules of NetworkPolicies and cluster-wide policies. One is "any of these peers, on any of these ports";
 * Felix's rules are an AND of lists. So a rule becomes one for each protocol and peer, as libcalico-go
 * converts it, and each of those becomes what `renderFelixRule` makes of it.
 * Source: libcalico-go conversion.go k8sRuleToCalico.
 */
import type { PortProtocol } from "../cluster/snapshot.ts";
import type { PortRange } from "../match/multiport.ts";
import type { Direction, LabelledPods, PeerRule, PolicyPeer, PolicyPort } from "../policy/model.ts";
import { OPEN } from "./dialect-rule.ts";
import { renderFelixRule } from "./felix-rule.ts";
import type { FelixSide } from "./felix-rule.ts";
import type { Rule } from "./model.ts";
import { compilePeer, missingOf } from "./peer-side.ts";
import type { Meaning } from "./peer-side.ts";
import type { PolicyContext, RuleContext } from "./policy-context.ts";
import { portProtocolNumber } from "./sets.ts";

/** Compiles a rule for one family. */
export function compilePeerRule(given: RuleContext<PeerRule>): Rule[] {
  // No peers: matches any peer.
  const peers: readonly (PolicyPeer | undefined)[] = given.rule.peers?.flatMap(splitDomains) ?? [
    undefined,
  ];
  return portsByProtocol(given.rule.ports).flatMap((ports) =>
    peers.flatMap((peer) => compileOne(given, ports, peer)),
  );
}

/** Of one domain name the addresses may be known, and of another not. */
function splitDomains(peer: PolicyPeer): readonly PolicyPeer[] {
  if (peer.kind !== "domains") return [peer];
  return peer.domainNames.map((name) => ({ ...peer, domainNames: [name] }));
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
  if (ports === undefined) return [{ protocol: undefined, ranges: [], names: [] }];
  const protocols = [...new Set(ports.map((port) => port.protocol))].toSorted();
  return protocols.map((protocol) => {
    const own = ports.filter((port) => port.protocol === protocol);
    const ranges = own.filter((port) => port.kind === "range");
    if (ranges.some((range) => range.first === 0 && range.last === 0xffff)) {
      return { protocol, ranges: [], names: [] };
    }
    const names = own.flatMap((port) => (port.kind === "named" ? [port.name] : []));
    return { protocol, ranges: joinRanges(ranges), names: [...new Set(names)] };
  });
}

/** Ranges that touch or overlap become one. Source: conversion.go SimplifyPorts. */
function joinRanges(ranges: readonly PortRange[]): PortRange[] {
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
  return joined;
}

/** One protocol and one peer. */
function compileOne(
  { policy, direction, rule, context }: RuleContext<PeerRule>,
  ports: ProtocolPorts,
  peer: PolicyPeer | undefined,
): readonly Rule[] {
  const { family, dialect } = context;
  // > There are no namedPorts for networks/nodes/domainNames.
  const nameless = peer !== undefined && peer.kind !== "pods" && peer.kind !== "block";
  if (nameless && ports.names.length > 0) {
    return ports.ranges.length === 0
      ? []
      : compileOne({ policy, direction, rule, context }, { ...ports, names: [] }, peer);
  }
  const place = peer?.place ?? rule.place;
  const missing = peer === undefined ? undefined : missingOf(peer, context);
  const peers = compilePeer(peer, direction, context);
  return portMeanings(ports, { direction, peer, context }).flatMap((port) =>
    peers.flatMap((each) => {
      const peerSide = port.saysPeer && each.question === undefined ? {} : each.side;
      const question = port.question ?? each.question;
      return renderFelixRule(
        {
          protocol: ports.protocol && portProtocolNumber(ports.protocol),
          source: direction === "ingress" ? peerSide : {},
          destination: direction === "ingress" ? port.side : { ...peerSide, ...port.side },
          also: [...(each.also ?? []), ...(question === undefined ? [] : [OPEN])],
        },
        {
          action: rule.action,
          family,
          origin: (effect) => ({
            kind: "policy-rule",
            effect,
            policy: policy.ref,
            direction,
            rule: rule.index,
            place,
            ...(question === undefined ? {} : { open: { question, dialect: dialect.title } }),
            ...(question !== undefined || missing === undefined ? {} : { missing }),
          }),
        },
      ).rules;
    }),
  );
}

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
  const setOf = (name: string, runningOnly: boolean, selector: LabelledPods | undefined): string =>
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
