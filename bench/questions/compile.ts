/**
 * How long do policies take to become packed tables, and how much memory? bench/compile.ts has the stages; beside it runs
 * what V8 takes to parse as much and to make as many objects (bench/compile-floor.ts).
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { interleave, median } from "../measure.ts";
import type { Question } from "../question.ts";
import { measureChanges } from "../recompile.ts";
import { runTool } from "../rivals/tools.ts";
import { clusterFile, temporaryFile } from "../subject.ts";

const [SCRIPT, FLOOR] = ["compile", "compile-floor"].map((name) =>
  fileURLToPath(new URL(`../${name}.ts`, import.meta.url)),
);

export const compile: Question = {
  name: "compile",
  asks: "policies to packed tables, a process of its own: seconds by the clock for one run",
  async answer(asking) {
    for (const at of asking.full ? [1000, 10_000] : [1000]) {
      const words = at.toLocaleString("en-US");
      const size = `${words} policies, ${words} pods`;
      asking.progress(size);
      const file = clusterFile({ policies: at, pods: at });
      let peak = 0;
      let tables = 0;
      const processor: number[] = [];
      const compiling: number[] = [];
      const run = (): number => {
        const said = runTool(process.execPath, SCRIPT!, "--file", file);
        tables = Number(/packed tables ([\d.]+) MB/.exec(said)?.[1]);
        peak = Number(/peak (\d+) MiB/.exec(said)?.[1]);
        const [, used, elapsed] = /(\d+) ms of processor time in all, (\d+) ms by/.exec(said) ?? [];
        processor.push(Number(used) / 1000);
        compiling.push(Number(/(\d+) ms of them from/.exec(said)?.[1]) / 1000);
        return Number(elapsed) / 1000;
      };
      const counts = temporaryFile("counts.json");
      writeFileSync(counts, runTool(process.execPath, FLOOR!, "count", file));
      const runFloor = (): number => {
        const said = runTool(process.execPath, FLOOR!, "make", file, counts);
        return Number(/(\d+) ms by/.exec(said)?.[1]) / 1000;
      };
      const tasks = [
        { name: "compile", units: 1, run },
        { name: "V8's JSON of the manifests, and as many objects", units: 1, run: runFloor },
      ];
      asking.add({ size, at, unit: "runs", tasks: await interleave(tasks, asking.full ? 5 : 2) });
      asking.note(`processor time of all threads, compile ${size}`, median(processor), "s");
      asking.note(`of it from what was read and checked, ${size}`, median(compiling), "s");
      asking.note(`peak memory, compile ${size}`, peak, "MiB");
      asking.note(`packed tables, ${size}`, tables, "MB");
      const { compared, mismatches, policyEdited, podAdded } = measureChanges(file);
      asking.checked("tables compiled again and from scratch", compared, mismatches);
      asking.note(`one policy edited, of ${size}`, policyEdited, "ms");
      asking.note(`one pod added, to ${size}`, podAdded, "ms");
    }
  },
};
