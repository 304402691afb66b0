/** How does the time per packet grow with a cluster, Calico-shaped, for old and for new connections? */
import type { Topology } from "../../src/tables/model.ts";
import { measureTraffic } from "../path.ts";
import type { Question } from "../question.ts";
import type { Decides } from "../rivals/plain-loop.ts";
import { makePlainWalk } from "../rivals/plain-walk.ts";
import { clusterSubject, type Subject } from "../subject.ts";

export const policies: Question = {
  name: "policies",
  asks: "a cluster, Calico-shaped: packets a second against its policies",
  async answer(asking) {
    for (const at of asking.full ? [10, 100, 1000, 10_000] : [10, 1000]) {
      const [policies, pods] = [at, at * 10].map((count) => count.toLocaleString("en-US"));
      const size = `${policies} policies, ${pods} pods`;
      asking.progress(`compiling ${size}`);
      const subject = clusterSubject({ policies: at, pods: at * 10 });
      await measureTraffic(asking, { size, at, subject, decides: decidesByTables(subject) });
    }
  },
};

function decidesByTables({ judge }: Subject): Decides {
  const { rulesets, topology } = judge.program;
  const ruleset = rulesets.find(({ family }) => family === 4);
  if (ruleset === undefined) throw new Error("the cluster has no IPv4 tables");
  const links = linksByAddress(topology);
  const walk = makePlainWalk(ruleset);
  return ({ source, destination, ...rest }) =>
    walk({
      ...rest,
      source: { family: 4, words: [source, 0, 0, 0] },
      destination: { family: 4, words: [destination, 0, 0, 0] },
      inInterface: links.get(source) ?? "",
      outInterface: links.get(destination) ?? "",
    });
}

function linksByAddress({ routes }: Topology): Map<number, string> {
  return new Map(
    routes
      .filter(({ kind, prefix }) => kind === "unicast" && prefix.address.family === 4)
      .map((route) => [route.prefix.address.words[0], route.interface]),
  );
}
