/** `-m addrtype`: the address belongs to the judged node. Only `LOCAL` is modelled. */
import { ADDRTYPE_LOCAL, MATCH_ADDRTYPE, SIDE_DST, SIDE_SRC } from "../../assembly/layout.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";

export interface AddrtypeMatch extends Invertible {
  readonly kind: "addrtype";
  readonly side: "src" | "dst";
  readonly type: "LOCAL";
}

/** `-m addrtype [!] --src-type|--dst-type LOCAL`. */
export const addrtypeMatch: MatchExtension<AddrtypeMatch> = {
  kind: "addrtype",
  id: MATCH_ADDRTYPE,
  modules: [],
  render: (match) => `-m addrtype ${bang(match)}--${match.side}-type ${match.type}`,
  pack(match, writer) {
    writer.u16(ADDRTYPE_LOCAL);
    writer.u8(match.side === "src" ? SIDE_SRC : SIDE_DST);
    writer.u8(0);
  },
};
