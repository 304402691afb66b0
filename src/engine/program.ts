import type { Connection, Ruleset, Topology } from "../tables/model.ts";
import type { ConnectionSwitches, NodeSwitches } from "../tables/switches.ts";

/** What packets are judged by: at most one ruleset for each family, and where packets go. */
export interface Program {
  readonly rulesets: readonly Ruleset[];
  readonly topology: Topology;
  /** Undefined: nobody told them. */
  readonly switches?: NodeSwitches | undefined;
  /** Where no node has told its own. */
  readonly connectionSwitches?: ConnectionSwitches;
  /** Followed before the first packet; at most as many as fit. */
  readonly connections?: readonly Connection[];
  /** What has an address (`namespace/name`), by its text, where the routes do not say. */
  readonly owners?: ReadonlyMap<string, string>;
}
