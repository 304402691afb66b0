/** How many packets a second does this machine's kernel get through the same rules, on one core? */
import { drawRules } from "../classbench.ts";
import { firewallOf } from "../firewall.ts";
import { interleave } from "../measure.ts";
import { NETVERDICT, replaySeconds } from "../path.ts";
import type { Question } from "../question.ts";
import { framesOf, KERNEL, kernelMissing, startKernel } from "../rivals/kernel.ts";
import { nodeSubject, replayHere, trafficFor } from "../subject.ts";

const PACKETS = 50_000;

export const kernel: Question = {
  name: "kernel",
  asks: "the kernel's iptables (legacy) in the lab, one core; opening packets of 50,000 flows",
  async answer(asking) {
    const missing = kernelMissing();
    if (missing !== undefined) {
      asking.missing(KERNEL, missing);
      return;
    }
    const node = await startKernel();
    try {
      // The same packets at each size: those that suit a thousand rules.
      const suited = nodeSubject(firewallOf(drawRules("acl", 1000, 1)));
      const traffic = await trafficFor(suited, { packets: PACKETS, flows: PACKETS });
      const frames = framesOf(traffic);
      for (const at of asking.full ? [0, 100, 1000, 5000] : [0, 1000]) {
        const size = `${at.toLocaleString("en-US")} linear rules`;
        asking.progress(size);
        const dumps = firewallOf(drawRules("acl", at, 1));
        const subject = nodeSubject(dumps);
        await node.load(dumps.iptables);
        await node.flood(frames, 1);
        const counted = await node.counters();
        const { matcher } = await replayHere(subject, traffic);
        const own = [...matcher.ruleCounts()];
        const wrong = counted.filter((packets, index) => packets !== own[index]?.packets);
        // Only the first size finds a kernel that follows no connection yet.
        if (at > 0) asking.checked("the kernel's own rule counters", PACKETS, wrong.length);
        const passes = asking.full ? 5 : 2;
        const tasks = [
          { name: NETVERDICT, units: PACKETS, run: () => replaySeconds(subject, traffic) },
          { name: KERNEL, units: PACKETS, run: () => node.flood(frames, passes) },
        ];
        const measured = await interleave(tasks, asking.full ? 9 : 3);
        asking.add({ size, at, unit: "packets", tasks: measured });
      }
    } finally {
      await node.close();
    }
  },
};
