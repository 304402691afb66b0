/** Writes results into docs/: the data, the plots, and the tables between the two marks of performance.md. */
import { readFileSync, writeFileSync } from "node:fs";
import { barsOf, type Bar } from "./bars.ts";
import { FRESH, OLD } from "./path.ts";
import { plotThroughput } from "./plot.ts";
import type { Group, Results } from "./question.ts";
import { groupLines, mismatches, noteText } from "./table.ts";

const BEGIN = "<!-- measured: begin -->";
const END = "<!-- measured: end -->";

/** Writes all of it. */
export function record(results: Results, asked: ReadonlyMap<string, string>): void {
  write("performance.json", `${JSON.stringify(results)}\n`);
  const rules = results.groups.filter(({ question }) => question === "rules");
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
  write("performance.md", `${before}${BEGIN}\n\n${measuredText(results, asked)}\n${END}${behind}`);
}

function measuredText(results: Results, asked: ReadonlyMap<string, string>): string {
  const { machine, checks, notes, missing } = results;
  const compared = checks.reduce((sum, check) => sum + check.compared, 0).toLocaleString("en-US");
  const questions = [...new Set(results.groups.map(({ question }) => question))];
  const gibibytes = (machine.memoryBytes / 2 ** 30).toFixed(0);
  return [
    `\`${results.command}\`, ${results.date.slice(0, 16).replace("T", " ")} UTC, ${machine.processor}, ${machine.cores} cores, ${gibibytes} GiB, ${machine.system}, Node ${machine.node}.`,
    `Load average of the fifteen minutes before: ${machine.loadAverage}. Before the clock ${compared} answers were compared in ${checks.length} comparisons: ${mismatches(results)} mismatches.`,
    ...missing.map(({ rival, why }) => `Left out: ${rival} (${why}).`),
    "\n### Against the bars\n",
    ...markdownTable(["what", "bar", "measured", ""], barsOf(results).map(barRow)),
    ...questions.flatMap((question) => [
      `\n### ${question}: ${asked.get(question)}\n`,
      ...markdownTable(
        ["size", "task", "a second", "ns each", "spread", "netverdict is"],
        results.groups.filter((group) => group.question === question).flatMap(groupRows),
      ),
    ]),
    "\n### Other numbers\n",
    ...markdownTable(
      ["what", "value"],
      notes.map(({ name, value, unit }) => [name, `${noteText(value)} ${unit}`]),
    ),
    "",
  ].join("\n");
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
