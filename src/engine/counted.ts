/** What one of several workers has counted, from its matcher's memory to that of the one that reports. */
import * as layout from "../../assembly/layout.ts";
import type { MatcherExports } from "./exports.ts";

/** Counts of one worker, as they lie in the records of layout.ts. */
export interface Counted {
  readonly totals: BigUint64Array<ArrayBuffer>;
  /** Packets and bytes of every rule by its number, ends of chains included. */
  readonly rules: BigUint64Array<ArrayBuffer>;
  /** Flow records, many in each piece. */
  readonly flows: readonly Uint8Array<ArrayBuffer>[];
}

/** Rows in a piece of them. */
export const FLOWS_IN_PIECE = 1 << 12;

/** Takes a copy of the counts. */
export function readCounted(exports: MatcherExports, ruleCount: number): Counted {
  const totalsAt = exports.totalsAddress();
  const rules = readCounters(exports, ruleCount);
  const view = new DataView(exports.memory.buffer);
  const totals = Array.from({ length: layout.TOTAL_SIZE / 8 }, (_, index) =>
    view.getBigUint64(totalsAt + 8 * index, true),
  );
  return { totals: BigUint64Array.from(totals), rules, flows: readFlows(exports) };
}

/** Packets and bytes of every rule by its number, in turns. */
function readCounters(exports: MatcherExports, ruleCount: number): BigUint64Array<ArrayBuffer> {
  exports.settleSayings();
  const counters = new BigUint64Array(2 * ruleCount);
  const pageLength = 1 << layout.COUNTER_PAGE_BITS;
  for (let first = 0; first < ruleCount; first += pageLength) {
    const at = exports.countersFrom(first);
    if (at === 0) continue;
    const count = Math.min(pageLength, ruleCount - first);
    counters.set(new BigUint64Array(exports.memory.buffer, at, 2 * count), 2 * first);
  }
  return counters;
}

/** Takes a copy of the rows of flows, by their places. */
export function readFlows(exports: MatcherExports): Uint8Array<ArrayBuffer>[] {
  const count = exports.flowCount();
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  if (count === 0) return pieces;
  // Every row is written out at one place.
  const at = exports.flowAt(0);
  const row = new Uint8Array(exports.memory.buffer, at, layout.FLOW_SIZE);
  for (let first = 0; first < count; first += FLOWS_IN_PIECE) {
    const length = Math.min(FLOWS_IN_PIECE, count - first);
    const piece = new Uint8Array(length * layout.FLOW_SIZE);
    for (let index = 0; index < length; index++) {
      exports.flowAt(first + index);
      piece.set(row, index * layout.FLOW_SIZE);
    }
    pieces.push(piece);
  }
  return pieces;
}

/** Counts with the matcher's own what another worker has counted by the same program. */
export function addCounted(exports: MatcherExports, { totals, rules, flows }: Counted): void {
  exports.setFlowsMax(layout.FLOW_MAX);
  const view = new DataView(exports.memory.buffer);
  const totalsAt = exports.totalsAddress();
  totals.forEach((more, index) => {
    const at = totalsAt + 8 * index;
    view.setBigUint64(at, view.getBigUint64(at, true) + more, true);
  });
  // Most rules have counted nothing.
  const words = new Uint32Array(rules.buffer);
  for (let number = 0; 4 * number < words.length; number++) {
    if (words[4 * number] === 0 && words[4 * number + 1] === 0) continue;
    exports.countAtRule(number, rules[2 * number] ?? 0n, rules[2 * number + 1] ?? 0n);
  }
  const record = exports.allocate(FLOWS_IN_PIECE * layout.FLOW_SIZE);
  for (const piece of flows) {
    new Uint8Array(exports.memory.buffer).set(piece, record);
    for (let at = 0; at < piece.length; at += layout.FLOW_SIZE) exports.addFlow(record + at);
  }
}
