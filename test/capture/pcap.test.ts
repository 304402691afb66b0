/** What pcap files may say that no capture program of today writes, and what each comes to. */
import { describe, expect, it } from "vitest";
import * as layout from "../../assembly/layout.ts";
import { PCAP } from "../../src/capture/pcap.ts";
import { readCapture } from "./truth.ts";

interface RecordFields {
  readonly seconds?: number;
  readonly fraction?: number;
  readonly captured?: number;
  readonly original?: number;
  readonly frame?: readonly number[];
}

interface FileFields {
  readonly magic?: number;
  readonly version?: readonly [number, number];
  readonly snapLength?: number;
  readonly linkField?: number;
  /** Zero bytes between a record's lengths and its frame. */
  readonly headerExtra?: number;
}

const MICROSECONDS = 0xa1b2c3d4;
const NANOSECONDS = 0xa1b23c4d;
const PATCHED = 0xa1b2cd34;

/** A little-endian file, as the fields say. */
function pcap(records: readonly RecordFields[], file: FileFields = {}): Uint8Array {
  const bytes: number[] = [];
  const u16 = (value: number): number => bytes.push(value & 0xff, (value >>> 8) & 0xff);
  const u32 = (value: number): void => {
    u16(value & 0xffff);
    u16(value >>> 16);
  };
  u32(file.magic ?? MICROSECONDS);
  const [major, minor] = file.version ?? [2, 4];
  u16(major);
  u16(minor);
  u32(0);
  u32(0);
  u32(file.snapLength ?? 65535);
  u32(file.linkField ?? 1);
  for (const { seconds = 1, fraction = 0, frame = [1, 2, 3, 4], captured, original } of records) {
    u32(seconds);
    u32(fraction);
    u32(captured ?? frame.length);
    u32(original ?? frame.length);
    for (let extra = 0; extra < (file.headerExtra ?? 0); extra += 1) bytes.push(0xee);
    bytes.push(...frame);
  }
  return Uint8Array.from(bytes);
}

const codesOf = (data: Uint8Array): readonly string[] =>
  readCapture(PCAP, data).diagnostics.map(({ severity, code }) => `${severity} ${code}`);

describe("the file header of pcap", () => {
  it("alone is a capture without packets", () => {
    const { packets, diagnostics } = readCapture(PCAP, pcap([]));
    expect(packets).toEqual([]);
    expect(diagnostics).toEqual([]);
  });

  it("cut is damage that names wanted and got bytes", () => {
    for (let length = 4; length < 24; length += 1) {
      const { diagnostics } = readCapture(PCAP, pcap([]).slice(0, length));
      expect(diagnostics).toMatchObject([
        {
          code: "TRUNCATED_CAPTURE",
          message: `the file header is cut: wanted 24 bytes, got ${length}`,
        },
      ]);
    }
  });

  it.each([
    [1, 4],
    [2, 3],
    [2, 5],
    [543, 0],
  ])("of version %i.%i is refused", (major, minor) => {
    expect(codesOf(pcap([{}], { version: [major, minor] }))).toEqual(["error BAD_CAPTURE_BLOCK"]);
  });

  it("with an FCS length has the link type in its low bits", () => {
    const { packets, diagnostics } = readCapture(PCAP, pcap([{}], { linkField: 0x50000065 }));
    expect(packets[0]!.linkType).toBe(layout.LINK_RAW);
    expect(diagnostics).toEqual([]);
  });

  it("with reserved bits set is refused", () => {
    expect(codesOf(pcap([{}], { linkField: 0x00300001 }))).toEqual(["error BAD_CAPTURE_BLOCK"]);
  });

  it("with a link type that is not decoded warns once and keeps the packets", () => {
    const { packets, diagnostics } = readCapture(PCAP, pcap([{}, {}], { linkField: 147 }));
    expect(packets.map(({ linkType }) => linkType)).toEqual([147, 147]);
    expect(diagnostics).toMatchObject([{ severity: "warning", code: "UNSUPPORTED_LINK_TYPE" }]);
  });

  it.each([0, 0xffffffff, 0x80000000])("with snap length %i sets no limit", (snapLength) => {
    expect(codesOf(pcap([{}], { snapLength }))).toEqual([]);
  });
});

describe("a record of pcap", () => {
  it("of SLL2 has the interface that the frame numbers", () => {
    const cooked = (index: number) => ({ frame: [8, 0, 0, 0, 0, 0, 1, index, 0, 1, 0, 6] });
    const records = [cooked(7), cooked(9), cooked(7), { frame: [8, 0, 0, 0, 0, 0, 1] }];
    const { packets, reader } = readCapture(PCAP, pcap(records, { linkField: 276 }));
    const indexes = packets.map(
      ({ captureInterface }) => reader.interfaces[captureInterface]?.index,
    );
    expect(indexes).toEqual([263, 265, 263, undefined]);
  });

  it("in the patched form has its frame behind a longer header", () => {
    const data = pcap([{}, { frame: [9, 8, 7] }], { magic: PATCHED, headerExtra: 8 });
    const { packets } = readCapture(PCAP, data);
    expect(packets.map(({ frame }) => [...frame])).toEqual([
      [1, 2, 3, 4],
      [9, 8, 7],
    ]);
  });

  it("captured longer than it was is read with the larger length, and said once", () => {
    const { packets, diagnostics } = readCapture(PCAP, pcap([{ original: 2 }, { original: 3 }]));
    expect(packets.map(({ originalLength }) => originalLength)).toEqual([4, 4]);
    expect(diagnostics).toMatchObject([
      { severity: "warning", code: "ODD_LENGTH", place: { offset: 24, packet: 1 } },
    ]);
  });

  it("longer than the file's snap length is read, and said once", () => {
    const data = pcap([{}, {}], { snapLength: 3 });
    expect(readCapture(PCAP, data).packets).toHaveLength(2);
    expect(codesOf(data)).toEqual(["warning ODD_LENGTH"]);
  });

  it.each([layout.FRAME_MAX + 1, 0x7fffffff, 0xffffffff])(
    "of %i bytes ends the capture at its place",
    (captured) => {
      const { packets, diagnostics } = readCapture(PCAP, pcap([{}, { captured }]));
      expect(packets).toHaveLength(1);
      expect(diagnostics).toMatchObject([
        { severity: "error", code: "BAD_CAPTURE_BLOCK", place: { offset: 44, packet: 2 } },
      ]);
    },
  );

  it("of no bytes is a packet", () => {
    expect(readCapture(PCAP, pcap([{ frame: [] }])).packets).toHaveLength(1);
  });
});

describe("the time of a pcap record", () => {
  it.each([
    [MICROSECONDS, 0, 0, 0n],
    [MICROSECONDS, 0xffffffff, 999_999, 4_294_967_295_999_999_000n],
    [NANOSECONDS, 1_700_000_000, 999_999_999, 1_700_000_000_999_999_999n],
    [NANOSECONDS, 65_535, 1, 65_535_000_000_001n],
    [NANOSECONDS, 65_536, 4, 65_536_000_000_004n],
  ])("is exact (%i, %i s, %i)", (magic, seconds, fraction, expected) => {
    const { packets } = readCapture(PCAP, pcap([{ seconds, fraction }], { magic }));
    expect(packets[0]!.timestamp).toBe(expected);
    expect(packets[0]!.flags & layout.PACKET_HAS_TIME).not.toBe(0);
  });

  it("carries a fraction above a second over, and says so once", () => {
    const odd = { seconds: 1, fraction: 1_500_000 };
    const { packets, diagnostics } = readCapture(PCAP, pcap([{}, odd, odd]));
    expect(packets[1]!.timestamp).toBe(2_500_000_000n);
    expect(diagnostics).toMatchObject([
      { severity: "warning", code: "ODD_TIMESTAMP", place: { packet: 2 } },
    ]);
  });

  it("carries the largest fraction over", () => {
    const data = pcap([{ seconds: 0xffffffff, fraction: 0xffffffff }]);
    expect(readCapture(PCAP, data).packets[0]!.timestamp).toBe(4_294_971_589_967_295_000n);
  });

  it("may go back by a second without a word, by more with one", () => {
    expect(codesOf(pcap([{ seconds: 10 }, { seconds: 9 }]))).toEqual([]);
    expect(codesOf(pcap([{ seconds: 10 }, { seconds: 8 }, { seconds: 7 }]))).toEqual([
      "warning ODD_TIMESTAMP",
    ]);
  });
});

it("numbers packets and places on over batches and scans", () => {
  const count = layout.BATCH_PACKETS + 10;
  const records: RecordFields[] = Array.from({ length: count }, () => ({ frame: [1] }));
  const { packets, diagnostics } = readCapture(PCAP, pcap([...records, { captured: 0xffffffff }]), {
    step: 1000,
  });
  expect(packets).toHaveLength(count);
  expect(diagnostics).toMatchObject([{ place: { offset: 24 + 17 * count, packet: count + 1 } }]);
});
