/**
 * `replay --compare-dialects`: one capture, judged as each implementation of the policies' API enforces them;
 * what is said are the flows that do not fare alike.
 */
import { RowClasses } from "../engine/row-classes.ts";
import type { Matcher } from "../engine/matcher.ts";
import type { Tuple } from "../engine/verdict.ts";
import type { Diagnostic } from "../errors.ts";
import { DIALECT_NAMES } from "../policy/dialect.ts";
import type { DialectName } from "../policy/dialect.ts";
import { compareDialects } from "../report/dialects.ts";
import type { DialectReport } from "../report/dialects.ts";
import { dialectsJson } from "../report/dialects-json.ts";
import { dialectsText } from "../report/dialects-text.ts";
import { expressionMatches } from "../report/expression.ts";
import type { Expression } from "../report/expression.ts";
import { endpointFinder } from "../report/workload.ts";
import { paletteFor } from "./color.ts";
import { DiagnosticLog } from "./diagnostics.ts";
import { tellAnswers } from "./dns-answers.ts";
import { readExpression } from "./expression-words.ts";
import { EXIT_DONE, EXIT_PARTIAL, Failure } from "./failure.ts";
import { makeResolver } from "./hosts.ts";
import { exitInterrupted, Interruption } from "./interruption.ts";
import { inputFiles, loadJudge, namesNode } from "./judge.ts";
import type { Judge } from "./judge.ts";
import { loadProgramMatcher } from "./matcher.ts";
import { openSink } from "./output.ts";
import { isReadAgain } from "./pipes.ts";
import type { ReplayOptions } from "./replay.ts";
import { replayTraffic } from "./traffic.ts";
import type { TrafficEnd } from "./traffic.ts";

/** Runs it and gives its exit code. */
export async function replayDialects(
  words: readonly string[],
  options: ReplayOptions,
): Promise<number> {
  if (options.read.length === 0) throw new Failure("no capture: name one with -r FILE");
  refuseVain(options);
  const expression = readExpression(words);
  const log = new DiagnosticLog((text) => process.stderr.write(text));
  const { judged: loaded, refused } = loadDialects(options, log);
  const told = await tellAnswers(
    loaded.map(({ judge }) => judge),
    options,
  );
  const judged = loaded.map(({ name, judge }, index) => ({ name, judge: told[index] ?? judge }));
  const classes = new RowClasses();
  const replays: Replay[] = [];
  const interruption = new Interruption();
  try {
    for (const { name, judge } of judged) {
      if (interruption.requested) break;
      classes.begin();
      // What is wrong with a capture is said once.
      const captureLog = replays.length === 0 ? log : new DiagnosticLog(() => undefined);
      const replay = { judge, options, log: captureLog, interruption };
      replays.push({ name, ...(await replayDialect(replay, classes)) });
    }
  } finally {
    interruption.dispose();
  }
  const [first] = replays;
  if (first === undefined) return exitInterrupted();
  const report = {
    ...reportOf(first, replays, { classes, judge: judged[0]?.judge, expression }),
    refused,
    diagnostics: log.found,
  };
  await write(report, options);
  if (report.partial === "interrupted") return exitInterrupted();
  return report.partial === "damaged" ? EXIT_PARTIAL : EXIT_DONE;
}

function refuseVain(options: ReplayOptions): void {
  const {
    read,
    write: file,
    writeAllowed,
    writeDropped,
    writeUnknown,
    failOn,
    output = [],
  } = options;
  const other = [file, writeAllowed, writeDropped, writeUnknown].some((each) => each !== undefined);
  if (other || failOn.length > 0) {
    throw new Failure(
      "--compare-dialects has no single verdict to write packets by, or to fail on",
    );
  }
  if (output.some(({ format }) => format !== "text" && format !== "json")) {
    throw new Failure("--compare-dialects is said in text or json");
  }
  if (namesNode(options)) {
    throw new Failure(
      "--compare-dialects is about manifests: a node's dumps are those of one dialect",
    );
  }
  const once = read.find((file) => !isReadAgain(file));
  if (once !== undefined) {
    throw new Failure(
      `--compare-dialects replays its captures several times: ${once} can be read once only`,
    );
  }
}

interface JudgedDialect {
  readonly name: DialectName;
  readonly judge: Judge;
}

/** Loads the policies as each dialect has them; one that does not have them is left out. */
function loadDialects(
  options: ReplayOptions,
  log: DiagnosticLog,
): { readonly judged: JudgedDialect[]; readonly refused: DialectReport["refused"] } {
  const judged: JudgedDialect[] = [];
  const refused: { name: DialectName; why: Diagnostic }[] = [];
  for (const name of DIALECT_NAMES) {
    const own = { ...options, dialect: name };
    // The first has every policy: what is wrong with them is said by it.
    if (judged.length === 0) {
      judged.push({ name, judge: loadJudge(own, log) });
      continue;
    }
    const silent = new DiagnosticLog(() => undefined);
    try {
      judged.push({ name, judge: loadJudge(own, silent) });
    } catch (error) {
      const why = silent.found.find(({ severity }) => severity === "error");
      if (!(error instanceof Failure) || why === undefined) throw error;
      refused.push({ name, why });
    }
  }
  return { judged, refused };
}

interface Replay {
  readonly name: DialectName;
  readonly matcher: Matcher;
  readonly end: TrafficEnd;
}

async function replayDialect(
  {
    judge,
    options,
    log,
    interruption,
  }: {
    readonly judge: Judge;
    readonly options: ReplayOptions;
    readonly log: DiagnosticLog;
    readonly interruption: Interruption;
  },
  classes: RowClasses,
): Promise<Omit<Replay, "name">> {
  const matcher = loadProgramMatcher(judge.program, {
    midstream: judge.midstream,
    conntrackMax: options.conntrackMax,
    tracePacket: undefined,
    logRows: true,
  });
  const end = await replayTraffic({
    capture: options,
    matcher,
    resolveName: makeResolver(options.hosts, judge.snapshot, log),
    log,
    interruption,
    packetsMax: options.c,
    packetsWanted: false,
    originalsWanted: false,
    onBatch: () => Promise.resolve(true),
    onCounted: () => {
      classes.add(matcher.takeRowLog());
      return Promise.resolve();
    },
  });
  return { matcher, end };
}

function reportOf(
  first: Replay,
  replays: readonly Replay[],
  {
    classes,
    judge,
    expression,
  }: {
    readonly classes: RowClasses;
    readonly judge: Judge | undefined;
    readonly expression: Expression | undefined;
  },
): Omit<DialectReport, "refused" | "diagnostics"> {
  if (judge === undefined) throw new Error("bug: a replay without a judge");
  const wanted = (flow: Tuple): boolean =>
    expression === undefined || expressionMatches(expression, flow);
  const compared = compareDialects(
    classes.classes(),
    (replay, place) => {
      const { matcher, end } = replays[replay] ?? first;
      return matcher.flowAt(place, end.names);
    },
    { wanted, find: endpointFinder(judge.snapshot) },
  );
  return {
    ...compared,
    names: replays.map(({ name }) => name),
    totals: first.matcher.totals(),
    nature: first.end.nature,
    partial: replays.map(({ end }) => end.partial).find((partial) => partial !== undefined),
    lost: Math.max(...replays.map(({ matcher }) => matcher.totals().flowsLost)),
  };
}

async function write(report: DialectReport, options: ReplayOptions): Promise<void> {
  const inputs = inputFiles(options);
  for (const { format, file } of options.output ?? [{ format: "text", file: undefined }]) {
    const sink = openSink(file, inputs);
    await sink.write(
      format === "json"
        ? dialectsJson(report)
        : dialectsText(report, paletteFor(sink, options.color)),
    );
    await sink.finish();
  }
}
