/**
 * The whole path as one call, for tests: manifests and a capture's bytes go in, through the readers and
 * the Wasm, and a verdict for each packet comes out.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inspect, isDeepStrictEqual } from "node:util";

import { openCapture, type ByteSource, type WalkRecords } from "../src/capture/stream.ts";
import { buildSnapshot } from "../src/cluster/build.ts";
import { parseManifests } from "../src/cluster/manifest.ts";
import type { ManifestText } from "../src/cluster/manifest-object.ts";
import { CaptureOrder } from "../src/engine/capture-order.ts";
import { prepareCopy } from "../src/engine/copy.ts";
import type { Feed } from "../src/engine/feed.ts";
import { loadMatcher, type Matcher } from "../src/engine/matcher.ts";
import type { Program } from "../src/engine/program.ts";
import { sharingOf, type Share } from "../src/engine/share.ts";
import type { PacketVerdict } from "../src/engine/verdict.ts";
import { formatDiagnostic, type Diagnostic } from "../src/errors.ts";
import type { Dialect } from "../src/policy/dialect.ts";
import type { CalicoVersion } from "../src/policy/model.ts";
import { lowerPolicies } from "../src/policy/index.ts";
import { lowerProfiles } from "../src/policy/profile.ts";
import { compileCluster, type CompiledCluster } from "../src/tables/compile.ts";
import { BLOCK_SIZE } from "../assembly/layout.ts";

/** What the whole path is asked. */
export interface Question {
  readonly compiled: Program;
  /** A capture file of any format. */
  readonly capture: Uint8Array;
  /** `cold` when absent: what the kernel does that has seen nothing before. */
  readonly midstream?: "cold" | "assume-established";
  /** The kernel's usual number when absent. */
  readonly conntrackMax?: number;
  /** Number of the packet whose walk is recorded. */
  readonly tracePacket?: number;
  /** Which row counted which packet is told. */
  readonly logRows?: boolean;
  /** Every packet walks the rules: the reference. */
  readonly walkAll?: boolean;
  /** False: packets are only counted, without records of their own. */
  readonly packetsWanted?: boolean;
  /** Only this share is judged. */
  readonly share?: Share;
  /** Packets of the capture that cannot be read are passed over; else they are the test's fault. */
  readonly mayBeDamaged?: boolean;
  /** Packets that were judged before; none when absent. */
  readonly packetsBefore?: number;
  /** Another program decides from this packet on. */
  readonly turn?: { readonly packet: number; readonly program: Program };
}

/** Compiles manifests; an error in them is thrown, as the test's fault. */
export function compileManifests(
  texts: readonly ManifestText[],
  node?: string,
  calicoVersion?: CalicoVersion,
  dialect?: Dialect,
): CompiledCluster & { readonly diagnostics: readonly Diagnostic[] } {
  const diagnostics: Diagnostic[] = [];
  const onDiagnostic = (diagnostic: Diagnostic): void => {
    diagnostics.push(diagnostic);
  };
  const objects = parseManifests(texts, onDiagnostic);
  const snapshot = buildSnapshot(objects, { clusterPrefixes: [], endpoints: [] }, onDiagnostic);
  const policies = lowerPolicies(objects, onDiagnostic, dialect === undefined ? {} : { dialect });
  const compiled = compileCluster(
    snapshot,
    policies,
    { node, calicoVersion, profiles: lowerProfiles(objects, onDiagnostic), dialect },
    onDiagnostic,
  );
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  if (errors.length > 0) throw new Error(errors.map((one) => formatDiagnostic(one)).join("\n"));
  return { ...compiled, diagnostics };
}

/** Compiles objects as `kubectl get -o json` prints them. */
export function compileObjects(
  objects: readonly object[],
  node?: string,
  calicoVersion?: CalicoVersion,
  dialect?: Dialect,
): CompiledCluster {
  const list = { apiVersion: "v1", kind: "List", items: objects };
  return compileManifests(
    [{ file: "cluster.json", text: JSON.stringify(list) }],
    node,
    calicoVersion,
    dialect,
  );
}

/**
 * Judges every packet of the capture, in order: once by the short way, once by walking, and once without a
 * record for each packet, which must come to the same in all that is ever reported.
 */
export async function judgeCapture(question: Question): Promise<PacketVerdict[]> {
  const short = await judgeOnce(question);
  const walked = await judgeOnce({ ...question, walkAll: true });
  for (const part of ["verdicts", "flows", "rules"] as const) {
    for (const [index, one] of short[part].entries()) {
      if (isDeepStrictEqual(one, walked[part][index])) continue;
      const words = [one, walked[part][index]].map((each) => inspect(each, { depth: 4 }));
      throw new Error(`${part}[${index}]: the short way differs from the walk: ${words.join(" ")}`);
    }
  }
  if (!isDeepStrictEqual(short, walked))
    throw new Error("the short way counts what the walk does not");
  const counted = await countCapture(question);
  if (!isDeepStrictEqual(counted, { ...short, verdicts: [] })) {
    throw new Error("packets without records of their own are counted otherwise");
  }
  // Where rules change one worker decides all.
  if (question.turn !== undefined) return short.verdicts;
  for (const count of [2, 3]) {
    const shared = await shareCapture(question, count);
    if (shared === undefined) break;
    refuseOthers(shared, counted, count);
  }
  return short.verdicts;
}

function refuseOthers(shared: Judged, whole: Judged, count: number): void {
  if (isDeepStrictEqual(shared, whole)) return;
  for (const part of ["flows", "rules"] as const) {
    for (let index = 0; index < Math.max(shared[part].length, whole[part].length); index++) {
      if (isDeepStrictEqual(shared[part][index], whole[part][index])) continue;
      const words = [whole, shared].map((each) => inspect(each[part][index], { depth: 4 }));
      throw new Error(`${part}[${index}]: ${count} workers differ from one: ${words.join(" ")}`);
    }
  }
  const words = [whole, shared].map(({ totals }) => inspect(totals));
  throw new Error(`totals: ${count} workers differ from one: ${words.join(" ")}`);
}

/**
 * Judges a capture in so many shares, and adds them up; undefined where it has to be judged as a whole. Those
 * behind the first are begun from a copy of it.
 */
export async function shareCapture(question: Question, count: number): Promise<Judged | undefined> {
  if (sharingOf(question.compiled).kind === "whole") return undefined;
  const asked = { ...question, packetsWanted: false };
  const first = loadQuestion({ ...asked, share: { index: 0, count } });
  const copy = first.copy();
  let named: readonly string[] = [];
  await feedCapture(first, asked, (names) => {
    named = names;
  });
  if (first.obstacle() !== undefined) return undefined;
  for (let index = 1; index < count; index++) {
    const other = prepareCopy(matcherWasm())(copy, { index, count });
    await feedCapture(other, asked);
    if (other.obstacle() !== undefined) return undefined;
    first.addCounted(other.counted());
  }
  return {
    verdicts: [],
    flows: [...first.flows(named)],
    rules: [...first.ruleCounts()],
    totals: first.totals(),
  };
}

/** Judges a capture whose packets nobody reads one by one. */
async function countCapture(question: Question): Promise<Judged> {
  const judged: Judged = { verdicts: [], flows: [], rules: [], totals: undefined };
  await replayCapture({ ...question, packetsWanted: false }, (matcher, names) => {
    judged.flows = [...matcher.flows(names)];
    judged.rules = [...matcher.ruleCounts()];
    judged.totals = matcher.totals();
  });
  return judged;
}

/** All that is ever reported. */
export interface Judged {
  readonly verdicts: PacketVerdict[];
  flows: unknown[];
  rules: unknown[];
  totals: unknown;
}

async function judgeOnce(question: Question): Promise<Judged> {
  const judged: Judged = { verdicts: [], flows: [], rules: [], totals: undefined };
  let order: CaptureOrder<undefined> | undefined;
  await replayCapture(question, (matcher, names) => {
    order ??= new CaptureOrder(matcher);
    for (const { verdict } of order.take(names, () => undefined)) judged.verdicts.push(verdict);
    judged.flows = [...matcher.flows(names)];
    judged.rules = [...matcher.ruleCounts()];
    judged.totals = matcher.totals();
  });
  return judged;
}

/** Replays a capture and hands out each batch once it is decided; an empty one at its end. */
export async function replayCapture(
  question: Question,
  onBatch: (matcher: Matcher, names: readonly string[]) => void = () => undefined,
): Promise<void> {
  const matcher = loadQuestion(question);
  const { turn } = question;
  await feedCapture(
    matcher,
    question,
    (names) => onBatch(matcher, names),
    turn && { packet: turn.packet, act: () => matcher.changeProgram(turn.program) },
  );
}

function loadQuestion({
  compiled,
  midstream = "cold",
  conntrackMax = 262_144,
  tracePacket,
  logRows = false,
  walkAll = false,
  share,
}: Question): Matcher {
  return loadMatcher(matcherWasm(), compiled, {
    midstream,
    conntrackMax,
    tracePacket,
    logRows,
    walkAll,
    ...(share === undefined ? {} : { share }),
  });
}

async function feedCapture(
  matcher: Feed,
  { compiled, capture, packetsWanted = true, mayBeDamaged = false, packetsBefore = 0 }: Question,
  onBatch: (names: readonly string[]) => void = () => undefined,
  turn?: { readonly packet: number; readonly act: () => void },
): Promise<void> {
  matcher.batch.packetNumber = packetsBefore;
  const own = compiled.topology.interfaces ?? [];
  const stream = await openCapture({
    source: memorySource(capture, packetsWanted ? capture.length : FIRST_PIECE),
    block: {
      memory: () => matcher.memory(),
      address: matcher.blockAddress,
      size: BLOCK_SIZE,
    },
    onDiagnostic: (diagnostic) => {
      if (!mayBeDamaged) throw new Error(formatDiagnostic(diagnostic));
    },
  });
  if (stream === undefined) throw new Error("the capture was not opened");
  const nameInterfaces = (): void => {
    // As the command has it: Linux cooked v2 numbers interfaces as the node does.
    matcher.nameInterfaces(
      stream.reader.interfaces.map(
        ({ name, index }) =>
          name ?? own.find((each) => each.index === index && index !== undefined)?.name,
      ),
    );
  };
  const walk: WalkRecords = (records) => {
    nameInterfaces();
    return matcher.walkRecords(records, Infinity, undefined);
  };
  // As the command has it: up to there packets have records.
  let isAhead = turn !== undefined;
  while (true) {
    if (!packetsWanted && !isAhead && (await stream.walk(matcher.batch, walk)) > 0) continue;
    if (!(await stream.fill(matcher.batch))) break;
    nameInterfaces();
    const { batch } = matcher;
    const index = (turn?.packet ?? Infinity) - 1 - (batch.packetNumber - batch.count);
    const inBatch = turn !== undefined && index >= 0 && index < batch.count;
    matcher.replay(inBatch ? { index, act: turn.act } : undefined);
    if (inBatch) isAhead = false;
    onBatch(stream.reader.names);
  }
  matcher.finish();
  onBatch(stream.reader.names);
}

let wasm: Uint8Array<ArrayBuffer> | undefined;

function matcherWasm(): Uint8Array<ArrayBuffer> {
  wasm ??= new Uint8Array(readFileSync(join(import.meta.dirname, "../build/matcher.wasm")));
  return wasm;
}

/** Readers take what comes first, and packets behind it are counted without records of their own. */
const FIRST_PIECE = 400;

/** A source of bytes that lie in memory; the first piece is shorter. */
function memorySource(bytes: Uint8Array, first: number): ByteSource {
  let at = 0;
  return {
    file: "capture",
    failed: false,
    read: (into) => {
      const piece = bytes.subarray(at, at + Math.min(into.length, at === 0 ? first : Infinity));
      into.set(piece);
      at += piece.length;
      return piece.length;
    },
  };
}
