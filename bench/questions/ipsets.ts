/** How fast are rules that look into ipsets, and how does it grow with their members? */
import { drawRules } from "../classbench.ts";
import { compareReference } from "../compare.ts";
import { ipsetNode } from "../firewall.ts";
import { interleave } from "../measure.ts";
import { FRESH, NETVERDICT, OLD, REFERENCE, replaySeconds } from "../path.ts";
import type { Question } from "../question.ts";
import { nodeSubject, trafficFor } from "../subject.ts";

const MEMBERS_EACH = 500;

export const ipsets: Question = {
  name: "ipsets",
  asks: `a node whose rules look into hash:net,port sets of ${MEMBERS_EACH} members: packets a second`,
  async answer(asking) {
    for (const at of asking.full ? [1000, 10_000, 100_000] : [10_000]) {
      const subject = nodeSubject(ipsetNode(drawRules("acl", at, 2), MEMBERS_EACH));
      const packets = asking.full ? 200_000 : 50_000;
      for (const [what, shape] of [
        [OLD, { packets, flows: 10_000, share: "skewed" }],
        [FRESH, { packets, flows: packets }],
      ] as const) {
        const size = `${at.toLocaleString("en-US")} members, ${what}`;
        asking.progress(size);
        const traffic = await trafficFor(subject, shape);
        await compareReference(asking, subject, traffic, packets);
        const tasks = [
          { name: NETVERDICT, units: packets, run: () => replaySeconds(subject, traffic) },
          {
            name: REFERENCE,
            units: packets,
            run: () => replaySeconds(subject, traffic, { walkAll: true }),
          },
        ];
        const measured = await interleave(tasks, asking.full ? 9 : 3);
        asking.add({ size, at, unit: "packets", tasks: measured });
      }
    }
  },
};
