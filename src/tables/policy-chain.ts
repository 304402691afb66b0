/**
 * One policy's rules in one direction to one chain, shared by every endpoint the policy selects. The
 * chain sets the accept or the pass bit and returns, whose meaning is up to the endpoint's chain; a
 * denial becomes DROP here.
 * Source: Felix rules/policy.go; libcalico-go conversion.go k8sRuleToCalico.
 */
import type { Match } from "../match/index.ts";
import { MULTIPORT_SLOTS, portSlots } from "../match/multiport.ts";
import type { PortRange } from "../match/multiport.ts";
import type { Target } from "../target/index.ts";
import type { PortProtocol } from "../cluster/snapshot.ts";
import type { Family, Prefix } from "../net/address.ts";
import { formatPolicyName } from "../policy/model.ts";
import type {
  Direction,
  Policy,
  PolicyPeer,
  PolicyPort,
  PolicyRule,
  RuleAction,
} from "../policy/model.ts";
import { CALICO_KIND } from "../policy/order.ts";
import type { Chain, Rule, RuleOrigin } from "./model.ts";
import { policyChainName } from "./names.ts";
import {
  bitsSet,
  clearBits,
  DROP,
  makeRule,
  MARK_ACCEPT,
  MARK_DROP,
  MARK_PASS,
  MARK_SCRATCH0,
  MARK_SCRATCH1,
  protocolIs,
  RETURN,
  setBits,
} from "./rule.ts";
import { portProtocolNumber } from "./sets.ts";
import type { SetCollector } from "./sets.ts";

/** What the rules of one family's chains are made with. */
export interface PolicyContext {
  readonly family: Family;
  readonly sets: SetCollector;
}

/**
 * Compiles a policy's rules of one direction.
 *
 * A policy rule is "any of these peers, on any of these ports"; an iptables rule is one AND of
 * conditions, with at most one prefix on a side and 15 port slots. So a rule becomes one for each
 * protocol and peer, and where one iptables rule cannot hold it, match blocks in front of it:
 *
 *     scratch bits to 0 (to S0 when only exceptions follow)
 *     each port chunk and each named port    sets S0
 *     each exception of an ipBlock           clears S0
 *     the rest of the conditions, and S0     sets the bit of the rule's action
 *     that bit                               returns, or drops
 *
 * Invariant: behind the last block S0 is set if and only if every block holds.
 */
export function compilePolicyChain(
  policy: Policy,
  direction: Direction,
  context: PolicyContext,
): Chain {
  const rules = (policy[direction] ?? []).flatMap((rule) =>
    compileRule({ policy, direction, rule, context }),
  );
  // The end of a chain returns anyway, as Felix notes and leaves such rules out.
  while (rules.at(-1)?.target?.kind === "RETURN") rules.pop();
  return {
    name: policyChainName(direction, policy.ref),
    policy: undefined,
    rules: titled(
      rules,
      `${CALICO_KIND[policy.ref.kind]} ${formatPolicyName(policy.ref)} ${direction}`,
    ),
  };
}

/** Puts the policy's name on the first rule; without rules (isolates, allows nothing) on one of its own. */
function titled(rules: readonly Rule[], comment: string): Rule[] {
  const [first, ...others] = rules;
  if (first === undefined) return [makeRule({ comment })];
  const { origin, target, matches } = first;
  const whole = { comment, matches, ...(target === undefined ? {} : { target }) };
  return [makeRule(origin === undefined ? whole : { ...whole, origin }), ...others];
}

interface RuleContext {
  readonly policy: Policy;
  readonly direction: Direction;
  readonly rule: PolicyRule;
  readonly context: PolicyContext;
}

function compileRule(given: RuleContext): Rule[] {
  // No peers: matches any peer.
  const peers: readonly (PolicyPeer | undefined)[] = given.rule.peers ?? [undefined];
  return portsByProtocol(given.rule.ports).flatMap((ports) =>
    peers.flatMap((peer) => compileOne(given, ports, peer)),
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

/** One protocol and one peer: the blocks, and the rules of the action. */
function compileOne(
  given: RuleContext,
  ports: ProtocolPorts,
  peer: PolicyPeer | undefined,
): Rule[] {
  const { policy, direction, rule, context } = given;
  // A prefix of the other family cannot match: the rule does not exist here.
  if (peer?.kind === "block" && peer.prefix.address.family !== context.family) return [];

  const place = peer?.place ?? rule.place;
  const origin = (effect: RuleAction | "part"): RuleOrigin => ({
    kind: "policy-rule",
    effect,
    policy: policy.ref,
    direction,
    rule: rule.index,
    place,
  });
  const part = (matches: readonly Match[], bits: "set" | "clear"): Rule =>
    makeRule({
      matches,
      target: bits === "set" ? setBits(MARK_SCRATCH0) : clearBits(MARK_SCRATCH0),
      origin: origin("part"),
    });

  const protocol: readonly Match[] =
    ports.protocol === undefined ? [] : [protocolIs(portProtocolNumber(ports.protocol))];
  const chunks = portChunks(ports.ranges).map(portsAre);
  const podsPeer = peer?.kind === "pods" ? peer : undefined;
  const named = ports.names.map((name) =>
    // > ingress: the port so named of the selected pod; egress: of the peer. Without pods as peer the
    // set has every endpoint's, and the chain or the prefix narrows it.
    namedPortIs(
      context.sets.portSet(
        { name, protocol: ports.protocol ?? "TCP" },
        direction === "egress" ? podsPeer?.selector : undefined,
      ),
    ),
  );
  const except = peer?.kind === "block" ? peer.except : [];
  const portBlock = chunks.length + named.length > 1;

  const rules: Rule[] = [];
  if (portBlock || except.length > 0) {
    rules.push({ ...(portBlock ? BEGIN_PORTS : BEGIN_EXCEPTIONS), origin: origin("part") });
  }
  if (portBlock) {
    rules.push(...chunks.map((chunk) => part([...protocol, chunk], "set")));
    rules.push(...named.map((port) => part([port], "set")));
  }
  rules.push(...except.map((prefix) => part([peerAddressIs(direction, prefix)], "clear")));

  // A set of the peer's named ports says already that it is the peer, unless a number may match instead.
  const peerSaid = direction === "egress" && named.length > 0 && chunks.length === 0;
  const matches: Match[] = [...protocol];
  if (peer?.kind === "block") matches.push(peerAddressIs(direction, peer.prefix));
  if (podsPeer !== undefined && !peerSaid) {
    matches.push({
      kind: "set",
      set: context.sets.podSet(podsPeer.selector),
      flags: [peerSide(direction)],
      invert: false,
    });
  }
  if (!portBlock) matches.push(...chunks, ...named);
  if (rules.length > 0) matches.push(bitsSet(MARK_SCRATCH0));
  rules.push(...actionRules(rule.action, matches, origin));
  return rules;
}

/** A bit remembers that the conditions hold: the target of one rule cannot both set it and decide. */
function actionRules(
  action: RuleAction,
  matches: readonly Match[],
  origin: (effect: RuleAction | "part") => RuleOrigin,
): Rule[] {
  switch (action) {
    case "allow":
      return [
        makeRule({ matches, target: setBits(MARK_ACCEPT), origin: origin("allow") }),
        RETURN_IF_ACCEPTED,
      ];
    case "pass":
      return [
        makeRule({ matches, target: setBits(MARK_PASS), origin: origin("pass") }),
        RETURN_IF_PASSED,
      ];
    case "deny":
      return [
        makeRule({ matches, target: setBits(MARK_DROP), origin: origin("part") }),
        { ...DROP_IF_DENIED, origin: origin("deny") },
      ];
    case "log":
      return [makeRule({ matches, target: LOG, origin: origin("log") })];
  }
}

/** Puts the scratch bits to what they are before any block. */
function beginBlocks(value: number): Rule {
  return makeRule({ target: { kind: "MARK", value, mask: MARK_SCRATCH0 | MARK_SCRATCH1 } });
}

const BEGIN_PORTS = beginBlocks(0);
const BEGIN_EXCEPTIONS = beginBlocks(MARK_SCRATCH0);
const RETURN_IF_ACCEPTED = makeRule({ matches: [bitsSet(MARK_ACCEPT)], target: RETURN });
const RETURN_IF_PASSED = makeRule({ matches: [bitsSet(MARK_PASS)], target: RETURN });
const DROP_IF_DENIED = makeRule({ matches: [bitsSet(MARK_DROP)], target: DROP });
const LOG: Target = {
  kind: "LOG",
  name: "LOG",
  options: ['--log-prefix "calico-packet: "', "--log-level 5"],
};

/** Fills matches of 15 slots in order. Source: Felix SplitPortList. */
function portChunks(ranges: readonly PortRange[]): PortRange[][] {
  const chunks: PortRange[][] = [];
  let free = 0;
  for (const range of ranges) {
    const slots = portSlots(range);
    const chunk = chunks.at(-1);
    if (chunk === undefined || free < slots) {
      chunks.push([range]);
      free = MULTIPORT_SLOTS - slots;
    } else {
      chunk.push(range);
      free -= slots;
    }
  }
  return chunks;
}

function portsAre(ports: readonly PortRange[]): Match {
  return { kind: "multiport", side: "dst", ports, invert: false };
}

function namedPortIs(set: string): Match {
  return { kind: "set", set, flags: ["dst", "dst"], invert: false };
}

function peerAddressIs(direction: Direction, prefix: Prefix): Match {
  return { kind: "address", side: peerSide(direction), prefix, invert: false };
}

/** The peer of an ingress rule is the source, that of an egress rule the destination. */
function peerSide(direction: Direction): "src" | "dst" {
  return direction === "ingress" ? "src" : "dst";
}
