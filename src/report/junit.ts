/**
 * JUnit's XML as test reports of CI systems read it: suites of cases, each with at most one failure. It says
 * no times, so that equal runs are equal to the byte.
 */
import { escapeControls } from "../errors.ts";
import type { Place } from "../errors.ts";

/** A suite of cases. */
export interface JunitSuite {
  readonly name: string;
  readonly cases: readonly JunitCase[];
}

/** One case: passed unless it says otherwise. */
export interface JunitCase {
  readonly className: string;
  readonly name: string;
  readonly place: Place | undefined;
  readonly failure?: {
    readonly type: string;
    readonly message: string;
    readonly lines: readonly string[];
  };
  /** Why it does not count. */
  readonly skipped?: string;
}

/** Formats suites; ends in a line end. */
export function junitText(name: string, suites: readonly JunitSuite[]): string {
  const all = suites.flatMap(({ cases }) => cases);
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${attributes({ name, ...countsOf(all) })}>`,
    ...suites.flatMap((suite) => [
      `  <testsuite ${attributes({ name: suite.name, ...countsOf(suite.cases), skipped: skippedOf(suite.cases) })}>`,
      ...suite.cases.flatMap(caseLines),
      "  </testsuite>",
    ]),
    "</testsuites>",
  ];
  return `${lines.join("\n")}\n`;
}

function countsOf(cases: readonly JunitCase[]): Record<string, string> {
  const failures = cases.filter(({ failure }) => failure !== undefined).length;
  return { tests: `${cases.length}`, failures: `${failures}`, errors: "0", time: "0" };
}

function skippedOf(cases: readonly JunitCase[]): string {
  return `${cases.filter(({ skipped }) => skipped !== undefined).length}`;
}

function caseLines({ className, name, place, failure, skipped }: JunitCase): string[] {
  const at = place === undefined ? {} : { file: place.file };
  const line = place?.line === undefined ? {} : { line: `${place.line}` };
  const head = `    <testcase ${attributes({ classname: className, name, ...at, ...line, time: "0" })}`;
  if (failure !== undefined) {
    const { type, message, lines } = failure;
    return [
      `${head}>`,
      `      <failure ${attributes({ type, message })}>${lines.map(xml).join("\n")}</failure>`,
      "    </testcase>",
    ];
  }
  if (skipped === undefined) return [`${head}/>`];
  return [`${head}>`, `      <skipped ${attributes({ message: skipped })}/>`, "    </testcase>"];
}

function attributes(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}="${xml(value)}"`)
    .join(" ");
}

/** Makes text inert; what XML cannot hold at all becomes the replacement character. */
function xml(text: string): string {
  return escapeControls(text)
    .replace(/[\p{Surrogate}\ufffe\uffff]/gu, "\ufffd")
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;")
    .replace(/"/g, "&quot;");
}
