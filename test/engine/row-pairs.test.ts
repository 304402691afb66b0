/** Which rows of two replays counted the same packets. */
import { describe, expect, it } from "vitest";

import { ROW_LOG_NONE } from "../../assembly/layout.ts";
import { RowPairs } from "../../src/engine/row-pairs.ts";
import { makeRandom } from "../../src/workload/random.ts";

const log = (...entries: readonly (readonly [packet: number, row: number])[]): Uint32Array =>
  new Uint32Array(entries.flat());

describe("RowPairs", () => {
  it("counts packets by both of their rows, whoever tells them first", () => {
    const pairs = new RowPairs();
    pairs.add(0, log([1, 0], [2, 1], [3, 0]));
    expect(pairs.lead(0)).toBe(3);
    pairs.add(1, log([1, 5], [2, 5]));
    pairs.add(1, log([3, 6], [4, 5]));
    pairs.add(0, log([4, 0]));
    expect(pairs.lead(0)).toBe(0);
    expect(pairs.pairs()).toEqual([
      { rows: [0, 5], packets: 2, firstPacket: 1 },
      { rows: [1, 5], packets: 1, firstPacket: 2 },
      { rows: [0, 6], packets: 1, firstPacket: 3 },
    ]);
  });

  it("leaves out what is in no row, and what only one has told", () => {
    const pairs = new RowPairs();
    pairs.add(0, log([1, ROW_LOG_NONE], [2, 0], [3, 0]));
    pairs.add(1, log([1, ROW_LOG_NONE], [2, 0]));
    expect(pairs.pairs()).toEqual([{ rows: [0, 0], packets: 1, firstPacket: 2 }]);
  });

  it("counts the same, however far one is ahead and in whatever order verdicts were settled", () => {
    const random = makeRandom(7);
    const packets = 300_000;
    const rows = Array.from({ length: packets }, () => [random.below(5), random.below(3)] as const);
    const expected = new Map<string, number>();
    for (const pair of rows) expected.set(pair.join(), (expected.get(pair.join()) ?? 0) + 1);
    const pairs = new RowPairs();
    for (const side of [0, 1] as const) {
      for (let first = 0; first < packets; first += 1000) {
        const entries = rows
          .slice(first, first + 1000)
          .map((row, at) => [first + at + 1, row[side]]);
        // A datagram's first fragment is settled behind what came after it.
        const late = entries.splice(random.below(900), 3);
        pairs.add(side, new Uint32Array([...entries, ...late].flat()));
      }
    }
    const found = pairs.pairs().map((pair) => [pair.rows.join(), pair.packets] as const);
    expect(new Map(found)).toEqual(expected);
  });
});
