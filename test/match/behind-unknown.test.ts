/**
 * What rules remember, behind a packet whose way is not known to its end: it may have come to them. Each
 * state is asked once by a packet that gets no verdict, and then by one that would get one by itself.
 */
import { describe, expect, it } from "vitest";
import { buildFrame, UDP } from "../frames.ts";
import { judgeNode, NODE_MAC } from "./judge-node.ts";

const START_NS = 1_700_000_000_000_000_000n;

const SETS = "create s hash:ip family inet hashsize 64 maxelem 100\nadd s 192.0.2.11\n";

/** `1`, `0` or `?` for each packet: whether it was dropped. The n-th comes from 192.0.2.(10 + n). */
async function judged(
  rules: readonly string[],
  before: string,
  sources: readonly number[],
): Promise<string> {
  const frames = sources.map((source, index) => ({
    bytes: buildFrame({
      source: `192.0.2.${source}`,
      destination: "192.0.2.1",
      protocol: UDP,
      destinationPort: 53,
      destinationMac: NODE_MAC,
      id: index + 1,
      payload: new Uint8Array(72),
    }),
    timestampNs: START_NS + BigInt(index) * 1_000_000n,
    captureInterface: 0,
  }));
  const verdicts = await judgeNode(rules, frames, "legacy", SETS, before);
  return verdicts
    .map(({ verdict }) => (verdict === "drop" ? "1" : verdict === "allow" ? "0" : "?"))
    .join("");
}

/** Rules of INPUT, and what the second of two packets gets when the first did not come to them. */
const STATES: readonly (readonly [name: string, rules: readonly string[], alone: string])[] = [
  ["limit", ["-m limit --limit 1/hour --limit-burst 1 -j DROP"], "1"],
  ["nth", ["-m statistic --mode nth --every 2 --packet 0 -j DROP"], "1"],
  ["quota", ["-m quota --quota 150 -j DROP"], "1"],
  ["connlimit", ["-m connlimit --connlimit-upto 1 --connlimit-mask 0 -j DROP"], "1"],
  [
    "hashlimit",
    ["-m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 1 --hashlimit-name h -j DROP"],
    "1",
  ],
  [
    "recent",
    ["-m recent --rcheck --mask 255.255.255.0 -j DROP", "-m recent --set --mask 255.255.255.0"],
    "0",
  ],
  ["a set", ["-m set --match-set s src -j DROP", "-j SET --del-set s src"], "1"],
];

const NAT = (first: string): string =>
  [
    "*nat",
    ":PREROUTING ACCEPT [0:0]",
    `-A PREROUTING ${first} -p udp -j DNAT --to-destination 192.0.2.100-192.0.2.200`,
    "COMMIT",
  ].join("\n");

/** Why the first packet gets no verdict: tables in front of the filter's. */
const REASONS: readonly (readonly [name: string, before: string])[] = [
  [
    "is tracked in a zone",
    [
      "*raw",
      ":PREROUTING ACCEPT [0:0]",
      '-A PREROUTING -m u32 --u32 "4&0xffff0000=0x10000" -j CT --zone 5',
      "COMMIT",
    ].join("\n"),
  ],
  ["has too many backends", NAT('-m u32 --u32 "4&0xffff0000=0x10000"')],
  [
    "has too many ways",
    [
      "*mangle",
      ":PREROUTING ACCEPT [0:0]",
      ...Array.from(
        { length: 14 },
        (_, bit) =>
          `-A PREROUTING -m u32 --u32 "4&0xffff0000=0x10000" -m statistic --mode random --probability 0.5 -j MARK --or-mark ${1 << bit}`,
      ),
      "-A PREROUTING -m mark --mark 0x3fff -j DROP",
      "COMMIT",
    ].join("\n"),
  ],
];

describe.each(STATES)("%s", (_, state, alone) => {
  const rules = state.map((rule) => `-A INPUT ${rule}`);

  it("is known where nothing is in front of it", async () => {
    expect(await judged(rules, "", [11])).toBe(alone);
  });

  it.each(REASONS)("is not known behind a packet that %s", async (__, before) => {
    expect(await judged(rules, before, [11, 11])).toBe("??");
  });
});
