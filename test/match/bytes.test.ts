/** Matches that read the packet's bytes, and the time it comes: rule, packet, whether it holds. */
import { describe, expect, it } from "vitest";
import { buildFrame, TCP, UDP } from "../frames.ts";
import { judgeCapture } from "../judge.ts";
import { judgeNode, NODE_MAC, nodeOf } from "./judge-node.ts";

const START_NS = 1_700_000_000_000_000_000n;
const text = new TextEncoder();

const WEB = buildFrame({
  source: "192.0.2.7",
  destination: "192.0.2.1",
  protocol: TCP,
  sourcePort: 40_000,
  destinationPort: 80,
  destinationMac: NODE_MAC,
  payload: text.encode("GET /Needle HTTP/1.1"),
});
const WEB6 = buildFrame({
  source: "2001:db8::7",
  destination: "2001:db8::1",
  protocol: UDP,
  sourcePort: 40_000,
  destinationPort: 53,
  destinationMac: NODE_MAC,
  payload: text.encode("abaabaab"),
});

/** true, false, or undefined where nobody can tell. */
async function holds(match: string, bytes: Uint8Array): Promise<boolean | undefined> {
  const frame = { bytes, timestampNs: START_NS, captureInterface: 0 };
  const [verdict] = await judgeNode([`-A INPUT ${match} -j DROP`], [frame]);
  return verdict?.verdict === "unknown" ? undefined : verdict?.verdict === "drop";
}

describe("u32", () => {
  it.each([
    ["6&0xFF=6", WEB, true],
    ["6&0xFF=17", WEB, false],
    ["0>>22&0x3C@0>>16=40000", WEB, true],
    ["0>>22&0x3C@0&0xFFFF=80,443", WEB, true],
    ["0>>22&0x3C@12>>26&0x3C@0=0x47455420", WEB, true],
    ["12=0xC0000207 && 16=0xC0000201", WEB, true],
    ["0&0xFFFF=0:59", WEB, false],
    ["0&0xFFFF=60:60", WEB, true],
    // Four bytes must be there.
    ["56=0:0xffffffff", WEB, true],
    ["57=0:0xffffffff", WEB, false],
    ["0@0xffffffff=0:0xffffffff", WEB, false],
    ["4>>8&0xFF=17", WEB6, true],
    ["40&0xFFFF=53", WEB6, true],
  ])("%s of a packet of %o", async (tests, frame, expected) => {
    expect(await holds(`-m u32 --u32 "${tests}"`, frame)).toBe(expected);
    expect(await holds(`-m u32 ! --u32 "${tests}"`, frame)).toBe(!expected);
  });
});

describe("string", () => {
  it.each([
    ['--string "Needle"', WEB, true],
    ['--string "needle"', WEB, false],
    ['--string "nEEDLE" --icase', WEB, true],
    // It begins at byte 45 and ends at 51.
    ['--string "Needle" --from 45', WEB, true],
    ['--string "Needle" --from 46', WEB, false],
    ['--string "Needle" --to 51', WEB, true],
    ['--string "Needle" --to 50', WEB, false],
    ['--string "1.1"', WEB, true],
    ['--string "1.12"', WEB, false],
    ['--hex-string "|c0000207|"', WEB, true],
    ['--string "aab"', WEB6, true],
    ['--string "aabaab"', WEB6, true],
    ['--string "aabaabb"', WEB6, false],
  ])("%s", async (options, frame, expected) => {
    for (const algorithm of ["bm", "kmp"]) {
      const words = `-m string --algo ${algorithm} ${options}`;
      expect(await holds(words, frame)).toBe(expected);
      expect(await holds(words.replace(/--(hex-)?string/, "! $&"), frame)).toBe(!expected);
    }
  });
});

describe("bpf", () => {
  it.each([
    ["4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0", WEB, true],
    ["4,48 0 0 9,21 0 1 17,6 0 0 1,6 0 0 0", WEB, false],
    // Destination port by the header's length.
    ["5,177 0 0 0,72 0 0 2,21 0 1 80,6 0 0 1,6 0 0 0", WEB, true],
    ["2,128 0 0 0,22 0 0 0", WEB, true],
    ["4,128 0 0 0,21 0 1 60,6 0 0 1,6 0 0 0", WEB, true],
    // Beyond the packet: zero.
    ["2,32 0 0 57,6 0 0 1", WEB, false],
    ["2,32 0 0 56,6 0 0 1", WEB, true],
    // Arithmetic, memory, registers: 7 * 6 - 2 = 40, in X and back.
    ["9,0 0 0 7,36 0 0 6,20 0 0 2,2 0 0 3,97 0 0 3,135 0 0 0,21 0 1 40,6 0 0 1,6 0 0 0", WEB, true],
    ["4,1 0 0 0,0 0 0 5,60 0 0 0,6 0 0 1", WEB, false],
    // From the network header, said the other way.
    ["4,48 0 0 4293918729,21 0 1 6,6 0 0 1,6 0 0 0", WEB, true],
    // The link layer and what the kernel knows besides.
    ["2,48 0 0 4292870144,22 0 0 0", WEB, undefined],
    ["2,32 0 0 4294963204,22 0 0 0", WEB, undefined],
    // In front of both is nothing.
    ["2,48 0 0 4292870143,6 0 0 1", WEB, false],
    ["3,1 0 0 2147483648,80 0 0 10,6 0 0 1", WEB, false],
  ])("%s", async (program, frame, expected) => {
    expect(await holds(`-m bpf --bytecode "${program}"`, frame)).toBe(expected);
  });
});

// 2023-11-14, a Tuesday, 22:13:20 UTC.
describe("time", () => {
  it.each([
    ["--datestart 2023-11-14T22:13:20", undefined],
    ["--datestart 2023-11-14T22:13:19", true],
    ["--datestart 2023-11-14T22:13:21", false],
    ["--datestop 2023-11-14T22:13:21", true],
    ["--datestop 2023-11-14T22:13:18", false],
    ["--weekdays Tue", true],
    ["--weekdays Mon,Wed", false],
    ["! --weekdays Tue", false],
    ["--monthdays 14", true],
    ["--monthdays 13,15", false],
    ["--timestart 22:00 --timestop 23:00", true],
    ["--timestart 23:00 --timestop 22:00", false],
    ["--timestart 23:00 --timestop 22:30", true],
    ["--timestart 23:00 --timestop 22:30 --weekdays Mon", false],
    ["--timestart 23:00 --timestop 22:30 --weekdays Mon --contiguous", true],
    ["--timestart 23:00 --timestop 22:30 --monthdays 13 --contiguous", true],
    ["--weekdays Tue --kerneltz", undefined],
    ["--monthdays 13,14,15 --kerneltz", true],
    ["--monthdays 20 --kerneltz", false],
  ])("%s", async (options, expected) => {
    expect(await holds(`-m time ${options}`, WEB)).toBe(expected);
  });
});

// The same moment, as tcpdump prints it where the zone is UTC: the text does not say where that was.
describe("time in a text", () => {
  const printed = {
    epoch: "1700000000.000000",
    calendar: "2023-11-14 22:13:20.000000",
    day: "22:13:20.000000",
    delta: " 00:00:00.000000",
  } as const;

  it.each<[keyof typeof printed, string, boolean | undefined]>([
    ["epoch", "--timestart 22:00 --timestop 23:00", true],
    ["calendar", "--timestart 22:00 --timestop 23:00", undefined],
    ["calendar", "--datestop 2023-11-15T12:00:00", undefined],
    ["calendar", "--datestop 2023-11-15T13:00:00", true],
    ["calendar", "--datestart 2023-11-16", false],
    ["calendar", "--monthdays 13,14,15", true],
    ["calendar", "--monthdays 12,13,14,15,16 --kerneltz", true],
    ["calendar", "--monthdays 13,14,15 --kerneltz", undefined],
    ["day", "--timestart 22:00 --timestop 23:00", undefined],
    ["day", "--datestart 2020", undefined],
    ["day", "", true],
    ["delta", "--timestart 22:00 --timestop 23:00", undefined],
    ["delta", "--timestop 12:00", undefined],
  ])("of kind %s: %s", async (kind, options, expected) => {
    const lines = [0, 1].map(
      (id) =>
        `${printed[kind]} IP 192.0.2.7.4000${id} > 192.0.2.1.80: Flags [S], seq 1, win 64, length 0`,
    );
    const verdicts = await judgeCapture({
      compiled: nodeOf([`-A INPUT -m time ${options} -j DROP`], "legacy", 4),
      capture: text.encode(`${lines.join("\n")}\n`),
    });
    const wanted = expected === undefined ? "unknown" : expected ? "drop" : "allow";
    expect(verdicts.map(({ verdict }) => verdict)).toEqual([wanted, wanted]);
  });
});
