/** The `lint` command: traps in policies and rules, and with a capture what nothing in it meets. */
import { isLintCode } from "../lint/codes.ts";
import { makeLintContext } from "../lint/context.ts";
import type { LintContext } from "../lint/context.ts";
import type { Finding } from "../lint/finding.ts";
import { lintManifests, settleFindings } from "../lint/index.ts";
import type { LintReport } from "../report/lint.ts";
import { lintAnnotations, lintJunit, lintMarkdown, lintSarif } from "../report/lint-ci.ts";
import { lintJson } from "../report/lint-json.ts";
import { lintText } from "../report/lint-text.ts";
import { paletteFor } from "./color.ts";
import { DiagnosticLog } from "./diagnostics.ts";
import { EXIT_DONE, EXIT_FINDING, EXIT_INTERRUPTED, EXIT_PARTIAL, Failure } from "./failure.ts";
import { loadCluster, loadManifests } from "./manifests.ts";
import { replayForNeverHit } from "./never-hit.ts";
import type { NeverHit } from "./never-hit.ts";
import type { CaptureOptions, ClusterOptions } from "./options.ts";
import { openDestinations } from "./output.ts";
import type { Output, Sink } from "./output.ts";
import { addStepSummary } from "./step-summary.ts";
import { readVersion } from "./version.ts";

/** The formats of `lint -o`; the first is the default. */
export const LINT_FORMATS = ["text", "json", "md", "github", "sarif", "junit"] as const;
type LintFormat = (typeof LINT_FORMATS)[number];

/** Options of `lint`. */
export interface LintOptions extends ClusterOptions, CaptureOptions {
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
  const inputs = [...options.filename, ...options.read];
  if (inputs.filter((file) => file === "-").length > 1) {
    throw new Failure("- stands for several inputs: standard input can be read once only");
  }
  const destinations = openDestinations(outputs, inputs);
  try {
    const { context, neverHit } = await lookAt(options, log);
    const linted = lintManifests(context);
    const report: LintReport = {
      findings: settleFindings([...linted.findings, ...neverHit.findings]),
      limits: [...linted.limits, ...neverHit.limits],
      policies: context.policies.length,
      rules: 0,
      partial: neverHit.partial,
      diagnostics: log.found,
      trips,
    };
    for (const { format, sink } of destinations) {
      await sink.write(formatReport(format, report, { sink, options }));
      await sink.finish();
    }
    if (report.partial === "interrupted") return EXIT_INTERRUPTED;
    if (report.findings.some(trips)) return EXIT_FINDING;
    return report.partial === "damaged" ? EXIT_PARTIAL : EXIT_DONE;
  } catch (error) {
    for (const { sink } of destinations) sink.abandon();
    throw error;
  }
}

/** Reads the manifests and, where there are captures, replays them. */
async function lookAt(
  options: LintOptions,
  log: DiagnosticLog,
): Promise<{ readonly context: LintContext; readonly neverHit: NeverHit }> {
  if (options.read.length === 0) {
    const context = makeLintContext(loadManifests(options, log));
    return { context, neverHit: { findings: [], limits: [], partial: undefined } };
  }
  const { snapshot, policies, compiled, written } = loadCluster(options, log);
  const context = makeLintContext({ snapshot, policies, objects: written.objects });
  const asked = { context, program: compiled, capture: options, log };
  return { context, neverHit: await replayForNeverHit(asked) };
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
