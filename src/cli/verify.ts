/**
 * The `verify` command: the same tables in this machine's own kernel, the same packets through it, and
 * every packet on which the kernel and the matcher differ. Packets are sent one after another, without
 * the capture's pauses; the matcher judges them by the times at which they were sent.
 */
import { release } from "node:os";
import { LabError, labMissing, startLab } from "../lab/lab.ts";
import type { KernelLab } from "../lab/lab.ts";
import { buildLabGround } from "../lab/node.ts";
import { verifyJson, verifyText } from "../report/verify.ts";
import type { VerifyReport } from "../report/verify.ts";
import { DiagnosticLog } from "./diagnostics.ts";
import { tellAnswers } from "./dns-answers.ts";
import { EXIT_DONE, EXIT_FINDING, EXIT_PARTIAL, Failure } from "./failure.ts";
import { makeResolver } from "./hosts.ts";
import { exitInterrupted, Interruption } from "./interruption.ts";
import { inputFiles, loadJudge, namesNode } from "./judge.ts";
import type { Judge } from "./judge.ts";
import { loadProgramMatcher } from "./matcher.ts";
import type { CaptureOptions, ClusterOptions, NodeOptions } from "./options.ts";
import { openDestinations } from "./output.ts";
import type { Output } from "./output.ts";
import { replayTraffic } from "./traffic.ts";
import type { TrafficEnd } from "./traffic.ts";
import { labNode } from "./verify-node.ts";
import { Comparing } from "./verify-packets.ts";

/** The formats of `verify -o`; the first is the default. */
export const VERIFY_FORMATS = ["text", "json"] as const;
export type VerifyFormat = (typeof VERIFY_FORMATS)[number];

/** Options of `verify`. */
export interface VerifyOptions extends ClusterOptions, NodeOptions, CaptureOptions {
  readonly output?: readonly Output<VerifyFormat>[];
  /** Most packets. */
  readonly c?: number;
}

/** Runs `verify` and gives its exit code. */
export async function verify(options: VerifyOptions): Promise<number> {
  if (options.read.length === 0) throw new Failure("no capture: name one with -r FILE");
  const missing = labMissing();
  if (missing !== undefined) throw new Failure(`no kernel lab can be had here: ${missing}`);
  if (!namesNode(options) && options.node === undefined) {
    throw new Failure("the lab is one node: say which with --node NAME");
  }
  const log = new DiagnosticLog((text) => process.stderr.write(text));
  const [judge] = await tellAnswers([loadJudge(options, log)] as const, options);
  const ground = buildLabGround(judge.program.topology);
  const outputs = options.output ?? [{ format: VERIFY_FORMATS[0], file: undefined }];
  const destinations = openDestinations(outputs, inputFiles(options));
  const interruption = new Interruption();
  let lab: KernelLab | undefined;
  try {
    lab = await startLab(labNode(options, judge, { ground, log }));
    const comparing = new Comparing(judge, options, { ground, lab });
    const end = await followCapture(comparing, { judge, options, log, interruption });
    const notes = [...ground.notes, ...notesOf(judge)];
    const { nature, partial } = end;
    const report = { ...comparing.result(), kernel: release(), nature, partial, notes };
    for (const { format, sink } of destinations) {
      await sink.write(format === "json" ? verifyJson(report) : verifyText(report));
      await sink.finish();
    }
    return exitCode(report);
  } catch (error) {
    for (const { sink } of destinations) sink.abandon();
    if (error instanceof LabError) throw new Failure(`the kernel lab: ${error.message}`);
    throw error;
  } finally {
    await lab?.close();
    interruption.dispose();
  }
}

function notesOf({ program: { connections = [] } }: Judge): string[] {
  if (connections.length === 0) return [];
  return ["the connections of --conntrack are left aside: the lab's kernel begins with none"];
}

interface Following {
  readonly judge: Judge;
  readonly options: VerifyOptions;
  readonly log: DiagnosticLog;
  readonly interruption: Interruption;
}

/** The matcher reads the capture first: what it says of each packet's arrival decides how it is sent. */
async function followCapture(comparing: Comparing, following: Following): Promise<TrafficEnd> {
  const { judge, options, log, interruption } = following;
  const matcher = loadProgramMatcher(judge.program, {
    midstream: judge.midstream,
    conntrackMax: options.conntrackMax,
    tracePacket: undefined,
  });
  return await replayTraffic({
    capture: options,
    matcher,
    resolveName: makeResolver(options.hosts, judge.snapshot, log),
    log,
    interruption,
    packetsMax: options.c,
    packetsWanted: true,
    onBatch: async ({ names }) => {
      await comparing.add(matcher, names);
      return true;
    },
  });
}

function exitCode({ partial, differences }: VerifyReport): number {
  if (differences.length > 0) return EXIT_FINDING;
  if (partial === "interrupted") return exitInterrupted();
  return partial === undefined ? EXIT_DONE : EXIT_PARTIAL;
}
