/** `-j MASQUERADE`: a connection's source becomes the out-interface's address. */
import { TARGET_MASQUERADE } from "../../assembly/layout.ts";
import type { TargetExtension } from "./extension.ts";
import { formatNatFlags, formatNatPorts, packNatRange } from "./nat-range.ts";
import type { NatRange } from "./nat-range.ts";

export interface MasqueradeTarget {
  readonly kind: "MASQUERADE";
  /** Has no addresses. */
  readonly range: NatRange;
}

/** `-j MASQUERADE [--to-ports A-B] [--random|--random-fully]`. */
export const masqueradeTarget: TargetExtension<MasqueradeTarget> = {
  kind: "MASQUERADE",
  id: TARGET_MASQUERADE,
  modules: [],
  render({ range }) {
    const ports = range.ports === undefined ? "" : ` --to-ports ${formatNatPorts(range.ports)}`;
    return `-j MASQUERADE${ports}${formatNatFlags(range)}`;
  },
  pack: ({ range }, writer) => packNatRange(range, writer),
};
