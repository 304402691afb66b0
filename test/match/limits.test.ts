/** limit, quota and statistic: which packets of a sequence they let through. */
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/match/extension.ts";
import { buildFrame, UDP } from "../frames.ts";
import { judgeNode, NODE_MAC } from "./judge-node.ts";

const START_NS = 1_700_000_000_000_000_000n;

/** `1`, `0` or `?` for each packet: whether the rules dropped it. Packets at these milliseconds. */
async function judged(
  rules: readonly string[],
  milliseconds: readonly number[],
  backend: Backend = "legacy",
  from: (index: number) => number = () => 7,
): Promise<string> {
  const frames = milliseconds.map((at, index) => ({
    bytes: buildFrame({
      source: `192.0.2.${from(index)}`,
      destination: "192.0.2.1",
      protocol: UDP,
      destinationPort: 53,
      destinationMac: NODE_MAC,
      id: index + 1,
      payload: new Uint8Array(72),
    }),
    timestampNs: START_NS + BigInt(Math.round(at * 1000)) * 1000n,
    captureInterface: 0,
  }));
  const verdicts = await judgeNode(rules, frames, backend);
  return verdicts
    .map(({ verdict }) => (verdict === "drop" ? "1" : verdict === "allow" ? "0" : "?"))
    .join("");
}

/** The same, of packets that match. */
async function dropped(
  match: string,
  milliseconds: readonly number[],
  backend: Backend = "legacy",
  from?: (index: number) => number,
): Promise<string> {
  return judged([`-A INPUT ${match} -j DROP`], milliseconds, backend, from);
}

const every = (milliseconds: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => index * milliseconds);

describe.each(["legacy", "nft"] as const)("limit of iptables-%s", (backend) => {
  it.each([
    ["3/hour", 5, every(1, 8), "11111000"],
    ["1/sec", 1, [0, 500, 1100, 1200, 2300], "10101"],
    ["1/sec", 2, [0, 1, 2, 1100, 1200, 1300, 2150], "1101001"],
    ["10/sec", 1, [0, 50, 150, 270, 1000, 1001], "101110"],
    // Both clocks near the moment of the refill.
    ["1/sec", 1, [0, 1000, 1500, 1999.9, 2500], "1????"],
    // Idle time makes it certain again.
    ["1/sec", 1, [0, 1000, 9000, 9001], "1?10"],
    ["5/min", 5, [...every(1, 6), 30_000, 30_001, 30_002], "111110110"],
  ])("%s, burst %i at %j", async (rate, burst, times, expected) => {
    const match = `-m limit --limit ${rate} --limit-burst ${burst}`;
    expect(await dropped(match, times, backend)).toBe(expected);
  });

  it("keeps 32 bits of a burst, as much as those are with each of the kernel's clocks", async () => {
    const match = "-m limit --limit 1/hour --limit-burst 39";
    const text = await dropped(match, every(1, 4), backend);
    expect(text).toBe(backend === "legacy" ? "1???" : "1111");
  });

  it("has the clocks only at which the kernel takes the burst", async () => {
    const match = "-m limit --limit 1/hour --limit-burst 38";
    const text = await dropped(match, every(1, 8), backend);
    // 38 at 100 ticks a second, 6 at 300; at 250 and 1,000 it is refused.
    expect(text).toBe(backend === "legacy" ? "111111??" : "11111111");
  });

  it("counts when it is asked, whatever the matches behind it say", async () => {
    const match = "-m limit --limit 1/hour --limit-burst 2 -m udp --dport 1";
    const text = await dropped(`-p udp ${match}`, every(1, 4), backend);
    expect(text).toBe("0000");
  });
});

describe("hashlimit", () => {
  const turns = (index: number): number => 10 + (index % 2);

  // Packets of 100 bytes, by turns of two sources.
  it.each([
    ["--hashlimit-upto 1/sec --hashlimit-burst 2 --hashlimit-mode srcip", every(1, 8), "11110000"],
    ["--hashlimit-above 1/sec --hashlimit-burst 2 --hashlimit-mode srcip", every(1, 8), "00001111"],
    ["--hashlimit-upto 1/sec --hashlimit-burst 2", every(1, 6), "110000"],
    ["--hashlimit-upto 1/sec --hashlimit-burst 2 --hashlimit-mode dstip", every(1, 6), "110000"],
    [
      "--hashlimit-upto 1/sec --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-srcmask 24",
      every(1, 6),
      "110000",
    ],
    ["--hashlimit-upto 1/sec --hashlimit-burst 1 --hashlimit-mode dstport", [0, 500, 1100], "101"],
    // Expired after a second, collected within another: the bucket is full again, or has one or two.
    ["--hashlimit-upto 1/sec --hashlimit-burst 3", [0, 1, 2, 3, 4000, 4001, 4002], "1110111"],
    ["--hashlimit-upto 1/sec --hashlimit-burst 3", [0, 1, 2, 3, 1500, 1501], "11101?"],
    // Sixteen bytes more than there are; a second's worth of bytes is there at first.
    ["--hashlimit-upto 224b/s", every(1, 4), "1100"],
    ["--hashlimit-upto 224b/s --hashlimit-burst 448b", every(1, 8), "11111100"],
    ["--hashlimit-upto 2/sec --hashlimit-burst 1 --hashlimit-rate-match", every(1, 5), "11100"],
    // Five in a second were too many: the next second has none.
    [
      "--hashlimit-upto 2/sec --hashlimit-burst 1 --hashlimit-rate-match --hashlimit-htable-expire 9000",
      [...every(1, 5), 1100, 1200, 2300, 2301],
      "111000011",
    ],
  ])("%s at %j", async (options, times, expected) => {
    const match = `-m hashlimit ${options} --hashlimit-name test`;
    expect(await dropped(match, times, "nft", turns)).toBe(expected);
  });

  it("drops what a full table has no entry for", async () => {
    const match =
      "-m hashlimit --hashlimit-above 1/hour --hashlimit-mode srcip --hashlimit-name test --hashlimit-htable-size 2 --hashlimit-htable-max 2";
    const three = (index: number): number => 10 + (index % 3);
    expect(await dropped(match, every(1, 6), "nft", three)).toBe("001001");
  });
});

describe("quota", () => {
  // 100 bytes each.
  it.each([
    ["--quota 250", "1100"],
    ["--quota 300", "1110"],
    ["! --quota 250", "0011"],
    ["--quota 0", "0000"],
  ])("%s", async (options, expected) => {
    expect(await dropped(`-m quota ${options}`, every(1, 4))).toBe(expected);
  });

  it("is used up by a packet that is too long for it", async () => {
    const rules = "-m length --length 100 -m quota --quota 99";
    expect(await dropped(rules, every(1, 2))).toBe("00");
  });
});

describe("connections", () => {
  // Each packet is of its source's one connection; 100 bytes.
  const four = (index: number): number => 10 + (index % 4);

  it.each([
    ["--connlimit-above 2 --connlimit-mask 24", every(1, 4), "0011"],
    ["--connlimit-upto 2 --connlimit-mask 24", every(1, 2), "11"],
    ["--connlimit-above 1", every(1, 4), "0000"],
    ["--connlimit-above 0", every(1, 4), "1111"],
  ])("connlimit %s", async (options, times, expected) => {
    expect(await dropped(`-m connlimit ${options}`, times, "legacy", four)).toBe(expected);
  });

  it.each([
    ["--connbytes 1 --connbytes-mode packets --connbytes-dir original", "1"],
    ["--connbytes 2 --connbytes-mode packets --connbytes-dir both", "0"],
    ["--connbytes 100:100 --connbytes-mode bytes --connbytes-dir both", "1"],
    ["! --connbytes 0:99 --connbytes-mode avgpkt --connbytes-dir original", "1"],
    ["--connbytes 0:0 --connbytes-mode bytes --connbytes-dir reply", "1"],
  ])("connbytes %s", async (options, expected) => {
    expect(await dropped(`-m connbytes ${options}`, [0])).toBe(expected);
  });
});

describe("statistic", () => {
  it.each([
    ["--every 3 --packet 0", "1001001"],
    ["--every 3 --packet 2", "0010010"],
    ["! --every 2 --packet 0", "0101010"],
    ["--every 1 --packet 0", "1111111"],
  ])("nth %s", async (options, expected) => {
    expect(await dropped(`-m statistic --mode nth ${options}`, every(1, 7))).toBe(expected);
  });

  it("draws at random, which nobody can foresee", async () => {
    expect(await dropped("-m statistic --mode random --probability 0.5", [0])).toBe("?");
    expect(await dropped("-m statistic --mode random --probability 1", [0])).toBe("1");
    expect(await dropped("-m statistic --mode random --probability 0", [0])).toBe("0");
  });
});

describe("what a packet may or may not have counted at", () => {
  // Of the first packet nobody knows whether it gets past this rule.
  const rules = (match: string): string[] => [
    `-A INPUT -m u32 --u32 "4&0xffff0000=0x10000" -m statistic --mode random --probability 0.5 -j RETURN`,
    `-A INPUT ${match} -j DROP`,
  ];

  it.each([
    ["-m limit --limit 1/hour --limit-burst 2", "?1?000"],
    ["-m quota --quota 250", "?1?000"],
    ["-m statistic --mode nth --every 4 --packet 0", "??00??00??"],
    // Of a connection that is perhaps counted, too, the next are.
    ["-m connlimit --connlimit-above 2 --connlimit-mask 24", "00??"],
  ])("%s", async (match, expected) => {
    const from = (index: number): number => 10 + index;
    expect(await judged(rules(match), every(1, expected.length), "legacy", from)).toBe(expected);
  });
});
