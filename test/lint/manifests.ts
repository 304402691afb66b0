/** Manifests to findings, for tests. */
import { buildSnapshot } from "../../src/cluster/build.ts";
import { parseManifests } from "../../src/cluster/manifest.ts";
import { formatDiagnostic, type Diagnostic } from "../../src/errors.ts";
import { makeLintContext, type LintContext } from "../../src/lint/context.ts";
import { lintManifests } from "../../src/lint/index.ts";
import type { Finding } from "../../src/lint/finding.ts";
import { lowerPolicies } from "../../src/policy/index.ts";

/** Reads manifests; an error in them is thrown, as the test's fault. */
export function contextOf(text: string): LintContext {
  const diagnostics: Diagnostic[] = [];
  const report = (diagnostic: Diagnostic): void => {
    diagnostics.push(diagnostic);
  };
  const objects = parseManifests([{ file: "lint.yaml", text }], report);
  const policies = lowerPolicies(objects, report);
  const snapshot = buildSnapshot(objects, { clusterPrefixes: [], endpoints: [] }, report);
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  if (errors.length > 0) throw new Error(errors.map((each) => formatDiagnostic(each)).join("\n"));
  return makeLintContext({ snapshot, policies, objects });
}

/** What lint finds in manifests. */
export function findingsOf(text: string): readonly Finding[] {
  return lintManifests(contextOf(text)).findings;
}

/** A finding in one line: `12:5 warning CODE`. */
export function lineOf({ place, severity, code }: Finding): string {
  return `${place?.line ?? "-"}:${place?.column ?? "-"} ${severity} ${code}`;
}
