/**
 * How much processor time do manifests take to become packed tables, stage by stage, and how much memory?
 * `node bench/compile.ts [policies] [pods] [shape]` draws clusters of that size, and compiles each in a process
 * of its own, which has nothing else in its memory.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { ManifestBytes } from "../src/cli/manifest-bytes.ts";
import { readWhole } from "../src/cli/read-whole.ts";
import { boundYoungGeneration } from "../src/cli/young-generation.ts";
import { buildSnapshot } from "../src/cluster/build.ts";
import { parseManifests } from "../src/cluster/manifest.ts";
import { loadMatcher, type Matcher } from "../src/engine/matcher.ts";
import type { Program } from "../src/engine/program.ts";
import { formatDiagnostic, type Diagnostic } from "../src/errors.ts";
import { checkPolicies } from "../src/policy/check.ts";
import { lowerPolicies } from "../src/policy/index.ts";
import { compileCluster } from "../src/tables/compile.ts";
import { makeCluster, type ClusterShape, type ClusterSize } from "./cluster.ts";

const SHAPES: readonly ClusterShape[] = ["mixed", "kinds", "single"];

function compileAll(size: ClusterSize, shapes: readonly ClusterShape[]): void {
  const folder = mkdtempSync(join(tmpdir(), "netverdict-compile-"));
  try {
    for (const shape of shapes) {
      const objects = makeCluster(shape, size);
      const list = { apiVersion: "v1", kind: "List", items: objects };
      const texts = {
        "kubectl.json": JSON.stringify(list, null, 4),
        "kubectl.yaml": stringify(list),
        "documents.yaml": objects.map((object) => stringify(object)).join("---\n"),
      };
      for (const [name, text] of Object.entries(texts)) {
        const file = join(folder, name);
        writeFileSync(file, text);
        console.log(`${shape}, ${name}, ${(text.length / 1e6).toFixed(1)} MB`);
        spawnSync(process.execPath, [import.meta.filename, "--file", file], { stdio: "inherit" });
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function compileFile(file: string): void {
  boundYoungGeneration();
  const start = process.cpuUsage();
  const startTime = performance.now();
  let before = 0;
  const stages: string[] = [];
  const lap = <T>(stage: string, work: () => T): T => {
    const result = work();
    const { user, system } = process.cpuUsage(start);
    stages.push(`${stage} ${((user + system - before) / 1000).toFixed(0)}`);
    before = user + system;
    return result;
  };
  const onDiagnostic = (diagnostic: Diagnostic): void => {
    if (diagnostic.severity === "error") throw new Error(formatDiagnostic(diagnostic));
  };
  const text = lap("read", () => ManifestBytes.of(file, readWhole(file)));
  if (text === undefined) throw new Error(`${file} is not UTF-8`);
  const objects = lap("parse", () => parseManifests([text], onDiagnostic));
  const policies = lap("lower", () => lowerPolicies(objects, onDiagnostic));
  const snapshot = lap("build", () =>
    buildSnapshot(objects, { clusterPrefixes: [], endpoints: [] }, onDiagnostic),
  );
  lap("check", () => checkPolicies(policies, snapshot, onDiagnostic));
  const readTime = performance.now();
  const compiled = lap("compile", () =>
    compileCluster(snapshot, policies, { node: undefined }, onDiagnostic),
  );
  const wasm = new Uint8Array(readFileSync(join(import.meta.dirname, "../build/matcher.wasm")));
  const load = (program: Program): Matcher =>
    loadMatcher(wasm, program, {
      midstream: "assume-established",
      conntrackMax: 262_144,
      tracePacket: undefined,
    });
  const matcher = lap("pack", () => load(compiled));
  const compiledIn = performance.now() - readTime;
  const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  const { maxRSS } = process.resourceUsage();
  console.log(`  ${stages.join(", ")}`);
  const elapsed = performance.now() - startTime;
  console.log(
    `  ${(before / 1000).toFixed(0)} ms of processor time in all, ${elapsed.toFixed(0)} ms by the clock`,
  );
  console.log(
    `  ${compiledIn.toFixed(0)} ms of them from what was read and checked to packed tables`,
  );
  const topology = { ...compiled.topology, routes: [] };
  const tables = matcher.allocate(0) - load({ rulesets: [], topology }).allocate(0);
  console.log(`  packed tables ${(tables / 1e6).toFixed(1)} MB`);
  console.log(
    `  peak ${megabytes(maxRSS * 1024)}, of which the matcher has ${megabytes(matcher.memory().byteLength)}`,
  );
}

const [first = "10000", second = first, wanted] = process.argv.slice(2);
if (first === "--file") compileFile(second);
else {
  const shapes = SHAPES.filter((shape) => wanted === undefined || shape === wanted);
  compileAll({ policies: Number(first), pods: Number(second) }, shapes);
}
