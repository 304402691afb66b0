/**
 * A replay as text for people: one sentence, the counts, then drops and undecided flows gathered into
 * what one acts on. Rows start at the first column, what explains a row is indented below it.
 */
import type { BlindSpot } from "../cluster/snapshot.ts";
import { formatPlace } from "../errors.ts";
import { formatPolicyName, formatPolicyRef } from "../policy/model.ts";
import { gatherFlows } from "./grouping.ts";
import type { DropGroup, GatheredFlows, UnknownGroup } from "./grouping.ts";
import type { ReplayReport } from "./json.ts";
import { PLAIN, countText, layoutColumns, wrapText } from "./layout.ts";
import type { Column, Palette } from "./layout.ts";
import { findNearestMiss } from "./nearest-miss.ts";
import type { NearestMiss, PolicyContext } from "./nearest-miss.ts";
import type { CaptureNature, PolicyPoint } from "./reason.ts";
import { remedyFor } from "./remedy.ts";

/** What the text needs beside the counts. */
export interface TextContext extends PolicyContext {
  readonly midstream: "cold" | "assume-established";
}

/** Most groups that are printed; JSON has them all. */
const GROUPS_MAX = 40;
/** Most workloads that are listed as blind spots. */
const BLIND_SPOTS_MAX = 10;
/** Most policies that are listed for one isolation. */
const POINTS_MAX = 4;
/** Most sentences of one missing fact. */
const SENTENCES_MAX = 4;

/** Of dropped flows. */
export const DROP_COLUMNS: readonly Column[] = [
  { heading: "DROPPED FROM", align: "left" },
  { heading: "TO", align: "left" },
  { heading: "PORT", align: "left" },
  { heading: "FLOWS", align: "right" },
  { heading: "PACKETS", align: "right" },
];
const UNKNOWN_COLUMNS: readonly Column[] = [
  { heading: "UNKNOWN FLOWS", align: "right" },
  { heading: "PACKETS", align: "right" },
];
/** Of pods that policies do not bind. */
export const BLIND_SPOT_COLUMNS: readonly Column[] = [
  { heading: "PODS", align: "right" },
  { heading: "NOT BOUND BY POLICY", align: "left" },
  { heading: "BECAUSE OF", align: "left" },
];
/** Of what else was counted. */
export const NOTE_COLUMNS: readonly Column[] = [
  { heading: "COUNT", align: "right" },
  { heading: "NOTE", align: "left" },
];

/** Formats a replay for people; ends in a line end. */
export function replayText(
  report: ReplayReport,
  context: TextContext,
  palette: Palette = PLAIN,
): string {
  const gathered = gatherFlows(report.flows, context.find, report.nature);
  const { drops, unknowns, flows } = gathered;
  const blocks = [
    [...headlineLines(report, drops, palette), ...wrapText(summary(report, flows), 0)],
    dropLines(drops, context, palette),
    unknownLines(unknowns, report, palette),
    noteLines(report, gathered, context, palette),
    blindSpotLines(report.blindSpots ?? [], palette),
  ];
  return `${blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n")}\n`;
}

/** Formats the line of a nearest miss. */
export function nearestText(nearest: NearestMiss): string {
  const { policy, direction, rule, sentence, place } = nearest;
  const name = `${formatPolicyName(policy)} ${direction}[${rule}]`;
  return `nearest: ${name} ${sentence}  ${formatPlace(lineOf(place))}`;
}

/** Formats the policies that a verdict points to, a line for each. */
export function pointLines(points: readonly PolicyPoint[]): string[] {
  return pointTexts(points).flatMap((text) => wrapText(text, 2));
}

/** The same, unwrapped. */
function pointTexts(points: readonly PolicyPoint[]): string[] {
  const texts = points.slice(0, POINTS_MAX).map(pointText);
  const more = points.length - POINTS_MAX;
  return more <= 0 ? texts : [...texts, `and ${more} more of these policies`];
}

/** Formats a policy and its line: `NetworkPolicy shop/web ingress[0]  policies/web.yaml:12`. */
export function pointText({ policy, direction, rule, place }: PolicyPoint): string {
  const where = rule === undefined ? direction : `${direction}[${rule}]`;
  return `${formatPolicyRef(policy)} ${where}  ${formatPlace(lineOf(place))}`;
}

/** A place without its column, which no report needs. */
function lineOf<P extends { file: string; line?: number }>(
  place: P,
): { file: string; line?: number } {
  return place.line === undefined ? { file: place.file } : { file: place.file, line: place.line };
}

/** How a sentence is to be taken. */
export interface Sentence {
  readonly tone: "good" | "bad" | "doubtful" | "plain";
  readonly text: string;
}

/** What a replay says at first, and before that why it is not all. */
export function headlines(report: ReplayReport, drops: readonly DropGroup[]): Sentence[] {
  const sentences: Sentence[] = [];
  const { packets } = report.totals;
  if (report.partial === "interrupted") {
    const text = `Interrupted: this is the report up to packet ${packets}.`;
    sentences.push({ tone: "doubtful", text });
  }
  if (report.partial === "damaged") {
    const text = "Partial: a capture is damaged; this is what could be read of it.";
    sentences.push({ tone: "doubtful", text });
  }
  return [...sentences, verdictSentence(report, drops)];
}

function verdictSentence({ totals }: ReplayReport, drops: readonly DropGroup[]): Sentence {
  const { verdicts, packets } = totals;
  const [first] = drops;
  if (packets === 0) return { tone: "plain", text: "The capture holds no packets." };
  if (first !== undefined) {
    const others = drops.length - 1;
    const more = others === 0 ? "" : `, and ${countText(others, "other")}`;
    const pair = `${first.from} -> ${first.to} ${first.port}`;
    return { tone: "bad", text: `Dropped: ${pair}${more}.` };
  }
  if (verdicts.unknown > 0) {
    const text = "Nothing is dropped, but not everything can be decided.";
    return { tone: "doubtful", text };
  }
  if (verdicts.allow === 0) {
    return { tone: "plain", text: "The filter sees none of these packets." };
  }
  return { tone: "good", text: "Everything that the filter sees is allowed." };
}

function headlineLines(
  report: ReplayReport,
  drops: readonly DropGroup[],
  palette: Palette,
): string[] {
  const { red: bad, green: good, yellow: doubtful } = palette;
  const colors = { bad, good, doubtful, plain: (text: string) => text };
  return headlines(report, drops).flatMap(({ tone, text }) =>
    wrapText(text, 0).map((line) => colors[tone](line)),
  );
}

/** The counts in one line. */
export function summary(report: ReplayReport, flows: number): string {
  const { verdicts, packets } = report.totals;
  const counts = (["allow", "drop", "unfiltered", "unknown"] as const)
    .filter((verdict) => verdicts[verdict] > 0)
    .map((verdict) => `${verdicts[verdict]} ${verdict}`);
  const total = `${countText(packets, "packet")}, ${countText(flows, "flow")}`;
  return counts.length === 0 ? total : `${total}: ${counts.join(", ")}`;
}

function dropLines(groups: readonly DropGroup[], context: TextContext, palette: Palette): string[] {
  if (groups.length === 0) return [];
  const shown = explainDrops(groups.slice(0, GROUPS_MAX), context);
  const [heading = "", ...lines] = layoutColumns(
    DROP_COLUMNS,
    shown.map(({ cells }) => cells),
  );
  const explained = lines.flatMap((line, index) => {
    const details = (shown[index]?.details ?? []).flatMap((detail) => wrapText(detail, 2));
    return [line, ...details.map(palette.dim)];
  });
  return [palette.bold(heading), ...explained, ...moreLines(groups.length - shown.length)];
}

/** A row of a table, and the lines that explain it. */
export interface ExplainedRow {
  readonly cells: readonly string[];
  readonly details: readonly string[];
}

/** The rows of `DROP_COLUMNS`. Groups that one reason explains stand together: it is said once, below the first. */
export function explainDrops(groups: readonly DropGroup[], context: TextContext): ExplainedRow[] {
  const keys = [...new Set(groups.map(reasonKey))];
  return keys.flatMap((key) =>
    groups
      .filter((group) => reasonKey(group) === key)
      .map((group, index) => {
        const { from, to, port, flows, packets } = group;
        const cells = [from, to, port, `${flows}`, `${packets}`];
        return { cells, details: dropDetails(group, index === 0, context) };
      }),
  );
}

function reasonKey({ reason, points }: DropGroup): string {
  return [reason, ...points.map(pointText)].join("\n");
}

/** What explains a group; its reason only where the group before has another. */
function dropDetails(group: DropGroup, newReason: boolean, context: TextContext): string[] {
  const { points, reason, otherEndpoints, first } = group;
  const details = newReason ? [reason, ...pointTexts(points)] : [];
  const nearest = findNearestMiss(first, context);
  if (nearest !== undefined) details.push(nearestText(nearest));
  else if (newReason && isIsolation(group)) {
    details.push("nearest: none, there is no rule in this direction");
  }
  if (otherEndpoints > 0) {
    details.push(`and ${countText(otherEndpoints, "other pair")} of endpoints of these workloads`);
  }
  return details;
}

/** An isolation points to policies, but to no rule of theirs. */
function isIsolation({ points }: DropGroup): boolean {
  return points.some(({ rule }) => rule === undefined);
}

function unknownLines(
  groups: readonly UnknownGroup[],
  report: ReplayReport,
  palette: Palette,
): string[] {
  if (groups.length === 0) return [];
  const [heading = "", ...counts] = layoutColumns(
    UNKNOWN_COLUMNS,
    groups.map((group) => [`${group.flows}`, `${group.packets}`]),
  );
  // The last column wraps; its first line stands behind the counts.
  const margin = heading.length + 2;
  const lines = groups.map(({ sentences }, index) => {
    const [first = "", ...rest] = wrapText(sentences[0] ?? "", margin);
    return [`${counts[index] ?? ""}  ${first.slice(margin)}`, ...rest];
  });
  const details = groups.map((group) =>
    unknownDetails(group, report.nature).flatMap((line) => wrapText(line, 2)),
  );
  return [
    palette.bold(`${heading}  MISSING FACT`),
    ...lines.flatMap((line, index) => [...line, ...(details[index] ?? []).map(palette.dim)]),
  ];
}

/** What stands below the first sentence of a missing fact: others like it, and what to supply. */
export function unknownDetails(
  { sentences, first }: UnknownGroup,
  nature: CaptureNature,
): string[] {
  const rest = sentences.length - SENTENCES_MAX;
  const remedy = remedyFor(first, nature);
  return [
    ...sentences.slice(1, SENTENCES_MAX),
    ...(rest > 0 ? [`and ${rest} more like these`] : []),
    ...(remedy === undefined ? [] : [`-> ${remedy}`]),
  ];
}

/** What else was counted, and what it means. */
export function notesOf(
  { totals }: ReplayReport,
  gathered: GatheredFlows,
  midstream: TextContext["midstream"],
): (readonly [count: number, note: string])[] {
  const underWay =
    midstream === "cold"
      ? "midstream: first seen after their opening packet, judged as new (--midstream cold)"
      : "midstream: under way when the capture began, taken as allowed before (--midstream cold: not)";
  const notes: readonly (readonly [number, string])[] = [
    // Never hidden (semantics.md C-2).
    [
      gathered.contradictions,
      "contradictions: dropped here, but let through when they were captured",
    ],
    [
      gathered.behindDrops,
      "allowed behind a dropped opening packet: on a live network nobody would send them",
    ],
    [totals.verdicts.unfiltered, "unfiltered: not IP, or addressed to another host"],
    [
      totals.withoutFlow,
      "unknown without a flow: their link type is not supported, or no addresses were captured",
    ],
    [totals.midstream, underWay],
    [totals.fragments, "fragments: judged with the rest of their datagram"],
    [totals.malformed, "malformed: judged as Linux does with such headers"],
    [totals.truncated, "cut by the snap length: judged by what was captured"],
    [totals.flowsLost, "counted, but not in the list of flows: there are more flows than it holds"],
    [
      totals.duplicates,
      "duplicates: seen again on another interface, verdict of their first sight",
    ],
  ];
  return notes.filter(([count]) => count > 0);
}

function noteLines(
  report: ReplayReport,
  gathered: GatheredFlows,
  { midstream }: TextContext,
  palette: Palette,
): string[] {
  const rows = notesOf(report, gathered, midstream).map(([count, note]) => [`${count}`, note]);
  if (rows.length === 0) return [];
  const [heading = "", ...lines] = layoutColumns(NOTE_COLUMNS, rows);
  return [palette.bold(heading), ...lines];
}

/** Pods of a workload that have the same powers, as `count`, `name` and `why`. */
export function blindSpotRows(spots: readonly BlindSpot[]): [string, string, string][] {
  const groups = new Map<string, { readonly name: string; readonly why: string; count: number }>();
  for (const { namespace, workload, powers } of spots) {
    const name = `${namespace}/${workload.name}`;
    const why = powers.join(", ");
    const key = `${workload.kind} ${name} ${why}`;
    const known = groups.get(key);
    if (known === undefined) groups.set(key, { name, why, count: 1 });
    else known.count++;
  }
  return [...groups.values()].map(({ name, why, count }) => [`${count}`, name, why]);
}

function blindSpotLines(spots: readonly BlindSpot[], palette: Palette): string[] {
  const all = blindSpotRows(spots);
  if (all.length === 0) return [];
  const shown = all.slice(0, BLIND_SPOTS_MAX);
  const [heading = "", ...lines] = layoutColumns(BLIND_SPOT_COLUMNS, shown);
  const more = all.length - shown.length;
  const rest = more > 0 ? [`and ${countText(more, "more workload")}: see -o json`] : [];
  return [palette.bold(heading), ...lines, ...rest];
}

function moreLines(more: number): string[] {
  return more <= 0 ? [] : [`and ${countText(more, "more group")}: see -o json`];
}
