/**
 * What GitHub shows of a run: workflow commands, which it turns into annotations of a line, and Markdown.
 * Names come from the input: they end no command and no cell, and begin no tag, link or mention.
 */
import { escapeControls } from "../errors.ts";
import type { Place } from "../errors.ts";

/** GitHub shows so many annotations of a step. */
const ANNOTATIONS_MAX = 10;

/** One annotation. */
export interface Annotation {
  readonly severity: "error" | "warning" | "notice";
  readonly place: Place | undefined;
  readonly title: string;
  readonly text: string;
  /** Below the text. */
  readonly lines?: readonly string[];
}

/** Formats the first annotations, and how many of those things there are beyond them. */
export function annotationLines(annotations: readonly Annotation[], noun: string): string {
  const lines = annotations
    .slice(0, ANNOTATIONS_MAX)
    .map(({ severity, place, title, text, lines: more = [] }) => {
      const properties = [
        ...(place === undefined ? [] : [`file=${property(place.file)}`]),
        ...(place?.line === undefined ? [] : [`line=${place.line}`]),
        `title=${property(title)}`,
      ];
      return `::${severity} ${properties.join(",")}::${[text, ...more].map(data).join("%0A")}`;
    });
  const more = annotations.length - ANNOTATIONS_MAX;
  if (more > 0) lines.push(`::notice title=netverdict::and ${more} more ${noun}`);
  return lines.map((line) => `${line}\n`).join("");
}

/** Makes text inert inside a cell of a table, and outside of one. */
export function markdownText(text: string): string {
  return escapeControls(text)
    .replace(/[\\`*_[\]|~#]/g, "\\$&")
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/@/g, "&#64;");
}

/** Text that is shown as it is; nothing in it ends the block. */
export function markdownBlock(language: string, lines: readonly string[]): string[] {
  const longest = Math.max(
    2,
    ...lines.flatMap((line) => line.match(/`+/g) ?? []).map((run) => run.length),
  );
  const fence = "`".repeat(longest + 1);
  return [`${fence}${language}`, ...lines, fence];
}

function data(text: string): string {
  return escapeControls(text).replace(/%/g, "%25").replace(/\r/g, "%0D").replace(/\n/g, "%0A");
}

function property(text: string): string {
  return data(text).replace(/:/g, "%3A").replace(/,/g, "%2C");
}
