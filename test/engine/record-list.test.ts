/** Records lie where the walk reads them, however often their place and the Wasm's memory have grown. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as layout from "../../assembly/layout.ts";
import { instantiate } from "../../src/engine/exports.ts";
import { RecordList } from "../../src/engine/record-list.ts";

const WASM = new Uint8Array(readFileSync(new URL("../../build/matcher.wasm", import.meta.url)));
/** Whose records do not fit into the memory that a Wasm begins with. */
const COUNT = 200_000;

describe("RecordList", () => {
  const exports = instantiate(WASM);
  const records = new RecordList(exports);
  for (let record = 0; record < COUNT; record++) {
    records.reserve(1);
    const last = record % 4 === 3;
    records.add({
      ...{ matches: 8 * record, matchesEnd: 8 * record + 4, argument: record % 7 },
      target: !last && record % 3 === 0 ? layout.TARGET_JUMP : layout.TARGET_NONE,
      flags: last ? layout.RULE_IS_END : 0,
    });
  }

  it("finds the calls of a chain, and where they lead", () => {
    expect(records.findCall(4)).toBe(6);
    expect(records.calledAt(6)).toBe(6);
    expect(records.findCall(7)).toBeUndefined();
    expect(records.findCall(COUNT - 4)).toBe(COUNT - 2);
    expect(() => records.findCall(COUNT)).toThrow("no end");
  });

  it("gives back what it does not need, as it was", () => {
    records.close();
    const grown = exports.memory.buffer.byteLength;
    const behind = exports.allocate(grown);
    expect(behind).toBeLessThan(records.address + COUNT * layout.RULE_SIZE + 64);
    const memory = new Uint8Array(exports.memory.buffer, behind, grown);
    expect(memory.every((byte) => byte === 0)).toBe(true);
  });

  it("makes addresses of offsets, but of the ends of chains, which have none", () => {
    records.placePayloads(1000);
    const words = new Uint32Array(
      exports.memory.buffer,
      records.address,
      (COUNT * layout.RULE_SIZE) / 4,
    );
    const matchesOf = (record: number): number =>
      words[(record * layout.RULE_SIZE + layout.RULE_MATCHES) / 4] ?? NaN;
    expect(matchesOf(6)).toBe(1048);
    expect(matchesOf(7)).toBe(56);
    expect(matchesOf(COUNT - 2)).toBe(8 * (COUNT - 2) + 1000);
  });
});
