/**
 * The differential test of dumps over many rule sets, on both backends at once, each with a processor of
 * its own:
 *
 *     node test/kernel-lab/long-run.ts ROUNDS [PACKETS] [FIRST SEED]
 *
 * NETVERDICT_LAB_MINUTES ends it early; NETVERDICT_LAB_WITHOUT leaves features out.
 */
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";

import type { Backend } from "../../src/match/extension.ts";
import { compareScene, drawScene } from "./differential.ts";
import { FEATURES, LEFT_OUT_BY_DEFAULT } from "./random-rules.ts";
import { TRAFFIC } from "./sequences.ts";

const [rounds = "10", packets = "10000", first = "1", only] = process.argv.slice(2);
const without = [
  ...LEFT_OUT_BY_DEFAULT,
  ...(process.env["NETVERDICT_LAB_WITHOUT"] ?? "").split(","),
];
const allowed = new Set([...FEATURES, ...TRAFFIC].filter((feature) => !without.includes(feature)));
const until = Date.now() + 60_000 * Number(process.env["NETVERDICT_LAB_MINUTES"] ?? "Infinity");

if (only === undefined) {
  const codes = await Promise.all(["legacy", "nft"].map((backend, at) => runAlone(backend, at)));
  process.exitCode = Math.max(...codes);
} else {
  await run(only as Backend);
}

/** One backend in a process of its own. */
async function runAlone(backend: string, at: number): Promise<number> {
  const processor = `${at % availableParallelism()}`;
  const words = [process.execPath, import.meta.filename, rounds, packets, first, backend];
  const child = spawn("taskset", ["-c", processor, ...words], { stdio: "inherit" });
  return new Promise((resolve) => {
    child.on("close", (code) => {
      resolve(code ?? 1);
    });
  });
}

async function run(backend: Backend): Promise<void> {
  const started = Date.now();
  const unknown = new Map<string, number>();
  let [compared, dropped, differing] = [0, 0, 0];
  let seed = Number(first);
  const end = seed + Number(rounds);
  for (; seed < end && Date.now() < until; seed++) {
    const scene = await drawScene({ seed, backend, packets: Number(packets), allowed });
    const found = await compareScene(scene);
    compared += found.compared;
    dropped += found.dropped;
    differing += found.differences.length;
    for (const [why, count] of found.unknown) unknown.set(why, (unknown.get(why) ?? 0) + count);
    const [difference] = found.differences;
    if (difference === undefined) continue;
    const { position, kernel, ours } = difference;
    console.log(
      `${backend}, seed ${seed}: ${found.differences.length} differ, first packet ${position}: kernel ${kernel}, ours ${ours}`,
    );
  }
  const seconds = Math.round((Date.now() - started) / 1000);
  const why = [...unknown].map(([what, count]) => `${what} ${count}`).join(", ");
  console.log(
    `kernel lab, dumps, ${backend}: ${compared} packets of seeds ${first} to ${seed - 1} in ${seconds} s, ${dropped} dropped, ` +
      `${differing} disagreements, unknown: ${why}`,
  );
  if (differing > 0) process.exitCode = 1;
}
