/** A what-if for a pull request's comment, and for the annotations of a GitHub workflow. */
import type { Place } from "../errors.ts";
import { blindNamesText, blindServicesText } from "./blind-spots.ts";
import type { Change } from "./blind-spots.ts";
import type { FlipContext, FlipGroup } from "./flips.ts";
import { CHANGE_WORDS, headlineText, summary } from "./flips-text.ts";
import { placesOf, reasonsAfter } from "./flips-words.ts";
import { annotationLines, markdownBlock, markdownText } from "./github.ts";
import { pointsOf } from "./grouping.ts";
import {
  editText,
  hintFor,
  hintLinesOf,
  hintNotes,
  mendedText,
  triedText,
  withoutTexts,
  yamlLines,
} from "./hints.ts";
import { FATE_WORDS, rolloutSummary } from "./rollout-text.ts";
import { pairText, sideText } from "./side-text.ts";
import { pointText } from "./text.ts";
import type { WhatIfReport } from "./what-if.ts";

/** Rows of the table; JSON has them all. */
const ROWS_MAX = 100;

/** Formats a what-if as Markdown. */
export function whatIfMarkdown(report: WhatIfReport, context: FlipContext): string {
  const groups = report.groups.filter(({ accepted }) => !accepted);
  const lines = [`### ${markdownText(headlineText(report))}`, "", markdownText(summary(report))];
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
    const cells = [
      CHANGE_WORDS[change],
      from,
      to,
      port,
      `${flows}`,
      `${packets}`,
      before.join("; "),
    ];
    const row = [...cells, reasonsAfter(group, report.nature, context).join("; ")];
    lines.push(`| ${row.map(markdownText).join(" | ")} |`);
  }
  if (groups.length > ROWS_MAX) lines.push("", `and ${groups.length - ROWS_MAX} more`);
  const all = [...report.groups, ...report.fates];
  const accepted = all.filter((group) => group.accepted).length;
  lines.push(...rolloutRows(report, context), ...hintRows(report), ...blindRows(report));
  if (accepted > 0) lines.push("", `${accepted} more changes are accepted.`);
  return `${lines.join("\n")}\n`;
}

function hintRows(report: WhatIfReport): string[] {
  const { hints } = report;
  if (hints === undefined) return [];
  const found = hints.hints.flatMap((hint) => [
    "",
    `**${markdownText(mendedText(hint))}**`,
    ...hint.edits.flatMap((edit) => [
      "",
      markdownText(editText(edit)),
      "",
      ...markdownBlock("yaml", yamlLines(edit.yaml)),
    ]),
    ...hintNotes(hint).flatMap((note) => ["", markdownText(note)]),
  ]);
  const without = withoutTexts(hints).map((text) => `- ${markdownText(text)}`);
  return [
    "",
    "#### To let them pass again",
    ...found,
    ...(without.length === 0 ? [] : ["", ...without]),
    ...(hints.hints.length === 0 ? [] : ["", markdownText(triedText(hints, report))]),
  ];
}

function rolloutRows(report: WhatIfReport, context: FlipContext): string[] {
  if (report.rollout === undefined) return [];
  const fates = report.fates.filter(({ accepted }) => !accepted);
  const rows = fates.slice(0, ROWS_MAX).map((group) => {
    const { fate, from, to, port, connections } = group;
    const after = reasonsAfter(group, report.nature, context).join("; ");
    const cells = [FATE_WORDS[fate], from, to, port, `${connections.length}`, after];
    return `| ${cells.map(markdownText).join(" | ")} |`;
  });
  const head = ["| connections | from | to | port | number | after |", "|---|---|---|---|--:|---|"];
  const more = fates.length - ROWS_MAX;
  return [
    "",
    markdownText(rolloutSummary(report.rollout)),
    ...(rows.length === 0 ? [] : ["", ...head, ...rows]),
    ...(more > 0 ? ["", `and ${more} more`] : []),
  ];
}

function blindRows({ blindSpots = [], nature, captured }: WhatIfReport): string[] {
  if (blindSpots.length === 0) return [];
  const rows = blindSpots.slice(0, ROWS_MAX).map((spot) => {
    const reasons = [sideText(spot.after, nature), ...pointsOf(spot.after).map(pointText)];
    const cells = [
      CHANGE_WORDS[spot.change],
      blindNamesText(spot.from),
      blindNamesText(spot.to),
      blindServicesText(spot),
    ];
    return `| ${[...cells, reasons.join("; ")].map(markdownText).join(" | ")} |`;
  });
  const more = blindSpots.length - ROWS_MAX;
  return [
    "",
    captured ? "Nothing in the capture shows these, and they change, too:" : "All that changes:",
    "",
    "| change | from | to | what | after |",
    "|---|---|---|---|---|",
    ...rows,
    ...(more > 0 ? ["", `and ${more} more`] : []),
  ];
}

/** Formats a what-if as workflow commands: an annotation at the line of the policy that decides. */
export function whatIfAnnotations(report: WhatIfReport, context: FlipContext): string {
  const groups = report.groups.filter(({ accepted }) => !accepted);
  const captured = groups.map((group) => ({
    severity: SEVERITIES[group.change],
    place: annotable(placesOf(group, context)),
    title: `${CHANGE_WORDS[group.change]}: ${pairText(group)}`,
    text: reasonsAfter(group, report.nature, context).join("; "),
    lines: mendingLines(report, group),
  }));
  // Beside a capture, what it does not show is in the summary only.
  const spots = report.captured ? [] : (report.blindSpots ?? []);
  const others = spots.map((spot) => ({
    severity: SEVERITIES[spot.change],
    place: annotable([...pointsOf(spot.after), ...pointsOf(spot.before)].map(({ place }) => place)),
    title: `${CHANGE_WORDS[spot.change]}: ${blindNamesText(spot.from)} -> ${blindNamesText(spot.to)}`,
    text: [blindServicesText(spot), sideText(spot.after, report.nature)].join("; "),
  }));
  const fates = report.fates
    .filter(({ accepted }) => !accepted)
    .map((group) => ({
      severity: SEVERITIES[group.change],
      place: annotable(placesOf(group, context)),
      title: `${FATE_WORDS[group.fate]}: ${pairText(group)}`,
      text: reasonsAfter(group, report.nature, context).join("; "),
    }));
  return annotationLines([...captured, ...fates, ...others], "changes");
}

/** Only what is newly dropped is to be mended. */
function mendingLines({ hints }: WhatIfReport, group: FlipGroup): string[] {
  const hint = group.change === "new-drop" ? hintFor(hints, group) : undefined;
  return hint === undefined ? [] : hintLinesOf(hint);
}

const SEVERITIES = {
  "new-drop": "error",
  "new-allow": "warning",
  unknown: "notice",
} as const satisfies Record<Change, string>;

/** Of a commit's files nothing can be annotated. */
function annotable(places: readonly Place[]): Place | undefined {
  return places.find(({ file }) => !file.startsWith("git:"));
}
