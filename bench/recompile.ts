/** How long does it take to compile again after one change of a large cluster? By the clock, the median of many changes. */
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { buildSnapshot } from "../src/cluster/build.ts";
import { parseManifests } from "../src/cluster/manifest.ts";
import { lowerPolicies } from "../src/policy/index.ts";
import { compileCluster } from "../src/tables/compile.ts";
import { ClusterCompiler } from "../src/tables/recompile.ts";
import { median } from "./measure.ts";

const CHANGES = 200;

/** Milliseconds of one change, and how many chains were compared with those compiled from scratch. */
export interface Changes {
  readonly policyEdited: number;
  readonly podAdded: number;
  readonly compared: number;
  readonly mismatches: number;
}

/** Adds pods, and then edits policies. */
export function measureChanges(file: string): Changes {
  const ignore = (): void => {};
  const objects = parseManifests([{ file, text: readFileSync(file, "utf8") }], ignore);
  const whole = buildSnapshot(objects, { clusterPrefixes: [], endpoints: [] }, ignore);
  let policies: ReturnType<typeof lowerPolicies> = lowerPolicies(objects, ignore);
  const every = Math.ceil(whole.endpoints.length / CHANGES);
  const isLater = (index: number): boolean => index % every === 1;
  const present = new Set(whole.endpoints.filter((_, index) => !isLater(index)));
  const snapshotNow = (): typeof whole => ({
    ...whole,
    endpoints: whole.endpoints.filter((endpoint) => present.has(endpoint)),
  });
  let snapshot = snapshotNow();
  const compiler = new ClusterCompiler({ node: undefined }, ignore);
  let compiled = compiler.compile(snapshot, policies);
  const millisecondsOf = (): number => {
    const before = performance.now();
    compiled = compiler.compile(snapshot, policies);
    return performance.now() - before;
  };
  const podAdded: number[] = [];
  for (let change = 0; change < CHANGES; change++) {
    const added = whole.endpoints[change * every + 1];
    if (added === undefined) break;
    present.add(added);
    snapshot = snapshotNow();
    podAdded.push(millisecondsOf());
  }
  const policyEdited: number[] = [];
  for (let change = 0; change < CHANGES; change++) {
    const at = (change * 37) % policies.length;
    const [one, other] = [policies[at]!, policies[(at + 211) % policies.length]!];
    policies = policies.toSpliced(at, 1, { ...one, ingress: other.ingress, egress: other.egress });
    policyEdited.push(millisecondsOf());
  }
  const scratch = compileCluster(snapshot, policies, { node: undefined }, ignore);
  const parts = ({ rulesets, topology }: typeof scratch): unknown[] => [
    ...rulesets.flatMap(({ tables, sets }) => [...tables.flatMap(({ chains }) => chains), ...sets]),
    ...topology.routes,
  ];
  const [again, expected] = [parts(compiled), parts(scratch)];
  const differing = expected.filter((part, index) => !isDeepStrictEqual(part, again[index])).length;
  const mismatches = differing + Math.abs(again.length - expected.length);
  return {
    policyEdited: median(policyEdited),
    podAdded: median(podAdded),
    ...{ compared: expected.length, mismatches },
  };
}
