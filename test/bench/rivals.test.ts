/** What bench/ times is compared first: here with small sets, without a clock. */
import { describe, expect, it } from "vitest";

import { barsOf } from "../../bench/bars.ts";
import { drawRules, firstMatch } from "../../bench/classbench.ts";
import { firewallOf, ipsetNode } from "../../bench/firewall.ts";
import { interleave, median, spreadPercent } from "../../bench/measure.ts";
import { plotThroughput } from "../../bench/plot.ts";
import type { Group, Results } from "../../bench/question.ts";
import { Replayer } from "../../bench/replayer.ts";
import { decidesByRules, packetsOf, plainLoop } from "../../bench/rivals/plain-loop.ts";
import { nodeSubject, replayHere, trafficFor } from "../../bench/subject.ts";
import { resultsTable } from "../../bench/table.ts";

describe("drawRules", () => {
  for (const family of ["acl", "fw", "ipc"] as const) {
    it(`draws ${family} sets whose first matches are the matcher's and the plain loop's`, async () => {
      const rules = drawRules(family, 200, 1);
      expect(drawRules(family, 200, 1)).toEqual(rules);
      const subject = nodeSubject(firewallOf(rules));
      const traffic = await trafficFor(subject, { packets: 2000, flows: 2000 });
      const expected = rules.map(() => 0);
      for (const packet of packetsOf(traffic.file)) {
        const match = firstMatch(rules, packet);
        if (match >= 0) expected[match]! += 1;
      }
      const { matcher, totals } = await replayHere(subject, traffic);
      const counts = [...matcher.ruleCounts()].map(({ packets }) => packets);
      expect(counts).toEqual([0, ...expected]);
      const plain = plainLoop(traffic.file, decidesByRules(rules), Infinity);
      expect(plain).toEqual({ packets: 2000, allowed: totals.verdicts.allow });
      expect(counts.filter((count) => count > 0).length).toBeGreaterThan(100);
    });
  }

  it("makes ipsets that are hit", async () => {
    const subject = nodeSubject(ipsetNode(drawRules("acl", 200, 1), 50));
    const traffic = await trafficFor(subject, { packets: 1000, flows: 1000 });
    const { totals } = await replayHere(subject, traffic);
    expect(totals.verdicts.allow).toBeGreaterThan(300);
    expect(totals.verdicts.unknown).toBe(0);
  });
});

describe("Replayer", () => {
  const subject = nodeSubject(firewallOf(drawRules("acl", 20, 1)));

  it("replays as often as it is asked to", async () => {
    const replayer = new Replayer(subject, await trafficFor(subject, { packets: 100, flows: 10 }));
    expect(await replayer.seconds()).toBeGreaterThan(0);
    expect(await replayer.seconds()).toBeGreaterThan(0);
    replayer.end();
  });

  it("says that its process has failed", async () => {
    const replayer = new Replayer(subject, { file: "no-such-file", packets: 0, bytes: 0 });
    await expect(replayer.seconds()).rejects.toThrow("the process that replays has ended");
  });
});

describe("interleave", () => {
  it("runs every task once a round, after one round to warm up", async () => {
    const runs: string[] = [];
    const task = (name: string) => ({ name, units: 10, run: () => runs.push(name) });
    const measured = await interleave([task("one"), task("other")], 2);
    expect(runs).toEqual(["one", "other", "one", "other", "one", "other"]);
    expect(measured).toEqual([
      { task: "one", units: 10, seconds: [3, 5] },
      { task: "other", units: 10, seconds: [4, 6] },
    ]);
  });

  it("counts medians and quartiles", () => {
    expect(median([5, 1, 3])).toBe(3);
    expect(median([4, 1])).toBe(2.5);
    expect(spreadPercent([1, 2, 3, 4, 5])).toBeCloseTo(66.7, 1);
  });
});

describe("results", () => {
  const group = (at: number, seconds: number): Group => ({
    ...{ question: "rules", size: `${at} rules, 10,000 connections`, at, unit: "packets" },
    tasks: [
      { task: "netverdict", units: 1000, seconds: [seconds] },
      { task: "tcpdump <--count>", units: 1000, seconds: [seconds / 2] },
    ],
  });
  const results: Results = {
    ...{ date: "2026-11-27T00:00:00.000Z", command: "npm run bench" },
    machine: {
      ...{ processor: "Z80", cores: 1, memoryBytes: 65_536, system: "CP/M", node: "v0" },
      loadAverage: 0,
    },
    groups: [group(10, 0.001), group(100, 0.002)],
    ...{ notes: [], missing: [] },
    checks: [{ question: "rules", what: "answers", compared: 7, mismatches: 0 }],
  };

  it("say how many times as fast the first task is", () => {
    const table = resultsTable(results, new Map([["rules", "against rules"]]));
    expect(table).toMatch(/^ {4}netverdict +1,000,000 +1000\.0 +0 %$/m);
    expect(table).toMatch(/^ {4}tcpdump <--count> +2,000,000 +500\.0 +0 % +0\.50x$/m);
    expect(table).toContain("1 comparisons of 7 answers before the clock: 0 mismatches");
  });

  it("are held against every bar, and say what was not measured", () => {
    const bars = barsOf(results);
    expect(bars.length).toBeGreaterThan(15);
    expect(bars.filter(({ measured }) => measured !== undefined)).toEqual([]);
    expect(bars.filter(({ met }) => met)).toEqual([]);
  });

  it("are drawn with a point for each size and a line for each task", () => {
    const words = { title: "a < b", across: "rules", suffix: "10,000 connections" };
    const svg = plotThroughput(results.groups, words);
    expect(svg.match(/<polyline/g)).toHaveLength(2);
    expect(svg.match(/<circle/g)).toHaveLength(4);
    expect(svg).toContain("a &lt; b");
    expect(svg).toContain("tcpdump &lt;--count>");
  });
});
