/**
 * Captures judged by the current policies and by the proposed ones, and compared packet by packet: each side in
 * a thread of its own where captures are files, else both in this one, side by side.
 */
import type { Change } from "../report/blind-spots.ts";
import { RowPairs } from "../engine/row-pairs.ts";
import type { Side } from "../engine/row-pairs.ts";
import { flowCopyReader } from "../engine/flow-copy.ts";
import type { Matcher, MatcherOptions } from "../engine/matcher.ts";
import type { Program } from "../engine/program.ts";
import type { FlowVerdict, Totals, Tuple } from "../engine/verdict.ts";
import { expressionMatches } from "../report/expression.ts";
import type { Expression } from "../report/expression.ts";
import { compareVerdicts } from "../report/flips.ts";
import type { LiveConnection } from "../report/rollout.ts";
import type { WhatIfReport } from "../report/what-if.ts";
import { endpointFinder } from "../report/workload.ts";
import { ChangedPackets } from "./changed-packets.ts";
import { DiagnosticLog } from "./diagnostics.ts";
import { Failure } from "./failure.ts";
import { makeResolver, readHosts } from "./hosts.ts";
import { Interruption } from "./interruption.ts";
import type { Judge } from "./judge.ts";
import { Lockstep } from "./lockstep.ts";
import { loadProgramMatcher } from "./matcher.ts";
import type { CaptureOptions } from "./options.ts";
import { Pace } from "./pace.ts";
import type { PacketFiles } from "./packet-files.ts";
import { openPipes } from "./pipes.ts";
import { RolloutTurn } from "./rollout.ts";
import type { RolloutTime } from "./rollout-time.ts";
import { planSides, startSide } from "./side-thread.ts";
import type { SideEnd } from "./side-thread.ts";
import { replayTraffic } from "./traffic.ts";
import type { TrafficEnd } from "./traffic.ts";

/** One of the two sets of policies. */
export interface JudgedSide {
  readonly judge: Judge;
  /** The tables without what the capture's DNS answers tell: of traffic that it does not have they tell nothing. */
  readonly untold: Program;
  readonly log: DiagnosticLog;
}

/** How captures are replayed by both. */
export interface BothOptions extends CaptureOptions {
  /** Until then the current policies judge both, and connections go on. */
  readonly rolloutAt?: RolloutTime;
  /** Most packets. */
  readonly c?: number;
  /** Undefined: a thread for each side, where the machine has cores and the captures are worth it. */
  readonly workers?: number;
}

/** What is compared. */
export interface Replays {
  readonly options: BothOptions;
  readonly sides: readonly [JudgedSide, JudgedSide];
  readonly expression: Expression | undefined;
  readonly files: PacketFiles<Change | "unchanged">;
}

/** What a report says of it. */
export type Compared = Omit<
  WhatIfReport,
  "groups" | "fates" | "hints" | "diagnostics" | "captured" | "blindSpots"
> & {
  readonly connections: readonly LiveConnection[];
};

/** A replay may be so many packets ahead of the other one. */
const LEAD_MAX = 1 << 20;
/** The same, where the packets themselves are kept. */
const LEAD_MAX_WRITTEN = 1 << 11;

/** Replays the captures by both sets of policies at a time. */
export async function replayBoth(replays: Replays): Promise<Compared> {
  const { options, sides, expression, files } = replays;
  const { count, why } = planSides(options.read, {
    hosts: options.hosts,
    packetsWanted: files.wanted,
    wanted: options.workers,
  });
  if (options.workers !== undefined && why !== undefined) {
    process.stderr.write(`netverdict: note: one worker decides both sides: ${why}\n`);
  }
  // Of a rollout the current policies judge at first.
  const proposed = loadMatcher(sides[options.rolloutAt === undefined ? 1 : 0].judge, options);
  const wanted = (flow: Tuple): boolean =>
    expression === undefined ||
    expressionMatches(expression, flow) ||
    expressionMatches(expression, replyOf(flow));
  const pairs = new RowPairs();
  const turn = rolloutTurn(options, sides, proposed);
  const both = { ...replays, proposed, turn, pairs, wanted };
  const [before, after] = count === 1 ? await replayHere(both) : await replayApart(both);
  const partial = before.end.partial ?? after.end.partial;
  const interrupted = turn?.pending === true && partial === "interrupted";
  const rollout = interrupted ? undefined : turn?.result();
  await files.finish(before.end.sections);
  const flowAt = (side: Side, place: number): FlowVerdict =>
    (side === 0 ? before : after).flowAt(place);
  return {
    ...compareVerdicts(pairs.pairs(), flowAt, wanted),
    totals: before.totals,
    nature: before.end.nature,
    partial,
    rollout,
    connections: rollout?.connections.filter(({ opening }) => wanted(opening)) ?? [],
    lost: Math.max(before.totals.flowsLost, after.totals.flowsLost),
  };
}

interface Both extends Replays {
  /** Of the proposed policies. */
  readonly proposed: Matcher;
  readonly turn: RolloutTurn | undefined;
  readonly pairs: RowPairs;
  readonly wanted: (flow: Tuple) => boolean;
}

/** One of the two replays at its end. */
interface Ended {
  readonly end: TrafficEnd;
  readonly totals: Totals;
  readonly flowAt: (place: number) => FlowVerdict;
}

/** Replays both side by side: what can be read once only, and packets that are written again. */
async function replayHere(both: Both): Promise<[Ended, Ended]> {
  const { options, sides, files, pairs, proposed, turn, wanted } = both;
  const matchers = [loadMatcher(sides[0].judge, options), proposed] as const;
  if (options.read.length === 0)
    return [endOf(matchers[0], NO_TRAFFIC), endOf(matchers[1], NO_TRAFFIC)];
  const lockstep = new Lockstep(pairs, files.wanted ? LEAD_MAX_WRITTEN : LEAD_MAX);
  const changed = new ChangedPackets(files, endpointFinder(sides[1].judge.snapshot), wanted);
  const interruptions = [new Interruption(), new Interruption()] as const;
  const pipes = openPipes(options.read);
  const replaySide = async (side: Side): Promise<Ended> => {
    const { judge, log } = sides[side];
    const matcher = matchers[side];
    // What is wrong with a capture is said once.
    const captureLog = side === 0 ? log : new DiagnosticLog(() => undefined);
    try {
      const end = await replayTraffic({
        capture: options,
        matcher,
        resolveName: makeResolver(options.hosts, judge.snapshot, captureLog),
        log: captureLog,
        interruption: interruptions[side],
        packetsMax: options.c,
        packetsWanted: files.wanted,
        // The bytes are the same in both.
        originalsWanted: files.wanted && side === 0,
        onBatch: (batch) => changed.add(side, batch),
        onCounted: () => {
          pairs.add(side, matcher.takeRowLog());
          return lockstep.wait(side);
        },
        pipes: pipes[side],
        ...(side === 1 && turn !== undefined ? { turn } : {}),
      });
      return endOf(matcher, end);
    } catch (error) {
      for (const interruption of interruptions) interruption.requested = true;
      throw error;
    } finally {
      lockstep.leave(side);
    }
  };
  try {
    return await Promise.all([replaySide(0), replaySide(1)]);
  } finally {
    for (const interruption of interruptions) interruption.dispose();
  }
}

/** Replays the current policies' side in a thread of its own, and the other one here. */
async function replayApart({
  options,
  sides,
  pairs,
  proposed,
  turn,
}: Both): Promise<[Ended, Ended]> {
  const [{ judge: current, log }, { judge }] = sides;
  const { hosts, c: packetsMax } = options;
  // Both replays read the file of names and the captures; what is wrong with them is said once.
  if (hosts !== undefined) readHosts(hosts, log);
  const quiet = new DiagnosticLog(() => undefined);
  const lockstep = new Lockstep(pairs, LEAD_MAX);
  const interruption = new Interruption();
  const pace = new Pace();
  const thread = startSide(
    {
      ...{ program: current.program, matcher: matcherOptions(current, options) },
      ...{ capture: options, snapshot: current.snapshot },
      ...{ packetsMax, pace: pace.shared },
    },
    (rows) => {
      pairs.add(0, rows);
      return lockstep.wait(0);
    },
  );
  const replayProposed = async (): Promise<TrafficEnd> => {
    try {
      return await replayTraffic({
        ...{ capture: options, matcher: proposed, log: quiet, interruption, packetsMax, pace },
        resolveName: makeResolver(hosts, judge.snapshot, quiet),
        packetsWanted: false,
        onBatch: async () => true,
        onCounted: () => {
          pairs.add(1, proposed.takeRowLog());
          return lockstep.wait(1);
        },
        ...(turn === undefined ? {} : { turn }),
      });
    } catch (error) {
      pace.giveUp();
      throw error;
    } finally {
      if (interruption.requested) pace.stop();
      lockstep.leave(1);
    }
  };
  const hearCurrent = async (): Promise<SideEnd> => {
    try {
      const { diagnostics, end } = await thread.delivery;
      for (const diagnostic of diagnostics) log.report(diagnostic);
      if (end.kind === "failure") throw new Failure(end.sentence, end.exitCode);
      return end;
    } catch (error) {
      pace.giveUp();
      throw error;
    } finally {
      lockstep.leave(0);
    }
  };
  try {
    const [theirs, own] = await Promise.allSettled([hearCurrent(), replayProposed()]);
    if (theirs.status === "rejected") throw theirs.reason;
    if (own.status === "rejected") {
      // The other side met nothing that it could have said.
      for (const diagnostic of quiet.found) log.report(diagnostic);
      throw own.reason;
    }
    const { traffic, totals, flows } = theirs.value;
    const { packets } = proposed.totals();
    if (!interruption.requested && packets !== totals.packets) {
      throw new Failure(
        `a capture has changed meanwhile: ${totals.packets} packets were read for one side, ${packets} for the other`,
      );
    }
    const partial = interruption.requested ? "interrupted" : traffic.partial;
    const flowAt = flowCopyReader(flows, current.program, traffic.names);
    return [{ end: { ...traffic, partial }, totals, flowAt }, endOf(proposed, own.value)];
  } finally {
    interruption.dispose();
    await thread.end();
  }
}

function endOf(matcher: Matcher, end: TrafficEnd): Ended {
  return {
    end,
    totals: matcher.totals(),
    flowAt: (place) => matcher.flowAt(place, end.names),
  };
}

function loadMatcher(judge: Judge, options: BothOptions): Matcher {
  return loadProgramMatcher(judge.program, matcherOptions(judge, options));
}

function matcherOptions({ midstream }: Judge, { conntrackMax }: BothOptions): MatcherOptions {
  return { midstream, conntrackMax, tracePacket: undefined, logRows: true };
}

/** Where the proposed policies take over in mid-capture: what does it; undefined: they judge all of it. */
function rolloutTurn(
  { rolloutAt }: BothOptions,
  [{ judge: before }, { judge: after }]: readonly [JudgedSide, JudgedSide],
  matcher: Matcher,
): RolloutTurn | undefined {
  if (rolloutAt === undefined) return undefined;
  return new RolloutTurn({
    ...{ at: rolloutAt, matcher, programs: [before.program, after.program] },
    snapshots: before.realNode || after.realNode ? undefined : [before.snapshot, after.snapshot],
  });
}

const NO_TRAFFIC: TrafficEnd = { nature: "question", names: [], sections: [], partial: undefined };

/** A flow is one that the expression chooses in either direction. */
function replyOf(flow: Tuple): Tuple {
  return {
    ...flow,
    source: flow.destination,
    destination: flow.source,
    sourcePort: flow.destinationPort,
    destinationPort: flow.sourcePort,
    sourceName: flow.destinationName,
    destinationName: flow.sourceName,
  };
}
