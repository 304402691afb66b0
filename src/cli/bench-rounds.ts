/**
 * Replays the same captures several times and takes the time: first as `replay` does, then once with every
 * packet walking the rules. What the two say must be the same.
 */
import type { Matcher, MatcherOptions } from "../engine/matcher.ts";
import type { FlowVerdict, RuleCount, Totals } from "../engine/verdict.ts";
import type { Memory, Reference } from "../report/bench.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import { Failure } from "./failure.ts";
import { makeResolver } from "./hosts.ts";
import type { Interruption } from "./interruption.ts";
import type { Judge } from "./judge.ts";
import { loadProgramMatcher } from "./matcher.ts";
import type { CaptureOptions } from "./options.ts";
import { replayTraffic } from "./traffic.ts";
import type { CountedTraffic, TrafficEnd } from "./traffic.ts";
import { Crew, planWorkers, replayByCrew } from "./workers.ts";

/** What is replayed, and by what. */
export interface RoundsOptions {
  readonly judge: Judge;
  readonly capture: CaptureOptions;
  readonly log: DiagnosticLog;
  readonly interruption: Interruption;
  readonly packetsMax: number | undefined;
  /** How many decide, where they can; the reference is walked by one. */
  readonly workers: number;
}

/** What the rounds took and said. */
export interface Rounds {
  /** Without the first round, which is for the compilers to warm up. */
  readonly seconds: readonly number[];
  readonly repeated: number;
  readonly totals: Totals;
  readonly flows: number;
  readonly rules: readonly RuleCount[];
  readonly memory: Memory;
  /** How many decided. */
  readonly workers: number;
  readonly partial: TrafficEnd["partial"];
}

/** One replay. */
interface Round {
  readonly matcher: Matcher;
  readonly end: TrafficEnd;
  readonly seconds: number;
  /** Of all workers. */
  readonly repeated: number;
  readonly matcherBytes: number;
}

/** The reference walks about this long; at least this many packets. */
const REFERENCE_SECONDS = 5;
const REFERENCE_PACKETS_MIN = 2_000;

/**
 * Replays so many times, and once before. The rounds end early when interrupted. Those of several workers hold their
 * start and the loading of their tables.
 */
export async function runRounds(asked: RoundsOptions, repeats: number): Promise<Rounds> {
  const { first, options } = await replayFirst(asked);
  const memory = {
    peakBytes: process.resourceUsage().maxRSS * 1024,
    matcherBytes: first.matcherBytes,
  };
  const { matcher, end } = first;
  const said = {
    repeated: first.repeated,
    totals: matcher.totals(),
    flows: countOf(matcher.flows(end.names)),
    rules: [...matcher.ruleCounts()],
  };
  const seconds: number[] = [];
  let { partial } = end;
  for (let round = 0; round < repeats && partial !== "interrupted"; round++) {
    const { seconds: taken, end: ended } = await replayAgain(options);
    seconds.push(taken);
    partial = ended.partial;
  }
  return { ...said, memory, seconds, partial, workers: options.workers };
}

/** The first round, and by how many workers the others go on. */
async function replayFirst(
  options: RoundsOptions,
): Promise<{ readonly first: Round; readonly options: RoundsOptions }> {
  const { capture, packetsMax, workers: wanted } = options;
  const plan = { capture, packetsWanted: false, packetsMax, wanted };
  const { count, why } = planWorkers(plan);
  const planned = { ...options, workers: count };
  const crew = count > 1 ? await replayTogether(planned) : why;
  if (typeof crew === "object") return { first: crew, options: planned };
  if (crew !== undefined)
    process.stderr.write(`netverdict: note: one worker decides all: ${crew}\n`);
  return { first: await replayOnce(options, {}), options: { ...options, workers: 1 } };
}

async function replayAgain(options: RoundsOptions): Promise<Round> {
  if (options.workers === 1) return await replayOnce(options, {});
  const round = await replayTogether(options);
  if (typeof round === "object") return round;
  throw new Failure(
    `the rounds are not alike: several workers cannot decide it any more: ${round}`,
  );
}

/** Replays by all workers; the reason why that cannot be, in words. */
async function replayTogether(options: RoundsOptions): Promise<Round | string> {
  const start = performance.now();
  const { judge, workers: count } = options;
  const { program } = judge;
  const crew = await replayByCrew({
    ...{ ...trafficOptions(options), program, crew: new Crew(count) },
    matcher: matcherOptions(options),
  });
  if (crew.matcher === undefined) return crew.why;
  return { ...crew, seconds: (performance.now() - start) / 1000 };
}

/**
 * Walks for every packet, as many packets as there is time for, and compares with what is said without.
 *
 * @throws Error when the two differ
 */
export async function runReference(options: RoundsOptions, packets: number): Promise<Reference> {
  const few = Math.min(packets, REFERENCE_PACKETS_MIN);
  const probe = await replayOnce({ ...options, packetsMax: few }, { walkAll: true });
  const affordable = Math.floor((few / probe.seconds) * REFERENCE_SECONDS);
  const part = { ...options, packetsMax: Math.min(packets, Math.max(few, affordable)) };
  const walked = await replayOnce(part, { walkAll: true });
  compare(walked, await replayOnce(part, {}));
  return {
    packets: part.packetsMax,
    seconds: walked.seconds,
    visits: walked.matcher.rulesVisited(),
  };
}

async function replayOnce(
  options: RoundsOptions,
  { walkAll = false }: { readonly walkAll?: boolean },
): Promise<Round> {
  const { program } = options.judge;
  const matcher = loadProgramMatcher(program, { ...matcherOptions(options), walkAll });
  const traffic = trafficOptions(options);
  const start = performance.now();
  const end = await replayTraffic({ ...traffic, matcher });
  const seconds = (performance.now() - start) / 1000;
  const matcherBytes = matcher.memory().byteLength;
  return { matcher, end, seconds, repeated: matcher.repeated(), matcherBytes };
}

function matcherOptions({ judge, capture }: RoundsOptions): MatcherOptions {
  const { midstream } = judge;
  return { midstream, conntrackMax: capture.conntrackMax, tracePacket: undefined };
}

function trafficOptions({
  judge,
  capture,
  log,
  interruption,
  packetsMax,
}: RoundsOptions): Omit<CountedTraffic, "matcher"> {
  const resolveName = makeResolver(capture.hosts, judge.snapshot, log);
  return { capture, resolveName, log, interruption, packetsMax };
}

function countOf(values: Iterable<unknown>): number {
  const iterator = values[Symbol.iterator]();
  let count = 0;
  while (iterator.next().done !== true) count += 1;
  return count;
}

function compare(walked: Round, short: Round): void {
  const [one, other] = [walked, short].map(({ matcher, end }) => ({
    totals: [JSON.stringify(matcher.totals())],
    flows: mapEach(matcher.flows(end.names), flowKey),
    rules: mapEach(matcher.ruleCounts(), ({ packets, bytes }) => `${packets} ${bytes}`),
  }));
  for (const part of ["totals", "flows", "rules"] as const) {
    if (one === undefined || other === undefined || !sameValues(one[part], other[part])) {
      throw new Error(`bug: the ${part} of packets that walk differ from those that do not`);
    }
  }
}

/** Two lists may be too long to be held at once. */
function sameValues(ones: Iterable<string>, others: Iterable<string>): boolean {
  const rest = others[Symbol.iterator]();
  for (const one of ones) {
    const other = rest.next();
    if (other.done === true || other.value !== one) return false;
  }
  return rest.next().done === true;
}

function* mapEach<T>(values: Iterable<T>, of: (value: T) => string): Generator<string> {
  for (const value of values) yield of(value);
}

function flowKey(flow: FlowVerdict): string {
  const { firstPacket, packets, bytes, verdict, reason, reject, rule, decider } = flow;
  const rules = [rule, decider].map((ref) => `${ref?.table} ${ref?.chain} ${ref?.number}`);
  return [firstPacket, packets, bytes, verdict, reason, reject, ...rules].join(" ");
}
