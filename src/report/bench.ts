/** What `bench` measured, as data, and as the JSON that a later run is compared with. */
import type { RuleCount, RuleRef, Totals } from "../engine/verdict.ts";
import type { Place } from "../errors.ts";
import { ruleJson } from "./json.ts";
import type { Json } from "./json.ts";
import { policyPointOf } from "./reason.ts";

/** Everything that was measured. */
export interface BenchReport {
  readonly version: string;
  /** ISO 8601. */
  readonly date: string;
  readonly machine: Machine;
  readonly traffic: BenchTraffic;
  readonly totals: Totals;
  readonly flows: number;
  /** Seconds of each round, in the order they ran. At least one. */
  readonly seconds: readonly number[];
  /** How many threads decided. */
  readonly workers: number;
  /** Packets of a round that did not walk, as one like them had. */
  readonly repeated: number;
  readonly reference: Reference;
  readonly memory: Memory;
  readonly rules: readonly RuleCount[];
  /** Undefined: nothing to compare with was given. */
  readonly comparison: Comparison | undefined;
}

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
}

/** Where the packets came from. */
export type BenchTraffic =
  | { readonly kind: "captures"; readonly files: readonly string[] }
  | { readonly kind: "generated"; readonly seed: number };

/** Every packet walking the rules, as the kernel does. */
export interface Reference {
  /** The first packets of the traffic; fewer than all where walking takes long. */
  readonly packets: number;
  readonly seconds: number;
  /** Rules looked at, the ends of chains among them. */
  readonly visits: number;
}

export interface Memory {
  /** The most that the process has had, after the first round. */
  readonly peakBytes: number;
  /** Of the matcher: rules, connections, flows, and the block that captures are read into. */
  readonly matcherBytes: number;
}

/** A time per packet, and how far it can be relied on. */
export interface Speed {
  readonly nanoseconds: number;
  readonly packetsPerSecond: number;
  /** Distance between the quartiles, in hundredths of the median. */
  readonly spreadPercent: number;
}

/** This run beside an earlier one. */
export interface Comparison {
  readonly file: string;
  readonly date: string;
  /** Packets a second now, for one then. */
  readonly ratio: number;
  /** The difference is not larger than what the rounds of one run differ by. */
  readonly withinSpread: boolean;
  /** Sentences: what is not the same, so that the ratio says less. */
  readonly differences: readonly string[];
}

/** The speed that is reported: that of the median round. */
export function speedOf({ seconds, totals }: Pick<BenchReport, "seconds" | "totals">): Speed {
  const sorted = [...seconds].sort((one, other) => one - other);
  const quantile = (part: number): number => {
    const at = part * (sorted.length - 1);
    const low = sorted[Math.floor(at)] ?? 0;
    const high = sorted[Math.ceil(at)] ?? 0;
    return low + (high - low) * (at - Math.floor(at));
  };
  const median = quantile(0.5);
  return {
    nanoseconds: (median / totals.packets) * 1e9,
    packetsPerSecond: totals.packets / median,
    spreadPercent: ((quantile(0.75) - quantile(0.25)) / median) * 100,
  };
}

/** Rules that matched, those that did most often first. */
export function hottestRules(rules: readonly RuleCount[]): RuleCount[] {
  return rules
    .filter(({ packets }) => packets > 0)
    .sort((one, other) => other.packets - one.packets);
}

/** Rules that no packet matched, in table order. */
export function neverHitRules(rules: readonly RuleCount[]): RuleCount[] {
  return rules.filter(({ packets }) => packets === 0);
}

/** Where a rule was written: in a dump, or as a policy. */
export function placeOfRule({ rule }: RuleRef): Place | undefined {
  if (rule?.place !== undefined) return rule.place;
  const { origin } = rule ?? {};
  return origin === undefined ? undefined : policyPointOf(origin)?.place;
}

/** The one object of `bench -o json`; also what `--save` writes. */
export function benchJson(report: BenchReport): Json {
  const { totals, machine, reference, memory, comparison } = report;
  const speed = speedOf(report);
  return {
    version: report.version,
    date: report.date,
    machine: { ...machine },
    traffic: { ...report.traffic },
    rules: report.rules.length,
    packets: totals.packets,
    bytes: totals.bytes,
    flows: report.flows,
    verdicts: { ...totals.verdicts },
    workers: report.workers,
    packetsPerSecond: Math.round(speed.packetsPerSecond),
    nanosecondsPerPacket: rounded(speed.nanoseconds),
    spreadPercent: rounded(speed.spreadPercent),
    roundSeconds: report.seconds.map((seconds) => Number(seconds.toFixed(6))),
    repeatedShare: totals.packets === 0 ? 0 : report.repeated / totals.packets,
    reference: {
      packets: reference.packets,
      packetsPerSecond: Math.round(reference.packets / reference.seconds),
      nanosecondsPerPacket: rounded((reference.seconds / reference.packets) * 1e9),
      rulesPerPacket: rounded(reference.visits / reference.packets),
      mismatches: 0,
    },
    memory: { ...memory },
    hottest: hottestRules(report.rules).map((rule) => ({
      ...placedRule(rule),
      packets: rule.packets,
      bytes: rule.bytes,
    })),
    neverHit: neverHitRules(report.rules).map(placedRule),
    comparison: comparison === undefined ? undefined : { ...comparison },
  };
}

function placedRule(rule: RuleCount): { readonly [key: string]: Json } {
  const { file, line } = placeOfRule(rule) ?? {};
  return { family: rule.family, ...ruleJson(rule), file, line };
}

function rounded(value: number): number {
  return Number(value.toFixed(2));
}
