/** `-m connmark`: (the connection's mark & mask) == value. */
import { MATCH_CONNMARK } from "../../assembly/layout.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { hex } from "./mark.ts";
import { needUse, parseValueMask } from "./words.ts";

export interface ConnmarkMatch extends Invertible {
  readonly kind: "connmark";
  readonly value: number;
  readonly mask: number;
}

/** `-m connmark [!] --mark 0xVALUE[/0xMASK]`. */
export const connmarkMatch: MatchExtension<ConnmarkMatch> = {
  kind: "connmark",
  id: MATCH_CONNMARK,
  modules: [
    {
      name: "connmark",
      options: { "--mark": 1 },
      parse(options) {
        const use = needUse(options, "--mark");
        return { kind: "connmark", ...parseValueMask(use), invert: use.invert };
      },
    },
  ],
  render(match) {
    const mask = match.mask >>> 0 === 0xffffffff ? "" : `/${hex(match.mask)}`;
    return `-m connmark ${bang(match)}--mark ${hex(match.value)}${mask}`;
  },
  /** Value u32, mask u32. */
  pack(match, writer) {
    writer.u32(match.value >>> 0);
    writer.u32(match.mask >>> 0);
  },
};
