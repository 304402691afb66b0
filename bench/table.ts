/** Results as a table for people: a line for each task, and how far it is from the first of its group. */
import { layoutColumns, type Column } from "../src/report/layout.ts";
import { median, spreadPercent, type Measured } from "./measure.ts";
import type { Group, Results } from "./question.ts";

const COLUMNS: readonly Column[] = [
  { heading: "", align: "left" },
  { heading: "A SECOND", align: "right" },
  { heading: "NS EACH", align: "right" },
  { heading: "SPREAD", align: "right" },
  { heading: "NETVERDICT IS", align: "right" },
];

/** One task's line. */
export interface Line {
  readonly task: string;
  readonly rate: string;
  readonly nanoseconds: string;
  readonly spread: string;
  /** `2.31x`: so many times as fast as this one; empty for the first. */
  readonly ratio: string;
}

/** Formats the lines of a group. */
export function groupLines({ tasks, unit }: Group): Line[] {
  const first = tasks[0]!;
  return tasks.map((task, index) => {
    const each = median(task.seconds) / task.units;
    return {
      task: task.task,
      rate: unit === "runs" ? "" : Math.round(1 / each).toLocaleString("en-US"),
      nanoseconds: unit === "runs" ? `${each.toFixed(3)} s` : (each * 1e9).toFixed(1),
      spread: `${spreadPercent(task.seconds).toFixed(0)} %`,
      ratio: index === 0 ? "" : `${ratioText(ratioOf(first, task))}x`,
    };
  });
}

/** How many times as fast the first is as the second, by the medians. */
function ratioOf(first: Measured, second: Measured): number {
  return median(second.seconds) / second.units / (median(first.seconds) / first.units);
}

/** Formats everything. */
export function resultsTable(results: Results, asked: ReadonlyMap<string, string>): string {
  const { checks, notes, missing, machine } = results;
  const compared = checks.reduce((sum, check) => sum + check.compared, 0).toLocaleString("en-US");
  return [
    `${results.command}, ${results.date}`,
    `${machine.processor}, ${machine.cores} cores, ${machine.system}, Node ${machine.node}, load ${machine.loadAverage}`,
    ...groupsTable(results.groups, asked),
    "",
    ...notes.map(({ name, value, unit }) => `${name}: ${noteText(value)} ${unit}`),
    `${checks.length} comparisons of ${compared} answers before the clock: ${mismatches(results)} mismatches`,
    ...missing.map(({ rival, why }) => `left out: ${rival}: ${why}`),
    "",
  ].join("\n");
}

/** Titles are put in when all columns are laid out: they may be longer. */
function groupsTable(groups: readonly Group[], asked: ReadonlyMap<string, string>): string[] {
  const rows: string[][] = [];
  const titles = new Map<number, string>();
  let question = "";
  for (const group of groups) {
    if (group.question !== question) {
      question = group.question;
      titles.set(rows.push([], []), `${question}: ${asked.get(question)}`);
    }
    if (group.size !== "") titles.set(rows.push([]), `  ${group.size}`);
    for (const { task, rate, nanoseconds, spread, ratio } of groupLines(group)) {
      rows.push([`    ${task}`, rate, nanoseconds, spread, ratio]);
    }
  }
  return layoutColumns(COLUMNS, rows).map((line, index) => titles.get(index) ?? line);
}

/** Two digits that count, at least. */
export function ratioText(ratio: number): string {
  return ratio >= 10 ? ratio.toFixed(0) : ratio >= 0.1 ? ratio.toFixed(2) : ratio.toPrecision(2);
}

/** A number that is no time. */
export function noteText(value: number): string {
  return value.toFixed(value < 10 ? 1 : 0);
}

/** Answers that were not the same; none, or there are no results. */
export function mismatches({ checks }: Pick<Results, "checks">): number {
  return checks.reduce((sum, check) => sum + check.mismatches, 0);
}
