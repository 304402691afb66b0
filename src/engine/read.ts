/** Packet, verdict, flow and trace records to the values of verdict.ts. The only reader of those records. */
import * as layout from "../../assembly/layout.ts";
import type { CtState } from "../match/conntrack.ts";
import { formatAddress, hostPrefix, sameAddress } from "../net/address.ts";
import type { Address, Family } from "../net/address.ts";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from "../net/protocol.ts";
import { isPrinted } from "../tables/model.ts";
import type { Route } from "../tables/model.ts";
import type { MatcherExports } from "./exports.ts";
import type { RuleList } from "./rule-list.ts";
import { CT_STATES, HOOKS, REASONS, REJECTS, TABLES, VERDICTS } from "./numbers.ts";
import type {
  FlowVerdict,
  Judgement,
  PacketVerdict,
  RuleCount,
  RuleRef,
  Totals,
  TraceStep,
  Tuple,
  Verdict,
} from "./verdict.ts";

/** What the numbers in the records mean. */
export interface Meanings {
  readonly rules: RuleList;
  readonly routes: readonly Route[];
  /** Interface names by number; 0 is none. */
  readonly interfaces: readonly string[];
  /** What the capture calls its interfaces, by PACKET_CAPTURE_INTERFACE, and what those are that it alone names. */
  readonly captured: readonly (string | undefined)[];
  readonly otherInterface: string | undefined;
  /** Host names of the capture; PACKET_SRC_NAME is an index into it, plus one. */
  readonly names: readonly string[];
  /** What has an address, by its text; undefined where routes say it. */
  readonly owners: ReadonlyMap<string, string> | undefined;
}

/** Reads the verdict on one packet from its two records. */
export function readPacketVerdict(
  view: DataView,
  packet: number,
  verdict: number,
  meanings: Meanings,
): PacketVerdict {
  const flags = view.getUint32(packet + layout.PACKET_FLAGS, true);
  const duplicateOf = Number(view.getBigUint64(verdict + layout.VERDICT_DUPLICATE_OF, true));
  const verdictFlags = view.getUint8(verdict + layout.VERDICT_FLAGS);
  const interfaceAt = (offset: number): string | undefined => {
    const name = meanings.interfaces[view.getUint32(verdict + offset, true)] || undefined;
    if (name === undefined || name !== meanings.otherInterface) return name;
    return meanings.captured[view.getUint16(packet + layout.PACKET_CAPTURE_INTERFACE, true)];
  };
  return {
    ...readJudged(view, { packet, verdict }, meanings),
    number: Number(view.getBigUint64(packet + layout.PACKET_NUMBER, true)),
    timestampNs:
      (flags & layout.PACKET_HAS_TIME) === 0
        ? undefined
        : view.getBigUint64(packet + layout.PACKET_TIMESTAMP, true),
    timeOfDay: (flags & layout.PACKET_TIME_OF_DAY) !== 0,
    bytes: view.getUint32(packet + layout.PACKET_ORIGINAL_LENGTH, true),
    ctState: stateOf(view.getUint8(verdict + layout.VERDICT_CT_STATE)),
    reply: (verdictFlags & layout.VERDICT_REPLY) !== 0,
    inInterface: interfaceAt(layout.VERDICT_IN_INTERFACE),
    outInterface: interfaceAt(layout.VERDICT_OUT_INTERFACE),
    duplicateOf: duplicateOf === 0 ? undefined : duplicateOf,
    pending: (verdictFlags & layout.VERDICT_PENDING) !== 0,
  };
}

/** Reads both records, and names the ends where routes do not. */
function readJudged(
  view: DataView,
  at: { readonly packet: number; readonly verdict: number },
  meanings: Meanings,
): Tuple & Judgement {
  const tuple = readTuple(view, at.packet, meanings.names);
  const judgement = withPorts(tuple, withSource(tuple, readJudgement(view, at.verdict, meanings)));
  const { owners } = meanings;
  if (owners === undefined) return { ...tuple, ...judgement };
  const named = (address: Address | undefined, route: Route | undefined): Route | undefined => {
    const owner = address === undefined ? undefined : owners.get(formatAddress(address));
    if (address === undefined || owner === undefined) return route;
    return { ...(route ?? nowhere(address)), owner };
  };
  const destination = judgement.translated?.address ?? tuple.destination;
  return {
    ...tuple,
    ...judgement,
    sourceRoute: named(tuple.source, judgement.sourceRoute),
    destinationRoute: named(destination, judgement.destinationRoute),
  };
}

/** Names the Service whose port it is, where several share an address. */
function withPorts(tuple: Tuple, judgement: Judgement): Judgement {
  const { sourceRoute, destinationRoute, translated } = judgement;
  if ((sourceRoute?.ownerByPort ?? destinationRoute?.ownerByPort) === undefined) return judgement;
  const named = (route: Route | undefined, port: number | undefined): Route | undefined => {
    const owner = route?.ownerByPort?.get(`${tuple.protocol} ${port}`);
    return route === undefined || owner === undefined ? route : { ...route, owner };
  };
  return {
    ...judgement,
    sourceRoute: named(sourceRoute, tuple.sourcePort),
    destinationRoute: named(destinationRoute, translated?.port ?? tuple.destinationPort),
  };
}

/** Leaves the translated source out where it is the packet's own. */
function withSource({ source }: Tuple, judgement: Judgement): Judgement {
  const { translated } = judgement;
  if (translated?.source === undefined || source === undefined) return judgement;
  if (!sameAddress(translated.source, source)) return judgement;
  const { address, port } = translated;
  return { ...judgement, translated: { address, port } };
}

/** An address that no route leads to. */
function nowhere(address: Address): Route {
  const prefix = hostPrefix(address);
  return { prefix, kind: "missing", interface: "", node: undefined, owner: undefined };
}

/** Reads what the capture says of a packet's addresses. */
function readTuple(view: DataView, packet: number, names: readonly string[]): Tuple {
  const known = view.getUint32(packet + layout.PACKET_KNOWN, true);
  const has = (bit: number): boolean => (known & bit) !== 0;
  const family = familyOf(view.getUint8(packet + layout.PACKET_FAMILY));
  const protocol = has(layout.KNOWN_PROTOCOL)
    ? view.getUint8(packet + layout.PACKET_PROTOCOL)
    : undefined;
  const icmp = protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6;
  const address = (bit: number, offset: number): Address | undefined =>
    has(bit) && family !== undefined ? readAddress(view, packet + offset, family) : undefined;
  const port = (offset: number): number | undefined =>
    has(layout.KNOWN_PORTS) && !icmp ? view.getUint16(packet + offset, true) : undefined;
  return {
    family,
    protocol,
    source: address(layout.KNOWN_SRC, layout.PACKET_SRC),
    destination: address(layout.KNOWN_DST, layout.PACKET_DST),
    sourcePort: port(layout.PACKET_SPORT),
    destinationPort: port(layout.PACKET_DPORT),
    icmp:
      icmp && has(layout.KNOWN_ICMP)
        ? {
            type: view.getUint8(packet + layout.PACKET_ICMP_TYPE),
            code: view.getUint8(packet + layout.PACKET_ICMP_CODE),
          }
        : undefined,
    sourceName: names[view.getUint16(packet + layout.PACKET_SRC_NAME, true) - 1],
    destinationName: names[view.getUint16(packet + layout.PACKET_DST_NAME, true) - 1],
  };
}

/** Reads the word of a verdict record. */
export function readVerdict(view: DataView, at: number): Verdict {
  const word = VERDICTS[view.getUint8(at + layout.VERDICT_VERDICT)];
  if (word === undefined) throw new Error("bug: a packet without verdict");
  return word;
}

/** Reads a verdict record. */
function readJudgement(view: DataView, at: number, meanings: Meanings): Judgement {
  const word = readVerdict(view, at);
  const reason = REASONS.get(view.getUint8(at + layout.VERDICT_REASON));
  if (reason === undefined) throw new Error("bug: a verdict without reason");
  const rule = (offset: number): RuleRef | undefined =>
    meanings.rules.find(view.getInt32(at + offset, true));
  const route = (offset: number): Route | undefined =>
    meanings.routes[view.getInt32(at + offset, true)];
  const flags = view.getUint8(at + layout.VERDICT_FLAGS);
  const decided = rule(layout.VERDICT_RULE);
  return {
    verdict: word,
    reason,
    reject: REJECTS[view.getUint8(at + layout.VERDICT_REJECT)],
    hook: decided === undefined ? undefined : HOOKS[view.getUint8(at + layout.VERDICT_HOOK)],
    rule: decided,
    decider: rule(layout.VERDICT_DECIDER),
    undecidedRule: rule(layout.VERDICT_UNDECIDED_RULE),
    sourceRoute: route(layout.VERDICT_SRC_ROUTE),
    destinationRoute: route(layout.VERDICT_DST_ROUTE),
    translated:
      (flags & layout.VERDICT_DNAT) === 0 || decided === undefined
        ? undefined
        : {
            address: readAddress(view, at + layout.VERDICT_JUDGED_DST, decided.family),
            port: view.getUint16(at + layout.VERDICT_JUDGED_DPORT, true),
            source: readAddress(view, at + layout.VERDICT_JUDGED_SRC, decided.family),
          },
    midstream: (flags & layout.VERDICT_MIDSTREAM) !== 0,
    observed: (flags & layout.VERDICT_OBSERVED) !== 0,
  };
}

/** Reads one row of the list of flows. */
export function readFlow(view: DataView, row: number, meanings: Meanings): FlowVerdict {
  const first = row + layout.FLOW_PACKET;
  return {
    ...readJudged(view, { packet: first, verdict: row + layout.FLOW_VERDICT }, meanings),
    packets: Number(view.getBigUint64(row + layout.FLOW_PACKETS, true)),
    bytes: Number(view.getBigUint64(row + layout.FLOW_BYTES, true)),
    firstPacket: Number(view.getBigUint64(first + layout.PACKET_NUMBER, true)),
  };
}

/** Reads how often each rule matched; the ends of chains are not rules and have no count. */
export function* readRuleCounts(
  exports: MatcherExports,
  { tables }: RuleList,
): Generator<RuleCount> {
  exports.settleSayings();
  let view = new DataView(exports.memory.buffer);
  const countAt = (at: number): number => {
    if (at === 0) return 0;
    // Memory that has grown is another buffer, and this one is empty.
    if (view.buffer.byteLength === 0) view = new DataView(exports.memory.buffer);
    return Number(view.getBigUint64(at, true));
  };
  for (const { ruleset, name, chains, firsts } of tables) {
    for (const [at, chain] of chains.entries()) {
      const first = firsts[at] ?? 0;
      let number = 0;
      for (const [index, rule] of chain.rules.entries()) {
        if (!isPrinted(rule)) continue;
        const counters = exports.countersFrom(first + index);
        number += 1;
        yield {
          family: ruleset.family,
          table: name,
          chain: chain.name,
          owner: chain.owner,
          number,
          rule,
          packets: countAt(counters && counters + layout.COUNTER_PACKETS),
          bytes: countAt(counters && counters + layout.COUNTER_BYTES),
        };
      }
    }
  }
}

/** Reads the totals. */
export function readTotals(view: DataView, at: number): Totals {
  const total = (offset: number): number => Number(view.getBigUint64(at + offset, true));
  return {
    packets: total(layout.TOTAL_PACKETS),
    bytes: total(layout.TOTAL_BYTES),
    verdicts: {
      allow: total(layout.TOTAL_ALLOW),
      drop: total(layout.TOTAL_ALLOW + 8),
      unfiltered: total(layout.TOTAL_ALLOW + 16),
      unknown: total(layout.TOTAL_ALLOW + 24),
    },
    fragments: total(layout.TOTAL_FRAGMENTS),
    malformed: total(layout.TOTAL_MALFORMED),
    truncated: total(layout.TOTAL_TRUNCATED),
    duplicates: total(layout.TOTAL_DUPLICATES),
    midstream: total(layout.TOTAL_MIDSTREAM),
    flowsLost: total(layout.TOTAL_FLOWS_LOST),
    withoutFlow: total(layout.TOTAL_WITHOUT_FLOW),
  };
}

/** Reads the steps of a walk. */
export function readTrace(
  view: DataView,
  at: number,
  count: number,
  meanings: Meanings,
): TraceStep[] {
  return Array.from({ length: count }, (_, index) =>
    readStep(view, at + index * layout.TRACE_SIZE, meanings),
  );
}

function readStep(view: DataView, at: number, meanings: Meanings): TraceStep {
  const kind = view.getUint8(at + layout.TRACE_KIND);
  const hook = HOOKS[view.getUint8(at + layout.TRACE_HOOK)];
  const table = TABLES[view.getUint8(at + layout.TRACE_TABLE)];
  const rule = meanings.rules.find(view.getInt32(at + layout.TRACE_RULE_INDEX, true));
  const mark = view.getUint32(at + layout.TRACE_MARK, true);
  if (hook === undefined || table === undefined) throw new Error("bug: a step without a table");
  if (kind === layout.TRACE_ENTER) {
    const ctState = stateOf(view.getUint32(at + layout.TRACE_CT_STATE, true));
    const assumed = view.getUint8(at + layout.TRACE_OUTCOME) === layout.OUTCOME_UNKNOWN;
    return { kind: "table", hook, table, chain: hook, mark, ctState, assumed };
  }
  if (rule === undefined) throw new Error("bug: a step without a rule");
  if (kind === layout.TRACE_RULE) {
    const outcome = OUTCOMES[view.getUint8(at + layout.TRACE_OUTCOME)] ?? "unknown";
    const failed = failedMatches(rule, view.getUint32(at + layout.TRACE_FAILED, true));
    return { kind: "rule", hook, rule, outcome, failed, mark };
  }
  return { kind: "end", hook, rule, what: kind === layout.TRACE_POLICY ? "policy" : "return" };
}

const OUTCOMES = ["not-matched", "matched", "unknown", "hotdrop"] as const;

/** Comments are not packed: the bits count the other matches. */
function failedMatches(rule: RuleRef, bits: number): number[] {
  const packed = (rule.rule?.matches ?? []).flatMap((match, index) =>
    match.kind === "comment" ? [] : [index],
  );
  return packed.filter((_, bit) => bit < 32 && ((bits >>> bit) & 1) === 1);
}

function stateOf(bits: number): CtState | undefined {
  return CT_STATES.find(([bit]) => (bits & bit) !== 0)?.[1];
}

function familyOf(value: number): Family | undefined {
  return value === 4 || value === 6 ? value : undefined;
}

function readAddress(view: DataView, at: number, family: Family): Address {
  const word = (index: number): number => view.getUint32(at + 4 * index, true);
  return { family, words: [word(0), word(1), word(2), word(3)] };
}
