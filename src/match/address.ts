/** `-s` and `-d`: the source or destination address lies in a prefix. */
import { MATCH_ADDRESS, SIDE_DST, SIDE_SRC } from "../../assembly/layout.ts";
import { formatAddress, formatPrefix, prefixMask } from "../net/address.ts";
import type { Prefix, Words } from "../net/address.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";

export interface AddressMatch extends Invertible {
  readonly kind: "address";
  readonly side: "src" | "dst";
  readonly prefix: Prefix;
  /** A mask that is no prefix's; `prefix` then has the masked address only. */
  readonly mask?: Words;
}

/** `[!] -s|-d PREFIX`; a prefix of no bits that is not negated says nothing and prints nothing. */
export const addressMatch: MatchExtension<AddressMatch> = {
  kind: "address",
  id: MATCH_ADDRESS,
  modules: [],
  render(match) {
    const { prefix, mask, invert, side } = match;
    if (mask === undefined && prefix.bits === 0 && !invert) return "";
    const text =
      mask === undefined
        ? formatPrefix(prefix)
        : [prefix.address.words, mask]
            .map((words) => formatAddress({ family: prefix.address.family, words }))
            .join("/");
    return `${bang(match)}${side === "src" ? "-s" : "-d"} ${text}`;
  },
  pack(match, writer) {
    writer.u8(match.side === "src" ? SIDE_SRC : SIDE_DST);
    writer.u8(0);
    writer.u16(0);
    for (const word of match.prefix.address.words) writer.u32(word);
    for (const word of match.mask ?? prefixMask(match.prefix.bits)) writer.u32(word);
  },
};
