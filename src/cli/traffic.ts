/**
 * Captures into the matcher, a batch at a time, in the order of their time. Several captures are read
 * one after another; those that overlap in time are refused, because their flows would be judged in the
 * wrong order.
 */
import * as timers from "node:timers/promises";
import { makeBatch } from "../capture/batch.ts";
import { assignInterface, readTimestamp } from "../capture/record.ts";
import { openCapture } from "../capture/stream.ts";
import type { CaptureStream } from "../capture/stream.ts";
import type { ResolveName } from "../cluster/names.ts";
import type { Matcher } from "../engine/matcher.ts";
import type { OnDiagnostic } from "../errors.ts";
import type { CaptureNature } from "../report/reason.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import { Failure } from "./failure.ts";
import type { Interruption } from "./interruption.ts";
import type { CaptureOptions } from "./options.ts";
import { openSource } from "./source.ts";

/** What captures are replayed with. */
export interface TrafficOptions {
  readonly capture: CaptureOptions;
  readonly matcher: Matcher;
  readonly resolveName: ResolveName;
  readonly log: DiagnosticLog;
  readonly interruption: Interruption;
  /** Most packets that are judged; undefined: all. */
  readonly packetsMax: number | undefined;
  /** Called after every batch; false ends the replay. */
  readonly onBatch: (batch: JudgedBatch) => Promise<boolean>;
}

/** One batch whose verdicts can be read. */
export interface JudgedBatch {
  /** Host names that the capture gives instead of addresses. */
  readonly names: readonly string[];
  readonly nature: CaptureNature;
}

/** How a replay ended. */
export interface TrafficEnd {
  readonly nature: CaptureNature;
  readonly names: readonly string[];
  readonly partial: "interrupted" | "damaged" | undefined;
}

/** Batches after which signals get their turn: reading files does not wait for anything. */
const BATCHES_A_TURN = 16;
/** Room for one capture's bytes while its times are looked at. */
const SCAN_SIZE = 1 << 21;

/** Replays the captures; throws a Failure when none of them can be read. */
export async function replayTraffic(options: TrafficOptions): Promise<TrafficEnd> {
  const { capture, log, interruption, matcher } = options;
  const run: Run = { ...options, left: options.packetsMax ?? Infinity, batches: 0, names: [] };
  const errorsBefore = log.errors;
  let nature: CaptureNature = "frames";
  let opened = 0;
  for (const file of await orderByTime(capture.read, interruption)) {
    if (interruption.requested || run.left === 0) break;
    const block = {
      memory: () => matcher.memory(),
      address: matcher.blockAddress,
      size: SCAN_SIZE,
    };
    const report = captureReport(file, log);
    const source = await interruption.race(openSource(file, { onDiagnostic: report }));
    if (source === undefined) continue;
    const { resolveName } = options;
    const opening = openCapture({ source, block, onDiagnostic: report, resolveName });
    const stream = await interruption.race(opening);
    if (stream !== undefined) {
      opened += 1;
      if (stream.format.name === "tcpdump") nature = "text";
      await replayStream(stream, run);
    }
    source.close();
  }
  const damaged = log.errors > errorsBefore;
  if (opened === 0 && damaged) throw new Failure("");
  const partial = interruption.requested ? "interrupted" : damaged ? "damaged" : undefined;
  return { nature, names: run.names, partial };
}

interface Run extends TrafficOptions {
  left: number;
  batches: number;
  names: readonly string[];
}

async function replayStream(stream: CaptureStream, run: Run): Promise<void> {
  const { matcher, interruption, capture } = run;
  const { batch } = matcher;
  const nature = stream.format.name === "tcpdump" ? "text" : "frames";
  while (run.left > 0 && (await interruption.race(stream.fill(batch))) === true) {
    batch.count = Math.min(batch.count, run.left);
    run.left -= batch.count;
    nameInterfaces(stream, matcher, capture.inInterface);
    matcher.replay();
    const { names } = stream.reader;
    run.names = names;
    if (!(await run.onBatch({ names, nature }))) run.left = 0;
    run.batches += 1;
    if (run.batches % BATCHES_A_TURN === 0) await timers.setImmediate();
  }
}

/** `--in-interface` names what the capture does not. */
function nameInterfaces(
  stream: CaptureStream,
  matcher: Matcher,
  inInterface: string | undefined,
): void {
  const names = stream.reader.interfaces.map(({ name }) => name ?? inInterface);
  if (inInterface !== undefined) {
    assignInterface(matcher.batch, names.length);
    names.push(inInterface);
  }
  matcher.nameInterfaces(names);
}

/** Diagnostics of one capture; a manifest that was given as one is told apart by its name. */
function captureReport(file: string, log: DiagnosticLog): OnDiagnostic {
  return (diagnostic) => {
    const manifest = diagnostic.code === "NOT_A_CAPTURE" && /\.(ya?ml|json)$/i.test(file);
    log.report(manifest ? { ...diagnostic, suggestion: `did you mean -f ${file}?` } : diagnostic);
  };
}

interface Span {
  readonly file: string;
  readonly first: bigint;
  readonly last: bigint;
}

/** Orders captures by their first packets; refuses those whose times overlap or are not known. */
async function orderByTime(
  files: readonly string[],
  interruption: Interruption,
): Promise<readonly string[]> {
  if (files.length < 2) return files;
  if (files.includes("-")) {
    throw new Failure("-r -: standard input cannot be replayed together with other captures");
  }
  const spans: Span[] = [];
  const unread: string[] = [];
  for (const file of files) {
    const span = await readSpan(file, interruption);
    if (span === undefined) unread.push(file);
    else spans.push(span);
  }
  spans.sort((one, other) => (one.first < other.first ? -1 : one.first > other.first ? 1 : 0));
  for (const [index, span] of spans.entries()) {
    const before = spans[index - 1];
    if (before !== undefined && span.first < before.last) {
      throw new Failure(
        `${before.file} and ${span.file} overlap in time: merge them first (mergecap -w merged.pcapng ${before.file} ${span.file})`,
      );
    }
  }
  // What has no packets or cannot be read is told by the replay itself.
  return [...spans.map(({ file }) => file), ...unread];
}

async function readSpan(file: string, interruption: Interruption): Promise<Span | undefined> {
  const { batch, bytes } = makeBatch(SCAN_SIZE);
  const block = { memory: () => bytes.buffer, address: bytes.byteOffset, size: SCAN_SIZE };
  const quiet = (): void => undefined;
  const source = await openSource(file, { onDiagnostic: quiet });
  if (source === undefined) return undefined;
  const stream = await openCapture({ source, block, onDiagnostic: quiet });
  let first: bigint | undefined;
  let last: bigint | undefined;
  while (stream !== undefined && (await interruption.race(stream.fill(batch))) === true) {
    for (let index = 0; index < batch.count; index++) {
      const time = readTimestamp(batch, index);
      if (time === undefined) {
        throw new Failure(
          `${file}: its packets have no date, so it cannot be ordered among other captures`,
        );
      }
      if (first === undefined || time < first) first = time;
      if (last === undefined || time > last) last = time;
    }
    await timers.setImmediate();
  }
  source.close();
  return first === undefined || last === undefined ? undefined : { file, first, last };
}
