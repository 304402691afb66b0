/** A comparison of dialects as text for people. */
import type { FlowVerdict, Verdict } from "../engine/verdict.ts";
import type { DialectReport, DifferenceGroup } from "./dialects.ts";
import { PLAIN, countText, layoutColumns, wrapText } from "./layout.ts";
import type { Palette } from "./layout.ts";
import { explainReason } from "./reason.ts";

/** Most groups that are printed; JSON has them all. */
const GROUPS_MAX = 40;

/** Formats a comparison for people; ends in a line end. */
export function dialectsText(report: DialectReport, palette: Palette = PLAIN): string {
  const { groups } = report;
  const blocks = [
    [...headline(report, palette), ...wrapText(summary(report), 0)],
    groupLines(
      "DIFFERS FROM",
      groups.filter(({ certain }) => certain),
      report,
    ),
    groupLines(
      "MAY DIFFER FROM",
      groups.filter(({ certain }) => !certain),
      report,
    ),
    notes(report),
  ];
  return `${blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n")}\n`;
}

function headline({ totals, names, groups, partial }: DialectReport, palette: Palette): string[] {
  const lines: string[] = [];
  if (partial === "interrupted") {
    lines.push(palette.yellow(`Interrupted: this is the report up to packet ${totals.packets}.`));
  }
  if (partial === "damaged") {
    lines.push(palette.yellow("Partial: a capture is damaged; this is what could be read of it."));
  }
  const certain = groups.filter((group) => group.certain);
  const [first] = certain;
  if (totals.packets === 0) lines.push("The capture holds no packets.");
  else if (first !== undefined) {
    const more = certain.length === 1 ? "" : `, and ${countText(certain.length - 1, "other")}`;
    const pair = `${first.from} -> ${first.to} ${first.port}`;
    lines.push(...wrapText(`Not everywhere the same: ${pair}${more}.`, 0).map(palette.red));
  } else if (groups.length > 0) {
    lines.push(palette.yellow("No difference is certain, but not everything can be told."));
  } else {
    lines.push(palette.green(`The same by ${names.join(", ")}.`));
  }
  return lines;
}

function summary({ totals, alike, differ }: DialectReport): string {
  return `${countText(totals.packets, "packet")}, ${countText(alike.flows + differ.flows, "flow")}: ${alike.flows} alike, ${differ.flows} not`;
}

function groupLines(
  heading: string,
  groups: readonly DifferenceGroup[],
  { names, nature }: DialectReport,
): string[] {
  if (groups.length === 0) return [];
  const shown = groups.slice(0, GROUPS_MAX);
  const rows = shown.map(({ from, to, port, flows, packets }) => [
    from,
    to,
    port,
    String(flows),
    String(packets),
  ]);
  const [head, ...lines] = layoutColumns(
    [
      { heading, align: "left" },
      { heading: "TO", align: "left" },
      { heading: "PORT", align: "left" },
      { heading: "FLOWS", align: "right" },
      { heading: "PACKETS", align: "right" },
    ],
    rows,
  );
  const more = groups.length - shown.length;
  return [
    head ?? "",
    ...shown.flatMap((group, index) => [
      lines[index] ?? "",
      ...sayings(names, group.first.flows).flatMap(({ who, flow }) =>
        wrapText(`${who.join(", ")}: ${flow.verdict} (${explainReason(flow, nature)})`, 2),
      ),
    ]),
    ...(more > 0 ? [`and ${countText(more, "other group")}: -o json has them all`] : []),
  ];
}

/** Those that say the same for the same reason are named together. */
function sayings(
  names: readonly string[],
  flows: readonly FlowVerdict[],
): { who: string[]; flow: FlowVerdict }[] {
  const found = new Map<string, { who: string[]; flow: FlowVerdict }>();
  for (const [index, flow] of flows.entries()) {
    const key: `${Verdict} ${string}` = `${flow.verdict} ${explainReason(flow)}`;
    const known = found.get(key);
    const name = names[index] ?? "";
    if (known === undefined) found.set(key, { who: [name], flow });
    else known.who.push(name);
  }
  return [...found.values()];
}

function notes({ refused, lost }: DialectReport): string[] {
  return [
    ...refused.flatMap(({ name, why }) =>
      wrapText(`left out: ${name}, which does not have these policies: ${why.message}`, 0),
    ),
    ...(lost > 0 ? [`${countText(lost, "packet")} of flows beyond the list are not compared`] : []),
  ];
}
