/** A saved `bench` result beside a new one: how much faster, and what keeps the two from being compared. */
import type { BenchReport, Comparison } from "./bench.ts";
import { speedOf } from "./bench.ts";
import { countText } from "./layout.ts";

/** What a comparison needs of a saved result. */
export interface Baseline {
  readonly date: string;
  readonly version: string;
  readonly machine: { readonly [key: string]: unknown };
  readonly rules: number;
  readonly packets: number;
  readonly bytes: number;
  readonly flows: number;
  readonly verdicts: { readonly [key: string]: unknown };
  /** Undefined: one, which was all there was. */
  readonly workers?: number;
  readonly packetsPerSecond: number;
  readonly spreadPercent: number;
}

const NUMBERS = ["rules", "packets", "bytes", "flows", "packetsPerSecond", "spreadPercent"];
const TEXTS = ["date", "version"];
const OBJECTS = ["machine", "verdicts"];

/** Reads what `--save` wrote; undefined when it is something else. */
export function readBaseline(text: string): Baseline | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const fields = value as { readonly [key: string]: unknown };
  const has = (keys: readonly string[], type: string): boolean =>
    keys.every((key) => typeof fields[key] === type && fields[key] !== null);
  if (!has(NUMBERS, "number") || !has(TEXTS, "string") || !has(OBJECTS, "object")) return undefined;
  return value as Baseline;
}

/** Compares a result with a saved one. */
export function compareWith(
  baseline: Baseline,
  file: string,
  report: Omit<BenchReport, "comparison">,
): Comparison {
  const { packetsPerSecond, spreadPercent } = speedOf(report);
  const ratio = packetsPerSecond / baseline.packetsPerSecond;
  const doubt = Math.max(spreadPercent, baseline.spreadPercent) / 100;
  return {
    file,
    date: baseline.date,
    ratio: Number(ratio.toFixed(3)),
    withinSpread: Math.abs(ratio - 1) <= doubt,
    differences: differencesOf(baseline, report),
  };
}

function differencesOf(baseline: Baseline, report: Omit<BenchReport, "comparison">): string[] {
  const { totals } = report;
  const differences: string[] = [];
  const machine = Object.entries(report.machine).filter(
    ([key, value]) => baseline.machine[key] !== value,
  );
  if (machine.length > 0) {
    const words = machine.map(
      ([key, value]) => `${key} ${String(value)}, then ${String(baseline.machine[key])}`,
    );
    differences.push(`another machine: ${words.join("; ")}`);
  }
  if ((baseline.workers ?? 1) !== report.workers) {
    differences.push(`other workers: ${report.workers}, then ${baseline.workers ?? 1}`);
  }
  if (baseline.rules !== report.rules.length) {
    const then = countText(baseline.rules, "rule");
    differences.push(`other rules: ${report.rules.length}, then ${then}`);
  }
  if (baseline.packets !== totals.packets || baseline.bytes !== totals.bytes) {
    const then = countText(baseline.packets, "packet");
    differences.push(`other traffic: ${totals.packets} of ${totals.bytes} bytes, then ${then}`);
  } else if (baseline.flows !== report.flows) {
    differences.push(`other traffic: ${report.flows} flows, then ${baseline.flows}`);
  } else if (
    Object.entries(totals.verdicts).some(([key, value]) => baseline.verdicts[key] !== value)
  ) {
    differences.push("the same traffic gets other verdicts");
  }
  return differences;
}
