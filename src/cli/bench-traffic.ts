/** Traffic made up for a rule set, as a capture file that goes with the command. */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { converse, openingPacket } from "../workload/conversation.ts";
import type { Flow, TrafficShape } from "../workload/conversation.ts";
import { laterOpening, openingsFor, type FlowOpening } from "../workload/opening.ts";
import { makeRandom } from "../workload/random.ts";
import { trafficPieces } from "../workload/traffic.ts";
import type { DiagnosticLog } from "./diagnostics.ts";
import { Failure, systemErrorText } from "./failure.ts";
import type { Interruption } from "./interruption.ts";
import type { Judge } from "./judge.ts";
import { loadProgramMatcher } from "./matcher.ts";
import type { CaptureOptions } from "./options.ts";
import { replayTraffic } from "./traffic.ts";

/** How much traffic, and which. */
export interface MadeTraffic extends TrafficShape {
  readonly flows: number;
  /** Clients and their services: further flows of theirs differ in the client's port. Absent: each flow has its own. */
  readonly pairs?: number;
  readonly seed: number;
}

/** What is needed to ask which flows get through. */
export interface Asking {
  readonly judge: Judge;
  readonly capture: CaptureOptions;
  readonly log: DiagnosticLog;
  readonly interruption: Interruption;
}

/** A folder for files that are gone when the command ends. */
export class TemporaryFolder {
  static readonly #kept = new Set<TemporaryFolder>();
  readonly #path = mkdtempSync(join(tmpdir(), "netverdict-"));

  static {
    process.on("exit", () => {
      for (const folder of TemporaryFolder.#kept) folder.dispose();
    });
  }

  constructor() {
    TemporaryFolder.#kept.add(this);
  }

  file(name: string): string {
    return join(this.#path, name);
  }

  dispose(): void {
    TemporaryFolder.#kept.delete(this);
    rmSync(this.#path, { recursive: true, force: true });
  }
}

/** Writes a capture that suits the rules: drops are tried again and not answered. Gives its name. */
export async function makeTraffic(
  folder: TemporaryFolder,
  { flows, pairs = flows, seed, ...shape }: MadeTraffic,
  asking: Asking,
): Promise<string> {
  const random = makeRandom(seed);
  const { program } = asking.judge;
  const draw = openingsFor(program);
  const count = Math.min(flows, shape.packets);
  const firsts = Array.from({ length: Math.min(pairs, count) }, () => draw(random));
  const openings: FlowOpening[] = [];
  for (let later = 0; openings.length < count; later++) {
    for (const opening of firsts.slice(0, count - openings.length))
      openings.push(laterOpening(opening, later));
  }
  const first = folder.file("openings");
  writeCapture(first, trafficPieces(program, openings.map(openingPacket)));
  const answered = await answeredOf(first, asking);
  const whole: Flow[] = openings.map((opening, index) => ({
    ...opening,
    answered: answered.has(index + 1),
  }));
  const file = folder.file("generated");
  writeCapture(file, trafficPieces(program, converse(whole, shape, random)));
  return file;
}

/** Numbers of the packets that get through. */
async function answeredOf(file: string, asking: Asking): Promise<ReadonlySet<number>> {
  const { judge, capture, log, interruption } = asking;
  const matcher = loadProgramMatcher(judge.program, {
    midstream: judge.midstream,
    conntrackMax: capture.conntrackMax,
    tracePacket: undefined,
  });
  const through = new Set<number>();
  await replayTraffic({
    capture: { ...capture, read: [file] },
    ...{ matcher, log, interruption },
    resolveName: () => undefined,
    packetsMax: undefined,
    packetsWanted: true,
    onBatch: async ({ settled }) => {
      for (const { verdict } of settled()) {
        if (verdict.verdict === "allow") through.add(verdict.number);
      }
      return true;
    },
  });
  return through;
}

function writeCapture(file: string, pieces: Iterable<Uint8Array>): void {
  try {
    const descriptor = openSync(file, "wx");
    for (const piece of pieces) {
      for (let at = 0; at < piece.length;) at += writeSync(descriptor, piece, at);
    }
    closeSync(descriptor);
  } catch (error) {
    throw new Failure(`${file}: the traffic cannot be written: ${systemErrorText(error)}`);
  }
}
