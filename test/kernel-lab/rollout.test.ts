/**
 * Rules that take the place of others in mid-traffic, as iptables-restore does it: connections go on, and a
 * matcher that changes its program at the same packet must say of every packet what the kernel did.
 *
 *     NETVERDICT_LAB_ROUNDS=50 NETVERDICT_LAB_PACKETS=4000 npx vitest run test/kernel-lab/rollout.test.ts
 */
import { describe, expect, it } from "vitest";

import type { Backend } from "../../src/match/extension.ts";
import { compareScene, describeCase, drawChange, shrinkScene } from "./differential.ts";
import { haveLab } from "./have-lab.ts";
import { FEATURES, LEFT_OUT_BY_DEFAULT } from "./random-rules.ts";
import { TRAFFIC } from "./sequences.ts";

const ROUNDS = Number(process.env["NETVERDICT_LAB_ROUNDS"] ?? "4");
const FIRST_SEED = Number(process.env["NETVERDICT_LAB_SEED"] ?? "1");
const PACKETS = Number(process.env["NETVERDICT_LAB_PACKETS"] ?? "1000");
const without = [
  ...LEFT_OUT_BY_DEFAULT,
  ...(process.env["NETVERDICT_LAB_WITHOUT"] ?? "").split(","),
];
const allowed = new Set([...FEATURES, ...TRAFFIC].filter((feature) => !without.includes(feature)));

const SHRINK_MS = 60_000;

describe.runIf(ROUNDS > 0 && haveLab())("rules that are replaced", () => {
  it.each<Backend>(["legacy", "nft"])(
    "decide the connections of before as the kernel decides them (%s)",
    async (backend) => {
      const wrong: string[] = [];
      const sums = { compared: 0, unknown: 0, established: 0 };
      for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
        const scene = await drawChange({ seed, backend, packets: PACKETS, allowed });
        const { compared, differences, unknown, traits } = await compareScene(scene);
        sums.compared += compared;
        sums.established += traits.get("ESTABLISHED") ?? 0;
        for (const count of unknown.values()) sums.unknown += count;
        const [first] = differences;
        if (first === undefined) continue;
        const small =
          wrong.length > 0
            ? { scene, difference: first }
            : await shrinkScene(scene, first, Date.now() + SHRINK_MS);
        wrong.push(
          wrong.length === 0
            ? `seed ${seed}, ${differences.length} packets: ${describeCase(small)}`
            : `seed ${seed}, ${differences.length} packets, first ${first.position}: kernel ${first.kernel}, ours ${first.ours}`,
        );
      }
      console.log(
        `kernel lab, rollout, ${backend}: ${sums.compared} packets of seeds ${FIRST_SEED} to ${FIRST_SEED + ROUNDS - 1}, ` +
          `${sums.established} established, ${sums.unknown} unknown`,
      );
      expect(wrong).toEqual([]);
      expect(sums.established).toBeGreaterThan(0);
    },
    600_000,
  );
});
