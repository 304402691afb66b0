/** How many packets a second does this machine's kernel get through the same rules, on one core? */
import { drawRules } from "../classbench.ts";
import { firewallOf } from "../firewall.ts";
import { interleave } from "../measure.ts";
import { FRESH, NETVERDICT, replaySeconds } from "../path.ts";
import type { Asking, Question } from "../question.ts";
import {
  framesOf,
  KERNEL,
  kernelMissing,
  repeatPackets,
  startKernel,
  type KernelNode,
} from "../rivals/kernel.ts";
import { nodeSubject, replayHere, trafficFor, type Subject, type Traffic } from "../subject.ts";

/** Packets that each begin a connection, and how often they come again. */
const OPENINGS = 50_000;
const KEPT = 2500;
const TIMES = 200;
/** As many rules the packets are made for. */
const SUITED = 1000;

/** The name that the bar looks for: no rule asks for states, and the kernel walks them for every packet. */
export const REPEATED = `each of ${KEPT.toLocaleString("en-US")} packets ${TIMES} times`;

export const kernel: Question = {
  name: "kernel",
  asks: "the kernel's iptables (legacy) in the lab, one core: packets a second",
  async answer(asking) {
    const missing = kernelMissing();
    if (missing !== undefined) {
      asking.missing(KERNEL, missing);
      return;
    }
    const node = await startKernel();
    try {
      // The same packets at each size: those that suit a thousand rules.
      const suited = nodeSubject(firewallOf(drawRules("acl", SUITED, 1)));
      const shapes = [
        [REPEATED, repeatPackets(await trafficFor(suited, { packets: KEPT, flows: KEPT }), TIMES)],
        [FRESH, await trafficFor(suited, { packets: OPENINGS, flows: OPENINGS })],
      ] as const;
      for (const at of asking.full ? [0, 100, 1000, 5000] : [0, 1000]) {
        const dumps = firewallOf(drawRules("acl", at, 1));
        const subject = nodeSubject(dumps);
        for (const [what, traffic] of shapes) {
          const size = `${at.toLocaleString("en-US")} linear rules, ${what}`;
          asking.progress(size);
          await node.load(dumps.iptables);
          await measureKernel(asking, node, { size, at, subject, traffic });
        }
      }
    } finally {
      await node.close();
    }
  },
};

async function measureKernel(
  asking: Asking,
  node: KernelNode,
  { size, at, subject, traffic }: Measuring,
): Promise<void> {
  const frames = framesOf(traffic);
  const { packets } = traffic;
  await node.flood(frames, 1);
  const counted = await node.counters();
  const { matcher } = await replayHere(subject, traffic);
  const own = [...matcher.ruleCounts()];
  const wrong = own.filter(({ packets: count }, index) => count !== counted[index]);
  // Of fewer rules than the packets suit perhaps none is met.
  const seen = counted.some((count) => count > 0) || at < SUITED;
  asking.checked("the kernel's own rule counters", packets, wrong.length + (seen ? 0 : 1));
  const tasks = [
    { name: NETVERDICT, units: packets, run: () => replaySeconds(subject, traffic) },
    { name: KERNEL, units: packets, run: () => node.flood(frames, 1) },
  ];
  const measured = await interleave(tasks, asking.full ? 9 : 3);
  asking.add({ size, at, unit: "packets", tasks: measured });
}

interface Measuring {
  readonly size: string;
  readonly at: number;
  readonly subject: Subject;
  readonly traffic: Traffic;
}
