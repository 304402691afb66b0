/** The `replay` command: captures and manifests in, a verdict for every packet out. */
import type { Matcher } from "../engine/matcher.ts";
import type { PacketVerdict, Verdict } from "../engine/verdict.ts";
import { FlowCollector } from "../report/collect.ts";
import { packetComment } from "../report/comment.ts";
import { expressionMatches } from "../report/expression.ts";
import type { Expression } from "../report/expression.ts";
import { packetJson, replayJson, stringifyJson } from "../report/json.ts";
import type { ReplayReport } from "../report/json.ts";
import { replayHtml } from "../report/replay-html.ts";
import { replayText } from "../report/text.ts";
import { endpointFinder } from "../report/workload.ts";
import type { FindEndpoint } from "../report/workload.ts";
import { paletteFor } from "./color.ts";
import { DiagnosticLog } from "./diagnostics.ts";
import { tellAnswers } from "./dns-answers.ts";
import { readExpression } from "./expression-words.ts";
import { EXIT_DONE, EXIT_FINDING, EXIT_PARTIAL, Failure } from "./failure.ts";
import { makeResolver } from "./hosts.ts";
import { exitInterrupted, Interruption } from "./interruption.ts";
import { inputFiles, loadJudge } from "./judge.ts";
import type { Judge } from "./judge.ts";
import { loadProgramMatcher } from "./matcher.ts";
import type { CaptureOptions, ClusterOptions, NodeOptions } from "./options.ts";
import type { Destination, Output, Sink } from "./output.ts";
import { PacketFiles, verdictAction } from "./packet-files.ts";
import { replayTraffic } from "./traffic.ts";
import type { JudgedBatch, JudgedTraffic, TrafficEnd } from "./traffic.ts";
import { Crew, planWorkers, replayByCrew } from "./workers.ts";
import type { CrewOptions } from "./workers.ts";

/** The formats of `replay -o`; the first is the default. */
export const REPLAY_FORMATS = ["text", "json", "ndjson", "html"] as const;
export type ReplayFormat = (typeof REPLAY_FORMATS)[number];

/** Options of `replay`. */
export interface ReplayOptions extends ClusterOptions, NodeOptions, CaptureOptions {
  readonly output?: readonly Output<ReplayFormat>[];
  readonly failOn: readonly ("drop" | "unknown")[];
  /** Judge by every dialect, and say only where they differ. */
  readonly compareDialects?: boolean;
  /** Most packets. */
  readonly c?: number;
  /** Where all packets are written to, and those of one verdict; `-` is standard output. */
  readonly write?: string;
  readonly writeDropped?: string;
  readonly writeAllowed?: string;
  readonly writeUnknown?: string;
  /** Undefined: as many as the machine has cores for and the capture is worth. */
  readonly workers?: number;
}

/** Runs `replay` and gives its exit code. */
export async function replay(words: readonly string[], options: ReplayOptions): Promise<number> {
  if (options.read.length === 0) throw new Failure("no capture: name one with -r FILE");
  const expression = readExpression(words);
  const { count, why } = planWorkers({
    ...{ capture: options, packetsMax: options.c, wanted: options.workers },
    packetsWanted: readsPackets(options, expression),
  });
  // They start while this thread reads and compiles.
  const crew = count > 1 ? new Crew(count) : undefined;
  try {
    const asked = options.workers !== undefined;
    return await replayBy({ crew, why, asked }, expression, options);
  } finally {
    await crew?.dismiss();
  }
}

/** Who replays. */
interface Workers {
  /** Undefined: one. */
  readonly crew: Crew | undefined;
  /** As in a `Plan`. */
  readonly why: string | undefined;
  /** Somebody said how many there are to be. */
  readonly asked: boolean;
}

async function replayBy(
  workers: Workers,
  expression: Expression | undefined,
  options: ReplayOptions,
): Promise<number> {
  const log = new DiagnosticLog((text) => process.stderr.write(text));
  const [judge] = await tellAnswers([loadJudge(options, log)] as const, options);
  const resolveName = makeResolver(options.hosts, judge.snapshot, log);
  const files = openPacketFiles(options);
  const destinations = files.openBeside(options.output, REPLAY_FORMATS[0]);
  const interruption = new Interruption();
  const find = endpointFinder(judge.snapshot);
  const reporting = new Reporting({ destinations, files, find, expression, options });
  try {
    const { matcher, end } = await decide(
      {
        ...{ capture: options, program: judge.program, resolveName, log, interruption },
        matcher: {
          midstream: judge.midstream,
          conntrackMax: options.conntrackMax,
          tracePacket: undefined,
        },
        packetsMax: expression === undefined ? options.c : undefined,
        originalsWanted: files.wanted,
      },
      workers,
      reporting,
    );
    await files.finish(end.sections);
    const { blindSpots } = judge.snapshot;
    const report = {
      ...reporting.report(matcher, end, log),
      ...(judge.realNode ? {} : { blindSpots }),
    };
    for (const { format, sink } of destinations) {
      for (const piece of formatReport(format, report, { judge, options, sink })) {
        await sink.write(piece);
      }
      await sink.finish();
    }
    return exitCode(report, options);
  } catch (error) {
    for (const { sink } of destinations) sink.abandon();
    files.abandon();
    throw error;
  } finally {
    interruption.dispose();
  }
}

/** Replays by as many workers as there may be. */
async function decide(
  replay: Omit<CrewOptions, "crew"> & Pick<JudgedTraffic, "originalsWanted">,
  { crew, why, asked }: Workers,
  reporting: Reporting,
): Promise<{ readonly matcher: Matcher; readonly end: TrafficEnd }> {
  if (crew !== undefined && reporting.packetsWanted) {
    throw new Error("bug: single packets are reported, which workers do not tell");
  }
  const ended =
    crew === undefined ? { matcher: undefined, why } : await replayByCrew({ ...replay, crew });
  if (ended.matcher !== undefined) return ended;
  if (asked && ended.why !== undefined) {
    process.stderr.write(`netverdict: note: one worker decides all: ${ended.why}\n`);
  }
  const matcher = loadProgramMatcher(replay.program, replay.matcher);
  const { packetsWanted } = reporting;
  const onBatch = (batch: JudgedBatch): Promise<boolean> => reporting.add(batch);
  const end = await replayTraffic({ ...replay, matcher, packetsWanted, onBatch });
  return { matcher, end };
}

/** Whether some single packets are reported. */
function readsPackets(options: ReplayOptions, expression: Expression | undefined): boolean {
  const { output = [], write, writeDropped, writeAllowed, writeUnknown } = options;
  const files = [write, writeDropped, writeAllowed, writeUnknown];
  return (
    expression !== undefined ||
    files.some((file) => file !== undefined) ||
    output.some(({ format }) => format === "ndjson")
  );
}

type ReplayFiles = PacketFiles<PacketVerdict>;

function openPacketFiles(options: ReplayOptions): ReplayFiles {
  const { write, writeDropped, writeAllowed, writeUnknown, read } = options;
  const only = (file: string | undefined, wanted: Verdict) => ({
    file,
    takes: ({ verdict }: PacketVerdict) => verdict === wanted,
  });
  const requests = [
    { file: write, takes: () => true },
    only(writeDropped, "drop"),
    only(writeAllowed, "allow"),
    only(writeUnknown, "unknown"),
  ];
  return new PacketFiles(requests, read, inputFiles(options));
}

interface ReportingParts {
  readonly destinations: readonly Destination<ReplayFormat>[];
  readonly files: ReplayFiles;
  readonly find: FindEndpoint;
  readonly expression: Expression | undefined;
  readonly options: ReplayOptions;
}

/** Follows a replay: streams packets to those who want them, and counts what is reported. */
class Reporting {
  readonly #streams: readonly Sink[];
  readonly #files: ReplayFiles;
  readonly #find: FindEndpoint;
  readonly #expression: Expression | undefined;
  /** Counts here when not every packet is reported. */
  readonly #collector: FlowCollector | undefined;
  #left: number;

  constructor({ destinations, files, find, expression, options }: ReportingParts) {
    this.#files = files;
    this.#find = find;
    this.#streams = destinations
      .filter(({ format }) => format === "ndjson")
      .map(({ sink }) => sink);
    this.#expression = expression;
    this.#collector = expression === undefined ? undefined : new FlowCollector();
    this.#left = options.c ?? Infinity;
  }

  /** Some single packets are reported. */
  get packetsWanted(): boolean {
    return this.#collector !== undefined || this.#streams.length > 0 || this.#files.wanted;
  }

  /** Takes one batch; false when no more packets are wanted. */
  async add({ settled }: JudgedBatch): Promise<boolean> {
    if (!this.packetsWanted) return true;
    let lines = "";
    for (const packet of settled()) {
      const { verdict, about } = packet;
      if (this.#left === 0) break;
      if (this.#expression !== undefined && !expressionMatches(this.#expression, verdict)) continue;
      this.#left -= 1;
      this.#collector?.add(packet);
      if (about.original !== undefined) {
        this.#files.add(verdict, about.original, () => ({
          comment: packetComment(verdict, this.#find),
          verdict: verdictAction(verdict.verdict),
        }));
      }
      if (this.#streams.length === 0) continue;
      lines += `${stringifyJson(packetJson(verdict, about.nature, about.place))}\n`;
    }
    for (const stream of this.#streams) await stream.write(lines);
    await this.#files.write();
    return this.#left > 0;
  }

  report(
    matcher: Matcher,
    { nature, names, partial }: TrafficEnd,
    log: DiagnosticLog,
  ): ReplayReport {
    return {
      totals: this.#collector?.totals() ?? matcher.totals(),
      flows: this.#collector?.flows() ?? matcher.flows(names),
      rules: matcher.ruleCounts(),
      diagnostics: log.found,
      nature,
      partial,
    };
  }
}

interface FormatContext {
  readonly judge: Judge;
  readonly options: ReplayOptions;
  readonly sink: Sink;
}

/** The text of a format, in pieces. */
function formatReport(
  format: ReplayFormat,
  report: ReplayReport,
  context: FormatContext,
): Iterable<string> {
  switch (format) {
    case "ndjson":
      // Its lines were written as the packets were decided.
      return [];
    case "json":
      return replayJson(report);
    case "text":
    case "html": {
      const { snapshot, policies, dialect, midstream } = context.judge;
      const find = endpointFinder(snapshot);
      const words = { snapshot, policies, dialect, find, midstream };
      if (format === "html") return [replayHtml(report, words)];
      return [replayText(report, words, paletteFor(context.sink, context.options.color))];
    }
  }
}

/** A gate that tripped stays tripped, whatever else of the capture could not be read. */
function exitCode(report: ReplayReport, options: ReplayOptions): number {
  if (report.partial === "interrupted") return exitInterrupted();
  const verdicts: readonly Verdict[] = options.failOn;
  if (verdicts.some((verdict) => report.totals.verdicts[verdict] > 0)) return EXIT_FINDING;
  return report.partial === "damaged" ? EXIT_PARTIAL : EXIT_DONE;
}
