/** pcap and pcapng files as their formats allow them, and as damage leaves them. */
import { describe, expect, it } from "vitest";
import * as layout from "../../assembly/layout.ts";
import { CAPTURE_FORMATS } from "../../src/capture/index.ts";
import type { CaptureFormat } from "../../src/capture/format.ts";
import { PCAP } from "../../src/capture/pcap.ts";
import { PCAPNG } from "../../src/capture/pcapng.ts";
import { buildFrame, buildPcap, buildPcapng, timed, UDP } from "../frames.ts";
import { readCapture } from "./truth.ts";

const FRAMES = [53, 80, 443].map((destinationPort) =>
  buildFrame({
    source: "10.0.0.1",
    destination: "10.0.0.2",
    protocol: UDP,
    sourcePort: 5000,
    destinationPort,
  }),
);
const FIRST_NS = timed(FRAMES)[0]!.timestampNs;

interface PcapHead {
  readonly magic: number;
  readonly littleEndian: boolean;
  readonly linkType?: number;
}

/** A pcap file in any byte order; times as seconds and a fraction as the magic says. */
function pcap({ magic, littleEndian, linkType = 1 }: PcapHead, fraction: number): Uint8Array {
  const file = new Uint8Array(24 + FRAMES.reduce((sum, frame) => sum + 16 + frame.length, 0));
  const view = new DataView(file.buffer);
  view.setUint32(0, magic, littleEndian);
  view.setUint16(4, 2, littleEndian);
  view.setUint16(6, 4, littleEndian);
  view.setUint32(16, 65535, littleEndian);
  view.setUint32(20, linkType, littleEndian);
  let at = 24;
  for (const frame of FRAMES) {
    view.setUint32(at, 1_700_000_000, littleEndian);
    view.setUint32(at + 4, fraction, littleEndian);
    view.setUint32(at + 8, frame.length, littleEndian);
    view.setUint32(at + 12, frame.length, littleEndian);
    file.set(frame, at + 16);
    at += 16 + frame.length;
  }
  return file;
}

const frames = (format: CaptureFormat, file: Uint8Array, step?: number) =>
  readCapture(format, file, step === undefined ? {} : { step });

describe("PCAP", () => {
  it.each([
    ["microseconds, little-endian", 0xa1b2c3d4, true, 123_456, 123_456_000n],
    ["microseconds, big-endian", 0xa1b2c3d4, false, 123_456, 123_456_000n],
    ["nanoseconds, little-endian", 0xa1b23c4d, true, 123_456_789, 123_456_789n],
    ["nanoseconds, big-endian", 0xa1b23c4d, false, 123_456_789, 123_456_789n],
  ])("reads %s", (_, magic, littleEndian, fraction, nanoseconds) => {
    const { packets, diagnostics } = frames(PCAP, pcap({ magic, littleEndian }, fraction));
    expect(packets.map(({ frame }) => frame)).toEqual(FRAMES);
    expect(packets[0]!.timestamp).toBe(1_700_000_000_000_000_000n + nanoseconds);
    expect(diagnostics).toEqual([]);
  });

  it("stops at a record longer than any packet and keeps those before it", () => {
    const file = pcap({ magic: 0xa1b2c3d4, littleEndian: true }, 0);
    new DataView(file.buffer).setUint32(24 + 16 + FRAMES[0]!.length + 8, 0x7fffffff, true);
    const { packets, diagnostics } = frames(PCAP, file);
    expect(packets).toHaveLength(1);
    expect(diagnostics.map(({ code }) => code)).toEqual(["BAD_CAPTURE_BLOCK"]);
    expect(diagnostics[0]!.place).toMatchObject({ packet: 2 });
  });
});

describe("PCAPNG", () => {
  it("reads several interfaces with their names", () => {
    const timedFrames = timed(FRAMES).map((frame, index) => ({
      ...frame,
      captureInterface: index % 2,
    }));
    const { packets, reader } = frames(PCAPNG, buildPcapng(timedFrames, ["cali1", "eth0"]));
    expect(packets.map(({ captureInterface }) => captureInterface)).toEqual([0, 1, 0]);
    expect(reader.interfaces.map(({ name }) => name)).toEqual(["cali1", "eth0"]);
    expect(packets[0]!.timestamp).toBe(FIRST_NS);
  });

  it("goes on in a second section, whose interfaces are its own", () => {
    const one = buildPcapng(timed(FRAMES), ["cali1"]);
    const two = buildPcapng(timed(FRAMES), ["cali2"]);
    const { packets, reader } = frames(PCAPNG, Uint8Array.from([...one, ...two]));
    expect(packets).toHaveLength(6);
    expect(packets.map(({ captureInterface }) => captureInterface)).toEqual([0, 0, 0, 1, 1, 1]);
    expect(reader.interfaces).toHaveLength(2);
  });

  it.each([0, 4, 7, 0xfffffffc])("stops at a block of total length %i", (length) => {
    const file = buildPcapng(timed(FRAMES));
    const block = file.length - new DataView(file.buffer).getUint32(file.length - 4, true);
    new DataView(file.buffer).setUint32(block + 4, length, true);
    const { packets, diagnostics } = frames(PCAPNG, file);
    expect(packets).toHaveLength(2);
    expect(diagnostics).toHaveLength(1);
    expect(["BAD_CAPTURE_BLOCK", "TRUNCATED_CAPTURE", "LIMIT_EXCEEDED"]).toContain(
      diagnostics[0]!.code,
    );
  });

  it("stops where the trailing length is another", () => {
    const file = buildPcapng(timed(FRAMES));
    new DataView(file.buffer).setUint32(file.length - 4, 12, true);
    expect(frames(PCAPNG, file).diagnostics.map(({ code }) => code)).toEqual(["BAD_CAPTURE_BLOCK"]);
  });
});

describe.each([
  ["pcap", PCAP, buildPcap(timed(FRAMES))],
  ["pcapng", PCAPNG, buildPcapng(timed(FRAMES))],
] as const)("a %s file", (_, format, file) => {
  it("is claimed by its own format only", () => {
    const claims = CAPTURE_FORMATS.filter((one) => one.detect(file)).map(({ name }) => name);
    expect(claims).toEqual([format.name]);
  });

  it("cut at any byte gives the packets before the cut, and says where it ends", () => {
    let last = 0;
    for (let length = 24; length < file.length; length++) {
      const { packets, diagnostics } = frames(format, file.slice(0, length));
      expect(packets.length).toBeGreaterThanOrEqual(last);
      expect(packets.map(({ frame }) => frame)).toEqual(FRAMES.slice(0, packets.length));
      expect(diagnostics.every(({ code }) => code === "TRUNCATED_CAPTURE")).toBe(true);
      last = packets.length;
    }
    expect(last).toBe(2);
  });

  it("gives the same records however few bytes come at a time", () => {
    const whole = frames(format, file).packets;
    for (const step of [1, 3, 17]) {
      const pieces = frames(format, file, step).packets;
      expect(pieces.map(({ frame, timestamp }) => [frame, timestamp])).toEqual(
        whole.map(({ frame, timestamp }) => [frame, timestamp]),
      );
    }
  });

  it("with any one byte changed ends without an exception, and in bounded memory", () => {
    for (let at = 0; at < file.length; at++) {
      for (const value of [0, 0x7f, 0xff]) {
        const damaged = file.slice();
        damaged[at] = value;
        expect(frames(format, damaged).packets.length).toBeLessThan(10);
      }
    }
  });
});

describe("link types", () => {
  it("are those the file names", () => {
    const file = pcap({ magic: 0xa1b2c3d4, littleEndian: true, linkType: layout.LINK_RAW }, 0);
    expect(frames(PCAP, file).packets[0]!.linkType).toBe(layout.LINK_RAW);
  });
});
