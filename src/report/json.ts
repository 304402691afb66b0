/**
 * Verdicts as JSON, in the shapes that scripts depend on (docs: "Output"). Fields that are not known
 * are left out. Every string is inert: no control or bidirectional character is written raw.
 */
import { formatAddress } from "../net/address.ts";
import { protocolName } from "../net/protocol.ts";
import type { Diagnostic, Place } from "../errors.ts";
import type {
  FlowVerdict,
  Judgement,
  PacketVerdict,
  RuleCount,
  RuleRef,
  Totals,
  Tuple,
} from "../engine/verdict.ts";
import { formatTime } from "./time.ts";
import { decidingRule, explainReasonInFull, policyPoint } from "./reason.ts";
import type { CaptureNature, PolicyPoint } from "./reason.ts";

/** A value JSON can say; undefined fields are left out. */
export type Json =
  string | number | boolean | null | undefined | readonly Json[] | { readonly [key: string]: Json };

/** What a whole replay says. */
export interface ReplayReport {
  readonly totals: Totals;
  readonly flows: readonly FlowVerdict[];
  readonly rules: readonly RuleCount[];
  readonly diagnostics: readonly Diagnostic[];
  readonly nature: CaptureNature;
  /** Why the capture was not replayed to its end; undefined when it was. */
  readonly partial: "interrupted" | "damaged" | undefined;
}

/**
 * One packet's object of `-o ndjson`.
 *
 * @param place the packet's file and its number there, where several captures were merged
 */
export function packetJson(packet: PacketVerdict, nature: CaptureNature, place?: Place): Json {
  return {
    packet: packet.number,
    file: place?.file,
    filePacket: place?.packet,
    time: formatTime(packet.timestampNs, packet.timeOfDay) ?? null,
    verdict: packet.verdict,
    reject: packet.reject,
    family: packet.family,
    ...tupleJson(packet),
    state: packet.ctState,
    inInterface: packet.inInterface,
    outInterface: outInterfaceJson(packet),
    ...attributionJson(packet, nature),
    midstream: packet.midstream ? true : undefined,
    observed: packet.observed ? true : undefined,
    duplicateOf: packet.duplicateOf,
    bytes: packet.bytes,
  };
}

/** The one object of `-o json`. */
export function replayJson(report: ReplayReport): Json {
  const { totals } = report;
  return {
    packets: totals.packets,
    bytes: totals.bytes,
    verdicts: {
      allow: totals.verdicts.allow,
      drop: totals.verdicts.drop,
      unfiltered: totals.verdicts.unfiltered,
      unknown: totals.verdicts.unknown,
    },
    fragments: totals.fragments,
    malformed: totals.malformed,
    truncated: totals.truncated,
    duplicates: totals.duplicates,
    midstream: totals.midstream,
    flowsLost: totals.flowsLost > 0 ? totals.flowsLost : undefined,
    partial: report.partial,
    flows: report.flows.map((flow) => flowJson(flow, report.nature)),
    rules: report.rules.map((rule) => ({
      family: rule.family,
      ...ruleJson(rule),
      packets: rule.packets,
      bytes: rule.bytes,
    })),
    diagnostics: report.diagnostics.map(diagnosticJson),
  };
}

/** One flow of `-o json`. */
export function flowJson(flow: FlowVerdict, nature: CaptureNature): Json {
  return {
    ...tupleJson(flow),
    packets: flow.packets,
    bytes: flow.bytes,
    firstPacket: flow.firstPacket,
    verdict: flow.verdict,
    reject: flow.reject,
    midstream: flow.midstream ? true : undefined,
    ...attributionJson(flow, nature),
  };
}

/** A rule's place in the tables. */
export function ruleJson(rule: RuleRef): { readonly [key: string]: Json } {
  const { file, line } = rule.rule?.place ?? {};
  return { table: rule.table, chain: rule.chain, number: rule.number, file, line };
}

/** The policy a verdict points to. `rule` is null for an isolation. */
export function policyJson(point: PolicyPoint): Json {
  return {
    kind: point.policy.kind,
    namespace: point.policy.namespace,
    name: point.policy.name,
    direction: point.direction,
    rule: point.rule ?? null,
    file: point.place.file,
    line: point.place.line,
  };
}

/** A diagnostic with its place spelt out. */
export function diagnosticJson(diagnostic: Diagnostic): Json {
  const { severity, code, message, place, suggestion } = diagnostic;
  return { severity, code, message, suggestion, ...place };
}

/**
 * Writes JSON whose strings hold no control, bidirectional or zero-width character raw, so that it is
 * safe to print: `JSON.stringify` leaves those beyond U+001F as they are.
 */
export function stringifyJson(value: Json, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(
    /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function tupleJson(tuple: Tuple & Judgement): { readonly [key: string]: Json } {
  const { source, destination, protocol, icmp, translated } = tuple;
  return {
    protocol: protocol === undefined ? undefined : protocolName(protocol),
    source: source === undefined ? tuple.sourceName : formatAddress(source),
    sourcePort: tuple.sourcePort,
    destination: destination === undefined ? tuple.destinationName : formatAddress(destination),
    destinationPort: tuple.destinationPort,
    icmpType: icmp?.type,
    icmpCode: icmp?.code,
    from: tuple.sourceRoute?.owner,
    to: tuple.destinationRoute?.owner,
    backend:
      translated === undefined
        ? undefined
        : { address: formatAddress(translated.address), port: translated.port },
  };
}

function attributionJson(
  judged: Tuple & Judgement,
  nature: CaptureNature,
): { readonly [key: string]: Json } {
  const rule = decidingRule(judged);
  const point = policyPoint(judged);
  return {
    rule: rule === undefined ? undefined : ruleJson(rule),
    policy: point === undefined ? undefined : policyJson(point),
    reason: explainReasonInFull(judged, nature),
  };
}

/** Null for a packet that leaves by no interface: dropped, or delivered here. */
function outInterfaceJson(packet: PacketVerdict): string | null | undefined {
  switch (packet.verdict) {
    case "drop":
      return null;
    case "allow":
      return packet.outInterface ?? null;
    case "unfiltered":
    case "unknown":
      return packet.outInterface;
  }
}
