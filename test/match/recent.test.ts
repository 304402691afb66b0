/** recent: which packets of a sequence find their address in the list, often and recently enough. */
import { describe, expect, it } from "vitest";
import { buildFrame, UDP } from "../frames.ts";
import { judgeNode, NODE_MAC } from "./judge-node.ts";

const START_NS = 1_700_000_000_000_000_000n;

/** Seconds and the last byte of the source; `from` is 7 where it is left out. */
type Step = number | readonly [seconds: number, from: number];

/** `1`, `0` or `?` for each packet: whether the rules dropped it. */
async function dropped(rules: readonly string[], steps: readonly Step[]): Promise<string> {
  const frames = steps.map((step, index) => {
    const [seconds, from] = typeof step === "number" ? [step, 7] : step;
    return {
      bytes: buildFrame({
        source: `192.0.2.${from}`,
        destination: "192.0.2.1",
        protocol: UDP,
        sourcePort: 1000 + from,
        destinationPort: 53,
        destinationMac: NODE_MAC,
        id: index + 1,
      }),
      timestampNs: START_NS + BigInt(Math.round(seconds * 1000)) * 1_000_000n,
      captureInterface: 0,
    };
  });
  const texts = rules.map((rule) => `-A INPUT -m recent ${rule}`);
  const verdicts = await judgeNode(texts, frames);
  return verdicts
    .map(({ verdict }) => (verdict === "drop" ? "1" : verdict === "allow" ? "0" : "?"))
    .join("");
}

describe("recent", () => {
  it.each<[name: string, rules: string[], steps: Step[], expected: string]>([
    ["knows what it saw", ["--rcheck -j DROP", "--set"], [0, 1, [2, 8], [3, 8]], "0101"],
    [
      "counts hits within seconds",
      ["--rcheck --seconds 10 --hitcount 3 -j DROP", "--set"],
      [0, 1, 2, 3, 30, 31, 32, 33],
      "00010001",
    ],
    [
      "restamps by --update only where that holds",
      ["--update --seconds 10 -j DROP", "--set"],
      [0, 8, 16, 24, 40, 41],
      "011101",
    ],
    ["forgets by --remove", ["--remove -j DROP", "--set"], [0, 1, 2, 3], "0101"],
    ["is true of what it never saw, negated", ["! --rcheck -j DROP", "--set"], [0, 1], "11"],
    ["never holds as ! --set", ["! --set -j DROP"], [0, 1], "00"],
    [
      "masks addresses",
      ["--rcheck --mask 255.255.255.0 -j DROP", "--set --mask 255.255.255.0"],
      [
        [0, 8],
        [1, 9],
      ],
      "01",
    ],
    ["keeps lists apart by name", ["--rcheck --name a -j DROP", "--set --name b"], [0, 1], "00"],
    ["looks at the other side", ["--rcheck --rdest -j DROP", "--set --rsource"], [0, [1, 9]], "00"],
    // The kernel counts ticks.
    ["does not know at the very second", ["--rcheck --seconds 5 -j DROP", "--set"], [0, 5], "0?"],
  ])("%s", async (_, rules, steps, expected) => {
    expect(await dropped(rules, steps)).toBe(expected);
  });

  it("holds a hundred addresses, and forgets the one that was not used for longest", async () => {
    const steps = Array.from({ length: 100 }, (_, at): Step => [at / 10, 10 + at]);
    const more: Step[] = [
      [15, 10],
      [16, 110],
      [20, 10],
      [21, 11],
      [22, 12],
    ];
    const rules = ["--update --seconds 100 -j DROP", "--set"];
    expect(await dropped(rules, [...steps, ...more])).toBe(`${"0".repeat(100)}10100`);
  });

  it("reaps the oldest only, and not for good reason the one at hand", async () => {
    // What --rcheck without seconds still finds was not reaped.
    const rules = ["--rcheck --seconds 5 --reap -j ACCEPT", "--rcheck -j DROP", "--set"];
    const steps: Step[] = [
      [0, 8],
      [1, 9],
      [10, 8],
      [11, 8],
      [12, 9],
    ];
    expect(await dropped(rules, steps)).toBe("00000");
  });

  it("is not known where rules of one name mask differently", async () => {
    const rules = ["--rcheck --mask 255.255.255.0 -j DROP", "--set"];
    expect(await dropped(rules, [0])).toBe("?");
  });
});
