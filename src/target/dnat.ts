/** `-j DNAT`: a connection's new destination. */
import { TARGET_DNAT } from "../../assembly/layout.ts";
import type { TargetExtension } from "./extension.ts";
import { formatNatFlags, formatNatRange, packNatRange } from "./nat-range.ts";
import type { NatRange } from "./nat-range.ts";

export interface DnatTarget {
  readonly kind: "DNAT";
  readonly range: NatRange;
}

/** `-j DNAT --to-destination ADDRESS[:PORT]`. */
export const dnatTarget: TargetExtension<DnatTarget> = {
  kind: "DNAT",
  id: TARGET_DNAT,
  modules: [],
  render: ({ range }) =>
    `-j DNAT --to-destination ${formatNatRange(range)}${formatNatFlags(range)}`,
  pack: ({ range }, writer) => packNatRange(range, writer),
};
