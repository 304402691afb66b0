/** How long does the command take to start, and how much memory do short and long captures take? */
import { spawnSync } from "node:child_process";
import { COMMAND, EXAMPLE } from "../command.ts";
import { interleave } from "../measure.ts";
import type { Question } from "../question.ts";
import { timeTool } from "../rivals/tools.ts";
import { clusterSubject, trafficFor } from "../subject.ts";

/** Has a process print, when it ends, the most memory that it had. */
const PEAK =
  'data:text/javascript,process.on("exit",()=>process.stderr.write("peak "+process.resourceUsage().maxRSS))';
const PACKET_BYTES = 76;

export const VERSION = "netverdict --version";
export const SMALL_REPLAY = "replay of the example";

export const processes: Question = {
  name: "process",
  asks: "the command itself: seconds of a start and of a small replay; memory",
  async answer(asking) {
    const runs = [
      [VERSION, "--version"],
      [SMALL_REPLAY, "replay", "-r", `${EXAMPLE}/traffic.pcapng`, "-f", EXAMPLE],
    ] as const;
    for (const [name, ...words] of runs) {
      const run = (): number => timeTool(process.execPath, COMMAND, ...words);
      const tasks = await interleave([{ name, units: 1, run }], asking.full ? 9 : 5);
      asking.add({ size: "", unit: "runs", tasks });
    }
    const subject = clusterSubject({ policies: 100, pods: 1000 });
    for (const megabytes of asking.full ? [100, 1000] : [10, 100]) {
      asking.progress(`memory for ${megabytes} MB`);
      const packets = Math.round((megabytes * 1e6) / PACKET_BYTES);
      const made = { packets, flows: 10_000, share: "skewed" } as const;
      const { file } = await trafficFor(subject, made);
      const words = ["--import", PEAK, COMMAND, "replay", "-r", file, ...subject.words];
      const { stderr } = spawnSync(process.execPath, words, { encoding: "utf8" });
      const kibibytes = Number(/peak (\d+)/.exec(stderr)?.[1]);
      asking.note(`peak memory, capture of ${megabytes} MB`, kibibytes / 1024, "MiB");
    }
  },
};
