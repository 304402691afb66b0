/** `-j MASQUERADE`: a connection's source becomes the out-interface's address. */
import { TARGET_MASQUERADE } from "../../assembly/layout.ts";
import { refuseInvert, useOf, wordOf } from "../match/words.ts";
import type { TargetExtension } from "./extension.ts";
import {
  formatNatFlags,
  formatNatPorts,
  needNatChain,
  packNatRange,
  parseNatFlags,
  parseNatPorts,
} from "./nat-range.ts";
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
  modules: [
    {
      name: "MASQUERADE",
      options: { "--to-ports": 1, "--random": 0, "--random-fully": 0 },
      parse(options, context) {
        needNatChain(context, "POSTROUTING");
        const use = useOf(options, "--to-ports");
        refuseInvert(use);
        const ports =
          use === undefined ? undefined : parseNatPorts(wordOf(use), use, context, "lost");
        return {
          kind: "MASQUERADE",
          range: { addresses: undefined, ports, ...parseNatFlags(options) },
        };
      },
    },
  ],
  render({ range }) {
    const ports = range.ports === undefined ? "" : ` --to-ports ${formatNatPorts(range.ports)}`;
    return `-j MASQUERADE${ports}${formatNatFlags(range)}`;
  },
  pack: ({ range }, writer) => packNatRange(range, writer),
};
