/**
 * A dump of the kernel's connections as the state to begin with: random traffic is cut in the middle, and
 * a matcher that knows the first half by `conntrack -L` alone must say of the second half what the kernel did.
 *
 *     NETVERDICT_LAB_ROUNDS=50 NETVERDICT_LAB_PACKETS=4000 npx vitest run test/kernel-lab/connections.test.ts
 */
import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";

import type { Backend } from "../../src/match/extension.ts";
import { compareScene, describeCase, drawScene, secondHalf } from "./differential.ts";
import { haveLab } from "./have-lab.ts";
import { TRAFFIC } from "./sequences.ts";

const ROUNDS = Number(process.env["NETVERDICT_LAB_ROUNDS"] ?? "4");
const FIRST_SEED = Number(process.env["NETVERDICT_LAB_SEED"] ?? "1");
const PACKETS = Number(process.env["NETVERDICT_LAB_PACKETS"] ?? "2000");
const without = (process.env["NETVERDICT_LAB_WITHOUT"] ?? "").split(",");

/** What looks at nothing but packets and their connections. */
const RULES = [
  ...["source", "destination", "interface", "protocol", "policy-drop", "goto"],
  ...["tcp", "udp", "sctp", "icmp", "multiport", "mark", "addrtype"],
  ...["ctstate", "conntrack", "state", "connmark", "set"],
  ...["accept", "drop", "reject", "return", "none", "mark-target", "connmark-target"],
  ...["dnat", "redirect", "snat", "masquerade", "netmap"],
];
/** A datagram may be cut in two by the middle. */
const CUT = ["fragments", "broken-fragments"];

const allowed: ReadonlySet<string> = new Set(
  [...RULES, ...TRAFFIC.filter((kind) => !CUT.includes(kind))].filter(
    (feature) => !without.includes(feature),
  ),
);

function haveConntrack(): boolean {
  if (spawnSync("which", ["conntrack"]).status === 0) return true;
  console.log("skipped: conntrack is not installed");
  return false;
}

describe.runIf(haveLab() && haveConntrack())("connections of before", () => {
  it.each<Backend>(["legacy", "nft"])(
    "go on as the kernel goes on with them (%s)",
    async (backend) => {
      const wrong: string[] = [];
      const sums = { compared: 0, unknown: 0, established: 0 };
      const reasons = new Map<string, number>();
      for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
        const drawn = await drawScene({ seed, backend, packets: PACKETS, allowed });
        const scene = await secondHalf(drawn);
        const { compared, differences, unknown, traits } = await compareScene(scene);
        sums.compared += compared;
        sums.established += traits.get("ESTABLISHED") ?? 0;
        for (const [reason, count] of unknown) {
          sums.unknown += count;
          reasons.set(reason, (reasons.get(reason) ?? 0) + count);
        }
        const [first] = differences;
        if (first === undefined) continue;
        wrong.push(
          `seed ${seed}, ${differences.length} packets: ${describeCase({ scene, difference: first })}`,
        );
      }
      console.log(
        `connections of before, ${backend}: ${sums.compared} packets, ${sums.established} ESTABLISHED, ` +
          `${wrong.length} rounds with differences, unknown: ${[...reasons].map(([reason, count]) => `${reason} ${count}`).join(", ")}`,
      );
      expect(wrong.slice(0, 3).join("\n")).toBe("");
      expect(sums.established).toBeGreaterThan(sums.compared / 10);
      expect(sums.unknown).toBeLessThan(sums.compared / 3);
    },
    60_000 + ROUNDS * (4_000 + PACKETS),
  );
});
