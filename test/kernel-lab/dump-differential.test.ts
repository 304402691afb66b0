/**
 * Random rule sets and random traffic: the matcher, given what the kernel prints about itself, must say of
 * every packet what the kernel did with it, to the interface by which it left.
 *
 * A small slice of seeds that agree runs always: what worked goes on working. long-run.ts finds more; here
 * seeds are chosen, the first difference is made small, and features can be left out:
 *
 *     NETVERDICT_LAB_SEED=17 NETVERDICT_LAB_ROUNDS=1 NETVERDICT_LAB_WITHOUT=recent,fragments ...
 */
import { describe, expect, it } from "vitest";

import type { Backend } from "../../src/match/extension.ts";
import { compareScene, describeCase, drawScene, shrinkScene } from "./differential.ts";
import { haveLab } from "./have-lab.ts";
import { FEATURES, LEFT_OUT_BY_DEFAULT } from "./random-rules.ts";
import { TRAFFIC } from "./sequences.ts";

/** Each round is one rule set of each family on each backend. */
const ROUNDS = Number(process.env["NETVERDICT_LAB_ROUNDS"] ?? "6");
const FIRST_SEED = Number(process.env["NETVERDICT_LAB_SEED"] ?? "13");
const PACKETS = Number(process.env["NETVERDICT_LAB_PACKETS"] ?? "1000");
const wordsOf = (name: string): string[] => (process.env[name] ?? "").split(",");
const allowed: ReadonlySet<string> = new Set(
  [...FEATURES, ...TRAFFIC]
    .filter((feature) => !LEFT_OUT_BY_DEFAULT.includes(feature))
    .filter((feature) => !wordsOf("NETVERDICT_LAB_WITHOUT").includes(feature))
    .concat(wordsOf("NETVERDICT_LAB_WITH")),
);

const SHRINK_MS = 60_000;

describe.runIf(ROUNDS > 0 && haveLab())("a node's dumps", () => {
  it.each<Backend>(["legacy", "nft"])(
    "are judged as the kernel judges them (%s)",
    async (backend) => {
      const sums = { compared: 0, dropped: 0, differing: 0 };
      const unknown = new Map<string, number>();
      const traits = new Map<string, number>();
      const wrong: string[] = [];
      for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
        const scene = await drawScene({ seed, backend, packets: PACKETS, allowed });
        const comparison = await compareScene(scene);
        sums.compared += comparison.compared;
        sums.dropped += comparison.dropped;
        sums.differing += comparison.differences.length;
        addTo(unknown, comparison.unknown);
        addTo(traits, comparison.traits);
        const [first] = comparison.differences;
        if (first === undefined) continue;
        const small =
          wrong.length > 0
            ? { scene, difference: first }
            : await shrinkScene(scene, first, Date.now() + SHRINK_MS);
        wrong.push(
          wrong.length === 0
            ? `seed ${seed}, ${comparison.differences.length} packets: ${describeCase(small)}`
            : `seed ${seed}, ${comparison.differences.length} packets, first ${first.position}: kernel ${first.kernel}, ours ${first.ours}`,
        );
      }
      console.log(
        `kernel lab, dumps, ${backend}: ${sums.compared} packets of seeds ${FIRST_SEED} to ${FIRST_SEED + ROUNDS - 1}, ` +
          `${sums.dropped} dropped, ${sums.differing} disagreements, unknown: ${inWords(unknown)}; ${inWords(traits)}`,
      );
      expect(wrong.slice(0, 20).join("\n")).toBe("");
      expect(sums.dropped).toBeGreaterThan(sums.compared / 20);
      expect(sums.dropped).toBeLessThan((sums.compared * 3) / 4);
    },
    60_000 + ROUNDS * (2_000 + PACKETS) + SHRINK_MS,
  );

  it("lets pass what should pass where there are no rules", async () => {
    const traffic = new Set(TRAFFIC);
    for (const odd of ["low-ttl", "broken-fragments", "group-traffic"]) traffic.delete(odd);
    const scene = await drawScene({
      seed: FIRST_SEED,
      backend: "nft",
      packets: 3000,
      allowed: traffic,
    });
    const { dropped, differences } = await compareScene(scene);
    expect(differences.map(({ position, kernel, ours }) => [position, kernel, ours])).toEqual([]);
    // An address of the node as a source on the wire is all that is left to drop.
    expect(dropped).toBeLessThan(30);
  });
});

function addTo(sums: Map<string, number>, counts: ReadonlyMap<string, number>): void {
  for (const [what, count] of counts) sums.set(what, (sums.get(what) ?? 0) + count);
}

function inWords(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([what, count]) => `${what} ${count}`).join(", ");
}
