/** `-s` and `-d`: the source or destination address lies in a prefix. */
import { MATCH_ADDRESS, SIDE_DST, SIDE_SRC } from "../../assembly/layout.ts";
import { formatPrefix, prefixMask } from "../net/address.ts";
import type { Prefix } from "../net/address.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";

export interface AddressMatch extends Invertible {
  readonly kind: "address";
  readonly side: "src" | "dst";
  readonly prefix: Prefix;
}

/** `[!] -s|-d PREFIX`; a prefix of no bits that is not negated says nothing and prints nothing. */
export const addressMatch: MatchExtension<AddressMatch> = {
  kind: "address",
  id: MATCH_ADDRESS,
  modules: [],
  render(match) {
    if (match.prefix.bits === 0 && !match.invert) return "";
    return `${bang(match)}${match.side === "src" ? "-s" : "-d"} ${formatPrefix(match.prefix)}`;
  },
  pack(match, writer) {
    writer.u8(match.side === "src" ? SIDE_SRC : SIDE_DST);
    writer.u8(0);
    writer.u16(0);
    for (const word of match.prefix.address.words) writer.u32(word);
    for (const word of prefixMask(match.prefix.bits)) writer.u32(word);
  },
};
