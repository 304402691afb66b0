/** What one of several workers has counted, from its matcher's memory to that of the one that reports. */
import * as layout from "../../assembly/layout.ts";
import type { MatcherExports } from "./exports.ts";

/** Counts of one worker, as they lie in the records of layout.ts. */
export interface Counted {
  readonly totals: BigUint64Array<ArrayBuffer>;
  /** Packets and bytes of every rule record. */
  readonly rules: BigUint64Array<ArrayBuffer>;
  /** Flow records, many in each piece. */
  readonly flows: readonly Uint8Array<ArrayBuffer>[];
}

const FLOWS_IN_PIECE = 1 << 12;

/** Takes a copy of the counts. */
export function readCounted(exports: MatcherExports, ruleCount: number): Counted {
  const totalsAt = exports.totalsAddress();
  const rulesAt = exports.rulesAddress();
  const view = new DataView(exports.memory.buffer);
  const rules = new BigUint64Array(2 * ruleCount);
  for (let index = 0; index < ruleCount; index++) {
    const at = rulesAt + index * layout.RULE_SIZE;
    rules[2 * index] = view.getBigUint64(at + layout.RULE_PACKETS, true);
    rules[2 * index + 1] = view.getBigUint64(at + layout.RULE_BYTES, true);
  }
  const totals = Array.from({ length: layout.TOTAL_SIZE / 8 }, (_, index) =>
    view.getBigUint64(totalsAt + 8 * index, true),
  );
  return { totals: BigUint64Array.from(totals), rules, flows: readFlows(exports) };
}

function readFlows(exports: MatcherExports): Uint8Array<ArrayBuffer>[] {
  const count = exports.flowCount();
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for (let first = 0; first < count; first += FLOWS_IN_PIECE) {
    const length = Math.min(FLOWS_IN_PIECE, count - first);
    const piece = new Uint8Array(length * layout.FLOW_SIZE);
    for (let index = 0; index < length; index++) {
      const row = new Uint8Array(
        exports.memory.buffer,
        exports.flowAt(first + index),
        layout.FLOW_SIZE,
      );
      piece.set(row, index * layout.FLOW_SIZE);
    }
    pieces.push(piece);
  }
  return pieces;
}

/** Counts with the matcher's own what another worker has counted by the same program. */
export function addCounted(exports: MatcherExports, { totals, rules, flows }: Counted): void {
  exports.setFlowsMax(layout.FLOW_MAX);
  const rulesAt = exports.rulesAddress();
  const totalsAt = exports.totalsAddress();
  const view = new DataView(exports.memory.buffer);
  const add = (at: number, more: bigint): void => {
    if (more !== 0n) view.setBigUint64(at, view.getBigUint64(at, true) + more, true);
  };
  totals.forEach((more, index) => add(totalsAt + 8 * index, more));
  for (let index = 0; 2 * index < rules.length; index++) {
    const at = rulesAt + index * layout.RULE_SIZE;
    add(at + layout.RULE_PACKETS, rules[2 * index] ?? 0n);
    add(at + layout.RULE_BYTES, rules[2 * index + 1] ?? 0n);
  }
  const record = exports.allocate(FLOWS_IN_PIECE * layout.FLOW_SIZE);
  for (const piece of flows) {
    new Uint8Array(exports.memory.buffer).set(piece, record);
    for (let at = 0; at < piece.length; at += layout.FLOW_SIZE) exports.addFlow(record + at);
  }
}
