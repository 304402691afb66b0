/** Does `netverdict replay` judge a capture faster than tcpdump counts it, each as a process of its own? */
import { readFileSync } from "node:fs";
import { wasmFloor } from "../floor.ts";
import { interleave, secondsOf, type Task } from "../measure.ts";
import type { Asking, Question } from "../question.ts";
import { compareCounters } from "../compare.ts";
import { COMMAND, REPLAY, REPLAY_BY_TWO } from "../command.ts";
import { counterRivals, tsharkRival } from "../rivals/counters.ts";
import { runTool, timeTool } from "../rivals/tools.ts";
import { clusterSubject, CONNTRACK_MAX, trafficFor } from "../subject.ts";

const PARTS = "V8's JSON of manifests and report, and the matcher's parts";

export const replay: Question = {
  name: "replay",
  asks: "a whole process, conntrack on, 64-byte frames: packets a second",
  async answer(asking) {
    const policies = asking.full ? 1000 : 100;
    const subject = clusterSubject({ policies, pods: policies * 10 });
    const packets = asking.full ? 10_000_000 : 1_000_000;
    const flows = packets / 100;
    const rounds = asking.full ? 5 : 3;
    const words = (count: number): string => count.toLocaleString("en-US");
    const size = `${words(policies)} policies, ${words(packets)} packets, ${words(flows)} connections`;
    asking.progress(size);
    const traffic = await trafficFor(subject, { packets, flows, share: "skewed" });
    const command = (file: string, workers: number): string[] => [
      ...[COMMAND, "replay", "-r", file, ...subject.words],
      ...["--conntrack-max", `${CONNTRACK_MAX}`, "-o", "json", "--workers", `${workers}`],
    ];
    const [text, byTwo] = [1, 2].map((workers) =>
      runTool(process.execPath, ...command(traffic.file, workers)),
    );
    asking.checked("what two workers say", 1, text === byTwo ? 0 : 1);
    const said = JSON.parse(text!) as { packets: number; verdicts: { unknown: number } };
    const off = Math.abs(said.packets - packets) + said.verdicts.unknown;
    asking.checked("packets that the command decides", packets, off);
    compareCounters(asking, traffic);
    const own = (file: string, units: number, workers = 1): Task => ({
      name: workers === 1 ? REPLAY : REPLAY_BY_TWO,
      units,
      run: () => timeTool(process.execPath, ...command(file, workers)),
    });
    const tasks = [
      own(traffic.file, packets),
      own(traffic.file, packets, 2),
      partsTask(asking, {
        file: traffic.file,
        packets,
        flows,
        manifests: subject.options.filename[0]!,
        said,
      }),
      ...counterRivals(asking).map((rival) => rival.task(traffic.file, packets)),
    ];
    asking.add({ size, unit: "packets", tasks: await interleave(tasks, rounds) });
    const tshark = tsharkRival(asking);
    if (tshark === undefined) return;
    const few = packets / 50;
    const small = await trafficFor(subject, { packets: few, flows: few / 100 });
    const missed = Math.abs(tshark.count(small.file) - few);
    asking.checked("packets that tshark lists", few, missed);
    const both = [own(small.file, few), tshark.task(small.file, few)];
    const less = `${words(policies)} policies, ${words(few)} packets, ${words(few / 100)} connections`;
    asking.add({ size: less, unit: "packets", tasks: await interleave(both, rounds) });
  },
};

/**
 * What V8 takes to parse the manifests and to write, compactly and to nowhere, the report that the command wrote, and the
 * matcher's own parts to follow connections that are known already. It compiles, decides, counts and explains nothing, needs
 * no start of a process, and is optimized when the clock starts.
 */
function partsTask(
  asking: Asking,
  {
    file,
    packets,
    flows,
    manifests,
    said,
  }: {
    readonly file: string;
    readonly packets: number;
    readonly flows: number;
    readonly manifests: string;
    readonly said: unknown;
  },
): Task {
  const floor = wasmFloor(file, flows);
  asking.checked(`packets, ${PARTS}`, packets, Math.abs(packets - floor.packets));
  const work = async (): Promise<string> => {
    JSON.parse(readFileSync(manifests, "utf8"));
    await floor.run();
    return JSON.stringify(said);
  };
  return { name: PARTS, units: packets, run: () => secondsOf(work) };
}
