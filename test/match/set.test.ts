/** Sets that packets change: what each packet of a sequence finds in them, as Linux 6.18 was seen to do it. */
import { describe, expect, it } from "vitest";
import { buildFrame, UDP } from "../frames.ts";
import { judgeNode, NODE_MAC } from "./judge-node.ts";

const START_NS = 1_700_000_000_000_000_000n;

/** Seconds, the last byte of the source, and the destination port; 7 and 53 where they are left out. */
type Step = readonly [seconds: number, from?: number, port?: number];

/** `1`, `0` or `?` for each packet: whether the rules dropped it. */
async function dropped(sets: string, rules: readonly string[], steps: readonly Step[]) {
  const frames = steps.map(([seconds, from = 7, port = 53], index) => ({
    bytes: buildFrame({
      source: `192.0.2.${from}`,
      destination: "192.0.2.1",
      protocol: UDP,
      sourcePort: 1000 + from,
      destinationPort: port,
      sourceMac: `02:00:00:00:01:0${from % 10}`,
      destinationMac: NODE_MAC,
      id: index + 1,
    }),
    timestampNs: START_NS + BigInt(Math.round(seconds * 1000)) * 1_000_000n,
    captureInterface: 0,
  }));
  const texts = rules.map((rule) => `-A INPUT ${rule}`);
  const verdicts = await judgeNode(texts, frames, "legacy", sets);
  return verdicts
    .map(({ verdict }) => (verdict === "drop" ? "1" : verdict === "allow" ? "0" : "?"))
    .join("");
}

const DROP = "-m set --match-set s src -j DROP";
const ADD = "-j SET --add-set s src";
const DELETE = "-j SET --del-set s src";
const first: Step = [0];

describe("SET", () => {
  it.each<[name: string, sets: string, rules: string[], steps: Step[], expected: string]>([
    ["adds", "create s hash:ip", [DROP, ADD], [first, [1], [2, 8], [3, 8]], "0101"],
    ["deletes", "create s hash:ip\nadd s 192.0.2.7", [DELETE, DROP], [first, [1]], "00"],
    [
      "deletes after it has added",
      "create s hash:ip",
      [`${ADD} --del-set s src`, DROP],
      [first, [1]],
      "00",
    ],
    [
      "lets the set's time run from the first addition",
      "create s hash:ip timeout 10",
      [DROP, ADD],
      [first, [5], [9.9], [10.1], [15]],
      "01101",
    ],
    [
      "begins anew with --exist",
      "create s hash:ip timeout 10",
      [`${ADD} --exist`, "-p udp --dport 99 -m set ! --match-set s src -j DROP"],
      [first, [8], [16, 7, 99], [40, 8, 99]],
      "0000",
    ],
    [
      "has a timeout of its own, and 0 is for ever",
      "create s hash:ip timeout 10",
      [DROP, "-s 192.0.2.7 -j SET --add-set s src --timeout 3", `${ADD} --timeout 0`],
      [first, [0, 8], [4], [500, 8]],
      "0001",
    ],
    [
      "does not say what happens while the kernel's clock may decide",
      "create s hash:ip timeout 10",
      [DROP, ADD],
      [first, [10.001]],
      "0?",
    ],
    [
      "adds nothing to a full set",
      "create s hash:ip maxelem 2",
      [DROP, ADD],
      [first, [1, 8], [2, 9], [3, 9], [4, 8]],
      "00001",
    ],
    [
      "makes room in a full set of what has expired",
      "create s hash:ip maxelem 1 timeout 5",
      [DROP, ADD],
      [first, [1, 8], [2, 8], [6, 8], [7, 8]],
      "00001",
    ],
    [
      "puts something out of a full set with forceadd",
      "create s hash:ip maxelem 1 forceadd",
      [DROP, ADD],
      [first, [1, 8], [2, 7]],
      "00?",
    ],
    [
      "may put something out of a full set that a kernel printed: ipset does not print forceadd",
      "create s hash:ip family inet hashsize 1024 maxelem 1 bucketsize 12 initval 0x0000002a",
      [DROP, ADD],
      [first, [1, 8], [2, 7], [3, 8]],
      "00??",
    ],
    [
      "knows that a set of small buckets may lack room",
      "create s hash:ip hashsize 64 bucketsize 2",
      [DROP, ADD],
      [first, [1, 8], [2, 9], [3, 9]],
      "000?",
    ],
    [
      "adds prefixes of the longest length in use",
      "create s hash:net\nadd s 10.0.0.0/28",
      [DROP, ADD],
      [first, [1, 8], [2, 17]],
      "010",
    ],
    [
      "adds whole addresses to an empty set of prefixes",
      "create s hash:net",
      [DROP, ADD],
      [first, [1, 8], [2, 7]],
      "001",
    ],
    [
      "adds what the set's mask leaves",
      "create s hash:ip netmask 24",
      [DROP, ADD],
      [first, [1, 8]],
      "01",
    ],
    [
      "changes nothing with fewer directions than the set has",
      "create s hash:ip,port",
      ["-m set --match-set s src,dst -j DROP", ADD],
      [first, [1]],
      "00",
    ],
    [
      "adds to the first of a list that takes it",
      "create a hash:ip maxelem 1\ncreate b hash:ip\ncreate s list:set\nadd s a\nadd s b",
      ["-m set --match-set b src -j DROP", ADD],
      [first, [1, 8], [2, 8], [3, 7], [4, 7]],
      "00101",
    ],
    [
      "ends a nomatch with --exist",
      "create s hash:net\nadd s 192.0.2.7 nomatch",
      [DROP, `${ADD} --exist`],
      [first, [1]],
      "01",
    ],
    [
      "counts its packet as the first",
      "create s hash:ip counters",
      ["-m set --match-set s src --packets-gt 2 -j DROP", ADD],
      [first, [1], [2]],
      "001",
    ],
    [
      "replaces the Ethernet address with --exist only",
      "create s bitmap:ip,mac range 192.0.2.0/24\nadd s 192.0.2.7,02:00:00:00:01:09",
      [
        "-m set --match-set s src,src -j DROP",
        "-p udp --dport 99 -j SET --add-set s src,src --exist",
        "-j SET --add-set s src,src",
      ],
      [first, [1], [2, 7, 99], [3]],
      "0001",
    ],
    [
      "tells whether interfaces and Ethernet addresses are there",
      "create s hash:net,iface\nadd s 192.0.2.0/24,eth1\ncreate m hash:mac",
      [
        "-m set --match-set s src,src -j DROP",
        "-m set --match-set m src -j DROP",
        "-s 192.0.2.7 -j SET --add-set s src,src",
        "-j SET --add-set m src",
      ],
      [first, [1], [2, 18], [3, 28]],
      "0111",
    ],
  ])("%s", async (_, sets, rules, steps, expected) => {
    expect(await dropped(sets, rules, steps)).toBe(expected);
  });

  it("takes packets' marks from a set, in table mangle", async () => {
    const frames = [7, 8].map((from, index) => ({
      bytes: buildFrame({
        source: `192.0.2.${from}`,
        destination: "192.0.2.1",
        protocol: UDP,
        sourcePort: 1000,
        destinationPort: 53,
        destinationMac: NODE_MAC,
        id: index + 1,
      }),
      timestampNs: START_NS,
      captureInterface: 0,
    }));
    const sets = "create s hash:ip skbinfo\nadd s 192.0.2.7 skbmark 0x10/0xf0\nadd s 192.0.2.8";
    const rules = [
      "-A INPUT -m mark --mark 0x13 -j DROP",
      "COMMIT",
      "*mangle",
      "-A PREROUTING -j MARK --set-mark 0x23",
      "-A PREROUTING -j SET --map-set s src --map-mark",
    ];
    const verdicts = await judgeNode(rules, frames, "legacy", sets);
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(["drop", "allow"]);
  });

  it("leaves what it did doubtful where it is not known to have been done", async () => {
    const rules = [
      "-m set --match-set s src -j DROP",
      "-m statistic --mode random --probability 0.5 -j SET --add-set s src",
    ];
    expect(await dropped("create s hash:ip", rules, [first, [1], [2, 8]])).toBe("0?0");
  });
});
