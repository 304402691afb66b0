/** How does the time per packet grow with the number of connections, and what does each of them take? */
import { drawRules, type ClassRule } from "../classbench.ts";
import { compareCounters } from "../compare.ts";
import { seenTwice } from "../cooked.ts";
import { firewallOf } from "../firewall.ts";
import { interleave } from "../measure.ts";
import { NETVERDICT } from "../path.ts";
import type { Asking, Question } from "../question.ts";
import { counterRivals } from "../rivals/counters.ts";
import { clusterSubject, nodeSubject, replayHere, trafficFor, type Subject } from "../subject.ts";

export const flows: Question = {
  name: "flows",
  asks: "10,000 rules (acl): packets a second against the number of connections, and by frame sizes",
  async answer(asking) {
    const subject = nodeSubject(firewallOf(drawRules("acl", 10_000, 1)));
    const sizes = asking.full ? [10, 10_000, 100_000, 1_000_000] : [10, 10_000, 100_000];
    const memory = new Map<number, number>();
    for (const at of sizes) {
      memory.set(at, await measureFlows(asking, subject, at, "minimum"));
    }
    await measureFlows(asking, subject, 10_000, "mixed");
    await measureAny(asking, 10_000);
    const [few, many] = [sizes[0]!, sizes.at(-1)];
    const each = (memory.get(many)! - memory.get(few)!) / (many - few);
    asking.note(`matcher memory for each of ${words(many)} connections`, each, "bytes");
    const open = await openMemory(many);
    asking.note(`matcher memory for each of ${words(many)}, all let through`, open, "bytes");
  },
};

/** Bytes that each of so many connections takes at a node that lets all of them through, three packets each: their rows, too. */
async function openMemory(connections: number): Promise<number> {
  const subject = nodeSubject(firewallOf([ALL]));
  const memory = async (flows: number): Promise<number> => {
    const traffic = await trafficFor(subject, { packets: 3 * flows, flows });
    return (await replayHere(subject, traffic)).matcher.allocate(0);
  };
  return ((await memory(connections)) - (await memory(10))) / (connections - 10);
}

const ALL: ClassRule = {
  source: { first: 0, bits: 0 },
  destination: { first: 0, bits: 0 },
  protocol: undefined,
  sourcePorts: { first: 0, last: 65_535 },
  destinationPorts: { first: 0, last: 65_535 },
  accepts: true,
};

async function measureFlows(
  asking: Asking,
  subject: Subject,
  at: number,
  sizes: "minimum" | "mixed",
): Promise<number> {
  const packets = asking.full ? 3_000_000 : 300_000;
  const frames = sizes === "minimum" ? "64-byte frames" : "frames of 64, 570 and 1518, cut at 96";
  const size = `${words(at)} connections, ${words(packets)} packets, ${frames}`;
  asking.progress(size);
  const traffic = await trafficFor(subject, { packets, flows: at, share: "skewed", sizes });
  compareCounters(asking, traffic);
  let memory = 0;
  const run = async (): Promise<number> => {
    const { matcher, seconds } = await replayHere(subject, traffic);
    // Its memory grows by doubling; what is not allocated is never touched.
    memory = matcher.allocate(0);
    return seconds;
  };
  const tasks = [
    { name: NETVERDICT, units: packets, run },
    ...counterRivals(asking).map((rival) => rival.task(traffic.file, packets)),
  ];
  const measured = await interleave(tasks, asking.full ? 5 : 3);
  asking.add({ size, at, unit: "packets", tasks: measured });
  return memory;
}

/** A cluster's packets, each of which the capture shows twice. */
async function measureAny(asking: Asking, flows: number): Promise<void> {
  const subject = clusterSubject({ policies: 1000, pods: 10_000 });
  const packets = asking.full ? 1_500_000 : 150_000;
  const size = `a cluster by -i any: ${words(flows)} connections, ${words(2 * packets)} sights`;
  asking.progress(size);
  const traffic = seenTwice(await trafficFor(subject, { packets, flows, share: "skewed" }));
  compareCounters(asking, traffic);
  const run = async (): Promise<number> => (await replayHere(subject, traffic)).seconds;
  const tasks = [
    { name: NETVERDICT, units: traffic.packets, run },
    ...counterRivals(asking).map((rival) => rival.task(traffic.file, traffic.packets)),
  ];
  asking.add({
    size,
    at: flows,
    unit: "packets",
    tasks: await interleave(tasks, asking.full ? 5 : 3),
  });
}

function words(count: number): string {
  return count.toLocaleString("en-US");
}
