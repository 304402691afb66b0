/**
 * Pages that stand alone: one file, no script, nothing loaded from elsewhere. Names come from the input:
 * they end no element and begin none.
 */
import { escapeControls } from "../errors.ts";
import type { Column, Palette } from "./layout.ts";
import type { ExplainedRow, Sentence } from "./text.ts";

/** Markup that is safe to put into a page. */
export interface Html {
  readonly html: string;
}

/** Makes text inert. */
export function text(value: string): Html {
  const inert = escapeControls(value)
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;")
    .replace(/"/g, "&quot;");
  return { html: inert };
}

/** A paragraph. */
export function paragraph(value: string): Html {
  return { html: `<p>${text(value).html}</p>\n` };
}

/** A table whose rows are explained below them; nothing without rows. */
export function table(columns: readonly Column[], rows: readonly ExplainedRow[]): Html {
  if (rows.length === 0) return { html: "" };
  const headings = columns.map(
    ({ heading, align }) => `<th scope="col" class="${align}">${text(heading).html}</th>`,
  );
  const body = rows.map(({ cells, details }) => {
    const row = cells.map(
      (cell, index) => `<td class="${columns[index]?.align ?? "left"}">${text(cell).html}</td>`,
    );
    const lines = details.map((line) => `<div>${text(line).html}</div>`).join("");
    const below =
      lines === ""
        ? ""
        : `<tr class="details"><td colspan="${columns.length}">${lines}</td></tr>\n`;
    return `<tr>${row.join("")}</tr>\n${below}`;
  });
  return {
    html: `<table>\n<thead><tr>${headings.join("")}</tr></thead>\n<tbody>\n${body.join("")}</tbody>\n</table>\n`,
  };
}

/** What a page says at first. */
export function headings(sentences: readonly Sentence[]): Html[] {
  return sentences.map((sentence) => ({
    html: `<h1 class="${sentence.tone}">${text(sentence.text).html}</h1>\n`,
  }));
}

/** Colours of a text that becomes `preformatted`: marks that no inert text holds. */
export const MARKED: Palette = {
  ...{ bold: mark("bold"), dim: mark("dim") },
  ...{ red: mark("bad"), green: mark("good"), yellow: mark("doubtful") },
};

function mark(name: string): (value: string) => string {
  return (value) => `\u0002${name}\u0001${value}\u0003`;
}

/** A text for a terminal, whose colours are `MARKED`, as it is. */
export function preformatted(marked: string): Html {
  const html = marked
    .split("\n")
    .map((line) => line.replace(/[^\u0001-\u0003]+/g, (part) => text(part).html))
    .join("\n")
    .replace(/\u0002([a-z]+)\u0001/g, '<span class="$1">')
    .replaceAll("\u0003", "</span>");
  return { html: `<pre>${html}</pre>\n` };
}

/** A whole page. */
export function page(sentence: string, content: readonly Html[]): string {
  const title = text(`netverdict: ${sentence}`).html;
  return [
    "<!doctype html>",
    '<html lang="en">',
    "<head>",
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">`,
    `<title>${title}</title>`,
    `<style>${STYLE}</style>`,
    "</head>",
    "<body>",
    `${joined(content)}</body>`,
    "</html>",
    "",
  ].join("\n");
}

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: light-dark(#555, #aaa);
  --good: light-dark(#17692f, #6cc884); --bad: light-dark(#a81d1d, #ff8d85);
  --doubtful: light-dark(#825400, #e4b04a); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.35rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--bad); } .doubtful { color: var(--doubtful); }
pre { font: 14px/1.5 ui-monospace, monospace; overflow-x: auto; }
.bold { font-weight: 600; } .dim { color: var(--soft); }
table { border-collapse: collapse; width: 100%; margin-top: 2rem; }
th, td { padding: .3rem .8rem .3rem 0; vertical-align: top; overflow-wrap: anywhere; }
th { border-bottom: 2px solid var(--line); font-weight: 600; }
tbody tr:not(.details) td { border-top: 1px solid var(--line); }
.left { text-align: left; } .right { text-align: right; font-variant-numeric: tabular-nums; }
.details td { color: var(--soft); padding: 0 0 .5rem 1.2rem; font-size: .9rem; white-space: pre-wrap; }
@media print { body { max-width: none; margin: 0; } }
`;

function joined(content: readonly Html[]): string {
  return content.map(({ html }) => html).join("");
}
