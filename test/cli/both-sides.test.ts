/**
 * `what-if` by a thread for each side: whatever is compared, what comes out is what one thread says of both,
 * to the byte.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { replayBoth, type BothOptions, type JudgedSide } from "../../src/cli/both-sides.ts";
import { openChangedFiles } from "../../src/cli/changed-packets.ts";
import { DiagnosticLog } from "../../src/cli/diagnostics.ts";
import { loadJudge, type JudgeOptions } from "../../src/cli/judge.ts";
import { planSides } from "../../src/cli/side-thread.ts";
import { buildPcap, buildPcapng, timed, type TimedFrame } from "../frames.ts";
import { makeRandom, type Random } from "../random.ts";
import { randomWorld, worldObjects, type RandomWorld } from "../random-cluster.ts";
import { randomTraffic } from "../random-traffic.ts";

const ROOT = join(import.meta.dirname, "../..");
const FIRST_SEED = Number(process.env["NETVERDICT_SIDES_SEED"] ?? "1");
const ROUNDS = Number(process.env["NETVERDICT_SIDES_ROUNDS"] ?? "16");
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));

function write(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function run(...words: string[]) {
  const bin = join(ROOT, "dist/src/cli/bin.js");
  const { GITHUB_STEP_SUMMARY: _, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, "what-if", ...words], {
    encoding: "utf8",
    env,
    maxBuffer: 1 << 28,
  });
  return { status, stdout, stderr };
}

/** A cluster, of which each side has seven policies in ten, and perhaps not all Services. */
function writeSides(random: Random, world: RandomWorld): [current: string, proposed: string] {
  const changes = (object: object): boolean =>
    /Policy$|^Service$/.test((object as { kind: string }).kind);
  const objects = worldObjects(world);
  const [current, proposed] = [0, 1].map((side) => {
    const items = objects.filter((object) => !changes(object) || random.below(10) < 7);
    return write(`side-${side}.json`, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  });
  return [current!, proposed!];
}

/** Long enough for fragments to be given up, and out of order. */
function spread(random: Random, frames: readonly TimedFrame[]): TimedFrame[] {
  return frames.map((frame, index) => ({
    ...frame,
    timestampNs: frame.timestampNs + BigInt(index * 200 + random.below(900)) * 1_000_000n,
  }));
}

/** One file or two, of any format; perhaps the last ends in the midst of a packet. */
function writeCaptures(random: Random, frames: readonly TimedFrame[]): string[] {
  const parts = random.chance(0.3)
    ? [0, 1].map((part) => frames.filter((_, index) => index % 2 === part))
    : [frames];
  return parts.map((part, index) => {
    const bytes = random.chance(0.5) ? buildPcap(part) : buildPcapng(part);
    const cut = random.chance(0.2) ? bytes.subarray(0, -7) : bytes;
    return write(`traffic-${index}`, random.chance(0.2) ? gzipSync(cut) : cut);
  });
}

const NO_OPTIONS: JudgeOptions = {
  ...{ filename: [], clusterCidr: [], endpoint: [], staged: "ignore", dialect: "calico" },
  ...{ iptables: [], ip6tables: [], ipset: [], addresses: [], routes: [], conntrack: [] },
  ...{ sysctl: [], read: [], conntrackMax: 262_144 },
};

async function compare(files: readonly [string, string], options: BothOptions) {
  const log = new DiagnosticLog(() => undefined);
  const sideOf = (file: string): JudgedSide => {
    const asked = { ...NO_OPTIONS, ...options, filename: [file] };
    const judge = loadJudge(asked, new DiagnosticLog(() => undefined));
    return { judge, untold: judge.program, log };
  };
  const compared = await replayBoth({
    ...{ options, sides: [sideOf(files[0]), sideOf(files[1])], expression: undefined },
    files: openChangedFiles({}, [], []),
  });
  return { compared, found: log.found };
}

describe("a thread for each side", () => {
  it("counts what one thread counts, on random clusters and captures", async () => {
    let [packets, flips, cut, rollouts] = [0, 0, 0, 0];
    for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
      const random = makeRandom(seed * 6007);
      const size = { pods: 4 + random.below(12), policies: 2 + random.below(10), calico: seed % 4 };
      const world = randomWorld(random, size);
      const files = writeSides(random, world);
      const frames = spread(random, timed(randomTraffic(random, world)));
      const options: BothOptions = {
        read: writeCaptures(random, frames),
        conntrackMax: random.pick([262_144, 262_144, 20]),
        midstream: random.pick(["cold", "assume-established"]),
        ...(random.chance(0.2) ? { c: 500 } : {}),
        ...(random.chance(0.2)
          ? { rolloutAt: { text: "+60s", from: "start", ns: 60_000_000_000n } }
          : {}),
      };
      const [one, two] = [1, 2].map((workers) => compare(files, { ...options, workers }));
      const expected = await one!;
      expect(await two!, `seed ${seed}`).toEqual(expected);
      packets += expected.compared.totals.packets;
      flips += expected.compared.flips.length;
      if (expected.compared.partial === "damaged") cut += 1;
      if (expected.compared.rollout !== undefined) rollouts += 1;
    }
    console.log(`both sides: ${packets} packets, ${flips} flips, ${cut} cut, ${rollouts} rollouts`);
    expect(Math.min(flips, cut, rollouts)).toBeGreaterThan(0);
  });
});

describe("a long capture", () => {
  const random = makeRandom(20_261_127);
  const world = randomWorld(random, { pods: 12, policies: 8 });
  const files = writeSides(random, world);
  const once = buildPcap(timed(randomTraffic(random, world)));
  const header = once.subarray(0, 24);
  const rest = once.subarray(24);
  // More than there is room for at a time between the threads.
  const read = [
    write("long.pcap", Buffer.concat([header, ...Array.from({ length: 400 }, () => rest)])),
  ];
  const options = { read, conntrackMax: 262_144 };

  it("is counted as by one thread", async () => {
    const [one, two] = await Promise.all(
      [1, 2].map((workers) => compare(files, { ...options, workers })),
    );
    expect(two).toEqual(one);
    expect(one!.compared.totals.packets).toBe(360_000);
  });

  it("is compared up to one packet where it is interrupted", async () => {
    const stopped = compare(files, { ...options, workers: 2 });
    for (let turn = 0; turn < 5; turn++) await setImmediate();
    process.emit("SIGINT");
    const { compared } = await stopped;
    expect(compared.partial).toBe("interrupted");
    const { packets } = compared.totals;
    expect(packets).toBeGreaterThan(0);
    expect(packets).toBeLessThan(360_000);
    const whole = await compare(files, { ...options, workers: 1, c: packets });
    expect({ ...compared, partial: undefined }).toEqual(whole.compared);
  });
});

describe("what is said", () => {
  const random = makeRandom(7);
  const world = randomWorld(random, { pods: 12, policies: 8 });
  const [current, proposed] = writeSides(random, world);
  const frames = timed(randomTraffic(random, world));
  const capture = write("traffic.pcap", buildPcap(frames));
  const cut = write("cut.pcapng", buildPcapng(frames).subarray(0, -7));
  const names = write("names.txt", "10.244.0.2 known\n");
  const wrongNames = write("wrong.txt", "known 10.244.0.2\n");
  const text = write(
    "text.txt",
    ["known.1024 > 10.244.0.3.80", "10.244.0.3.80 > known.1024", "nobody.53 > known.53"]
      .map((ends) => `IP ${ends}: Flags [S], seq 1, win 64240, length 0\n`)
      .join(""),
  );
  const sides = ["--current", current, "--proposed", proposed];

  it.each([
    ["text", ["-r", capture]],
    ["json", ["-r", capture, "-o", "json"]],
    ["md", ["-r", capture, "-o", "md"]],
    ["github", ["-r", capture, "-o", "github"]],
    ["sarif", ["-r", capture, "-o", "sarif"]],
    ["junit", ["-r", capture, "-o", "junit"]],
    ["html", ["-r", capture, "-o", "html"]],
    ["an expression", ["-r", capture, "-o", "json", "tcp"]],
    ["a capture that is cut", ["-r", cut, "-o", "json"]],
    ["names that one knows", ["-r", text, "--hosts", names, "-o", "json"]],
    ["names that are wrong", ["-r", text, "--hosts", wrongNames]],
    ["no capture", ["-r", names]],
    ["a time at which nothing is captured", ["-r", capture, "--rollout-at", "+5000s"]],
  ])("is the same: %s", (_, words) => {
    const [one, two] = ["1", "2"].map((count) => run(...words, ...sides, "--workers", count));
    expect(two).toEqual(one);
    expect(`${one!.stdout}${one!.stderr}`).not.toBe("");
  });

  it("names why there is one thread only, where two were asked for", () => {
    const told = (...words: string[]): string => run(...words, ...sides, "--workers", "2").stderr;
    expect(told("-r", capture, "-w", join(folder, "written.pcapng"))).toContain(
      "note: one worker decides both sides: packets are written again, in their order",
    );
    expect(told("-r", "-")).toContain("- is no file that each can read");
  });

  it("comes of one thread where captures are small", () => {
    const plan = (wanted: number | undefined): number =>
      planSides([capture], { hosts: undefined, packetsWanted: false, wanted }).count;
    expect([undefined, 1, 2, 1000].map(plan)).toEqual([1, 1, 2, 2]);
    // Each thread reads the file of names.
    expect(planSides([capture], { hosts: "-", packetsWanted: false, wanted: 2 }).count).toBe(1);
  });
});
