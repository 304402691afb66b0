import { beforeAll, describe, expect, it } from "vitest";
import * as layout from "../../assembly/layout.ts";
import { loadDecoder, type Decoded, type DecodeFrame } from "./decoder.ts";
import { FRAMES, SYN, bytes, ethernet, ipv6 } from "./frames.ts";

let decode: DecodeFrame;
beforeAll(async () => {
  decode = await loadDecoder();
}, 60_000);

const SEED = 20240607;
const ROUNDS = 60_000;

const CHAIN = bytes([60, 0, 1, 4, 0, 0, 0, 0], [44, 0, 1, 4, 0, 0, 0, 0], [6, 0, 0, 1, 0, 0, 0, 9]);
const TAGGED = bytes([0, 7, 0x08, 0x00], FRAMES.icmpError.subarray(14));

const SEEDS: readonly Uint8Array[] = [
  ...Object.values(FRAMES),
  ethernet(0x86dd, ipv6(0, bytes(CHAIN, SYN))),
  ethernet(0x8100, TAGGED),
];

/** Bytes that often matter: extension headers, versions, lengths at the edge. */
const TELLING = [
  0, 1, 4, 5, 6, 17, 43, 44, 50, 51, 58, 59, 60, 0x40, 0x44, 0x45, 0x4f, 0x60, 0x81, 0xff,
];

const LINK_TYPES = [
  layout.LINK_ETHERNET,
  layout.LINK_ETHERNET,
  layout.LINK_RAW,
  layout.LINK_NULL,
  layout.LINK_LINUX_SLL,
  layout.LINK_LINUX_SLL2,
];

interface Mutant {
  readonly frame: Uint8Array;
  readonly linkType: number;
  readonly originalLength: number;
}

function mutantsOf(random: (below: number) => number): () => Mutant {
  const pick = <T>(values: readonly T[]): T => values[random(values.length)]!;
  return () => {
    const linkType = pick(LINK_TYPES);
    let frame: Uint8Array = pick(SEEDS).slice();
    if (linkType === layout.LINK_RAW) frame = frame.slice(14);
    if (linkType === layout.LINK_NULL) frame = bytes([2, 0, 0, 0], frame.subarray(14));
    if (linkType === layout.LINK_LINUX_SLL) frame = bytes([0, 4], frame);
    if (linkType === layout.LINK_LINUX_SLL2) {
      frame = bytes(frame.subarray(12, 14), new Uint8Array(18), frame.subarray(14));
    }
    for (let count = random(6); count > 0; count--) {
      frame[random(frame.length)] = random(2) === 0 ? pick(TELLING) : random(256);
    }
    const originalLength = frame.length + (random(4) === 0 ? random(100) : 0);
    return { frame: frame.slice(0, random(frame.length + 1)), linkType, originalLength };
  };
}

describe("decode: damaged frames", () => {
  it(`reads nothing outside the frame, and knows less the less is captured (seed ${SEED})`, () => {
    const random = seededRandom(SEED);
    const next = mutantsOf(random);
    const seen = new Set<number>();
    for (let round = 0; round < ROUNDS; round++) {
      const { frame, linkType, originalLength } = next();
      // At the end of the memory, where a read behind the frame traps.
      const packet = decode(frame, { linkType, originalLength });
      const among0 = decode(frame, { linkType, originalLength, fill: 0 });
      const among255 = decode(frame, { linkType, originalLength, fill: 255 });
      const place = `round ${round}, link type ${linkType}, ${Buffer.from(frame).toString("hex")}`;
      expect(among0, place).toEqual(packet);
      expect(among255, place).toEqual(packet);

      const cutLength = random(frame.length + 1);
      const wire = Math.max(originalLength, frame.length);
      const cut = decode(frame.subarray(0, cutLength), { linkType, originalLength: wire });
      expect(cut.known & ~packet.known, place).toBe(0);
      if (cut.malformed !== 0) expect(packet.malformed, place).not.toBe(0);
      expectInside(packet, frame.length, place);
      seen.add(packet.malformed);
    }
    // The mutations reach every kind of damage.
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4]);
  }, 60_000);

  it("ends on headers that claim nothing, and on chains of the smallest headers", () => {
    for (const next of [0, 43, 44, 51, 60]) {
      for (const length of [0, 255]) {
        const header = [next, length, 0, 0, 0, 0, 0, 0];
        const frame = ipv6(next, bytes(new Array<number[]>(8000).fill(header).flat()));
        expect(decode(frame, { linkType: layout.LINK_RAW }).family).toBe(6);
      }
    }
    const tags = bytes(new Array<number[]>(10_000).fill([0x81, 0, 0x81, 0]).flat());
    expect(decode(ethernet(0x8100, tags)).known).toBe(0);
  });
});

function expectInside(packet: Decoded, length: number, place: string): void {
  const { network, transport, end } = packet;
  if (end === undefined || network === undefined) return;
  expect(network, place).toBeLessThanOrEqual(end);
  expect(end, place).toBeLessThanOrEqual(length);
  if (transport === undefined) return;
  expect(transport, place).toBeGreaterThan(network);
  // Nothing may be behind the IP headers.
  expect(transport, place).toBeLessThanOrEqual(end);
}

/** Numbers below a bound, the same for the same seed (mulberry32). */
function seededRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}
