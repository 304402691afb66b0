/**
 * Random clusters, policies and packets: the whole path against the independent evaluator. Verdict and
 * deciding policy must agree. A failure prints its seed and the smallest cluster that still shows it.
 */
import ipaddr from "ipaddr.js";
import { describe, expect, it } from "vitest";

import type { PacketVerdict } from "../src/engine/verdict.ts";
import type { CompiledCluster } from "../src/tables/compile.ts";
import { renderIpsets } from "../src/tables/ipset.ts";
import { renderIptables } from "../src/tables/iptables.ts";
import type { RuleOrigin } from "../src/tables/model.ts";
import { DIALECT_NAMES, type DialectName } from "../src/policy/dialect.ts";
import { DIALECTS } from "../src/policy/dialects.ts";
import { formatPolicyName, formatPolicyRef, type PolicyRef } from "../src/policy/model.ts";
import {
  ICMP,
  ICMPV6,
  SCTP,
  TCP,
  buildFrame,
  buildPcap,
  timed,
  type PacketSpec,
} from "./frames.ts";
import { compileObjects, judgeCapture } from "./judge.ts";
import { judgeAttempt, type Answer, type RawClusterPolicy, type World } from "./oracle.ts";
import { makeRandom } from "./random.ts";
import {
  randomAttempt,
  randomWorld,
  worldObjects,
  type RandomAttempt,
  type RandomWorld,
} from "./random-cluster.ts";
import { shrink } from "./shrink.ts";

/** One round is one cluster and about 2,000 packets. */
const ROUNDS = Number(process.env["NETVERDICT_DIFFERENTIAL_ROUNDS"] ?? "60");
const FIRST_SEED = Number(process.env["NETVERDICT_DIFFERENTIAL_SEED"] ?? "1");
const ATTEMPTS = 1200;

/** An attempt, the packets of it, and what is expected of its first. */
interface Trial {
  readonly attempt: RandomAttempt;
  readonly answer: Answer;
  readonly packets: readonly PacketSpec[];
}

describe("whole path and evaluator", () => {
  it.each(DIALECT_NAMES)(
    "agree on random clusters, in verdict and in deciding policy: %s",
    async (dialect) => {
      let packets = 0;
      const expected = { allow: 0, drop: 0, unknown: 0 };
      const families = { 4: 0, 6: 0 };
      const isCalico = dialect === "calico";
      const rounds = isCalico ? ROUNDS : Math.ceil(ROUNDS / 3);
      for (let seed = FIRST_SEED; seed < FIRST_SEED + rounds; seed++) {
        const random = makeRandom(seed);
        const size = {
          pods: 3 + random.below(25),
          policies: random.below(14),
          // Every other cluster has some.
          clusterPolicies: seed % 2 === 0 ? 1 + random.below(8) : 0,
          ...(seed % 3 === 0 || !isCalico ? {} : { calico: 1 + random.below(12) }),
          domains: true,
          nodeless: seed % 8 === 4,
          ties: true,
          grouped: seed % 5 > 2,
        };
        const world = worldOf(dialect, randomWorld(random, size));
        const trials = drawTrials(world, dialect, () => randomAttempt(random, world));
        const wrong = await disagreements(world, trials, dialect);
        for (const { answer, packets: sent, attempt } of trials) {
          packets += sent.length;
          families[attempt.source.includes(":") ? 6 : 4] += sent.length;
          expected[expectedWord(answer)]++;
        }
        const [first] = wrong;
        if (first !== undefined) {
          const small = await shrinkTrial(world, first, dialect);
          expect.fail(
            `seed ${seed}: ${wrong.length} of ${trials.length} attempts differ; the first: ` +
              `${inWords(first.trial.attempt)}: ${first.kind}: ${first.detail}\n` +
              `smallest cluster: ${JSON.stringify(small, null, 1)}`,
          );
        }
      }
      console.log(
        `differential, ${dialect}: ${packets} packets of seeds ${FIRST_SEED} to ${FIRST_SEED + rounds - 1} agree ` +
          `(IPv4 ${families[4]}, IPv6 ${families[6]}; attempts expected: allow ${expected.allow}, ` +
          `drop ${expected.drop}, unknown ${expected.unknown})`,
      );
      expect(expected.allow).toBeGreaterThan(10 * rounds);
      expect(expected.drop).toBeGreaterThan(10 * rounds);
    },
  );

  it("gives the same tables whatever the order of the manifests", () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + 20; seed++) {
      const random = makeRandom(seed);
      const size = { pods: 12, policies: 10, clusterPolicies: 5, calico: 8 };
      const objects = worldObjects(randomWorld(random, size));
      const forward = compileObjects(objects);
      const reversed = compileObjects(objects.toReversed());
      expect(textOf(reversed), `seed ${seed}`).toBe(textOf(forward));
      expect(reversed.topology, `seed ${seed}`).toEqual(forward.topology);
    }
  });
});

describe("shrink", () => {
  it("leaves only the items that a failure needs", async () => {
    const random = makeRandom(7);
    const world = randomWorld(random, { pods: 10, policies: 8 });
    const small = await shrink(world, async ({ policies, pods }) =>
      Promise.resolve(
        policies.some(({ metadata }) => metadata.name === "policy-3") && pods.length >= 2,
      ),
    );
    expect(small.policies.map(({ metadata }) => metadata.name)).toEqual(["policy-3"]);
    expect(small.pods).toHaveLength(2);
    expect(small.services).toEqual([]);
    expect(small.nodes).toEqual([]);
  });
});

function textOf({ rulesets }: CompiledCluster): string {
  return renderIpsets(rulesets) + rulesets.map(renderIptables).join("");
}

/** What the dialect has of it. */
function worldOf(dialect: DialectName, world: RandomWorld): RandomWorld {
  const policies = world.clusterPolicies;
  const choosesNodes = ({ spec }: RawClusterPolicy): boolean =>
    (spec.egress ?? []).some(({ to = [] }) => to.some(({ nodes }) => nodes !== undefined));
  switch (dialect) {
    case "calico":
    case "generic":
      return world;
    case "kube-network-policies":
      return { ...world, clusterPolicies: policies.filter((policy) => !choosesNodes(policy)) };
    case "cilium":
    case "kube-router":
      return { ...world, clusterPolicies: [] };
  }
}

function drawTrials(world: World, dialect: DialectName, draw: () => RandomAttempt): Trial[] {
  const portless = new Set<string>();
  const known = clusterAddresses(world);
  const trials: Trial[] = [];
  for (let index = 0; index < ATTEMPTS; index++) {
    // Source ports and ICMP identifiers of their own keep the attempts apart.
    const attempt = { ...draw(), sourcePort: 20_000 + index };
    // Between two ends outside there is nothing to say: `unknown`, which the evaluator does not know.
    if (!known.has(spelling(attempt.source)) && !known.has(spelling(attempt.destination))) continue;
    if (attempt.port === undefined && attempt.protocol !== ICMP && attempt.protocol !== ICMPV6) {
      // One address is drawn in several spellings.
      const ends = [attempt.source, attempt.destination].map(spelling).toSorted().join();
      if (portless.has(ends)) continue;
      portless.add(ends);
    }
    trials.push(makeTrial(world, attempt, dialect));
  }
  return trials;
}

function clusterAddresses({ pods, nodes = [], services = [] }: World): ReadonlySet<string> {
  const addresses = [
    ...pods.flatMap(({ status }) => (status?.podIPs ?? []).map(({ ip }) => ip)),
    ...nodes.flatMap(({ status }) => (status?.addresses ?? []).map(({ address }) => address)),
    ...services.flatMap(({ spec }) => spec.clusterIPs),
  ];
  return new Set(addresses.filter((address) => ipaddr.isValid(address)).map(spelling));
}

function spelling(address: string): string {
  return ipaddr.parse(address).toNormalizedString();
}

function makeTrial(world: World, attempt: RandomAttempt, dialect: DialectName): Trial {
  const answer = judgeAttempt(world, attempt, dialect);
  const { source, destination, protocol, sourcePort, port } = attempt;
  const first: PacketSpec = { source, destination, protocol, sourcePort, destinationPort: port };
  const ping = (type: number): PacketSpec["icmp"] => ({ type, id: sourcePort });
  if (protocol === ICMP) return { attempt, answer, packets: [{ ...first, icmp: ping(8) }] };
  if (protocol === ICMPV6) return { attempt, answer, packets: [{ ...first, icmp: ping(128) }] };
  // What a Service's backend answers depends on which one it is: only the opening is asked.
  const direct =
    world.services?.every(({ spec }) => !spec.clusterIPs.includes(destination)) ?? true;
  if (answer.allowed !== true || !direct || source === destination) {
    return { attempt, answer, packets: [first] };
  }
  const back: PacketSpec = {
    source: destination,
    destination: source,
    protocol,
    sourcePort: port,
    destinationPort: sourcePort,
  };
  if (protocol === TCP) {
    return {
      attempt,
      answer,
      packets: [
        { ...first, seq: 100 },
        { ...back, flags: "S.", seq: 900, ack: 101 },
        { ...first, flags: ".", seq: 101, ack: 901 },
      ],
    };
  }
  if (protocol === SCTP) {
    return { attempt, answer, packets: [first, { ...back, chunk: 2 }] };
  }
  return { attempt, answer, packets: [first, back] };
}

interface Fault {
  /** What went wrong, without names: a smaller example must show the same. */
  readonly kind: string;
  readonly detail: string;
}

interface Disagreement extends Fault {
  readonly trial: Trial;
}

async function disagreements(
  world: World,
  trials: readonly Trial[],
  dialect: DialectName,
): Promise<Disagreement[]> {
  const specs = trials.flatMap(({ packets }) => packets);
  const frames = specs.map((spec, index) => buildFrame({ ...spec, id: index & 0xffff }));
  const verdicts = await judgeCapture({
    compiled: compileObjects(worldObjects(world), undefined, undefined, DIALECTS[dialect]),
    capture: buildPcap(timed(frames)),
  });
  if (verdicts.length !== specs.length) {
    throw new Error(`${specs.length} packets went in, ${verdicts.length} verdicts came out`);
  }
  let at = 0;
  return trials.flatMap((trial) => {
    const [first, ...rest] = verdicts.slice(at, (at += trial.packets.length));
    if (first === undefined) throw new Error("a packet has no verdict");
    const fault = faultOf(trial, first) ?? faultOfRest(rest);
    return fault === undefined ? [] : [{ trial, ...fault }];
  });
}

function faultOf({ attempt, answer }: Trial, verdict: PacketVerdict): Fault | undefined {
  const wanted = expectedWord(answer);
  if (verdict.verdict !== wanted) {
    return {
      kind: `${verdict.verdict} (${verdict.reason}), evaluator ${wanted}`,
      detail: JSON.stringify(answer),
    };
  }
  const { egress, ingress } = answer;
  // Of several backends, or none, no single pod's policies are the reason.
  if (egress === undefined && ingress === undefined) return undefined;
  const origin = verdict.decider?.rule?.origin;
  if (wanted === "allow") return faultOfAllow(attempt, answer, origin);
  return wanted === "drop" ? faultOfDrop(answer, origin) : undefined;
}

/** A reply and what follows belongs to what was allowed. */
function faultOfRest(rest: readonly PacketVerdict[]): Fault | undefined {
  const odd = rest.find(({ verdict, ctState }) => verdict !== "allow" || ctState === "INVALID");
  if (odd === undefined) return undefined;
  return {
    kind: `${odd.verdict} ${odd.ctState} in an allowed connection`,
    detail: `${odd.number}`,
  };
}

/** A policy that is named must be one that allows; one must be named where one decides. */
function faultOfAllow(
  attempt: RandomAttempt,
  { egress, ingress }: Answer,
  origin: RuleOrigin | undefined,
): Fault | undefined {
  const allowing = [...(egress?.allowing ?? []), ...(ingress?.allowing ?? [])];
  if (origin?.kind === "policy-rule") {
    const policy = policyText(origin.policy);
    if (allowing.includes(policy)) return undefined;
    return { kind: "another policy allows", detail: `${policy}, not ${allowing.join(" ")}` };
  }
  const last = ingress ?? egress;
  if (last === undefined || last.allowing.length === 0 || last.isolating.length === 0) {
    return undefined;
  }
  if (attempt.source === attempt.destination) return undefined;
  return { kind: `allowed by ${origin?.kind ?? "nothing"}`, detail: allowing.join(" ") };
}

function faultOfDrop(
  { egress, ingress }: Answer,
  origin: RuleOrigin | undefined,
): Fault | undefined {
  // Whether it is dropped here already, or at the other end, is not known.
  if (egress !== undefined && egress.allowed === undefined) return undefined;
  const denying = [egress, ingress].find((decision) => decision?.allowed === false);
  if (denying === undefined) throw new Error("the evaluator denies without a reason");
  const text = denialText(origin);
  if (text !== undefined && denying.denials.includes(text)) return undefined;
  return {
    kind: `dropped by another ${origin?.kind ?? "rule"}`,
    detail: `${text}, not ${denying.denials.join(" or ")}`,
  };
}

/** What dropped it, as the evaluator's `denials` say it. */
function denialText(origin: RuleOrigin | undefined): string | undefined {
  if (origin?.kind === "isolation") {
    return origin.policies
      .map(({ policy }) => policyText(policy))
      .sort()
      .join();
  }
  const denies = origin?.kind === "policy-rule" && origin.effect === "deny";
  return denies ? policyText(origin.policy) : undefined;
}

function policyText(policy: PolicyRef): string {
  return policy.namespace === undefined ? formatPolicyRef(policy) : formatPolicyName(policy);
}

function expectedWord({ allowed }: Answer): "allow" | "drop" | "unknown" {
  if (allowed === undefined) return "unknown";
  return allowed ? "allow" : "drop";
}

async function shrinkTrial(
  world: World,
  { trial: { attempt }, kind }: Disagreement,
  dialect: DialectName,
): Promise<{ world: World; attempt: RandomAttempt }> {
  const small = await shrink(world, async (candidate) => {
    const wrong = await disagreements(candidate, [makeTrial(candidate, attempt, dialect)], dialect);
    return wrong[0]?.kind === kind;
  });
  return { world: small, attempt };
}

function inWords({ source, sourcePort, destination, port, protocol }: RandomAttempt): string {
  return `${source} ${sourcePort} > ${destination} ${port ?? ""} protocol ${protocol}`;
}
