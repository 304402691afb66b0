/** What a policy kind is. A new one is a file with one of these and a line in `index.ts`. */
import type { ManifestObject } from "../cluster/manifest-object.ts";
import type { OnDiagnostic } from "../errors.ts";
import type { Policy } from "./model.ts";
import type { SelectorPool } from "./selector-pool.ts";
import type { Tiers } from "./tier.ts";

/** One kind of policy object and how it is lowered. */
export interface PolicyKind {
  readonly apiVersion: string;
  readonly kind: string;
  /**
   * Validates an object as the API server does, applies its defaults and lowers it. Reports every fault
   * with its place; undefined when there was an error.
   */
  lower(object: ManifestObject, context: LowerContext): Policy | undefined;
}

/** What objects are lowered with. */
export interface LowerContext {
  readonly onDiagnostic: OnDiagnostic;
  readonly tiers: Tiers;
  /** Of those that say the same, each is made once; kinds that have others than labels make their own. */
  readonly selectors: SelectorPool;
}
