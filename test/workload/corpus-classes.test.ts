/**
 * What changes between two sets of policies, class by class, against what the lists of np-guard's
 * netpol-analyzer (its `list`, which its `diff` subtracts) say of both: of the same workloads with other
 * policies, and with none.
 */
import { describe, expect, it } from "vitest";

import type { Matcher } from "../../src/engine/matcher.ts";
import type { Program } from "../../src/engine/program.ts";
import { parseAddress } from "../../src/net/address.ts";
import { classifyTraffic, notUnderstood } from "../../src/workload/classes.ts";
import { probeClasses } from "../../src/workload/probe.ts";
import { loadProgramMatcher } from "../../src/cli/matcher.ts";
import { haveOracle, readConnectionListCases, type CorpusCase } from "../corpus.ts";
import { compileObjects } from "../judge.ts";
import { worldObjects } from "../random-cluster.ts";

/** More sets of one topology are not paired with each other. */
const PAIRS_MAX = 12;

function load(program: Program): Matcher {
  return loadProgramMatcher(program, {
    ...{ midstream: "cold", conntrackMax: 1024, tracePacket: undefined },
  });
}

/** The same workloads, under the same names. */
function topologyOf({ world }: CorpusCase): string {
  const { pods, namespaces } = world;
  return JSON.stringify([pods.map(({ metadata, spec }) => [metadata, spec]), namespaces]);
}

function withoutPolicies({ name, world, expectations }: CorpusCase): CorpusCase {
  return {
    name: `${name} without policies`,
    world: { ...world, policies: [], clusterPolicies: [] },
    expectations: expectations.map((each) => ({ ...each, allowed: true })),
  };
}

/** How many attempts change, and those of which the classes say otherwise. */
function disagreements(before: CorpusCase, after: CorpusCase) {
  const compile = ({ world }: CorpusCase): Program => compileObjects(worldObjects(world));
  const programs: [Program, Program] = [compile(before), compile(after)];
  // Every pod is a workload of its own here.
  const subjects = { programs, workloadOf: (owner: string) => owner };
  expect(notUnderstood(subjects), after.name).toBeUndefined();
  const classes = classifyTraffic(subjects);
  const probed = probeClasses([load(programs[0]), load(programs[1])], classes, 5_000_000);
  if (probed === undefined) throw new Error(`${after.name}: too many classes`);
  const found = new Set(
    probed.map(({ source, destination, service }) =>
      [source.number, destination.number, service.number].join(),
    ),
  );
  const keyOf = ({ attempt }: CorpusCase["expectations"][number]): string =>
    JSON.stringify(attempt);
  const allowedBefore = new Map(before.expectations.map((each) => [keyOf(each), each.allowed]));
  const wrong: string[] = [];
  let [asked, changed] = [0, 0];
  for (const each of after.expectations) {
    const was = allowedBefore.get(keyOf(each));
    const { source, destination, protocol, port } = each.attempt;
    const [from, to] = [source, destination].map((text) => {
      const address = parseAddress(text);
      return address === undefined ? undefined : classes.addressClass(address);
    });
    if (was === undefined || from === undefined || to === undefined) continue;
    const service = classes.serviceClass(from.family, { protocol, port, sourcePort: 40_000 });
    asked++;
    if (was !== each.allowed) changed++;
    const told = found.has([from.number, to.number, service?.number].join());
    if (told !== (was !== each.allowed)) {
      wrong.push(`${before.name} > ${after.name}: ${each.name}: ${was} > ${each.allowed}`);
    }
  }
  return { asked, changed, wrong };
}

describe("classes of traffic", () => {
  it.runIf(haveOracle("np-guard_netpol-analyzer"))("agree with np-guard's lists", () => {
    const { cases } = readConnectionListCases();
    const byTopology = new Map<string, CorpusCase[]>();
    for (const each of cases) {
      const key = topologyOf(each);
      byTopology.set(key, [...(byTopology.get(key) ?? []), each]);
    }
    const pairs = [...byTopology.values()].flatMap((same) => [
      ...same.map((each) => [withoutPolicies(each), each] as const),
      ...same
        .flatMap((one, index) => same.slice(index + 1).map((other) => [one, other] as const))
        .slice(0, PAIRS_MAX),
    ]);
    const all = pairs.map(([before, after]) => disagreements(before, after));
    const sum = (of: "asked" | "changed"): number => all.reduce((so, each) => so + each[of], 0);
    console.log(
      `np-guard, what changes: ${pairs.length} pairs, ${sum("asked")} attempts, ${sum("changed")} change`,
    );
    expect(all.flatMap(({ wrong }) => wrong).slice(0, 20)).toEqual([]);
    expect(sum("changed")).toBeGreaterThan(1000);
  });
});
