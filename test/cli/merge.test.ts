/**
 * Captures that are merged: one that is cut into several, in whatever formats, is judged as the whole
 * is; and what cannot be merged is refused.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { buildFrame, buildPcap, buildPcapng, ICMP, TCP, UDP, type TimedFrame } from "../frames.ts";
import { makeRandom, type Random } from "../random.ts";

const ROOT = join(import.meta.dirname, "../..");
const BIN = join(ROOT, "dist/src/cli/bin.js");
const EXAMPLE = "examples/dns-forgotten";
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));

afterAll(() => rmSync(folder, { recursive: true }));

const SEED = 20261127;
const ROUNDS = 5;
/** More than fit one batch, so that captures are read on while they are merged. */
const PACKETS = 7000;
const INTERFACES = ["calia", "calib", "eth0"];
const ADDRESSES = [
  "10.1.1.10",
  "10.1.1.11",
  "10.1.1.12",
  "10.1.2.20",
  "10.1.2.21",
  "10.96.0.10",
  "203.0.113.5",
];

function run(words: readonly string[], input?: Uint8Array) {
  return spawnSync(process.execPath, [BIN, ...words], {
    cwd: ROOT,
    encoding: "utf8",
    maxBuffer: 1 << 26,
    ...(input === undefined ? {} : { input }),
  });
}

function write(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** Replays captures; what is said of files is taken out. */
function replay(captures: readonly string[], input?: Uint8Array) {
  const json = join(folder, "report.json");
  const reads = captures.flatMap((file) => ["-r", file]);
  const words = ["replay", ...reads, "-f", EXAMPLE, "-o", "ndjson", "-o", `json=${json}`];
  const { status, stdout, stderr } = run(words, input);
  const packets = stdout.replace(/"file":"[^"]*","filePacket":\d+,/g, "");
  return { status, packets, stderr, stdout };
}

const report = (captures: readonly string[]): string =>
  run(["replay", ...captures.flatMap((file) => ["-r", file]), "-f", EXAMPLE, "-o", "json"]).stdout;

// ── Captures ──────────────────────────────────────────────────────────────────────────────────────────

/** Packets of some flows; some are seen a second time, a little later on another interface. */
function randomTraffic(random: Random): TimedFrame[] {
  const frames: TimedFrame[] = [];
  let now = 1_700_000_000_000_000_000n;
  for (let index = 0; index < PACKETS; index++) {
    if (random.chance(0.8)) now += BigInt(random.below(3_000_000));
    const spec = {
      source: random.pick(ADDRESSES),
      destination: random.pick(ADDRESSES),
      protocol: random.pick([TCP, TCP, UDP, ICMP]),
      sourcePort: 40000 + random.below(20),
      destinationPort: random.pick([53, 80, 8080, 8443]),
      flags: random.pick(["S", "S.", ".", "P.", "F.", "R"]),
      seq: random.below(5) * 100,
      id: index,
    };
    const captureInterface = random.below(INTERFACES.length);
    frames.push({ bytes: buildFrame(spec), timestampNs: now, captureInterface });
    if (!random.chance(0.2)) continue;
    const bytes = buildFrame({ ...spec, ttl: 63 });
    frames.push({ bytes, timestampNs: now, captureInterface: random.below(INTERFACES.length) });
  }
  return frames;
}

/** Cuts a capture: whole runs of packets or single ones. Of equal times the earlier part has the earlier. */
function cut(random: Random, frames: readonly TimedFrame[], parts: number): TimedFrame[][] {
  const cuts = Array.from({ length: parts }, (): TimedFrame[] => []);
  const stay = random.pick([0, 0.5, 0.99]);
  let part = 0;
  let before: bigint | undefined;
  for (const frame of frames) {
    const drawn = random.chance(stay) ? part : random.below(parts);
    part = frame.timestampNs === before ? Math.max(part, drawn) : drawn;
    before = frame.timestampNs;
    cuts[part]?.push(frame);
  }
  return cuts;
}

/** tcpdump's text with `-tt -xx`: the bytes say it all. */
function buildText(frames: readonly TimedFrame[]): Uint8Array {
  const lines = frames.flatMap(({ bytes, timestampNs }) => {
    const seconds = timestampNs / 1_000_000_000n;
    const fraction = `${timestampNs % 1_000_000_000n}`.padStart(9, "0");
    const [source, destination] = [26, 30].map((at) => bytes.subarray(at, at + 4).join("."));
    const rows = Array.from({ length: Math.ceil(bytes.length / 16) }, (_, row) => {
      const hex = Buffer.from(bytes.subarray(row * 16, row * 16 + 16)).toString("hex");
      const offset = (row * 16).toString(16).padStart(4, "0");
      return `\t0x${offset}:  ${hex.replace(/(.{4})(?=.)/g, "$1 ")}`;
    });
    return [`${seconds}.${fraction} IP ${source} > ${destination}: ip`, ...rows];
  });
  return new TextEncoder().encode(`${lines.join("\n")}\n`);
}

/** As a pcapng whose interfaces are counted in an order of its own. */
function buildNamed(random: Random, frames: readonly TimedFrame[]): Uint8Array {
  const names = random.some(INTERFACES, INTERFACES.length, INTERFACES.length);
  const numbered = frames.map((frame) => ({
    ...frame,
    captureInterface: names.indexOf(INTERFACES[frame.captureInterface ?? 0] ?? ""),
  }));
  return buildPcapng(numbered, names);
}

const compressed = (random: Random, bytes: Uint8Array): Uint8Array =>
  random.pick([(all: Uint8Array) => all, gzipSync, zstdCompressSync])(bytes);

const writeParts = (random: Random, parts: readonly Uint8Array[]): string[] =>
  parts.map((bytes, index) => write(`part${index}`, compressed(random, bytes)));

// ── Tests ─────────────────────────────────────────────────────────────────────────────────────────────

describe("a capture that was cut into several", () => {
  const rounds = Array.from({ length: ROUNDS }, (_, round) => ({ round, parts: 2 + (round % 4) }));

  it.each(rounds)("is judged as the whole, by pcap, pcapng and text: $round", (given) => {
    const random = makeRandom(SEED + given.round);
    const frames = randomTraffic(random);
    const whole = write("whole", buildPcap(frames));
    const builders = [buildPcap, buildText, (part: TimedFrame[]) => buildPcapng(unnamed(part))];
    const parts = cut(random, frames, given.parts).map((part) => random.pick(builders)(part));
    const files = writeParts(random, parts);
    const merged = replay(files);
    expect(merged.stderr).toBe("");
    expect(merged.packets).toBe(replay([whole]).packets);
    expect(report(files)).toBe(report([whole]));
  });

  it.each(rounds)("is judged as the whole, with its interfaces: $round", (given) => {
    const random = makeRandom(SEED + 100 + given.round);
    const frames = randomTraffic(random);
    const whole = write("whole", buildPcapng(frames, INTERFACES));
    const parts = cut(random, frames, given.parts).map((part) => buildNamed(random, part));
    const files = writeParts(random, parts);
    const merged = replay(files);
    expect(merged.packets).toContain('"duplicateOf":');
    expect(merged.packets).toBe(replay([whole]).packets);
    expect(report(files)).toBe(report([whole]));
  });

  it("may come by standard input in part", () => {
    const random = makeRandom(SEED);
    const frames = randomTraffic(random);
    const [one = [], other = []] = cut(random, frames, 2);
    const whole = write("whole", buildPcap(frames));
    const file = write("one", buildPcap(one));
    const merged = replay([file, "-"], buildPcap(other));
    expect(merged.packets).toBe(replay([whole]).packets);
    expect(merged.stdout).toContain('"file":"-","filePacket":1,');
  });
});

/** The one interface of a pcapng that has no names. */
function unnamed(frames: readonly TimedFrame[]): TimedFrame[] {
  return frames.map((frame) => ({ ...frame, captureInterface: 0 }));
}

describe("what several captures have beside their packets", () => {
  const frame = (seconds: number, source = "10.1.1.10"): TimedFrame => ({
    bytes: buildFrame({ source, destination: "10.1.2.20", protocol: TCP, destinationPort: 80 }),
    timestampNs: BigInt(seconds) * 1_000_000_000n,
  });
  const told = (text: string): unknown[] =>
    text
      .trim()
      .split("\n")
      .map((line) => {
        const { packet, file, filePacket, source } = JSON.parse(line) as Record<string, unknown>;
        return [packet, String(file).split("/").at(-1), filePacket, source];
      });

  it("each packet says its file and its number there; equal times keep the order of the files", () => {
    const one = write("one", buildPcap([frame(2, "10.1.1.10"), frame(4, "10.1.1.11")]));
    const other = write("other", buildPcap([frame(1, "10.1.1.12"), frame(4, "10.1.2.21")]));
    expect(told(replay([one, other]).stdout)).toEqual([
      [1, "other", 1, "10.1.1.12"],
      [2, "one", 1, "10.1.1.10"],
      [3, "one", 2, "10.1.1.11"],
      [4, "other", 2, "10.1.2.21"],
    ]);
    expect(told(replay([other, one]).stdout).slice(2)).toEqual([
      [3, "other", 2, "10.1.2.21"],
      [4, "one", 2, "10.1.1.11"],
    ]);
  });

  it("explain counts the merged packets", () => {
    const one = write("one", buildPcap([frame(2), frame(4)]));
    const other = write("other", buildPcap([frame(1, "10.1.1.12"), frame(3, "10.1.1.11")]));
    const words = ["explain", "-r", one, "-r", other, "-f", EXAMPLE, "--packet"];
    expect(run([...words, "3"]).stdout).toContain(`packet 3 of all, 2 of ${other}\n`);
    expect(JSON.parse(run([...words, "3", "-o", "json"]).stdout)).toMatchObject({
      packet: { packet: 3, file: other, filePacket: 2, source: "10.1.1.11" },
    });
    expect(run([...words, "5"]).stderr).toContain("--packet 5: the captures have 4 packets");
  });

  it("what was read of a damaged one counts, and the exit code says so", () => {
    const cutShort = write("cut", buildPcap([frame(1), frame(3), frame(5)]).slice(0, -1));
    const other = write("other", buildPcap([frame(2), frame(6)]));
    const { status, stdout, stderr } = replay([cutShort, other]);
    expect(status).toBe(3);
    expect(told(stdout).map((packet) => (packet as unknown[]).slice(0, 3))).toEqual([
      [1, "cut", 1],
      [2, "other", 1],
      [3, "cut", 2],
      [4, "other", 2],
    ]);
    expect(stderr).toMatch(/cut: byte 164 \(packet 3\): error: the capture ends inside a record/);
    const { status: without, stdout: rest } = replay([join(folder, "none"), other]);
    expect(without).toBe(3);
    expect(told(rest)).toHaveLength(2);
  });
});

describe("many captures", () => {
  it("are merged up to a limit, and refused beyond it", () => {
    const bytes = buildFrame({ source: "10.1.1.10", destination: "10.1.2.20", protocol: ICMP });
    const files = Array.from({ length: 300 }, (_, index) =>
      write(`many${index}`, buildPcap([{ bytes, timestampNs: BigInt(1000 - index) }])),
    );
    const { status, stdout } = replay(files);
    expect(status).toBe(0);
    expect(stdout.match(/many\d+/g)).toEqual(files.map((file) => file.split("/").at(-1)).reverse());
    const beyond = replay([...files, ...files]);
    expect(beyond.status).toBe(2);
    expect(beyond.stderr).toContain("600 captures are more than the 512 that are merged");
  });
});

describe("captures of which no order is known", () => {
  const words = "IP 10.1.1.10.40000 > 10.1.2.20.80: Flags [S], seq 1, win 100, length 0\n";
  const dated = (): string => write("dated", `2023-11-14 22:13:20.000000 ${words}`);

  it.each([
    ["have no time", words, "its first packet has no time"],
    ["have a time of day only", `22:13:20.000000 ${words}`, "its times have no date"],
    [
      "count from their first packet",
      ` 00:00:00.000000 ${words} 00:00:01.000000 ${words}`,
      "its times count from its own first packet",
    ],
  ])("are refused: those that %s", (_, text, sentence) => {
    const file = write("text", text);
    const { status, stdout, stderr } = replay([file, dated()]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain(`${file}: error: ${sentence}`);
    expect(replay(["-", dated()], new TextEncoder().encode(text)).stderr).toContain(
      `-: error: ${sentence}`,
    );
  });

  it("are no matter where only one has packets", () => {
    const { status, stdout } = replay([write("text", words), write("empty", buildPcap([]))]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ packet: 1, filePacket: 1, time: null });
  });

  it("are merged with a warning where times of day may be of one day", () => {
    const one = write("one", `22:13:20.000000 ${words}`);
    const other = write("other", `22:13:19.000000 ${words}`);
    const { status, stderr, stdout } = replay([one, other]);
    expect(status).toBe(0);
    expect(stderr).toContain("they are taken to be of one day");
    expect(stdout.indexOf("/other")).toBeLessThan(stdout.indexOf("/one"));
  });

  it("are merged with a warning where dates without a zone meet others", () => {
    const epoch = write("epoch", `1700000000.000000 ${words}`);
    const { status, stderr } = replay([epoch, dated()]);
    expect(status).toBe(0);
    expect(stderr).toContain("its dates name no time zone: they are taken as UTC");
  });
});
