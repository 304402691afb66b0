/**
 * Captures into the matcher, a batch at a time, in the order of their time. One capture's bytes are read
 * straight into the matcher's block; several have a block each and are merged.
 */
import type { Readable } from "node:stream";
import * as timers from "node:timers/promises";
import type { PacketBatch } from "../capture/batch.ts";
import { mergeCaptures } from "../capture/merge.ts";
import type { OriginalPacket, OriginalSection } from "../capture/original.ts";
import { assignInterface } from "../capture/record.ts";
import { openCapture } from "../capture/stream.ts";
import type { Block, CaptureStream, PacketStream, WalkRecords } from "../capture/stream.ts";
import type { ResolveName } from "../cluster/names.ts";
import { CaptureOrder } from "../engine/capture-order.ts";
import type { SettledPacket } from "../engine/capture-order.ts";
import type { Feed, Turn } from "../engine/feed.ts";
import type { Matcher } from "../engine/matcher.ts";
import type { OnDiagnostic, Place } from "../errors.ts";
import type { CaptureNature } from "../report/reason.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import { Failure } from "./failure.ts";
import type { Interruption } from "./interruption.ts";
import { MANIFEST_NAME } from "./manifest-name.ts";
import type { CaptureOptions } from "./options.ts";
import type { Pace } from "./pace.ts";
import { openSource } from "./source.ts";
import type { OpenSource } from "./source.ts";

/** What captures are replayed with, whatever is read of them. */
interface ReplayedCaptures {
  readonly capture: CaptureOptions;
  readonly resolveName: ResolveName;
  readonly log: DiagnosticLog;
  readonly interruption: Interruption;
  /** Most packets that are judged; undefined: all. */
  readonly packetsMax: number | undefined;
  /** Called whenever packets have been counted, their verdicts read or not; what it returns is waited for. */
  readonly onCounted?: () => Promise<void>;
  /** Something is done in mid-capture. */
  readonly turn?: BatchTurn;
  /** Streams that stand for paths which can be read once only. */
  readonly pipes?: ReadonlyMap<string, Readable>;
  /** Of one of several workers. */
  readonly pace?: Pace;
}

/** Traffic whose packets are counted only, which is faster. */
export interface CountedTraffic extends ReplayedCaptures {
  readonly matcher: Feed;
  /** By this the other kind is told. */
  readonly onBatch?: undefined;
}

/** Traffic whose packets are perhaps read one by one. */
export interface JudgedTraffic extends ReplayedCaptures {
  readonly matcher: Matcher;
  /** Somebody reads single verdicts. */
  readonly packetsWanted: boolean;
  /** Packets are written again as they were; with `packetsWanted`. */
  readonly originalsWanted?: boolean;
  /** Called after every batch, and once more, with an empty one, at the end; false ends the replay. */
  readonly onBatch: (batch: JudgedBatch) => Promise<boolean>;
}

type Traffic = CountedTraffic | JudgedTraffic;

/** What is done before a packet that its time tells. */
export interface BatchTurn {
  /** It was not done yet. */
  readonly pending: boolean;
  /** Where in the batch it is done; undefined: it is not. */
  turnIn(batch: PacketBatch): Turn | undefined;
}

/** One batch whose verdicts can be read. */
export interface JudgedBatch {
  /** Host names that the capture gives instead of addresses. */
  readonly names: readonly string[];
  /** The packets whose verdicts stand now, in capture order. Called for every batch, or never. */
  readonly settled: () => readonly SettledPacket<Origin>[];
}

/** Where a packet was captured. */
export interface Origin {
  readonly nature: CaptureNature;
  /** Its file and its number there; undefined where one capture is all there is. */
  readonly place: Place | undefined;
  /** Undefined: not wanted. */
  readonly original: OriginalPacket | undefined;
}

/** How a replay ended. */
export interface TrafficEnd {
  readonly nature: CaptureNature;
  readonly names: readonly string[];
  /** The last section of each capture; none of a text. */
  readonly sections: readonly OriginalSection[];
  readonly partial: "interrupted" | "damaged" | undefined;
}

/** Packets after which signals get their turn: reading files does not wait for anything. */
const PACKETS_A_TURN = 16_384;
/** Memory for the blocks of all captures that are merged. */
const MERGE_MEMORY = 1 << 28;
/** Smallest block of one of them: holds the largest record that a capture may have. */
const MERGE_BLOCK_MIN = 1 << 20;
const CAPTURES_MAX = 512;

/** Replays the captures; throws a Failure when none of them can be read. */
export async function replayTraffic(options: Traffic): Promise<TrafficEnd> {
  const { capture, log, interruption } = options;
  const { read: files } = capture;
  if (files.length > CAPTURES_MAX) {
    throw new Failure(
      `${files.length} captures are more than the ${CAPTURES_MAX} that are merged: join some of them first (mergecap -w joined.pcapng FILE...)`,
    );
  }
  const errorsBefore = log.errors;
  const sources: OpenSource[] = [];
  const streams: CaptureStream[] = [];
  let names: readonly string[] = [];
  try {
    for (const file of files) {
      const opened = await openStream(file, sources, options);
      if (opened !== undefined) streams.push(opened);
    }
    if (options.onBatch !== undefined && options.originalsWanted === true) refuseTexts(streams);
    if (streams.length === 0 && log.errors > errorsBefore) throw new Failure("");
    const stream = files.length === 1 ? streams[0] : await mergeStreams(streams, options);
    if (stream !== undefined) {
      await replayStream(stream, options);
      names = stream.names;
    }
  } finally {
    for (const source of sources) source.close();
  }
  const text = streams.some(({ format }) => format.name === "tcpdump");
  const damaged = log.errors > errorsBefore;
  return {
    nature: text ? "text" : "frames",
    names,
    sections: streams.flatMap(({ reader }) => reader.section ?? []),
    partial: interruption.requested ? "interrupted" : damaged ? "damaged" : undefined,
  };
}

function refuseTexts(streams: readonly CaptureStream[]): void {
  const text = streams.find(({ format }) => format.name === "tcpdump");
  if (text === undefined) return;
  throw new Failure(
    `${text.file}: it is text, whose packets cannot be written again: capture bytes (tcpdump -w FILE)`,
  );
}

/** Opens one capture; undefined when it cannot be read, which was reported, or when interrupted. */
async function openStream(
  file: string,
  sources: OpenSource[],
  { capture, log, interruption, matcher, resolveName, pipes }: Traffic,
): Promise<CaptureStream | undefined> {
  const onDiagnostic = captureReport(file, log);
  const source = await interruption.race(
    openSource(file, { onDiagnostic, pipe: pipes?.get(file) }),
  );
  if (source === undefined) return undefined;
  sources.push(source);
  const block = takeBlock(matcher, capture.read.length);
  return await interruption.race(openCapture({ source, block, onDiagnostic, resolveName }));
}

function takeBlock(matcher: Feed, captures: number): Block {
  const memory = (): ArrayBufferLike => matcher.memory();
  const { blockAddress, blockSize } = matcher;
  if (captures === 1) return { memory, address: blockAddress, size: blockSize };
  const share = Math.floor(MERGE_MEMORY / captures);
  const size = Math.min(blockSize, Math.max(MERGE_BLOCK_MIN, share));
  return { memory, address: matcher.allocate(size), size };
}

async function mergeStreams(
  streams: readonly CaptureStream[],
  { log, interruption, matcher }: Traffic,
): Promise<PacketStream | undefined> {
  const merged = await interruption.race(
    mergeCaptures({
      streams,
      memory: () => matcher.memory(),
      allocate: (size) => matcher.allocate(size),
      onDiagnostic: log.report,
    }),
  );
  if (merged === undefined && !interruption.requested) throw new Failure("");
  return merged;
}

async function replayStream(stream: PacketStream, options: Traffic): Promise<void> {
  const { matcher, interruption, capture, packetsMax, onCounted, pace, turn } = options;
  const { batch } = matcher;
  const packetsWanted = options.onBatch !== undefined && options.packetsWanted;
  const judged = options.onBatch === undefined ? async () => true : judgedBatches(stream, options);
  // Workers end together, not where one of them is interrupted.
  const wait = async <T>(work: Promise<T>): Promise<T | undefined> =>
    pace === undefined ? await interruption.race(work) : await work;
  let left = packetsMax ?? Infinity;
  let inTurn = 0;
  const giveTurn = async (packets: number): Promise<void> => {
    inTurn += packets;
    if (inTurn < PACKETS_A_TURN) return;
    inTurn = 0;
    await timers.setImmediate();
  };
  let allowed = Infinity;
  const walk: WalkRecords = (records) => {
    const captureInterface = nameInterfaces(stream, matcher, capture.inInterface);
    return matcher.walkRecords(records, Math.min(left, allowed), captureInterface);
  };
  while (left > 0) {
    if (pace !== undefined) {
      if (interruption.requested) pace.stop();
      if (matcher.obstacle() !== undefined) pace.giveUp();
      allowed = pace.begin(batch.packetNumber, left);
      if (allowed === 0) break;
    }
    if (!packetsWanted && turn?.pending !== true && stream.walk !== undefined) {
      const walked = await wait(stream.walk(batch, walk));
      if (walked === undefined) break;
      left -= walked;
      if (walked > 0) {
        await onCounted?.();
        await giveTurn(walked);
        continue;
      }
    }
    if ((await wait(stream.fill(batch))) !== true) break;
    if (pace !== undefined) allowed = pace.begin(batch.packetNumber - batch.count, batch.count);
    batch.count = Math.min(batch.count, left, allowed);
    left -= batch.count;
    const captureInterface = nameInterfaces(stream, matcher, capture.inInterface);
    if (captureInterface !== undefined) assignInterface(batch, captureInterface);
    matcher.replay(turn?.turnIn(batch));
    await onCounted?.();
    if (!(await judged())) return;
    await giveTurn(batch.count);
  }
  matcher.finish();
  await onCounted?.();
  await judged();
}

/** What tells each batch once it was replayed. */
function judgedBatches(
  stream: PacketStream,
  { matcher, originalsWanted, onBatch }: JudgedTraffic,
): () => Promise<boolean> {
  const order = new CaptureOrder<Origin>(matcher);
  const originAt = (index: number): Origin => ({
    nature: stream.formatAt(index) === "tcpdump" ? "text" : "frames",
    place: stream.placeAt(index),
    original: originalsWanted === true ? stream.originalAt(matcher.batch, index) : undefined,
  });
  return () => {
    const { names } = stream;
    return onBatch({ names, settled: () => order.take(names, originAt) });
  };
}

/**
 * What the capture numbers has the node's names; `--in-interface` names the rest, and its number is
 * returned.
 */
function nameInterfaces(
  stream: PacketStream,
  matcher: Feed,
  inInterface: string | undefined,
): number | undefined {
  const names = stream.interfaces.map(({ name, index }) => {
    const told = index === undefined ? undefined : matcher.interfaceName(index);
    return name ?? told ?? inInterface;
  });
  if (inInterface !== undefined) names.push(inInterface);
  matcher.nameInterfaces(names);
  return inInterface === undefined ? undefined : names.length - 1;
}

/** Diagnostics of one capture; a manifest that was given as one is told apart by its name. */
function captureReport(file: string, log: DiagnosticLog): OnDiagnostic {
  return (diagnostic) => {
    const manifest = diagnostic.code === "NOT_A_CAPTURE" && MANIFEST_NAME.test(file);
    log.report(manifest ? { ...diagnostic, suggestion: `did you mean -f ${file}?` } : diagnostic);
  };
}
