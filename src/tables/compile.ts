/**
 * Policies and a snapshot to rule tables in Calico's shape. The only place where an allowing policy
 * becomes ACCEPT and an isolation becomes DROP.
 */
import type { Snapshot } from "../cluster/snapshot.ts";
import type { OnDiagnostic } from "../errors.ts";
import type { Policy } from "../policy/model.ts";
import type { Ruleset, Topology } from "./model.ts";

/** What a snapshot and its policies compile to. */
export interface CompiledCluster {
  /** IPv4, then IPv6. */
  readonly rulesets: readonly [Ruleset, Ruleset];
  readonly topology: Topology;
}

/**
 * Compiles for one node (`node` given: only its endpoints have chains), or for the whole cluster seen as
 * one node that has every endpoint.
 */
export function compileCluster(
  snapshot: Snapshot,
  policies: readonly Policy[],
  options: { readonly node: string | undefined },
  onDiagnostic: OnDiagnostic,
): CompiledCluster {
  throw new Error(
    `bug: not written yet ${snapshot.endpoints.length} ${policies.length} ${options.node} ${typeof onDiagnostic}`,
  );
}
