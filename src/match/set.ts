/** `-m set --match-set`: fields of the packet are a member of an ipset. */
import { MATCH_SET, SIDE_DST, SIDE_SRC } from "../../assembly/layout.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";

export interface SetMatch extends Invertible {
  readonly kind: "set";
  readonly set: string;
  /** One for each dimension of the set. */
  readonly flags: readonly ("src" | "dst")[];
}

const MOST_FLAGS = 3;

/** `-m set [!] --match-set NAME src|dst[,src|dst]`. */
export const setMatch: MatchExtension<SetMatch> = {
  kind: "set",
  id: MATCH_SET,
  modules: [],
  render: (match) => `-m set ${bang(match)}--match-set ${match.set} ${match.flags.join(",")}`,
  pack(match, writer) {
    if (match.flags.length > MOST_FLAGS) throw new Error(`bug: too many flags for ${match.set}`);
    writer.u32(writer.setId(match.set));
    writer.u8(match.flags.length);
    for (let at = 0; at < MOST_FLAGS; at++) {
      writer.u8(match.flags[at] === "dst" ? SIDE_DST : SIDE_SRC);
    }
  },
};
