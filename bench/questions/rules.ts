/** How does the time per packet grow with the rules of a firewall, for old and for new connections? */
import { drawRules } from "../classbench.ts";
import { firewallOf } from "../firewall.ts";
import { measureTraffic } from "../path.ts";
import type { Question } from "../question.ts";
import { decidesByRules } from "../rivals/plain-loop.ts";
import { nodeSubject } from "../subject.ts";

export const rules: Question = {
  name: "rules",
  asks: "a node's firewall, ClassBench's acl shape: packets a second against its rules",
  async answer(asking) {
    for (const at of asking.full ? [10, 100, 1000, 10_000, 100_000] : [10, 1000, 10_000]) {
      const drawn = drawRules("acl", at, 1);
      await measureTraffic(asking, {
        size: `${at.toLocaleString("en-US")} rules`,
        at,
        subject: nodeSubject(firewallOf(drawn)),
        decides: decidesByRules(drawn),
      });
    }
  },
};
