/**
 * Sets of prefixes that nothing changes lie in tables of their own. Sets with counters do not, and hold the same:
 * random sets are asked about random packets in both forms.
 */
import { describe, expect, it } from "vitest";
import { buildFrame, ICMP, SCTP, TCP, timed, UDP } from "../frames.ts";
import { makeRandom, type Random } from "../random.ts";
import { judgeNode, NODE_MAC } from "./judge-node.ts";

const TYPES = ["hash:ip", "hash:net", "hash:ip,port", "hash:net,port"] as const;
const PORTS = [22, 53, 80, 8080];
const PROTOCOLS = { tcp: TCP, udp: UDP, sctp: SCTP } as const;
const FLAGS = ["src", "dst", "src,src", "src,dst", "dst,dst", "dst,src"];

function address(random: Random): string {
  if (random.chance(0.05)) return "255.255.255.255";
  return `10.${random.below(3)}.${random.below(3)}.${random.below(6) * 50}`;
}

function member(random: Random, type: (typeof TYPES)[number]): string {
  const bits = random.pick([1, 7, 8, 15, 24, 26, 31, 32]);
  const first = address(random) + (type.startsWith("hash:net") ? `/${bits}` : "");
  if (!type.endsWith(",port")) return first;
  if (random.chance(0.1)) return `${first},icmp:echo-request`;
  return `${first},${random.pick(Object.keys(PROTOCOLS))}:${random.pick(PORTS)}`;
}

/** Sets as `ipset save` prints them, and a list that holds some of them. */
function drawSets(random: Random): readonly (readonly string[])[] {
  const sets = TYPES.map((type, index) => [
    `create s${index} ${type}`,
    ...[...Array(random.below(30))].map(() => `add s${index} ${member(random, type)} -exist`),
  ]);
  return [...sets, ["create s4 list:set", "add s4 s0", "add s4 s1"]];
}

function drawRules(random: Random): string[] {
  return Array.from({ length: 12 }, () => {
    const set = random.below(TYPES.length + 1);
    const options = random.chance(0.15) ? " --return-nomatch" : "";
    const not = random.chance(0.2) ? "! " : "";
    const match = `-m set ${not}--match-set s${set} ${random.pick(FLAGS)}${options}`;
    return `-A INPUT ${match} -j ${random.pick(["ACCEPT", "DROP", "MARK --set-xmark 0x1/0x1"])}`;
  });
}

function drawFrame(random: Random): Uint8Array {
  const ends = { source: address(random), destination: "192.0.2.1", destinationMac: NODE_MAC };
  if (random.chance(0.1)) return buildFrame({ ...ends, protocol: ICMP });
  const protocol = random.pick(Object.values(PROTOCOLS));
  return buildFrame({
    ...{ ...ends, protocol, flags: "S" },
    ...{ sourcePort: random.pick(PORTS), destinationPort: random.pick(PORTS) },
  });
}

describe("a set that nothing changes", () => {
  it.each(Array.from({ length: 20 }, (_, seed) => seed))(
    "holds what a set with counters holds (seed %i)",
    async (seed) => {
      const random = makeRandom(seed);
      const sets = drawSets(random);
      const rules = drawRules(random);
      const frames = timed(Array.from({ length: 100 }, () => drawFrame(random)));
      const judge = async (counters: string) => {
        const [lists, lines] = [sets.slice(-1), sets.slice(0, -1)];
        const counted = lines.map(([create, ...adds]) => [`${create}${counters}`, ...adds]);
        const text = [...counted, ...lists].flat().join("\n");
        return judgeNode(rules, frames, "legacy", text);
      };
      expect(await judge("")).toEqual(await judge(" counters"));
    },
  );
});
