/** Loads manifests given as text, for tests: what was made of them and what was said about them. */
import { buildSnapshot, type SnapshotOptions } from "../../src/cluster/build.ts";
import { parseManifests } from "../../src/cluster/manifest.ts";
import type { ManifestObject } from "../../src/cluster/manifest-object.ts";
import type { Snapshot } from "../../src/cluster/snapshot.ts";
import { formatDiagnostic, type Diagnostic } from "../../src/errors.ts";
import { formatAddress, parseAddress, type Address } from "../../src/net/address.ts";
import { lowerPolicies } from "../../src/policy/index.ts";
import type { Policy } from "../../src/policy/model.ts";

export interface Loaded {
  readonly objects: readonly ManifestObject[];
  readonly snapshot: Snapshot;
  readonly policies: readonly Policy[];
  /** As the command line prints them, without the source line. */
  readonly said: readonly string[];
}

/** Loads one file's text, or several files' by name. */
export function load(
  input: string | Readonly<Record<string, string>>,
  options: Partial<SnapshotOptions> = {},
): Loaded {
  const files = typeof input === "string" ? { "a.yaml": input } : input;
  const diagnostics: Diagnostic[] = [];
  const collect = (diagnostic: Diagnostic): void => void diagnostics.push(diagnostic);
  const texts = Object.entries(files).map(([file, text]) => ({ file, text }));
  const objects = parseManifests(texts, collect);
  const snapshot = buildSnapshot(
    objects,
    { clusterPrefixes: [], endpoints: [], ...options },
    collect,
  );
  const policies = lowerPolicies(objects, collect);
  return { objects, snapshot, policies, said: diagnostics.map((one) => formatDiagnostic(one)) };
}

export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
}

export function texts(addresses: readonly Address[]): string[] {
  return addresses.map(formatAddress);
}
