/** Replays captures to learn which rules and policies nothing in them meets. */
import { appendOpening } from "../capture/opening.ts";
import type { Opening } from "../capture/opening.ts";
import type { Snapshot } from "../cluster/snapshot.ts";
import type { Matcher } from "../engine/matcher.ts";
import type { Program } from "../engine/program.ts";
import { openingOf } from "../engine/opening.ts";
import type { FlowVerdict, RuleCount } from "../engine/verdict.ts";
import type { LintContext } from "../lint/context.ts";
import type { Finding } from "../lint/finding.ts";
import { findNeverHit, findNeverHitRules } from "../lint/never-hit.ts";
import type { RuleHits } from "../lint/never-hit.ts";
import { countText } from "../report/layout.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import { makeResolver } from "./hosts.ts";
import { Interruption } from "./interruption.ts";
import { loadProgramMatcher } from "./matcher.ts";
import { CONNTRACK_LIMIT } from "./options.ts";
import type { CaptureOptions } from "./options.ts";
import { replayTraffic } from "./traffic.ts";
import type { TrafficEnd } from "./traffic.ts";

/** What was found, and how far that goes. */
export interface NeverHit {
  readonly findings: readonly Finding[];
  /** Sentences. */
  readonly limits: readonly string[];
  readonly partial: TrafficEnd["partial"];
}

/** What captures are replayed for. */
export interface NeverHitOptions {
  readonly context: LintContext;
  readonly program: Program;
  readonly capture: CaptureOptions;
  readonly log: DiagnosticLog;
}

/** Replays the captures whole; of a part of them nothing is said. */
export async function replayForNeverHit(options: NeverHitOptions): Promise<NeverHit> {
  const { context, program, capture } = options;
  const midstream = capture.midstream ?? "assume-established";
  const replayed = await replay({ ...options, midstream, snapshot: context.snapshot });
  if ("partial" in replayed) return replayed;
  const { matcher, begun, undecided } = replayed;
  const findings = findNeverHit(context, {
    counted: [...matcher.ruleCounts(), ...undecided],
    begun: [false, true].flatMap((backwards) => hitsOfOpenings(begun, backwards, program)),
  });
  const { midstream: taken } = matcher.totals();
  const limits = [
    ...ofThisCapture(findings),
    ...(taken > 0 ? [`${countText(taken, "packet")} ${BEGUN}`] : []),
    ...undecidedLimits(matcher),
  ];
  return { findings, limits, partial: undefined };
}

/** The same of the rules of a node's dumps. */
export async function replayNodeForNeverHit(
  options: Omit<ReplayOptions, "midstream">,
): Promise<NeverHit> {
  const { program, capture } = options;
  const replayed = await replay({ ...options, midstream: capture.midstream ?? "cold" });
  if ("partial" in replayed) return replayed;
  const { matcher, undecided } = replayed;
  const { findings, unentered } = findNeverHitRules(program.rulesets, [
    ...matcher.ruleCounts(),
    ...undecided,
  ]);
  const limits = [
    ...ofThisCapture(findings),
    ...(unentered > 0
      ? [
          `Not listed: ${countText(unentered, "more chain")}, of which no packet of the capture matches a rule.`,
        ]
      : []),
    ...undecidedLimits(matcher),
  ];
  return { findings, limits, partial: undefined };
}

interface ReplayOptions {
  readonly program: Program;
  readonly snapshot: Snapshot;
  readonly capture: CaptureOptions;
  readonly log: DiagnosticLog;
  readonly midstream: "cold" | "assume-established";
}

/** What was counted; of a part of the captures nothing is. */
async function replay({ program, snapshot, capture, log, midstream }: ReplayOptions): Promise<
  | NeverHit
  | {
      readonly matcher: Matcher;
      /** Flows that began before the captures. */
      readonly begun: readonly FlowVerdict[];
      readonly undecided: readonly RuleCount[];
    }
> {
  const { conntrackMax } = capture;
  const matcher = loadProgramMatcher(program, { midstream, conntrackMax, tracePacket: undefined });
  const interruption = new Interruption();
  const { partial, names } = await replayTraffic({
    ...{ capture, matcher, log, interruption, packetsMax: undefined },
    ...{ resolveName: makeResolver(capture.hosts, snapshot, log), packetsWanted: false },
    onBatch: () => Promise.resolve(true),
  });
  interruption.dispose();
  if (partial !== undefined) return { findings: [], limits: [], partial };
  if (matcher.totals().flowsLost > 0) return { findings: [], limits: [TOO_MANY_FLOWS], partial };
  const begun: FlowVerdict[] = [];
  const undecided: RuleCount[] = [];
  for (const flow of matcher.flows(names)) {
    if (flow.midstream) begun.push(flow);
    const { undecidedRule, packets } = flow;
    if (undecidedRule !== undefined) undecided.push({ ...undecidedRule, packets, bytes: 0 });
  }
  return { matcher, begun, undecided };
}

function ofThisCapture(findings: readonly Finding[]): string[] {
  return findings.length > 0 ? [NO_PROOF] : [];
}

function undecidedLimits(matcher: Matcher): string[] {
  const { unknown } = matcher.totals().verdicts;
  return unknown > 0 ? [`${countText(unknown, "packet")} ${UNDECIDED}`] : [];
}

const NO_PROOF =
  "What no packet of the capture meets (NEVER_HIT_...), one that it does not have may still meet.";
const TOO_MANY_FLOWS =
  "What was never hit is left out: the capture has more flows than are remembered.";
const BEGUN =
  "of connections that began before the capture: each rule that lets such a connection begin, from either end, counts as hit.";
const UNDECIDED =
  "could not be decided: beside the rule that the verdict hangs on, those that only they match count as never hit.";

/** The rules that such connections meet as they begin; nobody saw which end it was that began. */
function hitsOfOpenings(
  flows: readonly FlowVerdict[],
  backwards: boolean,
  program: Program,
): RuleHits[] {
  const openings = flows.flatMap((flow) => openingOfFlow(flow, backwards));
  if (openings.length === 0) return [];
  // They have no time, so that none of them ever ends.
  const conntrackMax = Math.min(openings.length, CONNTRACK_LIMIT);
  const options = { midstream: "cold", conntrackMax, tracePacket: undefined } as const;
  const matcher = loadProgramMatcher(program, options);
  const { batch } = matcher;
  for (let first = 0; first < openings.length; first += batch.capacity) {
    batch.clear();
    for (const opening of openings.slice(first, first + batch.capacity)) {
      appendOpening(batch, opening);
    }
    matcher.replay();
  }
  matcher.finish();
  return [...matcher.ruleCounts()];
}

function openingOfFlow(flow: FlowVerdict, backwards: boolean): Opening[] {
  const { source, destination, sourcePort, destinationPort } = flow;
  const turned = {
    ...{ source: destination, destination: source },
    ...{ sourcePort: destinationPort, destinationPort: sourcePort },
  };
  // What a capture shows of ICMP may be an answer.
  const opening = openingOf({ ...flow, ...(backwards ? turned : {}), icmp: undefined });
  return opening === undefined ? [] : [opening];
}
