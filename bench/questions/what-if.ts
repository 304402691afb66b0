/** Does `netverdict what-if` compare two sets of policies in little more than the time of one replay? */
import { interleave, type Task } from "../measure.ts";
import type { Asking, Question } from "../question.ts";
import { COMMAND, REPLAY, WHAT_IF } from "../command.ts";
import { runTool, timeTool } from "../rivals/tools.ts";
import { clusterFile, CONNTRACK_MAX, fileSubject, trafficFor } from "../subject.ts";

interface Verdicts {
  readonly packets: number;
  readonly verdicts: Readonly<Record<"allow" | "drop" | "unfiltered" | "unknown", number>>;
}

interface Compared extends Readonly<Record<"newDrop" | "newAllow" | "unknown", Count>> {
  readonly packets: number;
}

interface Count {
  readonly packets: number;
}

export const whatIf: Question = {
  name: "what-if",
  asks: "current against proposed policies in one run, against one replay by one worker: packets a second",
  async answer(asking) {
    const policies = asking.full ? 1000 : 100;
    const packets = asking.full ? 10_000_000 : 1_000_000;
    const flows = packets / 100;
    const words = (count: number): string => count.toLocaleString("en-US");
    const size = `${words(policies)} policies on each side, ${words(packets)} packets, ${words(flows)} connections`;
    asking.progress(size);
    const cluster = { policies, pods: policies * 10 };
    const current = clusterFile(cluster);
    const proposed = clusterFile(cluster, withoutSome);
    const made = { packets, flows, share: "skewed" } as const;
    const traffic = await trafficFor(fileSubject(current), made);
    const common = ["-r", traffic.file, "--conntrack-max", `${CONNTRACK_MAX}`, "-o", "json"];
    const replay = [COMMAND, "replay", "--workers", "1", ...common];
    // What the two sets are compared by beside the capture does not grow with it.
    const compare = [
      ...[COMMAND, "what-if", "--no-hints", "--no-blind-spots", "--fail-on", "unknown", ...common],
      ...["--current", current, "--proposed", proposed],
    ];
    compareAnswers(asking, {
      before: JSON.parse(runTool(process.execPath, ...replay, "-f", current)) as Verdicts,
      after: JSON.parse(runTool(process.execPath, ...replay, "-f", proposed)) as Verdicts,
      compared: JSON.parse(runTool(process.execPath, ...compare)) as Compared,
    });
    const task = (name: string, command: readonly string[]): Task => ({
      ...{ name, units: packets },
      run: () => timeTool(process.execPath, ...command),
    });
    const tasks = [task(WHAT_IF, compare), task(REPLAY, [...replay, "-f", current])];
    asking.add({ size, unit: "packets", tasks: await interleave(tasks, asking.full ? 5 : 3) });
  },
};

/** One policy in ten is taken away. */
function withoutSome(objects: readonly object[]): object[] {
  let policies = 0;
  return objects.filter(
    (object) => !("kind" in object) || object.kind !== "NetworkPolicy" || policies++ % 10 !== 9,
  );
}

/** What changes is what two replays make of it; that it is so packet by packet, tests see to. */
function compareAnswers(
  asking: Asking,
  {
    before,
    after,
    compared,
  }: { readonly before: Verdicts; readonly after: Verdicts; readonly compared: Compared },
): void {
  const more = after.verdicts.drop - before.verdicts.drop;
  const told = compared.newDrop.packets - compared.newAllow.packets;
  const off = Math.abs(more - told) + Math.abs(compared.packets - before.packets);
  const nothing = compared.newDrop.packets + compared.newAllow.packets === 0 ? 1 : 0;
  asking.checked("packets that two replays drop", before.packets, off + nothing);
}
