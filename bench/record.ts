/** Writes results into docs/: the data, the plots, and the tables between the two marks of performance.md. */
import { readFileSync, writeFileSync } from "node:fs";
import { barsOf, type Bar } from "./bars.ts";
import { FRESH, OLD } from "./path.ts";
import { plotThroughput } from "./plot.ts";
import type { Group, Results } from "./question.ts";
import { groupLines, mismatches, noteText } from "./table.ts";

const BEGIN = "<!-- measured: begin -->";
const END = "<!-- measured: end -->";

/** What was kept of each question, by its name: all that the last run that asked it said of it. */
type Recorded = ReadonlyMap<string, Results>;

/** Keeps a run's answers in place of earlier ones to the same questions, and writes all that is kept. */
export function record(results: Results, asked: ReadonlyMap<string, string>): void {
  const recorded = withAnswers(readRecorded(), results, asked);
  write("performance.json", `${JSON.stringify(Object.fromEntries(recorded))}\n`);
  const rules = recorded.get("rules")?.groups ?? [];
  const plots = [
    ["performance-established.svg", OLD],
    ["performance-new.svg", FRESH],
  ] as const;
  for (const [file, suffix] of rules.length === 0 ? [] : plots) {
    const title = `Packets a second against rules: ${suffix}`;
    write(file, plotThroughput(rules, { title, across: "rules", suffix }));
  }
  const document = readFileSync(path("performance.md"), "utf8");
  const [before = "", rest = ""] = document.split(BEGIN);
  const behind = rest.split(END)[1] ?? "";
  write("performance.md", `${before}${BEGIN}\n\n${measuredText(recorded, asked)}\n${END}${behind}`);
}

function readRecorded(): Recorded {
  const text = readFileSync(path("performance.json"), "utf8");
  return new Map(Object.entries(JSON.parse(text) as Readonly<Record<string, Results>>));
}

/** In the order in which questions are asked. */
function withAnswers(
  before: Recorded,
  results: Results,
  asked: ReadonlyMap<string, string>,
): Recorded {
  const after = new Map<string, Results>();
  for (const question of asked.keys()) {
    const own = <T extends { readonly question: string }>(list: readonly T[]): T[] =>
      list.filter((each) => each.question === question);
    const { groups, notes, checks, missing } = results;
    const answers = { groups: own(groups), notes: own(notes), checks: own(checks) };
    const kept = before.get(question);
    if (answers.groups.length > 0)
      after.set(question, { ...results, ...answers, missing: own(missing) });
    else if (kept !== undefined) after.set(question, kept);
  }
  return after;
}

function measuredText(recorded: Recorded, asked: ReadonlyMap<string, string>): string {
  const runs = [...recorded.values()];
  return [
    "### Against the bars\n",
    ...markdownTable(["what", "bar", "measured", ""], barsOf(together(runs)).map(barRow)),
    ...[...recorded].flatMap(([question, results]) => [
      `\n### ${question}: ${asked.get(question)}\n`,
      ...runLines(results),
      "",
      ...markdownTable(
        ["size", "task", "a second", "ns each", "spread", "netverdict is"],
        results.groups.flatMap(groupRows),
      ),
      ...noteLines(results),
    ]),
    "",
  ].join("\n");
}

function runLines(results: Results): string[] {
  const { machine, checks, missing } = results;
  const compared = checks.reduce((sum, check) => sum + check.compared, 0).toLocaleString("en-US");
  const gibibytes = (machine.memoryBytes / 2 ** 30).toFixed(0);
  return [
    `\`${results.command}\`, ${results.date.slice(0, 16).replace("T", " ")} UTC, ${machine.processor}, ${machine.cores} cores, ${gibibytes} GiB, ${machine.system}, Node ${machine.node},`,
    `load ${machine.loadAverage}. Before the clock ${compared} answers were compared: ${mismatches(results)} mismatches.`,
    ...missing.map(({ rival, why }) => `Left out: ${rival} (${why}).`),
  ];
}

function noteLines({ notes }: Results): string[] {
  if (notes.length === 0) return [];
  const rows = notes.map(({ name, value, unit }) => [name, `${noteText(value)} ${unit}`]);
  return ["", ...markdownTable(["what", "value"], rows)];
}

/** What all of them say. */
function together(runs: readonly Results[]): Pick<Results, "groups" | "notes"> {
  return {
    groups: runs.flatMap(({ groups }) => groups),
    notes: runs.flatMap(({ notes }) => notes),
  };
}

function barRow({ what, aim, measured, why, met }: Bar): string[] {
  return [what, aim, measured ?? why, measured === undefined ? "" : met ? "met" : "**not met**"];
}

function groupRows(group: Group): string[][] {
  return groupLines(group).map(({ task, rate, nanoseconds, spread, ratio }, index) => [
    index === 0 ? group.size : "",
    ...[task, rate, nanoseconds, spread, ratio],
  ]);
}

function markdownTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(headings), line(headings.map(() => "---")), ...rows.map(line)];
}

function write(file: string, text: string): void {
  writeFileSync(path(file), text);
}

function path(file: string): URL {
  return new URL(`../docs/${file}`, import.meta.url);
}
