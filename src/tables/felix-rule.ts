/**
 * One rule of a Calico policy to iptables rules, as Felix renders it. Knows conditions, match blocks and
 * mark bits; which sets and prefixes a rule asks for was settled before.
 * Source: Felix rules/policy.go, ProtoRuleToIptablesRules, matchBlockBuilder, CalculateRuleMatch.
 */
import type { Match } from "../match/index.ts";
import { MULTIPORT_SLOTS, portSlots } from "../match/multiport.ts";
import type { PortRange } from "../match/multiport.ts";
import type { SetName } from "../match/set.ts";
import type { Family, Prefix } from "../net/address.ts";
import type { RuleAction } from "../policy/model.ts";
import type { Target } from "../target/index.ts";
import type { Rule, RuleOrigin } from "./model.ts";
import {
  bitsClear,
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

/** What a rule asks of a packet of one family: all that is given must hold. */
export interface FelixRule {
  readonly protocol?: number | undefined;
  readonly notProtocol?: number | undefined;
  readonly icmp?: IcmpType | undefined;
  readonly notIcmp?: IcmpType | undefined;
  readonly source: FelixSide;
  readonly destination: FelixSide;
  /** What no policy can ask for, and some implementation does. */
  readonly also?: readonly Match[] | undefined;
}

/** An ICMP type, and a code where one is asked for. */
export interface IcmpType {
  readonly type: number;
  readonly code: number | undefined;
}

/** What a rule asks of one side. Lists that are absent or empty ask nothing. */
export interface FelixSide {
  /** Any of them. */
  readonly nets?: readonly Prefix[];
  /** None of them. */
  readonly notNets?: readonly Prefix[];
  /** Names of address sets: all of them hold the address. */
  readonly sets?: readonly SetName[];
  /** None of them holds it. */
  readonly notSets?: readonly SetName[];
  /** Any of them, or any of `portSets`. */
  readonly ports?: readonly PortRange[];
  /** Names of sets of addresses with their ports. */
  readonly portSets?: readonly SetName[];
  /** None of them. */
  readonly notPorts?: readonly PortRange[];
  readonly notPortSets?: readonly SetName[];
  /** The set of a Service's backends and their ports; of a destination only. */
  readonly serviceSet?: SetName;
}

/** A rule in iptables' terms. */
export interface RenderedRule {
  readonly rules: readonly Rule[];
  /**
   * The rendered rule also matches what the policy's does not: the bit of a block is cleared only once,
   * so that with three positive blocks a hit in the second satisfies the third as well.
   */
  readonly wider: boolean;
}

/**
 * Renders a rule and its action.
 *
 * A rule is an AND of lists, each of which is an OR; an iptables rule has room for one prefix on a side
 * and for 15 port slots. What does not fit comes before it in blocks:
 *
 *     scratch bits to 0 (to S0 when only negated blocks follow)
 *     source ports, destination ports, source prefixes, destination prefixes: each hit sets S0,
 *         from the second block on S1, and without S1 the block's end clears S0
 *     negated source prefixes, negated destination prefixes: each hit clears S0
 *     the rest of the conditions, and S0     sets the bit of the rule's action
 *     that bit                               returns, or drops
 */
export function renderFelixRule(
  rule: FelixRule,
  {
    action,
    family,
    origin,
  }: {
    readonly action: RuleAction;
    readonly family: Family;
    readonly origin: (effect: RuleAction | "part") => RuleOrigin;
  },
): RenderedRule {
  const source = reduceSide(rule.source, "src");
  const destination = reduceSide(rule.destination, "dst");
  const matches = ruleMatches(rule, { source: source.rest, destination: destination.rest, family });
  // Most rules have none, and a large cluster has hundreds of thousands.
  const blocks =
    source.hasBlocks || destination.hasBlocks
      ? addBlocks(new BlockBuilder(origin("part")), [source, destination], rule.protocol)
      : undefined;
  if (blocks !== undefined) matches.push(BLOCKS_HOLD);
  if (rule.also !== undefined) matches.push(...rule.also);
  const rules = blocks?.rules ?? [];
  // Without the room that it has grown.
  addActionRules(rules, action, { matches: matches.slice(), origin });
  return { rules, wider: blocks !== undefined && blocks.positive > 2 };
}

/** Adds the blocks that two sides ask for. */
function addBlocks(
  blocks: BlockBuilder,
  sides: readonly ReducedSide[],
  protocol: number | undefined,
): BlockBuilder {
  for (const side of sides) {
    if (side.portBlock.length > 0) blocks.addPositive(portHits(side, protocol));
  }
  for (const side of sides) {
    if (side.netBlock.length > 0) blocks.addPositive(netHits(side.side, side.netBlock));
  }
  for (const side of sides) {
    if (side.notNetBlock.length > 0) blocks.addNegated(netHits(side.side, side.notNetBlock));
  }
  return blocks;
}

type SideName = "src" | "dst";

/** One side of a rule: what goes into blocks, each as the conditions of which any must hold, and the rest. */
interface ReducedSide {
  readonly side: SideName;
  readonly portBlock: readonly PortHit[];
  readonly netBlock: readonly Prefix[];
  readonly notNetBlock: readonly Prefix[];
  /** Any of the three is there. */
  readonly hasBlocks: boolean;
  readonly rest: FelixSide;
}

/** One of the alternatives of a port block. */
type PortHit =
  | { readonly kind: "ports"; readonly ports: readonly PortRange[] }
  | { readonly kind: "set"; readonly set: SetName };

function reduceSide(given: FelixSide, side: SideName): ReducedSide {
  const { nets = NONE, notNets = NONE, ports = NONE, portSets = NONE } = given;
  const hits = portSets.length > 0 || !fitsOneMatch(ports) ? portHitsOf(ports, portSets) : NONE;
  const portBlock = hits.length > 1 ? hits : NONE;
  const netBlock = nets.length > 1 ? nets : NONE;
  const left = netBlock.length > 0 ? NONE : nets;
  // A rule has one place for a prefix, negated or not.
  const notNetBlock = left.length + notNets.length > 1 ? notNets : NONE;
  const hasBlocks = portBlock.length + netBlock.length + notNetBlock.length > 0;
  const rest = hasBlocks
    ? {
        ...given,
        nets: left,
        notNets: notNetBlock.length > 0 ? NONE : notNets,
        ...(portBlock.length > 0 ? { ports: NONE, portSets: NONE } : {}),
      }
    : given;
  return { side, portBlock, netBlock, notNetBlock, hasBlocks, rest };
}

function portHitsOf(ports: readonly PortRange[], portSets: readonly SetName[]): PortHit[] {
  return [
    ...portChunks(ports).map((chunk) => ({ kind: "ports", ports: chunk }) as const),
    ...portSets.map((set) => ({ kind: "set", set }) as const),
  ];
}

const NONE: readonly never[] = [];

function portHits(side: ReducedSide, protocol: number | undefined): Match[][] {
  const protocolMatches = protocol === undefined ? [] : [protocolIs(protocol)];
  return side.portBlock.map((hit) =>
    hit.kind === "ports"
      ? [...protocolMatches, portsAre(side.side, hit.ports)]
      : [portSetHas(side.side, hit.set)],
  );
}

function netHits(side: SideName, nets: readonly Prefix[]): Match[][] {
  return nets.map((prefix) => [addressIs(side, prefix)]);
}

/** Collects match blocks. Behind the last, S0 is set if and only if every block holds (but see `wider`). */
class BlockBuilder {
  readonly rules: Rule[] = [];
  /** How many positive blocks there are. */
  positive = 0;
  readonly #origin: RuleOrigin;

  constructor(origin: RuleOrigin) {
    this.#origin = origin;
  }

  /** Any of the hits must match. */
  addPositive(hits: readonly (readonly Match[])[]): void {
    this.#begin(BEGIN_MISSED);
    // The first block needs no bit of its own.
    const target = this.positive === 0 ? SET_SCRATCH0 : SET_SCRATCH1;
    for (const matches of hits) this.#add({ matches, target });
    if (this.positive > 0) this.#add(END_MISSED);
    this.positive++;
  }

  /** None of the hits may match. */
  addNegated(hits: readonly (readonly Match[])[]): void {
    this.#begin(BEGIN_HELD);
    for (const matches of hits) this.#add({ matches, target: CLEAR_SCRATCH0 });
  }

  #begin(rule: Rule): void {
    if (this.rules.length === 0) this.#add(rule);
  }

  #add({ matches, target }: Rule): void {
    this.rules.push(makeRule({ matches, target, origin: this.#origin }));
  }
}

/** The conditions of one iptables rule, in Felix's order. */
export function ruleMatches(
  rule: FelixRule,
  {
    source,
    destination,
    family,
  }: { readonly source: FelixSide; readonly destination: FelixSide; readonly family: Family },
): Match[] {
  const matches: Match[] = [];
  if (rule.protocol !== undefined) matches.push(protocolIs(rule.protocol));
  addSide(matches, source, "src");
  addSide(matches, destination, "dst");
  if (rule.icmp !== undefined) matches.push(icmpIs(rule.icmp, family));
  if (rule.notProtocol !== undefined) matches.push(not(protocolIs(rule.notProtocol)));
  addNegated(matches, source, "src");
  addNegated(matches, destination, "dst");
  if (rule.notIcmp !== undefined) matches.push(not(icmpIs(rule.notIcmp, family)));
  return matches;
}

function icmpIs({ type, code }: IcmpType, family: Family): Match {
  return { kind: "icmp", family, type, code, invert: false };
}

function addSide(matches: Match[], given: FelixSide, side: SideName): void {
  const { nets = NONE, sets = NONE, ports = NONE, portSets = NONE, serviceSet } = given;
  for (const prefix of nets) matches.push(addressIs(side, prefix));
  for (const set of sets) matches.push(setHas(side, set));
  if (serviceSet !== undefined) matches.push(portSetHas(side, serviceSet));
  for (const chunk of portChunks(ports)) matches.push(portsAre(side, chunk));
  for (const set of portSets) matches.push(portSetHas(side, set));
}

/** None of the alternatives may hold, so here several port matches in one rule are right. */
function addNegated(matches: Match[], given: FelixSide, side: SideName): void {
  const { notNets = NONE, notSets = NONE, notPorts = NONE, notPortSets = NONE } = given;
  for (const prefix of notNets) matches.push(not(addressIs(side, prefix)));
  for (const set of notSets) matches.push(not(setHas(side, set)));
  for (const chunk of portChunks(notPorts)) matches.push(not(portsAre(side, chunk)));
  for (const set of notPortSets) matches.push(not(portSetHas(side, set)));
}

/** A bit remembers that the conditions hold: the target of one rule cannot both set it and decide. */
function addActionRules(
  rules: Rule[],
  action: RuleAction,
  {
    matches,
    origin,
  }: {
    readonly matches: readonly Match[];
    readonly origin: (effect: RuleAction | "part") => RuleOrigin;
  },
): void {
  switch (action) {
    case "allow":
      rules.push(makeRule({ matches, target: SET_ACCEPT, origin: origin("allow") }));
      rules.push(RETURN_IF_ACCEPTED);
      return;
    case "pass":
      rules.push(makeRule({ matches, target: SET_PASS, origin: origin("pass") }));
      rules.push(RETURN_IF_PASSED);
      return;
    case "deny":
      rules.push(makeRule({ matches, target: SET_DROP, origin: origin("part") }));
      rules.push({ ...DROP_IF_DENIED, origin: origin("deny") });
      return;
    case "log":
      rules.push(makeRule({ matches, target: LOG, origin: origin("log") }));
  }
}

const BLOCK_BITS = MARK_SCRATCH0 | MARK_SCRATCH1;
const SET_SCRATCH0 = setBits(MARK_SCRATCH0);
const SET_SCRATCH1 = setBits(MARK_SCRATCH1);
const CLEAR_SCRATCH0 = clearBits(MARK_SCRATCH0);
const BLOCKS_HOLD = bitsSet(MARK_SCRATCH0);
const BEGIN_MISSED = makeRule({ target: clearBits(BLOCK_BITS) });
const BEGIN_HELD = makeRule({ target: { kind: "MARK", value: MARK_SCRATCH0, mask: BLOCK_BITS } });
const END_MISSED = makeRule({ matches: [bitsClear(MARK_SCRATCH1)], target: CLEAR_SCRATCH0 });

const SET_ACCEPT = setBits(MARK_ACCEPT);
const SET_PASS = setBits(MARK_PASS);
const SET_DROP = setBits(MARK_DROP);
const RETURN_IF_ACCEPTED = makeRule({ matches: [bitsSet(MARK_ACCEPT)], target: RETURN });
const RETURN_IF_PASSED = makeRule({ matches: [bitsSet(MARK_PASS)], target: RETURN });
const DROP_IF_DENIED = makeRule({ matches: [bitsSet(MARK_DROP)], target: DROP });
const LOG: Target = {
  kind: "LOG",
  name: "LOG",
  options: ['--log-prefix "calico-packet: "', "--log-level 5"],
};

/** Fills matches of 15 slots in order. Source: Felix SplitPortList. */
function portChunks(ranges: readonly PortRange[]): readonly (readonly PortRange[])[] {
  if (fitsOneMatch(ranges)) return ranges.length === 0 ? NONE : [ranges];
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

/** Tells of most lists that one match has room for all, whatever they are. */
function fitsOneMatch(ranges: readonly PortRange[]): boolean {
  return 2 * ranges.length <= MULTIPORT_SLOTS;
}

function addressIs(side: SideName, prefix: Prefix): Match {
  return { kind: "address", side, prefix, invert: false };
}

function setHas(side: SideName, set: SetName): Match {
  return { kind: "set", set, flags: FLAGS[side], invert: false };
}

function portSetHas(side: SideName, set: SetName): Match {
  return { kind: "set", set, flags: PORT_FLAGS[side], invert: false };
}

const FLAGS: Readonly<Record<SideName, readonly SideName[]>> = { src: ["src"], dst: ["dst"] };
const PORT_FLAGS: Readonly<Record<SideName, readonly SideName[]>> = {
  src: ["src", "src"],
  dst: ["dst", "dst"],
};

function portsAre(side: SideName, ports: readonly PortRange[]): Match {
  return { kind: "multiport", side, ports, invert: false };
}

function not<M extends Match>(match: M): M {
  return { ...match, invert: true };
}
