import { describe, expect, it } from "vitest";
import * as layout from "../../assembly/layout.ts";
import { RowClasses } from "../../src/engine/row-classes.ts";

function log(...entries: readonly (readonly [number, number])[]): Uint32Array {
  const words = layout.ROW_LOG_ENTRY / 4;
  const told = new Uint32Array(entries.length * words);
  for (const [at, [number, row]] of entries.entries()) {
    told[at * words] = number;
    told[at * words + layout.ROW_LOG_ROW / 4] = row;
  }
  return told;
}

describe("RowClasses", () => {
  it("tells packets apart by the rows that count them in every replay", () => {
    const classes = new RowClasses();
    classes.begin();
    classes.add(log([1, 7], [2, 7], [3, 8]));
    classes.add(log([100_000, 7], [4, layout.ROW_LOG_NONE]));
    classes.begin();
    // Verdicts are not settled in the order of packets.
    classes.add(log([3, 1], [1, 0], [2, 1], [4, 5]));
    classes.add(log([100_000, 0]));
    expect(classes.classes()).toEqual([
      { rows: [7, 0], packets: 2, firstPacket: 1 },
      { rows: [7, 1], packets: 1, firstPacket: 2 },
      { rows: [8, 1], packets: 1, firstPacket: 3 },
    ]);
  });
});
