/** `replay --workers N`: whatever N is, everything that comes out is the same to the byte. */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, truncateSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Pace } from "../../src/cli/pace.ts";
import { planWorkers } from "../../src/cli/workers.ts";
import { buildFrame, buildPcap, buildPcapng, ICMP, timed, type TimedFrame } from "../frames.ts";
import { makeRandom } from "../random.ts";
import { randomAttempt, randomWorld, worldObjects } from "../random-cluster.ts";

const ROOT = join(import.meta.dirname, "../..");
const BIN = join(ROOT, "dist/src/cli/bin.js");
const folder = mkdtempSync(join(tmpdir(), "netverdict-"));

function write(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function run(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BIN, "replay", ...words], {
    cwd: ROOT,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  return { status, stdout, stderr };
}

/** Connections there and back, and what is no connection. */
function randomFrames(seed: number): { readonly frames: TimedFrame[]; readonly cluster: string } {
  const random = makeRandom(seed);
  const world = randomWorld(random, { pods: 12, policies: 8 });
  const cluster = JSON.stringify({ kind: "List", apiVersion: "v1", items: worldObjects(world) });
  const packets = Array.from({ length: 600 }, () => {
    const attempt = randomAttempt(random, world);
    const there = { ...attempt, destinationPort: attempt.port, flags: "S" };
    const back = {
      ...{ source: attempt.destination, destination: attempt.source, protocol: attempt.protocol },
      ...{ sourcePort: attempt.port, destinationPort: attempt.sourcePort, flags: "S." },
    };
    return [there, back, { ...there, flags: "." }];
  });
  // A protocol without a header to read, and a frame that is not IP.
  const odd = buildFrame({ source: "10.244.0.2", destination: "10.244.0.9", protocol: ICMP });
  odd.set([0x88, 0xcc], 12);
  return { frames: timed([...packets.flat().map(buildFrame), odd]), cluster };
}

const { frames, cluster } = randomFrames(20_261_127);
const CLUSTER = write("cluster.json", cluster);
const PCAP = write("traffic.pcap", buildPcap(frames));
const PCAPNG = write("traffic.pcapng", buildPcapng(frames));
const CUT = write("cut.pcap", buildPcap(frames).subarray(0, -7));
const WRONG = write(
  "wrong.yaml",
  "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: {podSelector: 5}}",
);
const RULES = write(
  "rules",
  ["*filter", ":FORWARD ACCEPT", "-A FORWARD -m limit --limit 1/sec -j DROP", "COMMIT", ""].join(
    "\n",
  ),
);

describe("replay by one, two and three workers", () => {
  it.each([
    ["text", 0, ["-r", PCAP]],
    ["json", 0, ["-r", PCAPNG, "-o", "json"]],
    ["ndjson", 0, ["-r", PCAPNG, "-o", "ndjson"]],
    ["a gate", 1, ["-r", PCAP, "-o", "json", "--fail-on", "drop"]],
    ["the first packets", 0, ["-r", PCAP, "-o", "json", "-c", "1001"]],
    ["an expression", 0, ["-r", PCAP, "-o", "json", "tcp"]],
    ["a capture that is cut", 3, ["-r", CUT, "-o", "json"]],
    ["flows that were under way", 0, ["-r", PCAP, "-o", "json", "--midstream", "cold"]],
    ["a table that is full", 0, ["-r", PCAP, "-o", "json", "--conntrack-max", "20"]],
    ["no capture", 2, ["-r", RULES]],
    ["manifests with an error", 2, ["-r", PCAP, "-f", WRONG]],
  ])("says the same: %s", (_, status, words) => {
    const [one, ...others] = [1, 2, 3].map((workers) =>
      run(...words, "-f", CLUSTER, "--workers", `${workers}`),
    );
    expect(one?.status).toBe(status);
    if (status !== 2) expect(one?.stdout).not.toBe("");
    for (const other of others) {
      expect(other.stderr).not.toContain("has changed meanwhile");
      expect({ ...other, stderr: withoutNotes(other.stderr) }).toEqual(one);
    }
  });
});

function withoutNotes(stderr: string): string {
  return stderr.replace(/^netverdict: note: .*\n/gm, "");
}

describe("one worker of several that were asked for", () => {
  it.each([
    [
      ["-r", PCAP, "-o", "ndjson", "-f", CLUSTER],
      "packets are reported one by one, in their order",
    ],
    [["-r", PCAP, "-r", PCAPNG, "-f", CLUSTER], "captures are merged"],
    [["-r", RULES, "-f", CLUSTER], "is no pcap or pcapng file that each can read"],
    [["-r", PCAP, "-f", CLUSTER, "--conntrack-max", "20"], "more connections at a time"],
    [["-r", PCAP, "--iptables", RULES], "a rule remembers packets of all connections (-m limit)"],
  ])("says why: %j", (words, why) => {
    const { stderr } = run(...words, "--workers", "2");
    expect(stderr).toContain("netverdict: note: one worker decides all: ");
    expect(stderr).toContain(why);
    expect(run(...words).stderr).not.toContain("note: one worker");
  });

  it("is refused as a number below one", () => {
    expect(run("-r", PCAP, "-f", CLUSTER, "--workers", "0")).toMatchObject({ status: 2 });
  });
});

describe("the number of workers", () => {
  it("is one where the capture is small and nobody asks for more", () => {
    const capture = { read: [PCAP], conntrackMax: 1000 };
    const plan = (wanted: number | undefined): number =>
      planWorkers({ capture, packetsWanted: false, packetsMax: undefined, wanted }).count;
    expect(plan(undefined)).toBe(1);
    expect(plan(5)).toBe(5);
    expect(plan(1000)).toBe(64);
  });

  it("is one where few packets of a large capture are wanted", () => {
    const large = join(folder, "large.pcap");
    copyFileSync(PCAP, large);
    // Without its bytes: nobody reads them here.
    truncateSync(large, 2 ** 31);
    const capture = { read: [large], conntrackMax: 1000 };
    const plan = (packetsMax: number | undefined): number =>
      planWorkers({ capture, packetsWanted: false, packetsMax, wanted: undefined }).count;
    expect(plan(undefined)).toBe(Math.min(availableParallelism(), 64));
    expect(plan(100)).toBe(1);
  });
});

describe("the pace of workers", () => {
  it("ends all behind the packet that the first of them has begun", () => {
    const one = new Pace();
    const other = new Pace(one.shared);
    expect(one.begin(0, Infinity)).toBe(65_536);
    expect(one.begin(65_536, 100)).toBe(100);
    expect(other.begin(0, 10)).toBe(10);
    other.stop();
    expect(one.begin(65_636, 10)).toBe(0);
    expect(other.begin(10, Infinity)).toBe(65_536);
    expect(other.begin(65_546, Infinity)).toBe(90);
    expect(other.begin(65_636, Infinity)).toBe(0);
  });

  it("ends at once where it is given up", () => {
    const one = new Pace();
    new Pace(one.shared).giveUp();
    expect(one.begin(0, 10)).toBe(0);
  });
});
