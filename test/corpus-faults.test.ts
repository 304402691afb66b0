/** Folders of manifests that have a fault: each is told where, and none is taken as sound. */
import { readdirSync } from "node:fs";

import { expect, it } from "vitest";

import { buildSnapshot } from "../src/cluster/build.ts";
import { parseManifests } from "../src/cluster/manifest.ts";
import type { Diagnostic } from "../src/errors.ts";
import { lowerPolicies } from "../src/policy/index.ts";
import { compileCluster } from "../src/tables/compile.ts";
import { haveOracle, oraclePath, readFolder } from "./corpus.ts";

const ORACLE = "np-guard_netpol-analyzer";
const FAULTY = /^bad_|_bad_path_|^malformed|^document_with_syntax_error$/;

/**
 * The fault lies in what has no say in a NetworkPolicy's verdict (another network's object, a text that
 * is no object): it is named as not read, which is a warning.
 */
const IN_WHAT_IS_NOT_READ = /^(bad_yamls|udn_bad_path_test_\d+)$/;

it.runIf(haveOracle(ORACLE))("every folder with a fault gets a diagnostic at file and line", () => {
  const folders = readdirSync(oraclePath(ORACLE, "tests")).filter((name) => FAULTY.test(name));
  const silent = folders.filter((folder) => {
    const wanted = IN_WHAT_IS_NOT_READ.test(folder) ? "warning" : "error";
    return !diagnose(oraclePath(ORACLE, "tests", folder)).some(
      ({ severity, place }) => severity === wanted && place?.line !== undefined,
    );
  });
  console.log(`folders with a fault: ${folders.length - silent.length} of ${folders.length} told`);
  expect(silent).toEqual([]);
  expect(folders.length).toBeGreaterThan(30);
});

/** Everything that the way from files to tables reports. */
function diagnose(folder: string): Diagnostic[] {
  const diagnostics: Diagnostic[] = [];
  const onDiagnostic = (diagnostic: Diagnostic): void => {
    diagnostics.push(diagnostic);
  };
  const objects = parseManifests(readFolder(folder), onDiagnostic);
  const snapshot = buildSnapshot(objects, { clusterPrefixes: [], endpoints: [] }, onDiagnostic);
  const policies = lowerPolicies(objects, onDiagnostic);
  compileCluster(snapshot, policies, { node: undefined }, onDiagnostic);
  return diagnostics;
}
