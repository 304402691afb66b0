/** A replay as a page, to be kept with a run or sent to somebody: what the text says, and more rows of it. */
import { formatPlace } from "../errors.ts";
import { gatherFlows } from "./grouping.ts";
import { headings, page, paragraph, table } from "./html.ts";
import type { Html } from "./html.ts";
import type { ReplayReport } from "./json.ts";
import { countText } from "./layout.ts";
import type { Column } from "./layout.ts";
import {
  BLIND_SPOT_COLUMNS,
  DROP_COLUMNS,
  NOTE_COLUMNS,
  blindSpotRows,
  explainDrops,
  headlines,
  notesOf,
  summary,
  unknownDetails,
} from "./text.ts";
import type { ExplainedRow, TextContext } from "./text.ts";

/** Most rows of a table; JSON has them all. */
const ROWS_MAX = 1000;

const UNKNOWN_COLUMNS: readonly Column[] = [
  { heading: "UNKNOWN FLOWS", align: "right" },
  { heading: "PACKETS", align: "right" },
  { heading: "MISSING FACT", align: "left" },
];
const DIAGNOSTIC_COLUMNS: readonly Column[] = [
  { heading: "ABOUT THE INPUT", align: "left" },
  { heading: "PLACE", align: "left" },
  { heading: "CODE", align: "left" },
];

/** Formats a replay as a page. */
export function replayHtml(report: ReplayReport, context: TextContext): string {
  const gathered = gatherFlows(report.flows, context.find, report.nature);
  const { drops, unknowns, flows } = gathered;
  const tables: readonly [columns: readonly Column[], rows: ExplainedRow[]][] = [
    [DROP_COLUMNS, explainDrops(drops, context)],
    [
      UNKNOWN_COLUMNS,
      unknowns.map((group) => ({
        cells: [`${group.flows}`, `${group.packets}`, group.sentences[0] ?? ""],
        details: unknownDetails(group, report.nature),
      })),
    ],
    [NOTE_COLUMNS, notesOf(report, gathered, context.midstream).map(plainRow)],
    [BLIND_SPOT_COLUMNS, blindSpotRows(report.blindSpots ?? []).map(plainRow)],
    [
      DIAGNOSTIC_COLUMNS,
      report.diagnostics.map(({ code, place, message }) =>
        plainRow([message, place === undefined ? "" : formatPlace(place), code]),
      ),
    ],
  ];
  const sentences = headlines(report, drops);
  return page(sentences.at(-1)?.text ?? "", [
    ...headings(sentences),
    paragraph(summary(report, flows)),
    ...tables.flatMap(([columns, rows]) => limited(columns, rows)),
  ]);
}

function plainRow(cells: readonly (string | number)[]): ExplainedRow {
  return { cells: cells.map(String), details: [] };
}

function limited(columns: readonly Column[], rows: readonly ExplainedRow[]): Html[] {
  const more = rows.length - ROWS_MAX;
  return [
    table(columns, rows.slice(0, ROWS_MAX)),
    ...(more <= 0 ? [] : [paragraph(`and ${countText(more, "more row")}: see -o json`)]),
  ];
}
