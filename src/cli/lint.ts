/** The `lint` command: traps in policies and rules, and with a capture what nothing in it meets; and in a node's dumps. */
import type { Diagnostic } from "../errors.ts";
import { isLintCode } from "../lint/codes.ts";
import { makeLintContext } from "../lint/context.ts";
import type { LintContext } from "../lint/context.ts";
import type { Finding } from "../lint/finding.ts";
import { lintManifests, settleFindings } from "../lint/index.ts";
import { lintRulesets } from "../lint/node-rules.ts";
import type { LintReport } from "../report/lint.ts";
import { lintAnnotations, lintJunit, lintMarkdown, lintSarif } from "../report/lint-ci.ts";
import { lintJson } from "../report/lint-json.ts";
import { lintText } from "../report/lint-text.ts";
import type { Ruleset } from "../tables/model.ts";
import { paletteFor } from "./color.ts";
import { DiagnosticLog } from "./diagnostics.ts";
import { tellAnswers } from "./dns-answers.ts";
import { EXIT_DONE, EXIT_FINDING, EXIT_PARTIAL, Failure } from "./failure.ts";
import { exitInterrupted } from "./interruption.ts";
import {
  inputFiles,
  judgeByManifests,
  judgeByNode,
  namesNode,
  readConnectionSwitches,
} from "./judge.ts";
import { loadManifests } from "./manifests.ts";
import { replayForNeverHit, replayNodeForNeverHit } from "./never-hit.ts";
import type { NeverHit } from "./never-hit.ts";
import type { CaptureOptions, ClusterOptions, NodeOptions } from "./options.ts";
import { openDestinations } from "./output.ts";
import type { Output, Sink } from "./output.ts";
import { isReadAgain } from "./pipes.ts";
import { addStepSummary } from "./step-summary.ts";
import { readVersion } from "./version.ts";

/** The formats of `lint -o`; the first is the default. */
export const LINT_FORMATS = ["text", "json", "md", "github", "sarif", "junit"] as const;
type LintFormat = (typeof LINT_FORMATS)[number];

/** Options of `lint`. */
export interface LintOptions extends ClusterOptions, CaptureOptions, NodeOptions {
  readonly output?: readonly Output<LintFormat>[];
  /** Codes and severities; empty: `warning`. */
  readonly failOn: readonly string[];
}

/** What `lint` itself says of named ports, and more of it; and, where it judges no packets, which would be unknown. */
function isLeftOut({ read }: LintOptions): (diagnostic: Diagnostic) => boolean {
  return ({ code, place }) =>
    code === "UNKNOWN_NAMED_PORT" ||
    (code === "INCOMPLETE_DUMP" && place === undefined && read.length === 0);
}

/** Runs `lint` and gives its exit code. */
export async function lint(options: LintOptions): Promise<number> {
  const trips = gateOf(options.failOn);
  if (options.filename.length === 0 && !namesNode(options)) {
    throw new Failure(
      "nothing to lint: name policies, and the pods they are for, with -f PATH, or a node's dumps with --iptables FILE or --node-state FOLDER",
    );
  }
  const log = new DiagnosticLog(
    (text) => process.stderr.write(text),
    new Set(),
    isLeftOut(options),
  );
  const outputs = options.output ?? [{ format: LINT_FORMATS[0], file: undefined }];
  const inputs = inputFiles(options);
  if (inputs.filter((file) => file === "-").length > 1) {
    throw new Failure("- stands for several inputs: standard input can be read once only");
  }
  const once = options.read.find((file) => !isReadAgain(file));
  if (namesNode(options) && options.filename.length > 0 && once !== undefined) {
    throw new Failure(
      `${once} can be read once only, by manifests or by a node's dumps: leave either out`,
    );
  }
  const destinations = openDestinations(outputs, inputs);
  try {
    // Manifests beside them are linted, and name nothing here.
    const node = namesNode(options)
      ? judgeByNode({ ...options, filename: [] }, log).program
      : undefined;
    const { context, neverHit } = await lookAt(options, log);
    const rulesets = node?.rulesets ?? [];
    const ofNode =
      node === undefined || options.read.length === 0
        ? NOT_ASKED
        : await replayNodeForNeverHit({
            program: node,
            snapshot: context.snapshot,
            capture: options,
            log,
          });
    const looks = [lintManifests(context), neverHit, lintRulesets(rulesets), ofNode];
    const report: LintReport = {
      findings: settleFindings(looks.flatMap(({ findings }) => findings)),
      limits: looks.flatMap(({ limits }) => limits),
      policies: context.policies.length,
      rules: countRules(rulesets),
      partial: neverHit.partial ?? ofNode.partial,
      diagnostics: log.found,
      trips,
    };
    for (const { format, sink } of destinations) {
      await sink.write(formatReport(format, report, { sink, options }));
      await sink.finish();
    }
    if (report.partial === "interrupted") return exitInterrupted();
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
  if (options.read.length === 0 || options.filename.length === 0) {
    if (!namesNode(options)) readConnectionSwitches(options, log);
    return { context: makeLintContext(loadManifests(options, log)), neverHit: NOT_ASKED };
  }
  // Those of a node's dumps are that node's own.
  const sysctl = namesNode(options) ? [] : options.sysctl;
  const judged = judgeByManifests({ ...options, sysctl }, log);
  const [judge] = await tellAnswers([judged] as const, options);
  const { snapshot, policies, program, written } = judge;
  const context = makeLintContext({ snapshot, policies, objects: written?.objects ?? [] });
  return {
    context,
    neverHit: await replayForNeverHit({ context, program, capture: options, log }),
  };
}

const NOT_ASKED: NeverHit = { findings: [], limits: [], partial: undefined };

function countRules(rulesets: readonly Ruleset[]): number {
  const chains = rulesets.flatMap(({ tables }) => tables.flatMap((table) => table.chains));
  return chains.reduce((sum, { rules }) => sum + rules.length, 0);
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
