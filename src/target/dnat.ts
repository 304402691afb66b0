/** `-j DNAT`: a connection's new destination. */
import { TARGET_DNAT } from "../../assembly/layout.ts";
import { needUse, refuseInvert } from "../match/words.ts";
import type { TargetExtension } from "./extension.ts";
import {
  formatNatFlags,
  formatNatRange,
  NAT_FLAG_OPTIONS,
  needNatChain,
  packNatRange,
  parseNatFlags,
  parseNatRange,
} from "./nat-range.ts";
import type { NatRange } from "./nat-range.ts";

export interface DnatTarget {
  readonly kind: "DNAT";
  readonly range: NatRange;
}

/** `-j DNAT --to-destination ADDRESS[:PORT]`. */
export const dnatTarget: TargetExtension<DnatTarget> = {
  kind: "DNAT",
  id: TARGET_DNAT,
  modules: [
    {
      name: "DNAT",
      options: { "--to-destination": 1, ...NAT_FLAG_OPTIONS },
      parse(options, context) {
        needNatChain(context, "PREROUTING", "OUTPUT");
        const use = needUse(options, "--to-destination");
        refuseInvert(use);
        return {
          kind: "DNAT",
          range: { ...parseNatRange(use, context, "shifts"), ...parseNatFlags(options) },
        };
      },
    },
  ],
  render: ({ range }) =>
    `-j DNAT --to-destination ${formatNatRange(range)}${formatNatFlags(range)}`,
  pack: ({ range }, writer) => packNatRange(range, writer),
};
