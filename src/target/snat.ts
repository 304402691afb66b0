/** `-j SNAT`: a connection's new source. */
import { TARGET_SNAT } from "../../assembly/layout.ts";
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

export interface SnatTarget {
  readonly kind: "SNAT";
  readonly range: NatRange;
}

/** `-j SNAT --to-source ADDRESS[:PORT]`. */
export const snatTarget: TargetExtension<SnatTarget> = {
  kind: "SNAT",
  id: TARGET_SNAT,
  modules: [
    {
      name: "SNAT",
      options: { "--to-source": 1, ...NAT_FLAG_OPTIONS, "--random-fully": 0 },
      parse(options, context) {
        needNatChain(context, "INPUT", "POSTROUTING");
        const use = needUse(options, "--to-source");
        refuseInvert(use);
        return {
          kind: "SNAT",
          range: { ...parseNatRange(use, context, "lost"), ...parseNatFlags(options) },
        };
      },
    },
  ],
  render: ({ range }) => `-j SNAT --to-source ${formatNatRange(range)}${formatNatFlags(range)}`,
  pack: ({ range }, writer) => packNatRange(range, writer),
};
