/** `-j NETMAP`: the network's bits of an address change, the host's stay. */
import { TARGET_NETMAP } from "../../assembly/layout.ts";
import { RuleError } from "../match/extension.ts";
import { maskBits, needUse, parseAddressMask, refuseInvert, wordOf } from "../match/words.ts";
import { formatPrefix, prefixMask } from "../net/address.ts";
import type { Address, Prefix, Words } from "../net/address.ts";
import type { TargetExtension } from "./extension.ts";
import { NAT_NOTHING, needNatChain, packNatRange } from "./nat-range.ts";

export interface NetmapTarget {
  readonly kind: "NETMAP";
  readonly to: Prefix;
}

/** `-j NETMAP --to ADDRESS[/BITS]`. */
export const netmapTarget: TargetExtension<NetmapTarget> = {
  kind: "NETMAP",
  id: TARGET_NETMAP,
  modules: [
    {
      name: "NETMAP",
      options: { "--to": 1 },
      parse(options, context) {
        needNatChain(context, "PREROUTING", "OUTPUT", "POSTROUTING", "INPUT");
        const use = needUse(options, "--to");
        refuseInvert(use);
        const { address, mask } = parseAddressMask(wordOf(use), use, context.family);
        const bits = maskBits(mask, context.family);
        if (bits === undefined) throw new RuleError("--to: the mask is no prefix's", use);
        return { kind: "NETMAP", to: { address, bits } };
      },
    },
  ],
  render({ to }) {
    return `-j NETMAP --to ${formatPrefix(to)}`;
  },
  pack({ to }, writer) {
    const addresses = { first: to.address, last: lastOf(to) };
    packNatRange({ ...NAT_NOTHING, addresses }, writer);
  },
};

function lastOf({ address, bits }: Prefix): Address {
  const masks = prefixMask(bits);
  const [a, b, c, d] = address.words;
  const set = (word: number, mask: number): number => (word | ~mask) >>> 0;
  const words: Words =
    address.family === 4
      ? [set(a, masks[0]), 0, 0, 0]
      : [set(a, masks[0]), set(b, masks[1]), set(c, masks[2]), set(d, masks[3])];
  return { family: address.family, words };
}
