/**
 * One policy's rules in one direction to one chain, shared by every endpoint the policy selects. The
 * chain sets the accept or the pass bit and returns, whose meaning is up to the endpoint's chain; a
 * denial becomes DROP here.
 * Source: Felix rules/policy.go; libcalico-go conversion.go k8sRuleToCalico.
 */
import type { PortRange } from "../match/multiport.ts";
import { endpointName, type PortProtocol } from "../cluster/snapshot.ts";
import type { Place } from "../errors.ts";
import type { LabelSelector } from "../cluster/selector.ts";
import type { Match } from "../match/index.ts";
import { prefixMask } from "../net/address.ts";
import type { Family, Prefix } from "../net/address.ts";
import type { Dialect, DialectQuestion } from "../policy/dialect.ts";
import { formatPolicyName } from "../policy/model.ts";
import type {
  Direction,
  LabelledPods,
  MatchRule,
  PeerRule,
  Policy,
  PolicyPeer,
  PolicyPort,
  PolicyRule,
  RuleAction,
} from "../policy/model.ts";
import { builtInProfile, type Profile } from "../policy/profile.ts";
import { CALICO_KIND } from "../policy/order.ts";
import { renderFelixRule } from "./felix-rule.ts";
import type { FelixRule, FelixSide } from "./felix-rule.ts";
import { lowerMatchRule } from "./match-rule.ts";
import { OPEN } from "./dialect-rule.ts";
import { isPrinted } from "./model.ts";
import type { Chain, Rule } from "./model.ts";
import { policyChainName, profileChainName } from "./names.ts";
import { makeRule, stateIs } from "./rule.ts";
import { portProtocolNumber } from "./sets.ts";
import type { SetCollector } from "./sets.ts";

/** What the rules of one family's chains are made with. */
export interface PolicyContext {
  readonly family: Family;
  readonly sets: SetCollector;
  readonly dialect: Dialect;
  /** Told of every rule whose rendering matches more than the policy says. */
  readonly onWider?: (policy: Policy, direction: Direction, rule: MatchRule) => void;
}

/**
 * Compiles a policy's rules of one direction.
 *
 * A policy rule is "any of these peers, on any of these ports"; Felix's rules are an AND of lists. So a
 * rule becomes one for each protocol and peer, as libcalico-go converts it, and each of those becomes
 * what `renderFelixRule` makes of it.
 */
export function compilePolicyChain(
  policy: Policy,
  direction: Direction,
  context: PolicyContext,
): Chain {
  const rules = (policy[direction] ?? []).flatMap((rule) =>
    rule.kind === "peers"
      ? compilePeerRule({ policy, direction, rule, context })
      : compileMatchRule({ policy, direction, rule, context }),
  );
  // The end of a chain returns anyway, as Felix notes and leaves such rules out.
  while (rules.at(-1)?.target?.kind === "RETURN") rules.pop();
  return {
    name: policyChainName(direction, policy.ref),
    policy: undefined,
    ...(rules.every(isPrinted) ? {} : { partlyPrinted: true }),
    rules: titled(
      rules,
      `${CALICO_KIND[policy.ref.kind]} ${formatPolicyName(policy.ref)} ${direction}`,
    ),
  };
}

/** Tells whether a policy's rules of a direction are the same in both families but for the sets' names. */
export function isAlikeInFamilies(policy: Policy, direction: Direction): boolean {
  return (policy[direction] ?? []).every(
    (rule) => rule.kind === "peers" && (rule.peers ?? []).every(({ kind }) => kind === "pods"),
  );
}

/** A policy's chain, and the sets that it has asked for: also those that no rule of it needs then. */
export interface ChainWithSets {
  readonly chain: Chain;
  readonly sets: ReadonlySet<string>;
}

/** The chain of such a policy by the one of another family, whose sets are `other`. */
export function counterpartOf(
  { chain, sets: asked }: ChainWithSets,
  { sets, other }: { readonly sets: SetCollector; readonly other: SetCollector },
): ChainWithSets {
  const names = new Map([...asked].map((name) => [name, sets.counterpartOf(name, other)]));
  const rules = chain.rules.map((rule) =>
    rule.matches.some(({ kind }) => kind === "set")
      ? {
          ...rule,
          matches: rule.matches.map((match) =>
            match.kind === "set" ? { ...match, set: names.get(match.set) ?? match.set } : match,
          ),
        }
      : rule,
  );
  return { chain: { ...chain, rules }, sets: new Set(names.values()) };
}

/** Compiles the rules of a host endpoint's profile; of one that is not there: it denies everything. */
export function compileProfileChain(
  name: string,
  direction: Direction,
  { profile, context }: { readonly profile: Profile | undefined; readonly context: PolicyContext },
): Chain {
  const rules =
    profile === undefined
      ? builtInRules()
      : profile[direction].flatMap((rule) => {
          const felixRule = lowerMatchRule(rule, context);
          return felixRule === undefined
            ? []
            : render(felixRule, rule.action, rule.index, rule.place);
        });
  while (rules.at(-1)?.target?.kind === "RETURN") rules.pop();
  return {
    name: profileChainName(direction, name),
    policy: undefined,
    rules: titled(rules, `Profile ${name} ${direction}`),
  };

  function builtInRules(): Rule[] {
    const built = builtInProfile(name);
    if (built === "no rules") return [];
    return render(EVERYTHING, built === "allows" ? "allow" : "deny", undefined, undefined);
  }

  function render(
    rule: FelixRule,
    action: RuleAction,
    index: number | undefined,
    place: Place | undefined,
  ): Rule[] {
    const { family } = context;
    const { rules: rendered } = renderFelixRule(rule, {
      action,
      family,
      origin: (effect) => ({
        kind: "profile-rule",
        effect,
        profile: name,
        direction,
        rule: index,
        place,
      }),
    });
    return [...rendered];
  }
}

const EVERYTHING: FelixRule = { source: {}, destination: {} };

/** Puts the policy's name on the first rule; without rules (isolates, allows nothing) on one of its own. */
function titled(rules: readonly Rule[], comment: string): Rule[] {
  const [first, ...others] = rules;
  if (first === undefined) return [makeRule({ comment })];
  const { origin, target, matches } = first;
  const whole = { comment, matches, ...(target === undefined ? {} : { target }) };
  return [makeRule(origin === undefined ? whole : { ...whole, origin }), ...others];
}

interface RuleContext<R extends PolicyRule> {
  readonly policy: Policy;
  readonly direction: Direction;
  readonly rule: R;
  readonly context: PolicyContext;
}

function compileMatchRule({
  policy,
  direction,
  rule,
  context,
}: RuleContext<MatchRule>): readonly Rule[] {
  const felixRule = lowerMatchRule(rule, context);
  if (felixRule === undefined) return [];
  const missing = missingOfServices(rule, context.sets);
  const rendered = renderFelixRule(felixRule, {
    action: rule.action,
    family: context.family,
    origin: (effect) => ({
      kind: "policy-rule",
      effect,
      policy: policy.ref,
      direction,
      rule: rule.index,
      place: rule.place,
      ...(missing === undefined ? {} : { missing }),
    }),
  });
  if (rendered.wider) context.onWider?.(policy, direction, rule);
  return rendered.rules;
}

function compilePeerRule(given: RuleContext<PeerRule>): Rule[] {
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

/** What a port list or a peer comes to; with a question, perhaps. */
interface Meaning {
  readonly side: FelixSide;
  readonly question?: DialectQuestion;
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

interface PeerMeaning extends Meaning {
  /** What else must hold. */
  readonly also?: readonly Match[];
}

/** What is asked of a peer's side; nothing when nothing of this family can be the peer. */
function compilePeer(
  peer: PolicyPeer | undefined,
  direction: Direction,
  context: PolicyContext,
): PeerMeaning[] {
  const { family, sets } = context;
  switch (peer?.kind) {
    case undefined:
      return [{ side: {} }];
    case "pods":
      return [{ side: { sets: [sets.podSet(peer.selector)] } }];
    case "block":
      // A prefix of the other family cannot match: the rule does not exist here.
      return peer.prefix.address.family === family ? blockMeanings(peer, direction, context) : [];
    case "networks": {
      const nets = peer.prefixes.filter(({ address }) => address.family === family);
      return nets.length === 0 ? [] : [{ side: { nets } }];
    }
    case "nodes": {
      const own = { sets: [sets.nodeSet(peer.nodeSelector)] };
      // Of an address that a pod has it is known that no node has it.
      return [{ side: sets.knowsNodes() ? own : { ...own, notSets: [sets.podSet(EVERY_POD)] } }];
    }
    case "domains":
      return [{ side: { sets: peer.domainNames.map((name) => sets.domainSet(name)) } }];
  }
}

/**
 * > ipBlock: these should be cluster-external IPs.
 *
 * Whether it also means those of the cluster, and which address it means where a Service or a balancer
 * translates, is up to the implementation.
 */
function blockMeanings(
  { prefix, except }: Extract<PolicyPeer, { kind: "block" }>,
  direction: Direction,
  { sets, dialect }: PolicyContext,
): PeerMeaning[] {
  const side: FelixSide = { nets: [prefix], notNets: except };
  const pods = dialect.blocksHoldPods === "yes" ? [] : [sets.podSet(EVERY_POD)];
  const nodes = dialect.blocksHoldNodes === "yes" ? [] : [sets.nodeSet(EVERY_NODE)];
  const before = dialect.blocksSeeBefore === "open";
  const notSets = [...pods, ...nodes];
  return [
    {
      side: notSets.length === 0 ? side : { ...side, notSets },
      ...(before ? { also: [UNTRANSLATED] } : {}),
    },
    ...(dialect.blocksHoldPods === "open"
      ? [{ side: { ...side, sets: pods }, question: "blocks-hold-pods" } as const]
      : []),
    ...(dialect.blocksHoldNodes === "open"
      ? [{ side: { ...side, sets: nodes, notSets: pods }, question: "blocks-hold-nodes" } as const]
      : []),
    ...(before ? meaningsBefore({ prefix, except }, { direction, side, pods }) : []),
  ];
}

/** Of a translated connection the address of before may be meant, which for a client nobody knows. */
function meaningsBefore(
  block: { readonly prefix: Prefix; readonly except: readonly Prefix[] },
  {
    direction,
    side,
    pods,
  }: {
    readonly direction: Direction;
    readonly side: FelixSide;
    readonly pods: readonly string[];
  },
): PeerMeaning[] {
  const question = "blocks-see-before";
  if (direction === "ingress") return [{ side: { notSets: pods }, also: [TRANSLATED], question }];
  const firstDestination = [
    destinationWas(block.prefix, false),
    ...block.except.map((each) => destinationWas(each, true)),
  ];
  return [
    { side: { ...side, notSets: pods }, also: [TRANSLATED], question },
    { side: {}, also: [TRANSLATED, ...firstDestination], question },
  ];
}

const TRANSLATED = stateIs("DNAT");
const UNTRANSLATED: Match = { kind: "conntrack", states: ["DNAT"], invert: true };

function destinationWas({ address, bits }: Prefix, invert: boolean): Match {
  const origdst = { address, mask: prefixMask(bits), invert };
  return { kind: "conntrack", states: undefined, invert: false, addresses: { origdst } };
}

const EVERY_POD: LabelledPods = {
  kind: "labels",
  namespace: undefined,
  namespaceSelector: undefined,
  podSelector: { requirements: [] },
};

const EVERY_NODE: LabelSelector = { requirements: [] };

/** What no manifest tells of the Services that a rule names, in words. */
function missingOfServices(
  { source, destination }: MatchRule,
  sets: SetCollector,
): string | undefined {
  const unknown = [source.service, destination.service].filter(
    (service) => service !== undefined && !sets.knowsService(service),
  );
  const names = new Set(unknown.map((service) => service && endpointName(service)));
  return names.size === 0 ? undefined : `the endpoints of Service ${[...names].join(" and ")}`;
}

/** What no manifest tells of a peer, in words. */
function missingOf(peer: PolicyPeer, { sets, dialect }: PolicyContext): string | undefined {
  switch (peer.kind) {
    case "domains": {
      const unknown = peer.domainNames.filter((name) => !sets.knowsDomain(name));
      return unknown.length === 0 ? undefined : `the addresses of ${unknown.join(", ")}`;
    }
    case "nodes":
      return sets.knowsNodes() ? undefined : EVERY_NODE_KNOWN;
    case "block":
      return dialect.blocksHoldNodes === "yes" || sets.knowsNodes() ? undefined : EVERY_NODE_KNOWN;
    case "pods":
    case "networks":
      return undefined;
  }
}

const EVERY_NODE_KNOWN = "the labels and addresses of every node";
