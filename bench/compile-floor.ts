/**
 * What V8 takes to read the manifests and parse them as JSON, and to make as many objects and lists of the same sizes as stay
 * of a compilation, in thousands: by its parser, too, and full of zeros. Nothing is computed; maps and texts are left out.
 * `node bench/compile-floor.ts count FILE` prints how many stay, `node bench/compile-floor.ts make FILE COUNTS` the time, with
 * what the former printed in a file: each in a process of its own.
 */
import { readFileSync } from "node:fs";
import { boundYoungGeneration } from "../src/cli/young-generation.ts";
import { buildSnapshot } from "../src/cluster/build.ts";
import { parseManifests } from "../src/cluster/manifest.ts";
import { lowerPolicies } from "../src/policy/index.ts";
import { compileCluster } from "../src/tables/compile.ts";

/** How many objects stay by their number of fields, and how many lists by their length. */
interface Counts {
  readonly objects: readonly (readonly [fields: number, count: number])[];
  readonly lists: readonly (readonly [length: number, count: number])[];
}

function countFile(file: string): Counts {
  const ignore = (): void => undefined;
  const manifests = parseManifests([{ file, text: readFileSync(file, "utf8") }], ignore);
  const policies = lowerPolicies(manifests, ignore);
  const snapshot = buildSnapshot(manifests, { clusterPrefixes: [], endpoints: [] }, ignore);
  const compiled = compileCluster(snapshot, policies, { node: undefined }, ignore);
  const objects = new Map<number, number>();
  const lists = new Map<number, number>();
  const seen = new Set<object>();
  const left: unknown[] = [policies, snapshot, compiled];
  while (left.length > 0) {
    const one = left.pop();
    if (typeof one !== "object" || one === null || seen.has(one)) continue;
    seen.add(one);
    const isMap = one instanceof Map || one instanceof Set;
    const held: unknown[] = isMap ? [...one.entries()].flat() : Object.values(one);
    for (const each of held) left.push(each);
    if (isMap) continue;
    const counts = Array.isArray(one) ? lists : objects;
    counts.set(held.length, (counts.get(held.length) ?? 0) + 1);
  }
  return { objects: [...objects], lists: [...lists] };
}

/** So many are made at a time. */
const BATCH = 1000;

function makeAll(file: string, { objects, lists }: Counts): number {
  boundYoungGeneration();
  const isMany = ([, count]: readonly [size: number, count: number]): boolean => count >= BATCH;
  const batches = [
    ...objects.filter(isMany).map(([fields, count]) => ({ text: objectText(fields), count })),
    ...lists.filter(isMany).map(([length, count]) => ({ text: listText(length), count })),
  ].map(({ text, count }) => ({ text: `[${new Array(BATCH).fill(text).join(",")}]`, count }));
  const kept: unknown[] = [];
  const start = performance.now();
  kept.push(JSON.parse(readFileSync(file, "utf8")));
  for (const { text, count } of batches) {
    for (let made = 0; made + BATCH <= count; made += BATCH) kept.push(JSON.parse(text));
  }
  return performance.now() - start;
}

/** An object of so many fields. */
function objectText(fields: number): string {
  return `{${Array.from({ length: fields }, (_, index) => `"${index}a":0`).join(",")}}`;
}

/** A list of so many items. */
function listText(length: number): string {
  return JSON.stringify(new Array(length).fill(0));
}

const [what, file = "", counts = ""] = process.argv.slice(2);
if (what === "count") console.log(JSON.stringify(countFile(file)));
else {
  const taken = makeAll(file, JSON.parse(readFileSync(counts, "utf8")) as Counts);
  console.log(`${taken.toFixed(0)} ms by the clock`);
}
