/** `-m eui64`: the lower half of the source address is made of the frame's source MAC. */
import { MATCH_EUI64 } from "../../assembly/layout.ts";
import { RuleError } from "./extension.ts";
import type { MatchExtension } from "./extension.ts";
import { needIpv6 } from "./words.ts";

export interface Eui64Match {
  readonly kind: "eui64";
}

/** `-m eui64`. */
export const eui64Match: MatchExtension<Eui64Match> = {
  kind: "eui64",
  id: MATCH_EUI64,
  modules: [
    {
      name: "eui64",
      options: {},
      parse(_, context) {
        needIpv6(context);
        if (["OUTPUT", "POSTROUTING"].includes(context.chain)) {
          throw new RuleError(`it cannot stand in ${context.chain}`, undefined);
        }
        return { kind: "eui64" };
      },
    },
  ],
  render: () => "-m eui64",
  pack: () => undefined,
};
