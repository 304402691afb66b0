/** The `lint` command: traps in policies and rules, told without a capture. */
import { isLintCode } from "../lint/codes.ts";
import { makeLintContext } from "../lint/context.ts";
import type { Finding } from "../lint/finding.ts";
import { lintManifests } from "../lint/index.ts";
import type { LintReport } from "../report/lint.ts";
import { lintAnnotations, lintJunit, lintMarkdown, lintSarif } from "../report/lint-ci.ts";
import { lintJson } from "../report/lint-json.ts";
import { lintText } from "../report/lint-text.ts";
import { paletteFor } from "./color.ts";
import { DiagnosticLog } from "./diagnostics.ts";
import { EXIT_DONE, EXIT_FINDING, Failure } from "./failure.ts";
import { loadManifests } from "./manifests.ts";
import type { ClusterOptions } from "./options.ts";
import { openDestinations } from "./output.ts";
import type { Output, Sink } from "./output.ts";
import { addStepSummary } from "./step-summary.ts";
import { readVersion } from "./version.ts";

/** The formats of `lint -o`; the first is the default. */
export const LINT_FORMATS = ["text", "json", "md", "github", "sarif", "junit"] as const;
type LintFormat = (typeof LINT_FORMATS)[number];

/** Options of `lint`. */
export interface LintOptions extends ClusterOptions {
  readonly output?: readonly Output<LintFormat>[];
  /** Codes and severities; empty: `warning`. */
  readonly failOn: readonly string[];
}

/** What `lint` itself says of named ports, and more of it. */
const SAID_BY_LINT = new Set(["UNKNOWN_NAMED_PORT"] as const);

/** Runs `lint` and gives its exit code. */
export async function lint(options: LintOptions): Promise<number> {
  const trips = gateOf(options.failOn);
  if (options.filename.length === 0) {
    throw new Failure("nothing to lint: name policies, and the pods they are for, with -f PATH");
  }
  const log = new DiagnosticLog((text) => process.stderr.write(text), new Set(), SAID_BY_LINT);
  const outputs = options.output ?? [{ format: LINT_FORMATS[0], file: undefined }];
  const destinations = openDestinations(outputs, options.filename);
  try {
    const manifests = loadManifests(options, log);
    const report: LintReport = {
      ...lintManifests(makeLintContext(manifests)),
      policies: manifests.policies.length,
      rules: 0,
      partial: undefined,
      diagnostics: log.found,
      trips,
    };
    for (const { format, sink } of destinations) {
      await sink.write(formatReport(format, report, { sink, options }));
      await sink.finish();
    }
    return report.findings.some(trips) ? EXIT_FINDING : EXIT_DONE;
  } catch (error) {
    for (const { sink } of destinations) sink.abandon();
    throw error;
  }
}

/** Severities are words in lower case, codes in upper case; a wrong word ends the command. */
function gateOf(words: readonly string[]): (finding: Finding) => boolean {
  const wrong = words.find(
    (word) => !["warning", "note", "none"].includes(word) && !isLintCode(word),
  );
  if (wrong !== undefined) {
    throw new Failure(`--fail-on ${wrong}: expected warning, note, none or a code of docs/lint.md`);
  }
  const asked = new Set(words.length === 0 ? ["warning"] : words);
  return ({ code, severity }) =>
    asked.has(code) || asked.has("note") || (severity === "warning" && asked.has("warning"));
}

function formatReport(
  format: LintFormat,
  report: LintReport,
  { sink, options }: { readonly sink: Sink; readonly options: LintOptions },
): string {
  switch (format) {
    case "json":
      return lintJson(report);
    case "md":
      return lintMarkdown(report);
    case "github":
      addStepSummary(lintMarkdown(report));
      return lintAnnotations(report);
    case "sarif":
      return lintSarif(report, readVersion());
    case "junit":
      return lintJunit(report);
    case "text":
      return lintText(report, paletteFor(sink, options.color));
  }
}
