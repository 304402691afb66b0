/**
 * The `explain` command: one packet, synthesised or of a capture, and its way through the tables; or the policies of
 * a pod, or one policy.
 */
import { appendOpening } from "../capture/opening.ts";
import type { Opening } from "../capture/opening.ts";
import { assignInterface, markArriving } from "../capture/record.ts";
import type { Matcher } from "../engine/matcher.ts";
import type { PacketVerdict } from "../engine/verdict.ts";
import type { Place } from "../errors.ts";
import type { CaptureNature } from "../report/reason.ts";
import { explainPacket, explanationJson } from "../report/trace.ts";
import type { BackendAnswers } from "../report/trace.ts";
import { explanationText } from "../report/trace-text.ts";
import { endpointFinder } from "../report/workload.ts";
import { paletteFor } from "./color.ts";
import { DiagnosticLog } from "./diagnostics.ts";
import { tellAnswers } from "./dns-answers.ts";
import { askBackends } from "./explain-backends.ts";
import { explainNamedPod, explainNamedPolicy } from "./explain-policies.ts";
import type { Explained } from "./explain-policies.ts";
import { findEnd, pairEnds, standInAddresses } from "./explain-ends.ts";
import { defaultPort, portAt } from "./explain-port.ts";
import { portProbe } from "./port-probe.ts";
import { EXIT_DONE, EXIT_PARTIAL, EXIT_USAGE, Failure } from "./failure.ts";
import { makeResolver } from "./hosts.ts";
import { exitInterrupted, Interruption } from "./interruption.ts";
import { inputFiles, loadJudge } from "./judge.ts";
import type { Judge } from "./judge.ts";
import { loadProgramMatcher } from "./matcher.ts";
import type { CaptureOptions, ClusterOptions, NodeOptions } from "./options.ts";
import { openSink } from "./output.ts";
import type { Output } from "./output.ts";
import { replayTraffic } from "./traffic.ts";

/** Options of `explain`. */
export interface ExplainOptions extends ClusterOptions, NodeOptions, CaptureOptions {
  readonly output?: readonly Output<"text" | "json">[];
  readonly port?: string;
  readonly packet?: number;
  /** `[KIND/]NAMESPACE/NAME` of a policy that is explained instead of a packet. */
  readonly policy?: string;
}

/** Runs `explain` and gives its exit code. */
export async function explain(
  from: string | undefined,
  to: string | undefined,
  options: ExplainOptions,
): Promise<number> {
  const log = new DiagnosticLog((text) => process.stderr.write(text));
  const explained = await explainWhat(from, to, options, log);
  const inputs = inputFiles(options);
  for (const { format, file } of options.output ?? [{ format: "text", file: undefined }]) {
    const sink = openSink(file, inputs);
    const palette = paletteFor(sink, options.color);
    await sink.write(format === "json" ? explained.json() : explained.text(palette));
    await sink.finish();
  }
  return explained.damaged === true ? EXIT_PARTIAL : EXIT_DONE;
}

/** A policy, a packet of a capture, a connection, or a pod. */
async function explainWhat(
  from: string | undefined,
  to: string | undefined,
  options: ExplainOptions,
  log: DiagnosticLog,
): Promise<Explained> {
  const { policy, packet, port, read } = options;
  if (policy !== undefined) {
    if (from !== undefined || packet !== undefined || port !== undefined) {
      throw new Failure("a policy is explained: leave out FROM, TO, --port and --packet");
    }
    return explainNamedPolicy(policy, options, log);
  }
  const captured = read.length > 0 || packet !== undefined;
  if (from !== undefined && to === undefined && !captured) {
    if (port === undefined) return explainNamedPod(from, options, log);
    throw new Failure("--port is of a connection: name TO, or leave it out for the pod's policies");
  }
  const traced = captured
    ? await traceCaptured(from, options, log)
    : traceOpening(from, to, options, log);
  const { judge, matcher, nature, place } = traced;
  const { snapshot, policies, dialect } = judge;
  const find = endpointFinder(snapshot);
  const context = { snapshot, policies, dialect, find, nature, place, backends: traced.backends };
  const explanation = explainPacket(traced.packet, matcher.trace(), context);
  return {
    text: (palette) => explanationText(explanation, palette),
    json: () => explanationJson(explanation),
  };
}

interface Traced {
  readonly judge: Judge;
  readonly matcher: Matcher;
  readonly packet: PacketVerdict;
  readonly nature: CaptureNature;
  /** The packet's file and its number there, where several captures were merged. */
  readonly place?: Place | undefined;
  /** What it is by each backend, where that makes a difference. */
  readonly backends?: BackendAnswers | undefined;
}

/** The opening packet of a connection that nobody captured. */
function traceOpening(
  from: string | undefined,
  to: string | undefined,
  options: ExplainOptions,
  log: DiagnosticLog,
): Traced {
  if (from === undefined || to === undefined) {
    throw new Failure("expected FROM and TO, a pod, --policy NAME, or -r CAPTURE --packet N");
  }
  const judge = loadJudge(options, log, (snapshot) =>
    standInAddresses([findEnd(from, snapshot), findEnd(to, snapshot)]),
  );
  const { snapshot, policies, program, midstream } = judge;
  const source = findEnd(from, snapshot);
  const destination = findEnd(to, snapshot);
  const ends = pairEnds(source, destination);
  if (judge.realNode && options.port === undefined) {
    throw new Failure("--port is missing: a node's rules may ask for it (8443/tcp, 53/udp, icmp)");
  }
  const probe = portProbe(() =>
    loadProgramMatcher(program, { ...options, midstream, tracePacket: undefined }),
  );
  const asked =
    options.port === undefined
      ? defaultPort(source, destination, { manifests: { snapshot, policies }, probe })
      : portAt(options.port, ends.source, destination);
  const opening = { ...ends, protocol: asked.protocol, destinationPort: asked.port };
  const matcher = replayOpening(judge, opening, options);
  const packet = matcher.packetVerdict(0, []);
  const backends = askBackends(judge, { packet, asked }, (narrowed) =>
    replayOpening(narrowed, opening, options).packetVerdict(0, []),
  );
  return { judge, matcher, packet, nature: "question", backends };
}

function replayOpening(
  { program, midstream }: Judge,
  opening: Opening,
  options: ExplainOptions,
): Matcher {
  const matcher = loadProgramMatcher(program, { ...options, midstream, tracePacket: 1 });
  appendOpening(matcher.batch, opening);
  if (options.inInterface !== undefined) {
    assignInterface(matcher.batch, 0);
    markArriving(matcher.batch, 0);
    matcher.nameInterfaces([options.inInterface]);
  }
  matcher.replay();
  return matcher;
}

/** A packet of a capture, after all that came before it. */
async function traceCaptured(
  from: string | undefined,
  options: ExplainOptions,
  log: DiagnosticLog,
): Promise<Traced> {
  const { packet: wanted } = options;
  if (wanted === undefined) throw new Failure("-r needs --packet N: which packet to explain");
  if (options.read.length === 0) throw new Failure("--packet needs a capture: -r FILE");
  if (from !== undefined || options.port !== undefined) {
    throw new Failure("a packet of the capture is explained: leave out FROM, TO and --port");
  }
  const [judge] = await tellAnswers([loadJudge(options, log)] as const, options);
  const { program, midstream } = judge;
  const resolveName = makeResolver(options.hosts, judge.snapshot, log);
  const matcher = loadProgramMatcher(program, { ...options, midstream, tracePacket: wanted });
  const interruption = new Interruption();
  let found: Pick<Traced, "packet" | "nature" | "place"> | undefined;
  let last = 0;
  const { partial } = await replayTraffic({
    capture: options,
    matcher,
    resolveName,
    log,
    interruption,
    packetsMax: undefined,
    packetsWanted: true,
    onBatch: async ({ settled }) => {
      for (const { verdict, about } of settled()) {
        last = verdict.number;
        if (last === wanted) found = { packet: verdict, ...about };
      }
      return found === undefined;
    },
  });
  interruption.dispose();
  if (found !== undefined) return { judge, matcher, ...found };
  if (partial === "interrupted") throw new Failure("interrupted", exitInterrupted());
  const what = options.read.length === 1 ? "the capture has" : "the captures have";
  const sentence = `--packet ${wanted}: ${what} ${last} packets`;
  throw new Failure(sentence, EXIT_USAGE);
}
