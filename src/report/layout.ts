/**
 * Lines for a terminal: padded columns without boxes, and wrapped sentences. Everything that comes from
 * an input is made inert here, before padding, so that no name can steer a terminal or forge a line.
 */
import { escapeControls } from "../errors.ts";

/** Longest line where words can be wrapped. */
const TEXT_WIDTH = 100;

/** Colours, as functions from text to text; decoration only. */
export interface Palette {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
}

const same = (text: string): string => text;

/** No colours. */
export const PLAIN: Palette = { bold: same, dim: same, red: same, green: same, yellow: same };

/** One column of a table. */
export interface Column {
  readonly heading: string;
  readonly align: "left" | "right";
}

/**
 * Lays out rows under their headings, two spaces apart, the last column unpadded. The first line is the
 * headings; the others are the rows, in their order.
 */
export function layoutColumns(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string[] {
  const cells = [
    columns.map(({ heading }) => heading),
    ...rows.map((row) => row.map(escapeControls)),
  ];
  const widths = columns.map((_, index) =>
    Math.max(...cells.map((row) => row[index]?.length ?? 0)),
  );
  return cells.map((row) =>
    columns
      .map(({ align }, index) => {
        const cell = row[index] ?? "";
        const width = widths[index] ?? 0;
        if (align === "right") return cell.padStart(width);
        return index === columns.length - 1 ? cell : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd(),
  );
}

/** Wraps a sentence at `TEXT_WIDTH`; lines after the first are indented two more. */
export function wrapText(text: string, indent: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of escapeControls(text).split(" ")) {
    const margin = indent + (lines.length === 0 ? 0 : 2);
    if (line !== "" && margin + line.length + 1 + word.length > TEXT_WIDTH) {
      lines.push(" ".repeat(margin) + line.trimEnd());
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  lines.push(" ".repeat(indent + (lines.length === 0 ? 0 : 2)) + line);
  return lines;
}

/** `1 packet`, `2 packets`. */
export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
