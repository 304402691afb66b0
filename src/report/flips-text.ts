/**
 * A what-if as text for people: one sentence, the counts, then each change with what decides before and
 * after. Rows start at the first column, what explains a row is indented below it.
 */
import { CHANGES, tellingSide } from "./flips.ts";
import { blindNamesText, blindServicesText } from "./blind-spots.ts";
import type { Change } from "./blind-spots.ts";
import type { Flip, FlipContext, FlipGroup } from "./flips.ts";
import { editText, hintNotes, mendedText, triedText, withoutTexts, yamlLines } from "./hints.ts";
import { PLAIN, countText, layoutColumns, wrapText } from "./layout.ts";
import type { Column, Palette } from "./layout.ts";
import { findNearestMiss } from "./nearest-miss.ts";
import type { CaptureNature } from "./reason.ts";
import { remedyFor } from "./remedy.ts";
import type { ReportedFate } from "./rollout.ts";
import { rolloutLines } from "./rollout-text.ts";
import { ToldReasons, pairText, reasonLines, sideLines } from "./side-text.ts";
import { nearestText } from "./text.ts";
import { formatTuple } from "./tuple-text.ts";
import type { WhatIfReport } from "./what-if.ts";

/** Most groups of one kind of change that are printed; JSON has them all. */
const GROUPS_MAX = 40;
/** Most flows that are shown of a group. */
const FLOWS_MAX = 3;

const HEADINGS: Readonly<Record<Change, string>> = {
  "new-drop": "NEWLY DROPPED FROM",
  "new-allow": "NEWLY ALLOWED FROM",
  unknown: "CANNOT BE COMPARED FROM",
};

/** Formats a what-if for people; ends in a line end. */
export function whatIfText(
  report: WhatIfReport,
  context: FlipContext,
  palette: Palette = PLAIN,
): string {
  const told = new ToldReasons(report.nature);
  const blocks = [
    [...headline(report, palette), ...wrapText(summary(report), 0)],
    ...CHANGES.map((change) => groupLines(change, report, { context, palette, told })),
    rolloutLines(report, context, { palette, told }),
    // Of a capture they are for what it shows.
    ...(report.captured ? [hintLines(report, palette)] : []),
    blindLines(report, palette, told),
    ...(report.captured ? [] : [hintLines(report, palette)]),
    noteLines(report),
  ];
  return `${blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n")}\n`;
}

/** The first sentence of every report. */
export function headlineText({
  counts,
  totals,
  groups,
  fates,
  partial,
  captured,
  blindSpots,
}: WhatIfReport): string {
  if (!captured) {
    if (blindSpots === undefined) return "What changes is not known.";
    if (blindSpots.length === 0) return "Nothing changes for any traffic.";
    return `${countText(blindSpots.length, "change")}, whatever the traffic.`;
  }
  if (totals.packets === 0) return "The capture holds no packets.";
  const [first, ...others] = groups.filter(({ accepted }) => !accepted);
  const [fate, ...otherFates] = fates.filter(({ accepted }) => !accepted);
  if (first === undefined && fate !== undefined) {
    const more =
      otherFates.length === 0 ? "" : `, and ${countText(otherFates.length, "other fate")}`;
    return `${FATE_HEADS[fate.fate]}: ${pairText(fate)}${more}.`;
  }
  if (first === undefined) {
    const more = groups.length > 0 ? "Only what is accepted changes" : "Nothing changes";
    const read = partial === undefined ? "for this capture" : "in what could be read";
    const { flows } = counts.unknown;
    const unknown = flows === 0 ? "" : `; ${countText(flows, "flow")} cannot be compared`;
    return `${more} ${read}${unknown}.`;
  }
  const what = {
    "new-drop": "Newly dropped",
    "new-allow": "Newly allowed",
    unknown: "Cannot be compared",
  };
  const more = others.length === 0 ? "" : `, and ${countText(others.length, "other change")}`;
  return `${what[first.change]}: ${pairText(first)}${more}.`;
}

const FATE_HEADS: Readonly<Record<ReportedFate, string>> = {
  cut: "Cut by the rollout",
  "lost-on-reconnect": "Lost on reconnect",
  unknown: "Cannot be told what becomes of connections",
};

/** The counts in one line. */
export function summary({ totals, flows, counts, captured }: WhatIfReport): string {
  if (!captured) return "no capture was given (-r): these are all classes of traffic";
  const flowsOf = (change: Change | "unchanged"): number => counts[change].flows;
  return [
    `${countText(totals.packets, "packet")}, ${countText(flows, "flow")}: ${flowsOf("new-drop")} newly dropped`,
    `${flowsOf("new-allow")} newly allowed`,
    `${flowsOf("unchanged")} unchanged`,
    `${flowsOf("unknown")} unknown`,
  ].join(", ");
}

function headline(report: WhatIfReport, palette: Palette): string[] {
  const lines: string[] = [];
  if (report.partial === "interrupted") {
    const { packets } = report.totals;
    lines.push(palette.yellow(`Interrupted: this is the report up to packet ${packets}.`));
  }
  if (report.partial === "damaged") {
    lines.push(palette.yellow("Partial: a capture is damaged; this is what could be read of it."));
  }
  const { groups, fates, captured, blindSpots, counts } = report;
  const changes = captured
    ? [...groups, ...fates].filter(({ accepted }) => !accepted).map(({ change }) => change)
    : (blindSpots?.map(({ change }) => change) ?? ["unknown" as const]);
  const calm = changes.length === 0 && counts.unknown.packets === 0;
  const other = calm ? palette.green : palette.yellow;
  const color = changes.includes("new-drop") ? palette.red : other;
  return [...lines, ...wrapText(headlineText(report), 0).map(color)];
}

/** How rows are explained. */
interface Manner {
  readonly context: FlipContext;
  readonly palette: Palette;
  readonly told: ToldReasons;
}

function groupLines(
  change: Change,
  report: WhatIfReport,
  { context, palette, told }: Manner,
): string[] {
  const groups = report.groups.filter((group) => group.change === change && !group.accepted);
  if (groups.length === 0) return [];
  const columns: readonly Column[] = [
    { heading: HEADINGS[change], align: "left" },
    { heading: "TO", align: "left" },
    { heading: "PORT", align: "left" },
    { heading: "FLOWS", align: "right" },
    { heading: "PACKETS", align: "right" },
  ];
  const shown = gatherReasons(groups.slice(0, GROUPS_MAX), report.nature);
  const rows = shown.map(({ from, to, port, flows, packets }) => [
    from,
    to,
    port,
    `${flows}`,
    `${packets}`,
  ]);
  const [heading = "", ...lines] = layoutColumns(columns, rows);
  const explained = lines.flatMap((line, index) => {
    const group = shown[index];
    if (group === undefined) return [line];
    const reasons = told.tell(group.first, pairText(group));
    const details = [...reasons, ...groupDetails(group, report.nature, context)];
    return [line, ...details.map(palette.dim)];
  });
  const more = groups.length - shown.length;
  const rest = more <= 0 ? [] : [`and ${countText(more, "more change")}: see -o json`];
  return [palette.bold(heading), ...explained, ...rest];
}

/** Puts groups that the same reasons explain behind each other: they are printed once, below the first. */
function gatherReasons(groups: readonly FlipGroup[], nature: CaptureNature): FlipGroup[] {
  const keyOf = (group: FlipGroup): string => reasonLines(group.first, nature).join("\n");
  const keys = [...new Set(groups.map(keyOf))];
  return keys.flatMap((key) => groups.filter((group) => keyOf(group) === key));
}

/** What is the group's own. */
function groupDetails(group: FlipGroup, nature: CaptureNature, context: FlipContext): string[] {
  const { before, after } = group.first;
  const lines: string[] = [];
  const nearest = findNearestMiss(after, context.after);
  if (nearest !== undefined) lines.push(...wrapText(nearestText(nearest), 2));
  const missing = [before, after].find(({ verdict }) => verdict === "unknown");
  const remedy = missing === undefined ? undefined : remedyFor(missing, nature);
  if (remedy !== undefined) lines.push(...wrapText(`-> ${remedy}`, 2));
  for (const flip of group.flips.slice(0, FLOWS_MAX)) lines.push(...wrapText(flipText(flip), 2));
  const more = group.flips.length - FLOWS_MAX;
  return more <= 0 ? lines : [...lines, `  and ${countText(more, "more flow")} like these`];
}

/** One flow of a group: its ends, and where in the capture it is. */
function flipText(flip: Flip): string {
  const flow = flip[tellingSide(flip)];
  const where =
    flip.packets === 1
      ? `packet ${flip.firstPacket}`
      : `${flip.packets} packets from ${flip.firstPacket} on`;
  return `${formatTuple(flow)}: ${where}`;
}

/** Rules for what is newly dropped; YAML is not wrapped. */
function hintLines(report: WhatIfReport, palette: Palette): string[] {
  const { hints } = report;
  if (hints === undefined) return [];
  const found = hints.hints.flatMap((hint) => [
    ...wrapText(mendedText(hint), 0),
    ...hint.edits.flatMap((edit) => [
      ...wrapText(editText(edit), 2),
      ...yamlLines(edit.yaml).map((line) => `    ${line}`),
    ]),
    ...hintNotes(hint).flatMap((note) => wrapText(note, 2)),
  ]);
  const without = withoutTexts(hints).flatMap((text) => wrapText(text, 0));
  const tried = hints.hints.length === 0 ? [] : wrapText(triedText(hints, report), 0);
  return [palette.bold("TO LET THEM PASS AGAIN"), ...found, ...without, ...tried];
}

/** Traffic that the capture does not show. */
function blindLines(report: WhatIfReport, palette: Palette, told: ToldReasons): string[] {
  const { blindSpots = [], nature, captured } = report;
  if (blindSpots.length === 0) return [];
  const shown = blindSpots.slice(0, GROUPS_MAX).map((spot) => ({
    spot,
    key: [...sideLines("before", spot, nature), ...sideLines("after", spot, nature)].join("\n"),
  }));
  // Those with the same reasons stand together.
  const explained = [...new Set(shown.map(({ key }) => key))]
    .flatMap((key) => shown.filter((each) => each.key === key))
    .flatMap(({ spot }) => {
      const ends = `${blindNamesText(spot.from)} -> ${blindNamesText(spot.to)}`;
      const row = `${CHANGE_WORDS[spot.change]}: ${ends}: ${blindServicesText(spot)}`;
      return [...wrapText(row, 0), ...told.tell(spot, ends).map(palette.dim)];
    });
  const heading = captured ? "NOT IN THE CAPTURE, BUT CHANGES TOO" : "ALL THAT CHANGES";
  const more = blindSpots.length - shown.length;
  const rest = more <= 0 ? [] : [`and ${countText(more, "more change")}: see -o json`];
  return [palette.bold(heading), ...explained, ...rest];
}

/** What a change does to traffic. */
export const CHANGE_WORDS: Readonly<Record<Change, string>> = {
  "new-drop": "newly dropped",
  "new-allow": "newly allowed",
  unknown: "cannot be compared",
};

function noteLines({ groups, fates, lost }: WhatIfReport): string[] {
  const accepted = groups.filter((group) => group.accepted);
  const acceptedFates = fates.filter((group) => group.accepted);
  const lines: string[] = [];
  if (accepted.length > 0) {
    const packets = accepted.reduce((sum, group) => sum + group.packets, 0);
    const changes = countText(accepted.length, "accepted change");
    lines.push(`${changes} (${countText(packets, "packet")}): not shown.`);
  }
  if (acceptedFates.length > 0) {
    const connections = acceptedFates.reduce((sum, group) => sum + group.connections.length, 0);
    lines.push(`${countText(connections, "connection")} whose change is accepted: not shown.`);
  }
  if (lost > 0) {
    const packets = countText(lost, "packet");
    lines.push(`${packets} of flows beyond those that can be listed: not compared.`);
  }
  return lines;
}
