/**
 * projectcalico.org/v3 Tier, and the tiers that are there without an object.
 * Sources: api/pkg/apis/projectcalico/v3/tier.go; felix/calc/policy_sorter.go.
 */
import {
  checkKnownFields,
  fieldOf,
  readNumber,
  readText,
  recordOf,
  reportField,
  rootField,
  suggestionFor,
  type Field,
} from "../cluster/fields.ts";
import { API_VERSIONS_OF_CALICO } from "../cluster/kinds.ts";
import type { ManifestObject } from "../cluster/manifest-object.ts";
import type { OnDiagnostic } from "../errors.ts";
import { checkMetadata } from "./metadata.ts";
import type { Tier } from "./model.ts";
import { DEFAULT_TIER } from "./order.ts";
import type { StagedMode } from "./staged.ts";

/** Tiers that Calico makes by itself; what they do is fixed. */
const BUILT_IN: readonly Tier[] = [
  DEFAULT_TIER,
  { name: "kube-admin", order: 1000, defaultAction: "pass" },
  { name: "kube-baseline", order: 10_000_000, defaultAction: "pass" },
  { name: "adminnetworkpolicy", order: 1000, defaultAction: "pass" },
  { name: "baselineadminnetworkpolicy", order: 10_000_000, defaultAction: "pass" },
];

/** The tiers among the objects, and the ones that are always there. */
export class Tiers {
  readonly #tierByName = new Map(BUILT_IN.map((tier) => [tier.name, tier]));
  readonly #staged: StagedMode;

  /** Reads the Tier objects. Reports what the fields report, and BAD_VALUE. */
  constructor(objects: readonly ManifestObject[], staged: StagedMode, onDiagnostic: OnDiagnostic) {
    this.#staged = staged;
    for (const object of objects) {
      if (!isTier(object)) continue;
      const tier = readTier(rootField(object, onDiagnostic));
      if (!this.#tierByName.has(tier.name)) this.#tierByName.set(tier.name, tier);
    }
  }

  /**
   * Reads the name of a policy's tier. Reports UNKNOWN_TIER, an error, for one that does not exist: Calico would ask it
   * last, but most often its object is only not given. Of a staged policy that is ignored it is a warning.
   */
  read(field: Field, staged: boolean): Tier {
    const written = readText(field) ?? "";
    const name = written === "" ? DEFAULT_TIER.name : written;
    const tier = this.#tierByName.get(name);
    if (tier !== undefined) return tier;
    reportField(field, {
      severity: staged && this.#staged === "ignore" ? "warning" : "error",
      code: "UNKNOWN_TIER",
      message: `there is no Tier "${name}": give its object too, which says when the tier is asked`,
      suggestion: suggestionFor(name, [...this.#tierByName.keys()]),
    });
    return { name, order: Infinity, defaultAction: "deny" };
  }
}

/** Tells whether an object is a Tier, in Calico's API or as it is stored. */
export function isTier({ apiVersion, kind }: ManifestObject): boolean {
  return kind === "Tier" && API_VERSIONS_OF_CALICO.includes(apiVersion);
}

function readTier(root: Field): Tier {
  checkKnownFields(root, ["apiVersion", "kind", "metadata", "spec", "status"]);
  checkMetadata(root, "cluster-wide");
  const spec = recordOf(root, "spec");
  checkKnownFields(spec, ["order", "defaultAction"]);
  const { name } = root.object.metadata;
  // > If the order is omitted, it may be considered to be "infinite": the tier will be applied last.
  const order = readNumber(fieldOf(spec, "order")) ?? Infinity;
  const field = fieldOf(spec, "defaultAction");
  const written = readText(field);
  if (written !== undefined && written !== "Deny" && written !== "Pass") {
    reportField(field, { code: "BAD_VALUE", message: `"${written}" is no default: Deny or Pass` });
  }
  const tier: Tier = { name, order, defaultAction: written === "Pass" ? "pass" : "deny" };
  const fixed = BUILT_IN.find((one) => one.name === name);
  if (fixed === undefined) return tier;
  const other = tier.defaultAction !== fixed.defaultAction && written !== undefined;
  if (other || (order !== fixed.order && order !== Infinity)) {
    reportField(spec, {
      code: "BAD_VALUE",
      message: `tier ${name} has order ${fixed.order} and default ${fixed.defaultAction}, and no other`,
    });
  }
  return fixed;
}
