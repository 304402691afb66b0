/**
 * Long chains, whose rules are passed over where their headers cannot match: `judgeNode` judges by every
 * rule, too, and fails where verdict, rule or counts differ. Addresses and ports come from small pools, so
 * that rules overlap and the first of several that match must win.
 */
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/match/extension.ts";
import type { Family } from "../../src/net/address.ts";
import { buildFrame, ICMP, ICMPV6, SCTP, TCP, timed, UDP } from "../frames.ts";
import { judgeNode, NODE_MAC } from "../match/judge-node.ts";
import { makeRandom, type Random } from "../random-cluster.ts";

const RULES = 400;
const PACKETS = 400;
const CHAINS = ["first", "second", "third"];
const PORTS = [22, 53, 80, 443, 8080, 30_000];
const PROTOCOLS = ["tcp", "udp", "sctp"] as const;
const NUMBERS = { tcp: TCP, udp: UDP, sctp: SCTP };

function address(random: Random, family: Family): string {
  const low = random.below(4) * 64 + random.below(3);
  if (family === 4) return `10.${random.below(3)}.${random.below(4)}.${low}`;
  return `fd00:${random.below(3)}::${random.below(4)}:${low.toString(16)}`;
}

function prefix(random: Random, family: Family): string {
  const lengths =
    family === 4 ? [7, 8, 15, 16, 20, 24, 26, 32] : [16, 31, 32, 48, 64, 112, 127, 128];
  return `${address(random, family)}/${random.pick(lengths)}`;
}

function rule(random: Random, family: Family, later: readonly string[]): string {
  const words: string[] = [];
  const maybe = (probability: number, ...said: string[]): void => {
    if (random.chance(probability)) words.push(...(random.chance(0.1) ? ["!"] : []), ...said);
  };
  if (random.chance(0.9)) words.push("-s", prefix(random, family));
  maybe(0.3, "-d", prefix(random, family));
  maybe(0.2, "-i", random.pick(["eth0", "eth+", "eth00", "lo"]));
  if (random.chance(0.7)) {
    const protocol = random.pick(PROTOCOLS);
    words.push("-p", protocol);
    if (random.chance(0.15)) words.push("-m", "conntrack", "--ctstate", "NEW");
    if (random.chance(0.6)) {
      words.push("-m", protocol);
      const port = random.pick(PORTS);
      maybe(0.7, "--dport", random.chance(0.7) ? `${port}` : `${port}:${port + 20_000}`);
      maybe(0.3, "--sport", `${random.pick(PORTS)}`);
    } else if (random.chance(0.5)) {
      words.push("-m", "multiport");
      maybe(1, "--dports", random.some(PORTS, 1, 4).join(","));
    }
  }
  if (random.chance(0.1)) words.push("-m", "mark", "--mark", "0x1/0x1");
  if (random.chance(0.1)) words.push("-m", "length", "--length", "0:60");
  // What says little decides nothing, or all would be decided by the first few rules.
  const ends = words.length > 5 ? ["DROP", "ACCEPT", "RETURN", ...later] : later;
  return `${words.join(" ")} -j ${random.pick([...ends, "MARK --set-xmark 0x1/0x1"])}`;
}

function rules(random: Random, family: Family): string[] {
  const lines = CHAINS.map((chain) => `:${chain} - [0:0]`);
  for (const [index, chain] of ["INPUT", ...CHAINS].entries()) {
    const later = CHAINS.slice(index, index + 1);
    for (let count = 0; count < RULES; count++) {
      lines.push(`-A ${chain} ${rule(random, family, later)}`.replaceAll("  ", " "));
    }
  }
  return lines;
}

function frame(random: Random, family: Family): Uint8Array {
  const ping = family === 4 ? ICMP : ICMPV6;
  const own = family === 4 ? "192.0.2.1" : "2001:db8::1";
  return buildFrame({
    source: address(random, family),
    destination: random.chance(0.7) ? own : address(random, family),
    protocol: random.chance(0.1) ? ping : NUMBERS[random.pick(PROTOCOLS)],
    sourcePort: random.chance(0.3) ? random.pick(PORTS) : 1024 + random.below(60_000),
    destinationPort: random.pick(PORTS),
    destinationMac: NODE_MAC,
  });
}

describe("candidates", () => {
  const backends: readonly Backend[] = ["legacy", "nft"];
  for (const [seed, backend] of [...backends, ...backends].entries()) {
    for (const family of [4, 6] as const) {
      it(`are all that can match (${backend}, IPv${family}, seed ${seed})`, async () => {
        const random = makeRandom(seed);
        const frames = Array.from({ length: PACKETS }, () => frame(random, family));
        const verdicts = await judgeNode(rules(random, family), timed(frames), backend);
        const words = new Set(verdicts.map(({ verdict }) => verdict));
        const decided = new Set(verdicts.map((one) => `${one.rule?.chain}:${one.rule?.number}`));
        expect(words).toContain("drop");
        expect(words).toContain("allow");
        expect(decided.size).toBeGreaterThan(10);
      });
    }
  }

  it("do not leave out rules that ask for a mark", async () => {
    const bits = Array.from({ length: 14 }, (_, bit) => `0x${(2 ** bit).toString(16)}`);
    const asking = bits.map(
      (bit) => `-A INPUT -p tcp -m mark --mark ${bit}/${bit} -m tcp --dport 80 -j DROP`,
    );
    const bytes = buildFrame({
      source: "10.0.0.1",
      destination: "192.0.2.1",
      protocol: TCP,
      destinationPort: 81,
      destinationMac: NODE_MAC,
    });
    const [verdict] = await judgeNode(["-A INPUT -j MINE --of-nobody", ...asking], timed([bytes]));
    expect(verdict?.verdict).toBe("unknown");
  });
});
