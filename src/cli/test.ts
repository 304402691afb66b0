/**
 * The `test` command: expected verdicts, each compared with what the first packet of a new connection gets.
 * Every question is asked on its own, as `explain` does: no answer depends on another.
 */
import { appendOpening } from "../capture/opening.ts";
import type { Opening } from "../capture/opening.ts";
import { assignInterface, markArriving } from "../capture/record.ts";
import type { Matcher } from "../engine/matcher.ts";
import type { PacketVerdict } from "../engine/verdict.ts";
import { compareAnswers, vacuous } from "../report/expectations.ts";
import type { Expectation, ExpectationReport, ExpectationResult } from "../report/expectations.ts";
import { expectationsJson } from "../report/expectations-json.ts";
import {
  expectationsAnnotations,
  expectationsJunit,
  expectationsMarkdown,
} from "../report/expectations-ci.ts";
import { expectationsText } from "../report/expectations-text.ts";
import type { PolicyContext } from "../report/nearest-miss.ts";
import { endpointFinder } from "../report/workload.ts";
import { paletteFor } from "./color.ts";
import { DiagnosticLog } from "./diagnostics.ts";
import { endFinder, pairEnds, standInAddresses } from "./explain-ends.ts";
import type { FindEnds, NamedEnd } from "./explain-ends.ts";
import { defaultPort, portAt } from "./explain-port.ts";
import { portProbe, type PortProbe } from "./port-probe.ts";
import { readExpectations } from "./expectations.ts";
import type { ExpectationEntry } from "./expectations.ts";
import { EXIT_DONE, EXIT_FINDING, Failure } from "./failure.ts";
import { inputFiles, loadJudge } from "./judge.ts";
import type { Judge, JudgeOptions } from "./judge.ts";
import { loadProgramMatcher } from "./matcher.ts";
import { CONNTRACK_LIMIT } from "./options.ts";
import type { ClusterOptions, NodeOptions } from "./options.ts";
import { openSink } from "./output.ts";
import type { Output, Sink } from "./output.ts";
import { addStepSummary } from "./step-summary.ts";

/** The formats of `test -o`; the first is the default. */
export const TEST_FORMATS = ["text", "json", "junit", "github"] as const;
type TestFormat = (typeof TEST_FORMATS)[number];

/** Options of `test`. */
export interface TestOptions extends ClusterOptions, NodeOptions {
  readonly output?: readonly Output<TestFormat>[];
  readonly inInterface?: string;
}

/** Runs `test` and gives its exit code. */
export async function test(paths: readonly string[], options: TestOptions): Promise<number> {
  const log = new DiagnosticLog((text) => process.stderr.write(text));
  const judgeOptions: JudgeOptions = { ...options, read: [], conntrackMax: CONNTRACK_LIMIT };
  const inputs = [...inputFiles(judgeOptions), ...paths];
  if (inputs.filter((file) => file === "-").length > 1) {
    throw new Failure("- stands for several inputs: standard input can be read once only");
  }
  const entries = readExpectations(paths, log);
  const judge = loadJudge(judgeOptions, log, (snapshot) => {
    const find = endFinder(snapshot);
    const names = new Set(entries.flatMap(({ from, to }) => [...from, ...to]));
    return standInAddresses([...names].flatMap((name) => endsOrFault(name, find).ends));
  });
  const asker = new Asker(judge, options.inInterface);
  const results = entries.flatMap((entry) => asker.results(entry));
  const report: ExpectationReport = { results, diagnostics: log.found };
  const { snapshot, policies, dialect } = judge;
  const context = { snapshot, policies, dialect, find: endpointFinder(snapshot) };
  for (const { format, file } of options.output ?? [{ format: TEST_FORMATS[0], file: undefined }]) {
    const sink = openSink(file, inputs);
    await sink.write(formatReport(format, report, context, { sink, options }));
    await sink.finish();
  }
  return results.some(({ fault }) => fault !== undefined) ? EXIT_FINDING : EXIT_DONE;
}

function formatReport(
  format: TestFormat,
  report: ExpectationReport,
  context: PolicyContext,
  { sink, options }: { readonly sink: Sink; readonly options: TestOptions },
): string {
  switch (format) {
    case "json":
      return expectationsJson(report, context);
    case "junit":
      return expectationsJunit(report, context);
    case "github":
      addStepSummary(expectationsMarkdown(report, context));
      return expectationsAnnotations(report, context);
    case "text":
      return expectationsText(report, context, paletteFor(sink, options.color));
  }
}

/** What a name means, or why it means nothing. */
interface Named {
  readonly ends: readonly NamedEnd[];
  readonly fault?: string;
}

function endsOrFault(name: string, find: FindEnds): Named {
  try {
    return { ends: find(name) };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { ends: [], fault: error.message };
  }
}

/** Two ends that an expectation is about. */
interface Pair {
  readonly source: NamedEnd;
  readonly destination: NamedEnd;
}

/** Asks one matcher everything. */
class Asker {
  readonly #judge: Judge;
  readonly #matcher: Matcher;
  readonly #inInterface: string | undefined;
  readonly #find: FindEnds;
  readonly #probe: PortProbe;
  readonly #named = new Map<string, Named>();

  constructor(judge: Judge, inInterface: string | undefined) {
    const { midstream, program, snapshot } = judge;
    this.#judge = judge;
    this.#matcher = loadProgramMatcher(program, {
      midstream,
      conntrackMax: CONNTRACK_LIMIT,
      tracePacket: undefined,
    });
    this.#inInterface = inInterface;
    let prober: Matcher | undefined;
    // Beside the batch that is being filled.
    this.#probe = portProbe(
      () =>
        (prober ??= loadProgramMatcher(program, {
          midstream,
          conntrackMax: CONNTRACK_LIMIT,
          tracePacket: undefined,
        })),
    );
    if (inInterface !== undefined) this.#matcher.nameInterfaces([inInterface]);
    this.#find = endFinder(snapshot);
  }

  /** Every combination of an entry; one that means none at all fails. */
  results({ from, to, ports, ...rest }: ExpectationEntry): ExpectationResult[] {
    const expectations = from.flatMap((source) =>
      to.flatMap((destination) =>
        ports.map((port): Expectation => ({ ...rest, from: source, to: destination, port })),
      ),
    );
    if (expectations.length > 0) return expectations.map((each) => this.#result(each));
    const list = (words: readonly string[]): string => words.join(", ") || "nobody";
    const named = { ...rest, from: list(from), to: list(to), port: undefined };
    return [vacuous(named, "an empty list: nothing is expected of anything")];
  }

  #result(expectation: Expectation): ExpectationResult {
    const [sources, destinations] = [this.#ends(expectation.from), this.#ends(expectation.to)];
    const fault = sources.fault ?? destinations.fault;
    if (fault !== undefined) return vacuous(expectation, fault);
    const pairs = sources.ends.flatMap((source) =>
      destinations.ends.map((destination) => ({ source, destination })),
    );
    // What a pod sends to itself never leaves it: of a workload that talks to itself, others are meant.
    const others = pairs.filter(
      ({ source, destination }) =>
        source.endpoint === undefined || source.endpoint !== destination.endpoint,
    );
    const meant = others.length > 0 ? others : pairs;
    try {
      const answers = this.#answers(meant, expectation.port);
      return compareAnswers(expectation, answers, this.#judge.policies);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return vacuous(expectation, error.message.replace(/^--port is missing/, "port is missing"));
    }
  }

  #opening(source: NamedEnd, destination: NamedEnd, port: string | undefined): Opening {
    const ends = pairEnds(source, destination);
    if (port === undefined && this.#judge.realNode) {
      throw new Failure("port is missing: a node's rules may ask for it (8443/tcp, 53/udp, icmp)");
    }
    const { protocol, port: destinationPort } =
      port === undefined
        ? defaultPort(source, destination, { manifests: this.#judge, probe: this.#probe })
        : portAt(port, ends.source, destination);
    return { ...ends, protocol, destinationPort };
  }

  *#answers(pairs: readonly Pair[], port: string | undefined): Generator<PacketVerdict> {
    const { batch } = this.#matcher;
    for (let first = 0; first < pairs.length; first += batch.capacity) {
      batch.clear();
      for (const { source, destination } of pairs.slice(first, first + batch.capacity)) {
        appendOpening(batch, this.#opening(source, destination, port));
        if (this.#inInterface !== undefined) markArriving(batch, batch.count - 1);
      }
      if (this.#inInterface !== undefined) assignInterface(batch, 0);
      this.#matcher.ask();
      for (let index = 0; index < batch.count; index++) {
        yield this.#matcher.packetVerdict(index, []);
      }
    }
  }

  #ends(name: string): Named {
    const known = this.#named.get(name);
    if (known !== undefined) return known;
    const named = endsOrFault(name, this.#find);
    this.#named.set(name, named);
    return named;
  }
}
