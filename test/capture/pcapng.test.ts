/** The blocks and options of pcapng, in both byte orders, and what is wrong with damaged ones. */
import { describe, expect, it } from "vitest";
import * as layout from "../../assembly/layout.ts";
import { PCAPNG } from "../../src/capture/pcapng.ts";
import { Blocks, FRAME, TICKS, padded } from "./blocks.ts";
import { readCapture } from "./truth.ts";
import type { ReadCapture } from "./truth.ts";

const read = (...blocks: readonly (readonly number[])[]): ReadCapture =>
  readCapture(PCAPNG, Uint8Array.from(blocks.flat()));

const codesOf = ({ diagnostics }: ReadCapture): readonly string[] =>
  diagnostics.map(({ severity, code }) => `${severity} ${code}`);

const little = new Blocks(true);
const big = new Blocks(false);

describe.each([
  ["little-endian", little],
  ["big-endian", big],
])("pcapng, %s", (_, b) => {
  it("reads each kind of packet block", () => {
    const capture = read(
      b.section(),
      b.interface(b.option(2, [...Buffer.from("cali12")])),
      b.interface([], { linkType: layout.LINK_RAW }),
      b.packet({ original: 1500 }),
      b.old(1),
      b.simple(5, FRAME),
    );
    expect(capture.diagnostics).toEqual([]);
    expect(capture.reader.interfaces).toEqual([
      { name: "cali12", linkType: layout.LINK_ETHERNET },
      { name: undefined, linkType: layout.LINK_RAW },
    ]);
    const time = TICKS * 1000n;
    expect(capture.packets).toMatchObject([
      { timestamp: time, captureInterface: 0, originalLength: 1500, linkType: 1 },
      { timestamp: time, captureInterface: 1, originalLength: 60, linkType: layout.LINK_RAW },
      { timestamp: 0n, captureInterface: 0, originalLength: 5, linkType: 1 },
    ]);
    for (const { frame } of capture.packets) expect([...frame]).toEqual(FRAME);
    expect(capture.packets.map(({ flags }) => flags & layout.PACKET_HAS_TIME)).toEqual([
      layout.PACKET_HAS_TIME,
      layout.PACKET_HAS_TIME,
      0,
    ]);
  });

  it.each([
    ["milliseconds", 3, 1_700_000_000_123n, 0n, 1_700_000_000_123_000_000n],
    ["microseconds", 6, TICKS, 0n, 1_700_000_000_123_456_000n],
    ["nanoseconds", 9, 1_700_000_000_123_456_789n, 0n, 1_700_000_000_123_456_789n],
    ["seconds", 0, 1_700_000_000n, 0n, 1_700_000_000_000_000_000n],
    ["picoseconds", 12, 1_500_000_000_999_999n, 0n, 1_500_000_000_999n],
    ["the finest decimal", 19, 15_000_000_000_000_000_000n, 0n, 1_500_000_000n],
    ["half seconds", 0x81, 3n, 0n, 1_500_000_000n],
    ["2^-20 seconds", 0x80 | 20, 1_700_000_000n << 20n, 0n, 1_700_000_000_000_000_000n],
    ["the finest binary", 0x80 | 63, 3n << 62n, 0n, 1_500_000_000n],
    ["microseconds after an offset", 6, 123_456n, 1_700_000_000n, 1_700_000_000_123_456_000n],
    ["microseconds before an offset", 6, 5_000_000n, -3n, 2_000_000_000n],
  ])("counts time in %s", (_unit, resolution, ticks, offset, expected) => {
    const options = [...b.option(9, [resolution]), ...b.option(14, b.number(offset, 8))];
    const { packets, diagnostics } = read(b.section(), b.interface(options), b.packet({ ticks }));
    expect(diagnostics).toEqual([]);
    expect(packets[0]!.timestamp).toBe(expected);
  });

  it("reads direction and reception from the flags, of either packet block", () => {
    const flags = (word: number): number[] => b.option(2, b.u32(word));
    const { packets } = read(
      b.section(),
      b.interface(),
      b.packet({ options: flags(1) }),
      b.packet({ options: [...b.option(1, [...Buffer.from("note")]), ...flags(2)] }),
      b.packet({ options: flags((4 << 2) | 1) }),
      b.old(0, flags(2)),
      b.packet({ options: b.option(0, []) }),
    );
    const mask = layout.PACKET_INBOUND | layout.PACKET_OUTBOUND | layout.PACKET_OTHER_HOST;
    expect(packets.map((packet) => packet.flags & mask)).toEqual([
      layout.PACKET_INBOUND,
      layout.PACKET_OUTBOUND,
      layout.PACKET_INBOUND | layout.PACKET_OTHER_HOST,
      layout.PACKET_OUTBOUND,
      0,
    ]);
  });

  it("passes over blocks without packets, and says which it does not know", () => {
    const known = [4, 5, 9, 10, 0xbad, 0x40000bad].map((type) => b.block(type, padded(FRAME)));
    const unknown = [0x77, 0x78].map((type) => b.block(type, padded(FRAME)));
    const capture = read(b.section(), b.interface(), ...known, ...unknown, b.packet());
    expect(capture.packets).toHaveLength(1);
    expect(codesOf(capture)).toEqual(["warning BAD_CAPTURE_BLOCK"]);
  });

  it("cuts a simple packet at the interface's snap length", () => {
    const capture = read(
      b.section(),
      b.interface([], { snapLength: 3 }),
      b.simple(5, FRAME.slice(0, 3)),
    );
    expect([...capture.packets[0]!.frame]).toEqual(FRAME.slice(0, 3));
    expect(capture.packets[0]!.originalLength).toBe(5);
  });

  it("reads no options behind a simple packet", () => {
    const behind = b.option(2, b.u32(2));
    const capture = read(
      b.section(),
      b.interface([], { snapLength: 4 }),
      b.simple(60, [...FRAME.slice(0, 4), ...behind]),
    );
    expect(capture.packets[0]!.flags).toBe(0);
  });

  it("goes on in a section of the other byte order", () => {
    const other = b === little ? big : little;
    const { packets, diagnostics } = read(
      b.section(),
      b.interface(),
      b.packet(),
      other.section([1, 2], 12345n),
      other.interface(),
      other.packet(),
    );
    expect(diagnostics).toEqual([]);
    expect(packets.map(({ captureInterface }) => captureInterface)).toEqual([0, 1]);
  });

  it("stops at a section of an unknown version and keeps what came before", () => {
    const capture = read(b.section(), b.interface(), b.packet(), b.section([2, 0]), b.packet());
    expect(capture.packets).toHaveLength(1);
    expect(capture.diagnostics).toMatchObject([
      { code: "BAD_CAPTURE_BLOCK", message: "pcapng version 2.0 is not supported, only 1.0" },
    ]);
    expect(capture.reader.damaged).toBe(true);
  });

  it.each([
    ["a resolution of 10^-20", b.option(9, [20]), "if_tsresol"],
    ["a resolution of 10^-127", b.option(9, [0x7f]), "if_tsresol"],
    ["a resolution of 2^-64", b.option(9, [0x80 | 64]), "if_tsresol"],
    ["a resolution of 2^-127", b.option(9, [0xff]), "if_tsresol 0xff"],
    ["a resolution of two bytes", b.option(9, [6, 0]), "if_tsresol has 2 bytes"],
    ["an offset of four bytes", b.option(14, b.u32(1)), "if_tsoffset has 4 bytes"],
    ["a name of 300 bytes", b.option(2, new Array<number>(300).fill(65)), "if_name has 300"],
    ["an option beyond its block", b.option(3, FRAME, 900), "option 3 of 900 bytes runs beyond"],
  ])("stops at an interface with %s, and names it", (_what, options, words) => {
    const capture = read(b.section(), b.interface(options), b.packet());
    expect(capture.packets).toEqual([]);
    expect(codesOf(capture)).toEqual(["error BAD_CAPTURE_BLOCK"]);
    expect(capture.diagnostics[0]!.message).toContain(words);
    expect(capture.diagnostics[0]!.place!.offset).toBe(28 + 16);
  });
});

describe("a packet block of pcapng", () => {
  it("of an interface that is not described keeps its number and has no link type", () => {
    const capture = read(
      little.section(),
      little.packet(),
      little.interface(),
      little.packet({ id: 1 }),
      little.packet({ id: 0xffffffff }),
      little.packet(),
    );
    expect(capture.packets.map(({ linkType }) => linkType)).toEqual([0xffff, 0xffff, 0xffff, 1]);
    expect(capture.packets.map(({ captureInterface }) => captureInterface)).toEqual([
      layout.CAPTURE_INTERFACE_NONE,
      layout.CAPTURE_INTERFACE_NONE,
      layout.CAPTURE_INTERFACE_NONE,
      0,
    ]);
    expect(codesOf(capture)).toEqual(["error BAD_CAPTURE_BLOCK"]);
    expect(capture.diagnostics[0]!.place).toMatchObject({ offset: 28, packet: 1 });
    expect(capture.reader.damaged).toBe(false);
  });

  it("with a damaged option is kept, without a direction", () => {
    const capture = read(
      little.section(),
      little.interface(),
      little.packet({ options: little.option(2, little.u32(1), 400) }),
      little.packet({ options: little.option(2, [1, 0]) }),
    );
    expect(capture.packets.map(({ flags }) => flags)).toEqual([
      layout.PACKET_HAS_TIME,
      layout.PACKET_HAS_TIME,
    ]);
    expect(codesOf(capture)).toEqual(["error BAD_CAPTURE_BLOCK"]);
  });

  it.each([
    ["runs beyond its block", 9],
    ["is longer than any packet", layout.FRAME_MAX + 1],
  ])("whose frame %s ends the capture", (_, captured) => {
    const capture = read(
      little.section(),
      little.interface(),
      little.packet(),
      little.packet({ captured, original: captured }),
    );
    expect(capture.packets).toHaveLength(1);
    expect(codesOf(capture)).toEqual(["error BAD_CAPTURE_BLOCK"]);
  });

  it("whose original length is too small has the captured one", () => {
    const capture = read(little.section(), little.interface(), little.packet({ original: 2 }));
    expect(capture.packets[0]!.originalLength).toBe(5);
    expect(codesOf(capture)).toEqual(["warning ODD_LENGTH"]);
  });

  it("whose time is no time since 1970 has none", () => {
    const early = little.option(14, little.number(-10n, 8));
    const capture = read(
      little.section(),
      little.interface(early),
      little.interface(),
      little.packet({ ticks: 1n }),
      little.packet({ id: 1, ticks: 0xffffffffffffffffn }),
    );
    expect(capture.packets.map(({ flags, timestamp }) => [flags, timestamp])).toEqual([
      [0, 0n],
      [0, 0n],
    ]);
    expect(capture.diagnostics).toMatchObject([{ code: "ODD_TIMESTAMP", place: { packet: 1 } }]);
  });

  it("may be a little older than the one before, also over the edge of a 32-bit word", () => {
    const edge = 0x1_7979_0000_0000n;
    const options = little.option(9, [9]);
    const blocks = [little.section(), little.interface(options), little.packet({ ticks: edge })];
    expect(codesOf(read(...blocks, little.packet({ ticks: edge - 1n })))).toEqual([]);
    expect(codesOf(read(...blocks, little.packet({ ticks: edge - 2_000_000_000n })))).toEqual([
      "warning ODD_TIMESTAMP",
    ]);
  });
});

describe("limits of pcapng", () => {
  it("stop at a comment block of a GiB without waiting for it", () => {
    const huge = [...little.u32(4), ...little.u32(1 << 30), ...little.u32(0)];
    const capture = read(little.section(), little.interface(), little.packet(), huge);
    expect(capture.packets).toHaveLength(1);
    expect(codesOf(capture)).toEqual(["error LIMIT_EXCEEDED"]);
  });

  it("stop at a packet block with more options than fit into memory", () => {
    const huge = [...little.u32(6), ...little.u32(1 << 21), ...little.u32(0)];
    expect(codesOf(read(little.section(), huge))).toEqual(["error LIMIT_EXCEEDED"]);
  });

  it("stop at more interfaces than a record can name", () => {
    const one = Uint8Array.from(little.interface());
    const file = new Uint8Array(28 + one.length * 0x10000);
    file.set(little.section());
    for (let at = 28; at < file.length; at += one.length) file.set(one, at);
    const capture = readCapture(PCAPNG, file);
    expect(capture.reader.interfaces).toHaveLength(0xffff);
    expect(codesOf(capture)).toEqual(["error LIMIT_EXCEEDED"]);
  });

  it("do not hold for a long block that comes in small pieces", () => {
    const secret = little.block(10, new Array<number>(100_000).fill(7));
    const file = [little.section(), little.interface(), secret, little.packet()].flat();
    const { packets, diagnostics } = readCapture(PCAPNG, Uint8Array.from(file), { step: 100 });
    expect(packets).toHaveLength(1);
    expect(diagnostics).toEqual([]);
  });
});

it("a capture that does not start with a section is refused", () => {
  expect(codesOf(read(little.interface(), little.packet()))).toEqual(["error BAD_CAPTURE_BLOCK"]);
});

it("a section without a byte order is refused", () => {
  const bytes = Uint8Array.from(little.section());
  bytes[8] = 0;
  expect(PCAPNG.detect(bytes)).toBe(false);
  expect(codesOf(readCapture(PCAPNG, bytes))).toEqual(["error BAD_CAPTURE_BLOCK"]);
});
