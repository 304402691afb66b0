/** LZ4 blocks and their checksum, by vectors and by damage. Whole frames are in test/cli/source.test.ts. */
import { describe, expect, it } from "vitest";
import { decompressBlock, Lz4Source } from "../../src/capture/lz4.ts";
import { Xxh32 } from "../../src/capture/xxhash.ts";
import type { Diagnostic } from "../../src/errors.ts";

const text = (words: string): Uint8Array => new TextEncoder().encode(words);

function hash(...pieces: readonly Uint8Array[]): number {
  const running = new Xxh32();
  for (const piece of pieces) running.update(piece);
  return running.digest();
}

describe("Xxh32", () => {
  it.each([
    ["", 0x02cc5d05],
    ["a", 0x550d7456],
    ["abc", 0x32d153ff],
    ["Nobody inspects the spammish repetition", 0xe2293b2f],
  ])("of %j is the published one", (words, expected) => {
    expect(hash(text(words))).toBe(expected);
  });

  it("does not depend on how the bytes come", () => {
    const bytes = Uint8Array.from({ length: 200 }, (_, index) => (index * 37) & 0xff);
    for (let cut = 0; cut <= bytes.length; cut += 1)
      expect(hash(bytes.subarray(0, cut), bytes.subarray(cut))).toBe(hash(bytes));
  });
});

describe("decompressBlock", () => {
  const decompress = (block: readonly number[], room = 64): string | undefined => {
    const target = new Uint8Array(room);
    const end = decompressBlock(Uint8Array.from(block), target, 0);
    return end === undefined ? undefined : new TextDecoder().decode(target.subarray(0, end));
  };
  const [a, b] = [97, 98];

  it("copies literals and matches, overlapping ones too", () => {
    expect(decompress([0x20, a, b])).toBe("ab");
    expect(decompress([0x22, a, b, 2, 0, 0x10, a])).toBe("abababab" + "a");
    expect(decompress([0x1f, a, 1, 0, 3, 0x00])).toBe("a".repeat(1 + 4 + 15 + 3));
  });

  it.each([
    ["nothing", []],
    ["literals beyond the block", [0x30, a, b]],
    ["a literal length beyond the block", [0xf0, 255]],
    ["a match before the first byte", [0x10, a, 2, 0, 0x00]],
    ["a match at distance 0", [0x10, a, 0, 0, 0x00]],
    ["half a distance", [0x10, a, 1]],
    ["a match length beyond the block", [0x1f, a, 1, 0, 255]],
    ["no literals at the end", [0x10, a, 1, 0]],
    ["more than the block may hold", [0x1f, a, 1, 0, 200, 0x00]],
  ])("refuses %s", (_, block) => {
    expect(decompress(block)).toBeUndefined();
  });
});

describe("Lz4Source", () => {
  const u32 = (value: number): number[] => [0, 8, 16, 24].map((by) => (value >>> by) & 0xff);

  /** A frame of one stored block, with all checksums. */
  function frame(content: Uint8Array, flags = 0x74): number[] {
    const descriptor = [flags, 0x40];
    const check = (hash(Uint8Array.from(descriptor)) >>> 8) & 0xff;
    const block = [...u32(0x80000000 + content.length), ...content, ...u32(hash(content))];
    return [...u32(0x184d2204), ...descriptor, check, ...block, ...u32(0), ...u32(hash(content))];
  }

  async function decompress(bytes: readonly number[]): Promise<[string, readonly string[]]> {
    const diagnostics: Diagnostic[] = [];
    let rest = Uint8Array.from(bytes);
    const raw = {
      file: "x.lz4",
      failed: false,
      read(into: Uint8Array): number {
        const count = Math.min(into.length, 5, rest.length);
        into.set(rest.subarray(0, count));
        rest = rest.subarray(count);
        return count;
      },
    };
    const source = new Lz4Source(raw, (diagnostic) => diagnostics.push(diagnostic));
    const all: number[] = [];
    const into = new Uint8Array(7);
    for (let count = await source.read(into); count > 0; count = await source.read(into))
      all.push(...into.subarray(0, count));
    expect(source.failed).toBe(diagnostics.some(({ severity }) => severity === "error"));
    const said = diagnostics.map(({ severity, message }) => `${severity}: ${message}`);
    return [new TextDecoder().decode(Uint8Array.from(all)), said];
  }

  const content = text("eleven bytes, and some more");
  const good = frame(content);

  it("reads frames one after the other, and passes over skippable ones", async () => {
    const skippable = [...u32(0x184d2a53), ...u32(3), 1, 2, 3];
    const [words, said] = await decompress([...good, ...skippable, ...good]);
    expect(words).toBe("eleven bytes, and some more".repeat(2));
    expect(said).toEqual([]);
  });

  it("warns of bytes behind the last frame", async () => {
    const [words, said] = await decompress([...good, 1, 2]);
    expect(words).toBe("eleven bytes, and some more");
    expect(said).toEqual(["warning: bytes behind the last lz4 frame are ignored"]);
  });

  it("says of every cut that it is one", async () => {
    for (let length = 4; length < good.length; length += 1) {
      const [words, said] = await decompress(good.slice(0, length));
      expect("eleven bytes, and some more".startsWith(words)).toBe(true);
      expect(said).toEqual(["error: the lz4 data is unusable from here on: it is cut"]);
    }
  });

  it("finds every changed byte", async () => {
    for (let at = 4; at < good.length; at += 1) {
      const damaged = [...good];
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      const [, said] = await decompress(damaged);
      expect(said.filter((one) => one.startsWith("error"))).toHaveLength(1);
    }
  });

  it("refuses a dictionary, which it does not have", async () => {
    const [, said] = await decompress(frame(content, 0x75));
    expect(said).toEqual(["error: the lz4 data is unusable from here on: it needs a dictionary"]);
  });
});
