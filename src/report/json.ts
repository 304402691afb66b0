/**
 * Verdicts as JSON, in the shapes that scripts depend on (docs: "Output"). Fields that are not known
 * are left out. Every string is inert: no control or bidirectional character is written raw.
 */
import type { BlindSpot } from "../cluster/snapshot.ts";
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
import { groupWord, kindWord } from "../policy/model.ts";
import type { NearestMiss } from "./nearest-miss.ts";
import { decidingRule, explainReasonInFull, policyPoint } from "./reason.ts";
import type { CaptureNature, Judged, PolicyPoint } from "./reason.ts";

/** A value JSON can say; undefined fields are left out. */
export type Json =
  string | number | boolean | null | undefined | readonly Json[] | { readonly [key: string]: Json };

/** What a whole replay says. */
export interface ReplayReport {
  readonly totals: Totals;
  /** In the order of their first packets. */
  readonly flows: Iterable<FlowVerdict>;
  readonly rules: Iterable<RuleCount>;
  readonly diagnostics: readonly Diagnostic[];
  readonly nature: CaptureNature;
  /** Pods that policies do not bind; none when absent. */
  readonly blindSpots?: readonly BlindSpot[];
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

/**
 * The one object of `-o json` and a line end, in pieces: each flow, rule and diagnostic is one line, made
 * when its piece is asked for.
 */
export function* replayJson(report: ReplayReport): Generator<string> {
  const { totals } = report;
  const head = stringifyJson({
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
  });
  const flows = new FlowLines(report.nature);
  const rules = new RuleLines();
  yield `${head.slice(0, -1)},\n"flows":`;
  yield* listPieces(report.flows, (flow) => flows.line(flow));
  yield ',\n"rules":';
  yield* listPieces(report.rules, (rule) => rules.line(rule));
  yield ',\n"blindSpots":';
  yield* listPieces(report.blindSpots ?? [], (spot) => stringifyJson(blindSpotJson(spot)));
  yield ',\n"diagnostics":';
  yield* listPieces(report.diagnostics, (diagnostic) => stringifyJson(diagnosticJson(diagnostic)));
  yield "}\n";
}

function blindSpotJson({ namespace, name, workload, node, powers, place }: BlindSpot): Json {
  return {
    pod: `${namespace}/${name}`,
    workload: `${workload.kind} ${workload.name}`,
    node,
    why: [...powers],
    file: place.file,
    line: place.line,
  };
}

/** Characters after which a piece is handed on. */
const PIECE_SIZE = 1 << 16;

function* listPieces<T>(items: Iterable<T>, lineOf: (item: T) => string): Generator<string> {
  let piece = "[";
  let separator = "\n";
  for (const item of items) {
    piece += separator + lineOf(item);
    separator = ",\n";
    if (piece.length < PIECE_SIZE) continue;
    yield piece;
    piece = "";
  }
  yield `${piece}]`;
}

/** Makes the lines of flows. What a rule means for a verdict is said once and kept. */
class FlowLines {
  readonly #nature: CaptureNature;
  /** By the rule that decided, then by the last one that stands for a policy. */
  readonly #said = new Map<RuleRef, Map<RuleRef | undefined, string>>();

  constructor(nature: CaptureNature) {
    this.#nature = nature;
  }

  line(flow: FlowVerdict): string {
    const own = stringifyJson({
      ...tupleJson(flow),
      packets: flow.packets,
      bytes: flow.bytes,
      firstPacket: flow.firstPacket,
      verdict: flow.verdict,
      reject: flow.reject,
      midstream: flow.midstream ? true : undefined,
    });
    return `${own.slice(0, -1)},${this.#attribution(flow)}`;
  }

  /** The rest of the object, behind what every flow has of its own. */
  #attribution(flow: Judged): string {
    const rule = decidingRule(flow);
    // Other reasons name addresses, and an answer is called one.
    if (flow.reason !== "rule" || flow.verdict === "unknown" || rule === undefined || flow.reply) {
      return this.#say(flow);
    }
    const saidOfRule = this.#said.get(rule) ?? new Map<RuleRef | undefined, string>();
    this.#said.set(rule, saidOfRule);
    const said = saidOfRule.get(flow.decider) ?? this.#say(flow);
    saidOfRule.set(flow.decider, said);
    return said;
  }

  #say(flow: Judged): string {
    return stringifyJson(attributionJson(flow, this.#nature)).slice(1);
  }
}

/** Makes the lines of rules; those of a chain begin alike. */
class RuleLines {
  #last: RuleCount | undefined;
  #beginning = "";

  line(rule: RuleCount): string {
    const { family, table, chain, number, packets, bytes } = rule;
    const last = this.#last;
    if (last?.chain !== chain || last.table !== table || last.family !== family) {
      this.#beginning = stringifyJson({ family, table, chain }).slice(0, -1);
      this.#last = rule;
    }
    const place = rule.rule?.place === undefined ? "" : placeText(rule.rule.place);
    return `${this.#beginning},"number":${number}${place},"packets":${packets},"bytes":${bytes}}`;
  }
}

function placeText({ file, line }: Place): string {
  return `,${stringifyJson({ file, line }).slice(1, -1)}`;
}

/** A rule's place in the tables. */
export function ruleJson(rule: RuleRef): { readonly [key: string]: Json } {
  const { file, line } = rule.rule?.place ?? {};
  return { table: rule.table, chain: rule.chain, number: rule.number, file, line };
}

/** The policy a verdict points to. `rule` is null for an isolation, `namespace` for what is cluster-wide. */
export function policyJson(point: PolicyPoint): Json {
  return {
    apiGroup: groupWord(point.policy),
    kind: kindWord(point.policy),
    namespace: point.policy.namespace ?? null,
    name: point.policy.name,
    direction: point.direction,
    rule: point.rule ?? null,
    file: point.place.file,
    line: point.place.line,
  };
}

/** The rule that came closest, and what it lacked. */
export function nearestJson(nearest: NearestMiss | undefined): Json {
  if (nearest === undefined) return undefined;
  return { policy: policyJson(nearest), reason: nearest.sentence };
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
    /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Addresses, ports and names of the ends. */
export function tupleJson(tuple: Tuple & Judgement): { readonly [key: string]: Json } {
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
        : {
            address: formatAddress(translated.address),
            port: translated.port,
            ...(translated.source === undefined
              ? {}
              : { source: formatAddress(translated.source) }),
          },
  };
}

/** What decided, and why. */
export function attributionJson(
  judged: Judged,
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
