/** A what-if for a pull request's comment, and for the annotations of a GitHub workflow. */
import { escapeControls } from "../errors.ts";
import type { Place } from "../errors.ts";
import type { Change, FlipContext, FlipGroup, WhatIfReport } from "./flips.ts";
import { headlineText, pairText, sideText, summary } from "./flips-text.ts";
import { pointsOf } from "./grouping.ts";
import { findNearestMiss } from "./nearest-miss.ts";
import type { CaptureNature } from "./reason.ts";
import { nearestText, pointText } from "./text.ts";

/** Rows of the table; JSON has them all. */
const ROWS_MAX = 100;
/** GitHub shows so many annotations of a step. */
const ANNOTATIONS_MAX = 10;

const WORDS: Readonly<Record<Change, string>> = {
  "new-drop": "newly dropped",
  "new-allow": "newly allowed",
  unknown: "cannot be compared",
};

/** Formats a what-if as Markdown. */
export function whatIfMarkdown(report: WhatIfReport, context: FlipContext): string {
  const groups = report.groups.filter(({ accepted }) => !accepted);
  const lines = [`### ${cell(headlineText(report))}`, "", cell(summary(report))];
  if (groups.length > 0) {
    lines.push(
      "",
      "| change | from | to | port | flows | packets | before | after |",
      "|---|---|---|---|--:|--:|---|---|",
    );
  }
  for (const group of groups.slice(0, ROWS_MAX)) {
    const { change, from, to, port, flows, packets, first } = group;
    const before = [
      sideText(first.before, report.nature),
      ...pointsOf(first.before).map(pointText),
    ];
    const cells = [WORDS[change], from, to, port, `${flows}`, `${packets}`, before.join("; ")];
    const row = [...cells, reasonsAfter(group, report.nature, context).join("; ")];
    lines.push(`| ${row.map(cell).join(" | ")} |`);
  }
  if (groups.length > ROWS_MAX) lines.push("", `and ${groups.length - ROWS_MAX} more`);
  const accepted = report.groups.length - groups.length;
  if (accepted > 0) lines.push("", `${accepted} more changes are accepted.`);
  return `${lines.join("\n")}\n`;
}

/** Formats a what-if as workflow commands: an annotation at the line of the policy that decides. */
export function whatIfAnnotations(report: WhatIfReport, context: FlipContext): string {
  const groups = report.groups.filter(({ accepted }) => !accepted);
  const lines = groups.slice(0, ANNOTATIONS_MAX).map((group) => {
    const place = placeOf(group, context);
    const title = `${WORDS[group.change]}: ${pairText(group)}`;
    const properties = [
      ...(place === undefined ? [] : [`file=${property(place.file)}`]),
      ...(place?.line === undefined ? [] : [`line=${place.line}`]),
      `title=${property(title)}`,
    ];
    const text = reasonsAfter(group, report.nature, context).join("; ");
    return `::${SEVERITIES[group.change]} ${properties.join(",")}::${data(text)}`;
  });
  const more = groups.length - ANNOTATIONS_MAX;
  if (more > 0) lines.push(`::notice title=netverdict::and ${more} more changes`);
  return lines.map((line) => `${line}\n`).join("");
}

const SEVERITIES: Readonly<Record<Change, string>> = {
  "new-drop": "error",
  "new-allow": "warning",
  unknown: "notice",
};

function reasonsAfter(
  { first: { after } }: FlipGroup,
  nature: CaptureNature,
  context: FlipContext,
): string[] {
  const nearest = findNearestMiss(after, context.after);
  return [
    sideText(after, nature),
    ...pointsOf(after).map(pointText),
    ...(nearest === undefined ? [] : [nearestText(nearest)]),
  ];
}

/** The line to look at: the nearest rule, else the policy that decides, else the one that did. */
function placeOf({ first }: FlipGroup, context: FlipContext): Place | undefined {
  const places = [
    findNearestMiss(first.after, context.after)?.place,
    ...[...pointsOf(first.after), ...pointsOf(first.before)].map(({ place }) => place),
  ];
  // Of a commit's files nothing can be annotated.
  return places.find((place) => place !== undefined && !place.file.startsWith("git:"));
}

/** Names come from the input: they neither end a cell nor begin a tag, a link or a mention. */
function cell(text: string): string {
  return escapeControls(text)
    .replace(/[\\`*_[\]|~#]/g, "\\$&")
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/@/g, "&#64;");
}

function data(text: string): string {
  return escapeControls(text).replace(/%/g, "%25").replace(/\r/g, "%0D").replace(/\n/g, "%0A");
}

function property(text: string): string {
  return data(text).replace(/:/g, "%3A").replace(/,/g, "%2C");
}
