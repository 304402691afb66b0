/** The records of a batch: empty when appended, numbered over the whole capture. */
import { describe, expect, it } from "vitest";
import * as layout from "../../assembly/layout.ts";
import { makeBatch } from "../../src/capture/batch.ts";

const NUMBER = layout.PACKET_NUMBER;

/** A record's bytes without what `append` sets. */
function rest(view: DataView, at: number): Uint8Array {
  const bytes = new Uint8Array(view.buffer, at, layout.PACKET_SIZE).slice();
  new DataView(bytes.buffer).setUint16(layout.PACKET_CAPTURE_INTERFACE, 0);
  return bytes.fill(0, NUMBER, NUMBER + 8);
}

describe("PacketBatch", () => {
  it("appends empty records, also after records that were taken back", () => {
    const { batch } = makeBatch(0);
    for (let index = 0; index < 3; index += 1) {
      const at = batch.append();
      new Uint8Array(batch.view.buffer, at, layout.PACKET_SIZE).fill(0xff);
    }
    batch.count = 1;
    batch.clear();
    for (let index = 0; index < 3; index += 1)
      expect(rest(batch.view, batch.append()).every((byte) => byte === 0)).toBe(true);
  });

  it("numbers packets on after a clear, beyond 32 bits too", () => {
    const { batch } = makeBatch(0);
    batch.append();
    batch.clear();
    expect(batch.view.getBigUint64(batch.append() + NUMBER, true)).toBe(2n);
    const { batch: later } = makeBatch(0);
    later.packetNumber = 0x1_0000_0000;
    expect(later.view.getBigUint64(later.append() + NUMBER, true)).toBe(0x1_0000_0001n);
  });

  it("is full at its capacity and gives no arena beyond its size", () => {
    const { batch } = makeBatch(0);
    for (let index = 0; index < batch.capacity; index += 1) {
      expect(batch.full).toBe(false);
      batch.append();
    }
    expect(batch.full).toBe(true);
    const first = batch.reserve(layout.ARENA_SIZE);
    expect(first).toBeTypeOf("number");
    expect(batch.reserve(1)).toBeUndefined();
    batch.clear();
    expect(batch.reserve(1)).toBe(first);
  });
});
