/** A rollout in mid-capture as text for people: how many connections were under way, and those that suffer. */
import type { FlipContext } from "./flips.ts";

import { countText, layoutColumns, wrapText } from "./layout.ts";
import type { Column, Palette } from "./layout.ts";
import { findNearestMiss } from "./nearest-miss.ts";
import { remedyFor } from "./remedy.ts";
import { FATES } from "./rollout.ts";
import type { FateGroup, ReportedFate, Rollout } from "./rollout.ts";
import { ToldReasons, pairText } from "./side-text.ts";
import { nearestText } from "./text.ts";
import { formatTime } from "./time.ts";
import { formatTuple } from "./tuple-text.ts";
import type { WhatIfReport } from "./what-if.ts";

/** Most groups of one fate that are printed; JSON has all connections. */
const GROUPS_MAX = 40;
/** Most connections that are shown of a group. */
const CONNECTIONS_MAX = 3;

const HEADINGS: Readonly<Record<ReportedFate, string>> = {
  cut: "CUT FROM",
  "lost-on-reconnect": "LOST ON RECONNECT FROM",
  unknown: "FATE UNKNOWN FROM",
};

/** What becomes of connections. */
export const FATE_WORDS: Readonly<Record<ReportedFate, string>> = {
  cut: "cut",
  "lost-on-reconnect": "goes on, lost on reconnect",
  unknown: "cannot be told whether it goes on",
};

/** How the connections fare in one sentence. */
export function rolloutSummary({ atNs, timeOfDay, firstPacket, counts }: Rollout): string {
  const live = counts.cut + counts["lost-on-reconnect"] + counts.unknown + counts.kept;
  const when = `From packet ${firstPacket} on (${formatTime(atNs, timeOfDay) ?? ""}) the proposed policies decide.`;
  if (live === 0) return `${when} No connection was under way.`;
  const fates = [
    [counts.kept, "goes on", "go on"],
    [
      counts["lost-on-reconnect"],
      "goes on, but would be dropped on reconnect",
      "go on, but would be dropped on reconnect",
    ],
    [counts.cut, "is cut", "are cut"],
    [counts.unknown, "is not known", "are not known"],
  ] as const;
  const told = fates.flatMap(([count, one, several]) =>
    count === 0 ? [] : [`${count} ${count === 1 ? one : several}`],
  );
  return `${when} ${countText(live, "connection")} under way: ${told.join(", ")}.`;
}

/** The lines of a report on a rollout; what was told in it before is not told again. */
export function rolloutLines(
  report: WhatIfReport,
  context: FlipContext,
  means: { readonly palette: Palette; readonly told: ToldReasons },
): string[] {
  if (report.rollout === undefined) return [];
  const blocks = FATES.map((fate) => fateLines(fate, report, context, means));
  return [wrapText(rolloutSummary(report.rollout), 0), ...blocks]
    .filter((lines) => lines.length > 0)
    .flatMap((lines, index) => (index === 0 ? lines : ["", ...lines]));
}

function fateLines(
  fate: ReportedFate,
  report: WhatIfReport,
  context: FlipContext,
  { palette, told }: { readonly palette: Palette; readonly told: ToldReasons },
): string[] {
  const groups = report.fates.filter((group) => group.fate === fate && !group.accepted);
  if (groups.length === 0) return [];
  const columns: readonly Column[] = [
    { heading: HEADINGS[fate], align: "left" },
    { heading: "TO", align: "left" },
    { heading: "PORT", align: "left" },
    { heading: "CONNECTIONS", align: "right" },
  ];
  const shown = groups.slice(0, GROUPS_MAX);
  const rows = shown.map(({ from, to, port, connections }) => [
    ...[from, to, port, `${connections.length}`],
  ]);
  const [heading = "", ...lines] = layoutColumns(columns, rows);
  const explained = lines.flatMap((line, index) => {
    const group = shown[index];
    if (group === undefined) return [line];
    const reasons = told.tell(group.first, pairText(group));
    const details = [...reasons, ...ownDetails(group, report, context, reasons.length === 0)];
    return [line, ...details.map(palette.dim)];
  });
  const more = groups.length - shown.length;
  const rest = more <= 0 ? [] : [`and ${countText(more, "more group")}: see -o json`];
  return [palette.bold(heading), ...explained, ...rest];
}

function ownDetails(
  { first, connections }: FateGroup,
  { nature }: WhatIfReport,
  context: FlipContext,
  repeats: boolean,
): string[] {
  const { before, after } = first;
  const nearest = repeats ? undefined : findNearestMiss(after, context.after);
  const missing = [before, after].find(({ verdict }) => verdict === "unknown");
  const remedy = missing === undefined ? undefined : remedyFor(missing, nature);
  const more = connections.length - CONNECTIONS_MAX;
  return [
    ...(nearest === undefined ? [] : wrapText(nearestText(nearest), 2)),
    ...(remedy === undefined ? [] : wrapText(`-> ${remedy}`, 2)),
    ...connections
      .slice(0, CONNECTIONS_MAX)
      .flatMap(({ opening }) => wrapText(formatTuple(opening), 2)),
    ...(more <= 0 ? [] : [`  and ${countText(more, "more connection")} like these`]),
  ];
}
