/** A `bench` result as text for people. */
import type { RuleCount } from "../engine/verdict.ts";
import { formatPlace } from "../errors.ts";
import type { BenchReport, Comparison } from "./bench.ts";
import { hottestRules, neverHitRules, placeOfRule, speedOf } from "./bench.ts";
import { PLAIN, countText, layoutColumns, wrapText } from "./layout.ts";
import type { Column, Palette } from "./layout.ts";

/** Most rules of one list; JSON has them all. */
const RULES_MAX = 10;

const SPEED_COLUMNS: readonly Column[] = [
  { heading: "", align: "left" },
  { heading: "PACKETS/S", align: "right" },
  { heading: "NS/PACKET", align: "right" },
  { heading: "MEASURED", align: "left" },
];
const HOTTEST_COLUMNS: readonly Column[] = [
  { heading: "HOTTEST RULES", align: "left" },
  { heading: "PACKETS", align: "right" },
  { heading: "SHARE", align: "right" },
  { heading: "WRITTEN AT", align: "left" },
];
const NEVER_COLUMNS: readonly Column[] = [
  { heading: "NEVER HIT", align: "left" },
  { heading: "WRITTEN AT", align: "left" },
];

/** Formats a result; ends in a line end. */
export function benchText(report: BenchReport, palette: Palette = PLAIN): string {
  const blocks = [
    headline(report, palette),
    speedLines(report),
    factLines(report),
    comparisonLines(report.comparison, palette),
    hottestLines(report, palette),
    neverLines(report, palette),
  ];
  return `${blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n")}\n`;
}

function headline({ rules, totals, flows, traffic }: BenchReport, palette: Palette): string[] {
  const from =
    traffic.kind === "captures" ? traffic.files.join(", ") : `generated, seed ${traffic.seed}`;
  const what = `${number(rules.length)} rules, ${number(totals.packets)} packets of ${number(flows)} flows (${from})`;
  const verdicts = (["allow", "drop", "unfiltered", "unknown"] as const)
    .filter((verdict) => totals.verdicts[verdict] > 0)
    .map((verdict) => `${number(totals.verdicts[verdict])} ${verdict}`);
  return [...wrapText(what, 0).map(palette.bold), ...wrapText(verdicts.join(", "), 0)];
}

function speedLines(report: BenchReport): string[] {
  const { reference, seconds, totals } = report;
  const speed = speedOf(report);
  const all = reference.packets === totals.packets;
  const part = all ? "all packets" : `the first ${number(reference.packets)} packets`;
  return layoutColumns(SPEED_COLUMNS, [
    [
      report.workers === 1 ? "whole path" : `whole path, ${report.workers} workers`,
      number(speed.packetsPerSecond),
      speed.nanoseconds.toFixed(1),
      `median of ${countText(seconds.length, "round")}, quartiles ${speed.spreadPercent.toFixed(1)} % apart`,
    ],
    [
      "every packet walking",
      number(reference.packets / reference.seconds),
      ((reference.seconds / reference.packets) * 1e9).toFixed(1),
      `once, ${part}; same verdicts, flows and rule counts`,
    ],
  ]);
}

function factLines({ reference, repeated, totals, memory }: BenchReport): string[] {
  const walked = (reference.visits / reference.packets).toFixed(1);
  const share = ((repeated / totals.packets) * 100).toFixed(1);
  return [
    `${walked} rules a packet are looked at by a linear walk, as the kernel's`,
    `${share} % of the packets are decided without a walk`,
    `${bytes(memory.peakBytes)} peak memory, ${bytes(memory.matcherBytes)} of it the matcher's`,
  ];
}

function comparisonLines(comparison: Comparison | undefined, palette: Palette): string[] {
  if (comparison === undefined) return [];
  const { ratio, withinSpread, file, date, differences } = comparison;
  const said = withinSpread ? ": no more than the rounds differ by themselves" : "";
  const sentence = `${ratio.toFixed(2)}x the packets a second of ${file}, ${date}${said}`;
  const paint = withinSpread ? palette.dim : ratio > 1 ? palette.green : palette.red;
  return [
    ...wrapText(sentence, 0).map(paint),
    ...differences.flatMap((one) => wrapText(`hardly comparable: ${one}`, 2).map(palette.yellow)),
  ];
}

/** Of a cluster's tables only what stands for a policy: nobody wrote the plumbing between. */
function writtenRules(rules: readonly RuleCount[]): readonly RuleCount[] {
  const written = rules.filter((rule) => placeOfRule(rule) !== undefined);
  return written.length === 0 ? rules : written;
}

function hottestLines({ rules, totals }: BenchReport, palette: Palette): string[] {
  const hottest = hottestRules(writtenRules(rules));
  if (hottest.length === 0) return [];
  const rows = hottest
    .slice(0, RULES_MAX)
    .map((rule) => [
      ruleName(rule),
      number(rule.packets),
      `${((rule.packets / totals.packets) * 100).toFixed(1)} %`,
      placeText(rule),
    ]);
  return bold(layoutColumns(HOTTEST_COLUMNS, rows), palette);
}

function neverLines(report: BenchReport, palette: Palette): string[] {
  const rules = writtenRules(report.rules);
  const never = neverHitRules(rules);
  if (never.length === 0) return ["Every rule is hit."];
  const rows = never.slice(0, RULES_MAX).map((rule) => [ruleName(rule), placeText(rule)]);
  const more = never.length - rows.length;
  const lines = bold(layoutColumns(NEVER_COLUMNS, rows), palette);
  return more === 0 ? lines : [...lines, `and ${number(more)} more of ${number(rules.length)}`];
}

function bold([heading = "", ...rows]: readonly string[], palette: Palette): string[] {
  return [palette.bold(heading), ...rows];
}

function ruleName({ family, table, chain, number: position }: RuleCount): string {
  return `IPv${family} ${table} ${chain} ${position}`;
}

function placeText(rule: RuleCount): string {
  const { file, line } = placeOfRule(rule) ?? {};
  if (file === undefined) return "";
  return formatPlace(line === undefined ? { file } : { file, line });
}

function number(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

function bytes(value: number): string {
  return `${number(value / 2 ** 20)} MiB`;
}
