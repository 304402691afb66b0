/** `-j REDIRECT`: a connection's destination becomes the node itself. */
import { TARGET_REDIRECT } from "../../assembly/layout.ts";
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

export interface RedirectTarget {
  readonly kind: "REDIRECT";
  /** Has no addresses. */
  readonly range: NatRange;
}

/** `-j REDIRECT [--to-ports A-B] [--random]`. */
export const redirectTarget: TargetExtension<RedirectTarget> = {
  kind: "REDIRECT",
  id: TARGET_REDIRECT,
  modules: [
    {
      name: "REDIRECT",
      options: { "--to-ports": 1, "--random": 0 },
      parse(options, context) {
        needNatChain(context, "PREROUTING", "OUTPUT");
        const use = useOf(options, "--to-ports");
        refuseInvert(use);
        const ports =
          use === undefined ? undefined : parseNatPorts(wordOf(use), use, context, "refused");
        return {
          kind: "REDIRECT",
          range: { addresses: undefined, ports, ...parseNatFlags(options) },
        };
      },
    },
  ],
  render({ range }) {
    const ports = range.ports === undefined ? "" : ` --to-ports ${formatNatPorts(range.ports)}`;
    return `-j REDIRECT${ports}${formatNatFlags(range)}`;
  },
  pack: ({ range }, writer) => packNatRange(range, writer),
};
