/** What a copied matcher is begun from; that it decides as the first one does is what `shareCapture` compares. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { globalsOf, instantiate } from "../../src/engine/exports.ts";

const WASM = new Uint8Array(readFileSync(join(import.meta.dirname, "../../build/matcher.wasm")));

const SECTION_GLOBALS = 6;
const CONSTANT_I32 = 0x41;
const CONSTANT_I64 = 0x42;
const END = 0x0b;

/** Reads numbers as the binary format has them. */
class Reader {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  byte(): number {
    return this.#bytes[this.at++]!;
  }

  number(): number {
    let value = 0;
    for (let bits = 0; ; bits += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** bits;
      if (byte < 0x80) return value;
    }
  }
}

/** How many globals can change, by the module's own list. */
function countMutable(wasm: Uint8Array): number {
  const reader = new Reader(wasm, 8);
  while (reader.byte() !== SECTION_GLOBALS) {
    const length = reader.number();
    reader.at += length;
  }
  reader.number();
  let mutable = 0;
  for (let left = reader.number(); left > 0; left--) {
    reader.byte();
    mutable += reader.byte();
    expect([CONSTANT_I32, CONSTANT_I64]).toContain(reader.byte());
    reader.number();
    expect(reader.byte()).toBe(END);
  }
  return mutable;
}

describe("a copy of a matcher", () => {
  it("has every global that can change", () => {
    const globals = globalsOf(instantiate(WASM));
    expect(globals.length).toBeGreaterThan(100);
    expect(globals).toHaveLength(countMutable(WASM));
  });
});
