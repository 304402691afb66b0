/**
 * The `what-if` command: one capture, judged by the current policies and by the proposed ones; what is
 * said is what changes.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Program } from "../engine/program.ts";
import type { Judgement, Tuple } from "../engine/verdict.ts";
import type { Expression } from "../report/expression.ts";
import { groupFlips, tellingSide } from "../report/flips.ts";
import type { Change } from "../report/blind-spots.ts";
import type { ChangeName, FlipContext } from "../report/flips.ts";
import { whatIfHtml } from "../report/flips-html.ts";
import { whatIfJson } from "../report/flips-json.ts";
import { whatIfJunit } from "../report/flips-junit.ts";
import type { Gates } from "../report/flips-junit.ts";
import { whatIfAnnotations, whatIfMarkdown } from "../report/flips-markdown.ts";
import { whatIfSarif } from "../report/flips-sarif.ts";
import { whatIfText } from "../report/flips-text.ts";
import type { PolicyContext } from "../report/nearest-miss.ts";
import { groupConnections } from "../report/rollout.ts";
import type { WhatIfReport } from "../report/what-if.ts";
import { endpointFinder } from "../report/workload.ts";
import { acceptance, readAccepted, writeAccepted } from "./accepted.ts";
import { findBlindSpots } from "./blind-spots.ts";
import { replayBoth } from "./both-sides.ts";
import type { BothOptions, Compared, JudgedSide } from "./both-sides.ts";
import { openChangedFiles } from "./changed-packets.ts";
import type { ChangedPacketOptions } from "./changed-packets.ts";
import { paletteFor } from "./color.ts";
import { DiagnosticLog } from "./diagnostics.ts";
import { noteUntoldDomains, tellAnswers } from "./dns-answers.ts";
import { readExpression } from "./expression-words.ts";
import { EXIT_DONE, EXIT_FINDING, EXIT_PARTIAL, Failure } from "./failure.ts";
import { exitInterrupted } from "./interruption.ts";
import { lookForHints } from "./hints.ts";
import { inputFiles, loadJudge } from "./judge.ts";
import type { Judge, JudgeOptions } from "./judge.ts";
import type { ClusterOptions, NodeOptions } from "./options.ts";
import type { Output, Sink } from "./output.ts";
import { addStepSummary } from "./step-summary.ts";
import { readVersion } from "./version.ts";

/** The formats of `what-if -o`; the first is the default. */
export const WHAT_IF_FORMATS = ["text", "json", "md", "github", "sarif", "junit", "html"] as const;
type WhatIfFormat = (typeof WHAT_IF_FORMATS)[number];

/** What `what-if --fail-on` knows; `unknown` are packets that cannot be decided on either side. */
export const WHAT_IF_GATES = ["new-drop", "new-allow", "any-change", "unknown"] as const;
type Gate = (typeof WHAT_IF_GATES)[number];

/** Options of `what-if`. */
export interface WhatIfOptions
  extends ClusterOptions, BothOptions, ChangedPacketOptions, Pick<NodeOptions, "sysctl"> {
  /** Manifests beside `-f`, or the folder of a node's dumps. */
  readonly current: readonly string[];
  readonly proposed: readonly string[];
  /** `proposed` holds only the objects that change. */
  readonly overlaid?: boolean;
  /** What changes beside the capture is looked for, too. */
  readonly blindSpots: boolean;
  /** Rules are looked for that let pass what is newly dropped. */
  readonly hints: boolean;
  readonly output?: readonly Output<WhatIfFormat>[];
  /** Empty: `new-drop`. */
  readonly failOn: readonly Gate[];
  readonly accept?: string;
  readonly updateAccept?: boolean;
}

/** Runs `what-if` and gives its exit code. */
export async function whatIf(words: readonly string[], options: WhatIfOptions): Promise<number> {
  if (options.proposed.length === 0) {
    throw new Failure(
      "nothing to compare with: name what would be rolled out with --proposed PATH",
    );
  }
  if (options.updateAccept === true && options.accept === undefined) {
    throw new Failure("--update-accept needs the file that it writes: --accept FILE");
  }
  const expression = readExpression(words);
  refuseVain(options, expression);
  const log = new DiagnosticLog((text) => process.stderr.write(text));
  const sides = await loadSides(options, log);
  const accepted = acceptedBefore(options, log);
  const inputs = inputsOf(options);
  const files = openChangedFiles(options, options.read, inputs);
  const destinations = files.openBeside(options.output, WHAT_IF_FORMATS[0]);
  try {
    const context: FlipContext = {
      before: policyContext(sides[0].judge),
      after: policyContext(sides[1].judge),
    };
    const compared = await replayBoth({ options, sides, expression, files });
    const programs = [sides[0].untold, sides[1].untold] as const;
    const blind =
      options.blindSpots && expression === undefined
        ? findBlindSpots(programs, context, changedFlows(compared), { log, node: options.node })
        : undefined;
    const captured = options.read.length > 0;
    let isAccepted = acceptance(accepted);
    if (
      options.accept !== undefined &&
      options.updateAccept === true &&
      compared.partial === undefined
    ) {
      await writeAccepted(options.accept, [
        ...groupFlips(compared.flips, context, () => true),
        ...groupConnections(compared.connections, context, () => true),
      ]);
      isAccepted = () => true;
    }
    const groups = groupFlips(compared.flips, context, isAccepted);
    const fates = groupConnections(compared.connections, context, isAccepted);
    if (options.accept !== undefined && expression === undefined)
      reportAbsent(accepted, [...groups, ...fates], log);
    const hints =
      options.hints && compared.partial === undefined
        ? await lookForHints({
            ...{ groups, fates, context, judges: [sides[0].judge, sides[1].judge] },
            ...{ classes: captured ? [] : (blind?.classes ?? []), node: options.node },
            ...{ log: sides[1].log, packets: compared.totals.packets, captures: options.read },
            replay: async (program) => {
              const again = await replayBoth({
                ...{ options, expression, files: openChangedFiles({}, [], []) },
                sides: reload(sides, program),
              });
              return {
                groups: groupFlips(again.flips, context, isAccepted),
                fates: groupConnections(again.connections, context, isAccepted),
                partial: again.partial,
              };
            },
          })
        : undefined;
    const report: WhatIfReport = {
      ...compared,
      groups,
      fates,
      hints,
      captured,
      blindSpots: blind?.spots,
      diagnostics: sides.flatMap((side) => side.log.found),
    };
    for (const { format, sink } of destinations) {
      await sink.write(formatReport(format, report, context, { sink, options }));
      await sink.finish();
    }
    return exitCode(report, options.failOn);
  } catch (error) {
    for (const { sink } of destinations) sink.abandon();
    files.abandon();
    throw error;
  }
}

function acceptedBefore({ accept, updateAccept }: WhatIfOptions, log: DiagnosticLog): ChangeName[] {
  if (accept === undefined) return [];
  if (existsSync(accept)) return readAccepted(accept, log);
  if (updateAccept === true) return [];
  throw new Failure(`${accept}: no such file or folder; --update-accept writes it`);
}

/** Ends the command where nothing would be compared, or the list of accepted changes lose what it has. */
function refuseVain(options: WhatIfOptions, expression: Expression | undefined): void {
  const { filename, current, proposed, read } = options;
  if ([...filename, ...current, ...proposed, ...read].filter((path) => path === "-").length > 1) {
    throw new Failure("- stands for several inputs: standard input can be read once only");
  }
  if (options.updateAccept === true && expression !== undefined) {
    throw new Failure("--update-accept writes all changes: leave the expression out");
  }
  if (read.length > 0) return;
  if (options.rolloutAt !== undefined) {
    throw new Failure("--rollout-at is a time of a capture: name one with -r FILE");
  }
  const dumps = [...current, ...proposed].some(isNodeState);
  if (expression !== undefined || !options.blindSpots || dumps) {
    throw new Failure(
      "no capture: name one with -r FILE; all traffic is compared by manifests only",
    );
  }
  if (options.accept !== undefined) {
    throw new Failure("--accept names changes that a capture shows: name one with -r FILE");
  }
}

async function loadSides(
  options: WhatIfOptions,
  log: DiagnosticLog,
): Promise<[JudgedSide, JudgedSide]> {
  const { filename, current, proposed, overlaid, rolloutAt } = options;
  const load = (own: Partial<JudgeOptions>, sideLog: DiagnosticLog): Judge =>
    loadJudge({ ...options, ...NO_DUMPS, ...own }, sideLog);
  const first = load(sideOf(options, current), log);
  const before = new Set(log.found.map((diagnostic) => JSON.stringify(diagnostic)));
  const after = new DiagnosticLog((text) => process.stderr.write(text), before);
  const own =
    overlaid === true
      ? { filename: [...filename, ...current], overlay: proposed }
      : { ...sideOf(options, proposed), overlayable: proposed };
  const objects = first.written?.objects;
  const second = load({ ...own, ...(objects && { rolledOutFrom: objects }) }, after);
  if (rolloutAt !== undefined && first.realNode !== second.realNode) {
    throw new Failure("--rollout-at: both have to be manifests, or both a node's dumps");
  }
  const untold = [first, second] as const;
  // At a rollout connections are asked about anew: at a time at which an answer may not have come, or be over.
  const told = rolloutAt === undefined ? await tellAnswers(untold, options) : untold;
  if (rolloutAt !== undefined && options.dnsAnswers !== false) noteUntoldDomains(untold);
  return [
    { judge: told[0], untold: first.program, log },
    { judge: told[1], untold: second.program, log: after },
  ];
}

/** Both once more, the second with other tables; what was said is not repeated. */
function reload(
  [first, second]: readonly [JudgedSide, JudgedSide],
  program: Program,
): [JudgedSide, JudgedSide] {
  const [log, other] = [new DiagnosticLog(() => undefined), new DiagnosticLog(() => undefined)];
  return [
    { judge: first.judge, untold: first.judge.program, log },
    { judge: { ...second.judge, program }, untold: program, log: other },
  ];
}

/** No dumps but those of a side's folder. */
const NO_DUMPS = {
  iptables: [],
  ip6tables: [],
  ipset: [],
  addresses: [],
  routes: [],
  conntrack: [],
} as const;

function sideOf({ filename }: WhatIfOptions, paths: readonly string[]): Partial<JudgeOptions> {
  const path = paths.find(isNodeState);
  if (path === undefined) return { filename: [...filename, ...paths] };
  if (paths.length > 1) throw new Failure(`${path}: a node's dumps stand alone`);
  return { nodeState: path };
}

/** A folder that `netverdict collect` has filled. */
function isNodeState(path: string): boolean {
  return ["iptables-save", "ip6tables-save"].some((name) => existsSync(join(path, name)));
}

function policyContext({ snapshot, policies, dialect }: Judge): PolicyContext {
  return { snapshot, policies, dialect, find: endpointFinder(snapshot) };
}

/** The flows of which a new one fares otherwise, and the capture shows it. */
function changedFlows({ flips, connections }: Compared): (Tuple & Judgement)[] {
  const lost = connections.filter(({ fate }) => fate === "lost-on-reconnect");
  return [...flips.map((flip) => flip[tellingSide(flip)]), ...lost.map(({ opening }) => opening)];
}

/** Files that are not overwritten. */
function inputsOf(options: WhatIfOptions): string[] {
  return [
    ...inputFiles({ ...options, ...NO_DUMPS }),
    ...options.current,
    ...options.proposed,
    ...(options.accept === undefined ? [] : [options.accept]),
  ];
}

function formatReport(
  format: WhatIfFormat,
  report: WhatIfReport,
  context: FlipContext,
  { sink, options }: { readonly sink: Sink; readonly options: WhatIfOptions },
): string {
  switch (format) {
    case "json":
      return whatIfJson(report, context);
    case "md":
      return whatIfMarkdown(report, context);
    case "github":
      addStepSummary(whatIfMarkdown(report, context));
      return whatIfAnnotations(report, context);
    case "sarif":
      return whatIfSarif(report, context, readVersion());
    case "junit":
      return whatIfJunit(report, context, gatesOf(options.failOn));
    case "html":
      return whatIfHtml(report, context);
    case "text":
      return whatIfText(report, context, paletteFor(sink, options.color));
  }
}

function reportAbsent(
  accepted: readonly ChangeName[],
  groups: readonly ChangeName[],
  log: DiagnosticLog,
): void {
  const happens = acceptance(groups);
  const absent = accepted.filter((name) => !happens(name));
  if (absent.length === 0) return;
  const [{ from, to, port } = { from: "", to: "", port: "" }] = absent;
  const more = absent.length === 1 ? "" : ` and ${absent.length - 1} more`;
  const message = `accepted, but this capture does not show it: ${from} -> ${to} ${port}${more}`;
  log.report({ severity: "warning", code: "ACCEPTED_ABSENT", message });
}

/** A gate that tripped stays tripped, whatever else of the capture could not be read. */
function exitCode(report: WhatIfReport, failOn: readonly Gate[]): number {
  if (report.partial === "interrupted") return exitInterrupted();
  const { groups, fates, counts, captured, rollout, blindSpots = [] } = report;
  const { trips, blindTrips, unknownTrips } = gatesOf(failOn);
  const unknowns = counts.unknown.packets + (rollout?.counts.unknown ?? 0);
  const unknown = unknownTrips && unknowns > 0;
  // Without a capture everything counts; beside one, what it shows.
  const blind = !captured && blindSpots.some(({ change }) => blindTrips(change));
  if (unknown || blind || [...groups, ...fates].some(trips)) return EXIT_FINDING;
  // Without a capture that was all to be told.
  if (!captured && report.blindSpots === undefined) return EXIT_PARTIAL;
  return report.partial === "damaged" ? EXIT_PARTIAL : EXIT_DONE;
}

function gatesOf(failOn: readonly Gate[]): Gates {
  const gates = failOn.length === 0 ? (["new-drop"] as const) : failOn;
  const trips: Gates["trips"] = ({ change, accepted }) =>
    !accepted && gates.some((gate) => gate === change || gate === "any-change");
  const blindTrips = (change: Change): boolean =>
    gates.some((gate) => gate === "any-change" || gate === change);
  return { trips, blindTrips, unknownTrips: gates.includes("unknown") };
}
