/**
 * Rules that make no difference, against all traffic of random clusters: without all that are named every
 * verdict is the same, and without any other one some verdict is not.
 */
import { describe, expect, it } from "vitest";

import { appendOpening, type Opening } from "../../src/capture/opening.ts";
import { loadProgramMatcher } from "../../src/cli/matcher.ts";
import type { Matcher } from "../../src/engine/matcher.ts";
import type { Program } from "../../src/engine/program.ts";
import { findDifferences } from "../../src/lint/difference.ts";
import { Ends, outsideRanges } from "../../src/lint/ends.ts";
import type { LintContext } from "../../src/lint/context.ts";
import type { Address, Family, Prefix } from "../../src/net/address.ts";
import type { Direction, MatchRule, Policy, PolicyRule } from "../../src/policy/model.ts";
import { compileCluster } from "../../src/tables/compile.ts";
import { classifyTraffic } from "../../src/workload/classes.ts";
import { probeClasses } from "../../src/workload/probe.ts";
import { serviceClasses } from "../../src/workload/service-classes.ts";
import { makeRandom } from "../random.ts";
import { randomWorld, worldObjects } from "../random-cluster.ts";
import { contextOf } from "./manifests.ts";

const ROUNDS = Number(process.env["NETVERDICT_LINT_ROUNDS"] ?? "6");
const FIRST = Number(process.env["NETVERDICT_LINT_SEED"] ?? "1");
const PAUSE_NS = 700_000_000_000n;
const DIRECTIONS = ["ingress", "egress"] as const;

function load(program: Program): Matcher {
  const options = { midstream: "cold", conntrackMax: 1024, tracePacket: undefined } as const;
  return loadProgramMatcher(program, options);
}

function compile({ snapshot }: LintContext, policies: readonly Policy[]): Program {
  const options = { node: undefined, profiles: new Map() };
  return compileCluster(snapshot, policies, options, () => undefined);
}

function without(
  policies: readonly Policy[],
  gone: (policy: Policy, direction: Direction, index: number) => boolean,
): Policy[] {
  return policies.map((policy) => {
    const rules = (direction: Direction): readonly PolicyRule[] | undefined =>
      policy[direction]?.filter(({ index }) => !gone(policy, direction, index));
    return { ...policy, ingress: rules("ingress"), egress: rules("egress") };
  });
}

/** What fares otherwise, in words; undefined: nothing. */
function difference(one: Program, other: Program): string | undefined {
  const programs: [Program, Program] = [one, other];
  const classes = classifyTraffic({ programs, workloadOf: (owner) => owner });
  const [first] = probeClasses([load(one), load(other)], classes, 5_000_000) ?? [];
  if (first === undefined) return undefined;
  const { source, destination, service, before, after } = first;
  const ends = [source, destination].map(
    ({ owner, members }) => owner ?? JSON.stringify(members[0]?.address.words),
  );
  return `${ends.join(" -> ")} ${JSON.stringify(service)}: ${before.verdict}, ${after.verdict}`;
}

/** The same for addresses of the cluster's ranges that nobody has: what one end says, the other's is unknown. */
function differsForNobody(
  one: Program,
  other: Program,
  { context, prefixes }: { readonly context: LintContext; readonly prefixes: readonly Prefix[] },
): boolean {
  if (prefixes.length === 0) return false;
  const ends = new Ends(context.snapshot);
  const matchers = [load(one), load(other)] as const;
  let time = 0n;
  let differs = false;
  const ask = (): void => {
    for (const matcher of matchers) matcher.replay();
    for (let index = 0; index < matchers[0].batch.count; index++) {
      const before = matchers[0].packetVerdict(index, []).verdict;
      const after = matchers[1].packetVerdict(index, []).verdict;
      // What is unknown either way may still be known once there is somebody.
      if (before !== after || before === "unknown") differs = true;
    }
    for (const matcher of matchers) matcher.batch.clear();
  };
  for (const matcher of matchers) matcher.batch.clear();
  for (const family of [4, 6] as const) {
    const nobody = outsideRanges(family, prefixes, { ends, side: "source" })
      .map(({ start, end }) =>
        [start, end]
          .map((value) => addressAt(family, value))
          .find((address) => ends.at(address) === undefined),
      )
      .filter((address) => address !== undefined);
    const pods = ends.all.filter((end) => end.family === family && end.endpoint !== undefined);
    const services = serviceClasses(family, [one, other]);
    for (const { value = 0n } of pods) {
      const pod = addressAt(family, value);
      for (const address of nobody) {
        for (const { protocol, ports, sourcePorts } of services) {
          for (const [source, destination] of [
            [pod, address],
            [address, pod],
          ] as const) {
            time += PAUSE_NS;
            const port = ports?.[0]?.first;
            const icmp = protocol === 1 || protocol === 58;
            const opening: Opening = {
              ...{ source, destination, protocol, timestampNs: time },
              ...(icmp
                ? { destinationPort: undefined, ...(port === undefined ? {} : { icmpType: port }) }
                : {
                    destinationPort: port === 0 ? 1 : port,
                    sourcePort: sourcePorts?.[0]?.first ?? 0,
                  }),
            };
            for (const matcher of matchers) appendOpening(matcher.batch, opening);
            if (matchers[0].batch.full) ask();
          }
        }
      }
    }
  }
  ask();
  return differs;
}

function addressAt(family: Family, value: bigint): Address {
  const word = (shift: bigint): number => Number((value >> shift) & 0xffffffffn);
  if (family === 4) return { family, words: [word(0n), 0, 0, 0] };
  return { family, words: [word(96n), word(64n), word(32n), word(0n)] };
}

/** The blocks that a rule names, or by whom it means network sets. */
function ownPrefixes(rule: PolicyRule, { index }: LintContext): Prefix[] {
  if (rule.kind === "match") {
    return [rule.source, rule.destination].flatMap(({ nets, notNets, selector, notSelector }) => [
      ...nets,
      ...notNets,
      ...[selector, notSelector].flatMap((each) =>
        each === undefined
          ? []
          : index.networkSetsChosenBy(each).flatMap(({ prefixes }) => prefixes),
      ),
    ]);
  }
  return (rule.peers ?? []).flatMap((peer) => {
    if (peer.kind === "block") return [peer.prefix, ...peer.except];
    return peer.kind === "networks" ? peer.prefixes : [];
  });
}

function asksForLaterIcmp({ icmp, protocol }: MatchRule): boolean {
  const queries = protocol === 1 ? [8, 13, 15, 17] : [128, 139];
  return icmp !== undefined && (!queries.includes(icmp.type) || (icmp.code ?? 0) !== 0);
}

describe("findDifferences", () => {
  it("names rules and policies that no verdict needs, all of them at once, and no others", () => {
    let [rules, idle, nobodys] = [0, 0, 0];
    const whys = new Map<string, number>();
    for (let seed = FIRST; seed < FIRST + ROUNDS; seed++) {
      const random = makeRandom(seed * 31);
      const world = randomWorld(random, {
        ...{ pods: 3 + random.below(6), policies: 2 + random.below(6), clusterPolicies: seed % 3 },
        ...(seed % 2 === 0 ? { calico: seed % 5 } : {}),
      });
      const items = worldObjects(world);
      const context = contextOf(JSON.stringify({ apiVersion: "v1", kind: "List", items }));
      const { idlePolicies, idleRules, cutOff } = findDifferences(context);
      expect(cutOff).toBe(false);
      const named = new Set(
        idleRules.map(
          ({ rule }) => `${JSON.stringify(rule.policy.ref)} ${rule.direction} ${rule.index}`,
        ),
      );
      const keyOf = (policy: Policy, direction: Direction, index: number): string =>
        `${JSON.stringify(policy.ref)} ${direction} ${index}`;
      const left = without(
        context.policies.filter((policy) => !idlePolicies.includes(policy)),
        (policy, direction, index) => named.has(keyOf(policy, direction, index)),
      );
      const whole = compile(context, context.policies);
      const reduced = compile(context, left);
      for (const { why } of idleRules) whys.set(why, (whys.get(why) ?? 0) + 1);
      expect(difference(whole, reduced), `seed ${seed}: ${[...named].join("; ")}`).toBeUndefined();
      for (const policy of left) {
        if (context.index.chosenBy(policy.subject).length === 0) continue;
        for (const direction of DIRECTIONS) {
          for (const rule of policy[direction] ?? []) {
            // No connection begins with these, and they are taken to matter all the same.
            if (rule.kind === "match" && asksForLaterIcmp(rule)) continue;
            if (rule.action === "log") continue;
            const { index } = rule;
            rules++;
            const ref = JSON.stringify(policy.ref);
            const gone = (all: readonly Policy[]): Policy[] =>
              without(
                all,
                (each, at, number) =>
                  JSON.stringify(each.ref) === ref && at === direction && number === index,
              );
            const alone = compile(context, gone(context.policies));
            if (difference(whole, alone) !== undefined) continue;
            // Of two that say the same, one is named: the other is then needed.
            const last = compile(context, gone(left));
            if (difference(reduced, last) !== undefined) continue;
            nobodys++;
            const prefixes = ownPrefixes(rule, context);
            expect(
              differsForNobody(whole, alone, { context, prefixes }) ||
                differsForNobody(reduced, last, { context, prefixes }),
              `seed ${seed}: ${keyOf(policy, direction, index)} is idle, too: ${JSON.stringify(rule)}`,
            ).toBe(true);
          }
        }
      }
      idle += named.size + idlePolicies.length;
    }
    const counts = [...whys].map(([why, count]) => `${count} ${why}`).join(", ");
    console.log(
      `differences: ${idle} idle (${counts}), ${rules} needed, ${nobodys} of them by addresses of nobody`,
    );
    expect(idle).toBeGreaterThan(ROUNDS);
  }, 300_000);
});
