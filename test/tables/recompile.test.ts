/** Compiling again after random changes: what comes of it is what compiling from scratch makes. */
import { describe, expect, it } from "vitest";
import { buildSnapshot } from "../../src/cluster/build.ts";
import { parseManifests } from "../../src/cluster/manifest.ts";
import type { Endpoint, Snapshot } from "../../src/cluster/snapshot.ts";
import { lowerPolicies } from "../../src/policy/index.ts";
import type { Policy } from "../../src/policy/model.ts";
import { DIALECTS } from "../../src/policy/dialects.ts";
import { lowerProfiles } from "../../src/policy/profile.ts";
import { compileCluster } from "../../src/tables/compile.ts";
import type { CompiledCluster, CompileOptions } from "../../src/tables/compile.ts";
import type { Chain } from "../../src/tables/model.ts";
import { isPolicyGroupChain } from "../../src/tables/names.ts";
import { ClusterCompiler } from "../../src/tables/recompile.ts";
import { makeRandom, type Random } from "../random.ts";
import { randomWorld, worldObjects } from "../random-cluster.ts";

const SEEDS = Number(process.env["NETVERDICT_RECOMPILE_SEEDS"] ?? "36");
const FIRST_SEED = Number(process.env["NETVERDICT_RECOMPILE_SEED"] ?? "1");
const CHANGES = 24;

/** All that there may be of a cluster, and what is there of it. */
interface Pool {
  readonly snapshot: Snapshot;
  readonly policies: readonly Policy[];
  readonly options: CompileOptions;
}

function drawPool(random: Random, seed: number): Pool {
  // Who has tables of another make is not followed: that, too, has to come out right.
  const dialect = seed % 9 === 8 ? random.pick(["kube-router", "generic"] as const) : undefined;
  const hostsOn = seed % 9 === 7 ? "node-1" : undefined;
  const world = randomWorld(random, {
    pods: 6 + random.below(24),
    policies: 4 + random.below(14),
    clusterPolicies: seed % 2 === 0 && dialect === undefined ? 1 + random.below(6) : 0,
    ...(seed % 3 === 0 || dialect !== undefined ? {} : { calico: 1 + random.below(10) }),
    ...(hostsOn === undefined ? {} : { hostsOn }),
    ties: seed % 4 === 0,
    domains: seed % 5 === 0,
    nodeless: seed % 7 === 0 && hostsOn === undefined,
    grouped: seed % 5 > 1,
  });
  const list = { apiVersion: "v1", kind: "List", items: worldObjects(world) };
  const objects = parseManifests([{ file: "world.json", text: JSON.stringify(list) }], () => {});
  const options = { clusterPrefixes: [], endpoints: [] };
  const built = buildSnapshot(objects, options, () => {});
  const snapshot = seed % 6 === 5 ? withHostPorts(random, built) : built;
  const nodes = [...snapshot.nodeByName.keys(), undefined];
  return {
    snapshot,
    policies: lowerPolicies(objects, () => {}, { staged: seed % 4 < 2 ? "enforce" : "ignore" }),
    options: {
      node: hostsOn ?? (seed % 3 === 1 ? random.pick(nodes) : undefined),
      profiles: lowerProfiles(objects, () => {}),
      ...(dialect === undefined ? {} : { dialect: DIALECTS[dialect] }),
    },
  };
}

/** Some pods ask for ports of their nodes, and some of them for the same. */
function withHostPorts(random: Random, snapshot: Snapshot): Snapshot {
  const endpoints = snapshot.endpoints.map((endpoint): Endpoint => {
    if (!random.chance(0.3)) return endpoint;
    const port = 8000 + random.below(4);
    const { place } = endpoint;
    return {
      ...endpoint,
      hostPorts: [{ protocol: "TCP", port, target: 80, address: undefined, place }],
    };
  });
  return { ...snapshot, endpoints };
}

/** A policy as it is after an edit: it is another object, with the rules, the subject or the tier of some other. */
function edited(random: Random, policy: Policy, { policies }: Pool): Policy {
  const other = random.pick(policies);
  if (random.chance(0.2)) return { ...policy };
  if (random.chance(0.3)) return { ...policy, subject: other.subject };
  if (random.chance(0.2)) return { ...policy, order: other.order };
  if (random.chance(0.2)) return { ...policy, tier: other.tier };
  return { ...policy, ingress: other.ingress, egress: other.egress };
}

function nextPolicies(random: Random, policies: readonly Policy[], pool: Pool): readonly Policy[] {
  const missing = pool.policies.filter(
    ({ ref }) => !policies.some((policy) => sameRef(policy, ref)),
  );
  const at = random.below(Math.max(1, policies.length));
  const policy = policies[at];
  if (missing.length > 0 && random.chance(0.4)) {
    return policies.toSpliced(random.below(policies.length + 1), 0, random.pick(missing));
  }
  if (policy === undefined || random.chance(0.3)) return policies.toSpliced(at, 1);
  return policies.toSpliced(at, 1, edited(random, policy, pool));
}

function sameRef({ ref }: Policy, other: Policy["ref"]): boolean {
  return ref.kind === other.kind && ref.namespace === other.namespace && ref.name === other.name;
}

function nextEndpoints(
  random: Random,
  endpoints: readonly Endpoint[],
  { snapshot }: Pool,
): readonly Endpoint[] {
  const here = new Set(endpoints);
  const missing = snapshot.endpoints.filter((endpoint) => !here.has(endpoint));
  const gone = random.chance(0.1) ? random.below(endpoints.length) : undefined;
  if (gone !== undefined || missing.length === 0) return endpoints.toSpliced(gone ?? 0, 1);
  for (let more = 1 + random.below(3); more > 0; more--) here.add(random.pick(missing));
  return snapshot.endpoints.filter((endpoint) => here.has(endpoint));
}

function chainsOf({ rulesets }: CompiledCluster): Set<Chain> {
  return new Set(
    rulesets.flatMap(({ tables }) =>
      tables.flatMap(({ name, chains }) => (name === "filter" ? chains : [])),
    ),
  );
}

describe("compiling again", () => {
  it("comes to what compiling from scratch does, change by change", () => {
    let compared = 0;
    let kept = 0;
    let groups = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const random = makeRandom(seed);
      const pool = drawPool(random, seed);
      let endpoints = pool.snapshot.endpoints.filter(() => random.chance(0.5));
      let policies = pool.policies.filter(() => random.chance(0.5));
      let { snapshot } = pool;
      const { options } = pool;
      const compiler = new ClusterCompiler(options, () => {});
      let before: CompiledCluster | undefined;
      for (let change = 0; change < CHANGES; change++) {
        if (change === 0 || random.chance(0.4)) {
          if (change > 0) endpoints = [...nextEndpoints(random, endpoints, pool)];
          snapshot = { ...pool.snapshot, endpoints };
        }
        const edits = random.chance(0.7) ? 1 + random.below(3) : 0;
        for (let edit = 0; edit < edits; edit++) {
          policies = [...nextPolicies(random, policies, pool)];
        }
        const again = compiler.compile(snapshot, policies);
        const scratch = compileCluster(snapshot, policies, options, () => {});
        expect(again, `seed ${seed}, change ${change}`).toEqual(scratch);
        const old = before === undefined ? new Set<Chain>() : chainsOf(before);
        for (const chain of chainsOf(again)) {
          if (old.has(chain)) kept += 1;
          if (isPolicyGroupChain(chain.name)) groups += 1;
        }
        before = again;
        compared += 1;
      }
    }
    expect(compared).toBe(SEEDS * CHANGES);
    // Most changes were followed: the chains that they do not touch are the ones of before.
    expect(kept).toBeGreaterThan(compared * 20);
    expect(groups).toBeGreaterThan(compared);
  });

  it("takes several new pods at a time, of ranges that no pod was of before", () => {
    const pods = ["10.1.0.5", "10.2.0.5", "10.3.0.5"].map((podIP, index) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: `pod-${index}`, namespace: "shop" },
      spec: {},
      status: { podIP },
    }));
    const list = { apiVersion: "v1", kind: "List", items: pods };
    const objects = parseManifests([{ file: "pods.json", text: JSON.stringify(list) }], () => {});
    const all = buildSnapshot(objects, { clusterPrefixes: [], endpoints: [] }, () => {});
    const compiler = new ClusterCompiler({ node: undefined }, () => {});
    compiler.compile({ ...all, endpoints: all.endpoints.slice(0, 1) }, []);
    const again = compiler.compile(all, []);
    expect(again).toEqual(compileCluster(all, [], { node: undefined }, () => {}));
  });

  it("tries the orders of those that are rivals after an edit", () => {
    const policy = (name: string, action: string, number: number): object => ({
      apiVersion: "policy.networking.k8s.io/v1alpha2",
      kind: "ClusterNetworkPolicy",
      metadata: { name },
      spec: {
        tier: "Admin",
        priority: 1,
        subject: { namespaces: {} },
        ingress: [
          {
            action,
            from: [{ namespaces: {} }],
            protocols: [{ tcp: { destinationPort: { number } } }],
          },
        ],
      },
    });
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "web", namespace: "shop" },
      spec: { nodeName: "n" },
      status: { podIP: "10.1.0.5" },
    };
    const read = (last: number): Pick<Pool, "snapshot" | "policies"> => {
      const rules = [
        policy("a", "Accept", 80),
        policy("b", "Deny", 80),
        policy("c", "Accept", last),
      ];
      const text = JSON.stringify({ apiVersion: "v1", kind: "List", items: [pod, ...rules] });
      const objects = parseManifests([{ file: "rivals.json", text }], () => {});
      return {
        snapshot: buildSnapshot(objects, { clusterPrefixes: [], endpoints: [] }, () => {}),
        policies: lowerPolicies(objects, () => {}),
      };
    };
    const { snapshot, policies } = read(80);
    const edited = [...policies.slice(0, 2), read(81).policies[2]!];
    const compiler = new ClusterCompiler({ node: undefined }, () => {});
    const ties = [policies, edited, policies].map((now) => {
      const again = compiler.compile(snapshot, now);
      expect(again).toEqual(compileCluster(snapshot, now, { node: undefined }, () => {}));
      return JSON.stringify(again.rulesets[0]).split('"kind":"tie"').length - 1;
    });
    expect(ties).toEqual([11, 6, 11]);
  });
});
