/** The matcher's classification alone: which rule of the FORWARD chain headers that lie in memory meet first. */
import { instantiate, type MatcherExports } from "../src/engine/exports.ts";
import { packRulesets } from "../src/engine/pack.ts";
import { InterfaceNumbers, numberNodes } from "../src/engine/topology.ts";
import { secondsOf } from "./measure.ts";
import type { PlainPacket } from "./rivals/plain-loop.ts";
import type { Subject } from "./subject.ts";

/** Headers and the rules that they meet. */
export interface Classifier {
  /** Classifies all headers once. */
  run(): void;
  /** Each header's rule by its place in the chain, from 0; `end` is none. */
  places(): Uint32Array;
  readonly end: number;
}

/** What bench/assembly/classify.ts exports besides the matcher. */
interface ClassifierExports extends MatcherExports {
  startClassifying(): void;
  classify(headers: number, count: number, places: number): void;
}

const HEADER_SIZE = 16;
const PLACE_SIZE = 4;
const CONNECTIONS_MAX = 1000;
const PASSES = 5;

/** Packs a subject's rules as the matcher does, and puts headers into its memory. */
export function loadClassifier(
  wasm: Uint8Array<ArrayBuffer>,
  { judge: { program }, rules: end }: Subject,
  headers: readonly PlainPacket[],
): Classifier {
  // The file exports these, too.
  const exports = instantiate(wasm) as ClassifierExports;
  const packing = {
    ...{ interfaces: new InterfaceNumbers(exports), nodes: numberNodes(program.topology) },
    apart: false,
  };
  const { backends, rules, recordCount } = packRulesets(exports, program.rulesets, packing);
  exports.setUp(false, CONNECTIONS_MAX, backends, rules.count, recordCount, false);
  exports.startClassifying();
  const at = exports.allocate(headers.length * HEADER_SIZE);
  const places = exports.allocate(headers.length * PLACE_SIZE);
  const view = new DataView(exports.memory.buffer);
  for (const [index, header] of headers.entries()) {
    const record = at + index * HEADER_SIZE;
    view.setUint32(record, header.source, true);
    view.setUint32(record + 4, header.destination, true);
    view.setUint16(record + 8, header.sourcePort, true);
    view.setUint16(record + 10, header.destinationPort, true);
    view.setUint16(record + 12, header.protocol, true);
  }
  return {
    run: () => exports.classify(at, headers.length, places),
    places: () => new Uint32Array(exports.memory.buffer, places, headers.length),
    end,
  };
}

/** Seconds for one of several passes over all headers. */
export async function classifySeconds(classifier: Classifier): Promise<number> {
  const seconds = await secondsOf(() => {
    for (let pass = 0; pass < PASSES; pass++) classifier.run();
  });
  return seconds / PASSES;
}
