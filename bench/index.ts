/**
 * How many packets a second does the whole path judge, against the number of policies, beside a plain
 * TypeScript walk of the same tables and, where it is installed, `tcpdump --count` of the same file?
 * And how long do the policies take to compile? Answers are compared before anything is timed.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bench } from "tinybench";
import type { PacketVerdict } from "../src/engine/verdict.ts";
import { compileObjects, judgeCapture, replayCapture } from "../test/judge.ts";
import { makePlainWalk, type OpeningPacket } from "./plain-walk.ts";
import { makeWorkload, type Workload } from "./workload.ts";

const POLICIES = [10, 100, 1000];
const PACKETS = 100_000;
const FLOWS = 2000;
const folder = mkdtempSync(join(tmpdir(), "netverdict-bench-"));

interface Row {
  readonly task: string;
  readonly perSecond: number;
  readonly unit: string;
  readonly spreadPercent: number;
}

async function measure(workload: Workload): Promise<Row[]> {
  const { policies, objects, capture, packets } = workload;
  const compiled = compileObjects(objects);
  const verdicts = await judgeCapture({ compiled, capture });
  const plain = makePlainWalk(compiled.rulesets[0]);
  const openings = verdicts.map(openingOf);
  verdicts.forEach((verdict, index) => {
    const mine = plain(openings[index]!) ? "allow" : "drop";
    if (verdict.verdict !== mine)
      throw new Error(`packet ${verdict.number}: ${verdict.verdict}, not ${mine}`);
  });
  const file = join(folder, `${policies}.pcap`);
  writeFileSync(file, capture);
  const sample = openings.slice(0, 2000);
  const bench = new Bench({ time: 2000, iterations: 5, warmupIterations: 2 });
  bench.add(`whole path, ${policies} policies`, () => replayCapture({ compiled, capture }));
  bench.add(`plain TypeScript walk, ${policies} policies`, () =>
    sample.forEach((one) => plain(one)),
  );
  const tcpdump = spawnSync("tcpdump", ["--version"]).status === 0;
  if (tcpdump) {
    bench.add(`tcpdump --count`, () => {
      spawnSync("tcpdump", ["-r", file, "--count"]);
    });
  }
  bench.add(`compile, ${policies} policies`, () => {
    compileObjects(objects);
  });
  await bench.run();
  const units = [packets, sample.length, ...(tcpdump ? [packets] : []), policies];
  return bench.tasks.map(({ name, result }, index) => {
    if (!("latency" in result)) throw new Error(`${name} was not measured`);
    return {
      task: name,
      perSecond: Math.round((units[index]! / result.latency.p50) * 1000),
      unit: name.startsWith("compile") ? "policies/s" : "packets/s",
      spreadPercent: Math.round(result.latency.rme),
    };
  });
}

function openingOf(verdict: PacketVerdict): OpeningPacket {
  const { source, destination, destinationPort, sourceRoute, destinationRoute } = verdict;
  if (source === undefined || destination === undefined || destinationPort === undefined) {
    throw new Error(`packet ${verdict.number} has no tuple`);
  }
  return {
    source,
    destination,
    destinationPort,
    inInterface: sourceRoute?.interface ?? "",
    outInterface: destinationRoute?.interface ?? "",
  };
}

const rows: Row[] = [];
try {
  for (const policies of POLICIES) {
    rows.push(...(await measure(makeWorkload({ policies, packets: PACKETS, flows: FLOWS }))));
  }
} finally {
  rmSync(folder, { recursive: true });
}
if (process.argv.includes("--json")) {
  console.log(JSON.stringify(rows, null, 2));
} else {
  for (const { task, perSecond, unit, spreadPercent } of rows) {
    const rate = perSecond.toLocaleString("en-US").padStart(14);
    console.log(`${task.padEnd(38)}${rate} ${unit.padEnd(11)} ± ${spreadPercent} %`);
  }
}
