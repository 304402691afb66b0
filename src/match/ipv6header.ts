/** `-m ipv6header`: which extension headers an IPv6 packet has. */
import { IPV6HEADER_SOFT, MATCH_IPV6HEADER } from "../../assembly/layout.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension, OptionUse } from "./extension.ts";
import { needIpv6, needUse, refuseInvert, useOf, wordOf } from "./words.ts";

export interface Ipv6headerMatch extends Invertible {
  readonly kind: "ipv6header";
  /** Bits of HEADERS. */
  readonly headers: number;
  /** It may have others, too. */
  readonly soft: boolean;
}

interface Header {
  /** As it is printed. */
  readonly name: string;
  /** > MASK_*. */
  readonly bit: number;
  /** What else it is called. */
  readonly names: readonly string[];
}

/** In the order in which they are printed. */
const HEADERS: readonly Header[] = [
  { name: "hop-by-hop", bit: 128, names: ["hop", "0", "hopopt", "ip"] },
  { name: "ipv6-opts", bit: 64, names: ["dst", "60"] },
  { name: "ipv6-route", bit: 32, names: ["route", "43"] },
  { name: "ipv6-frag", bit: 16, names: ["frag", "44"] },
  { name: "ah", bit: 8, names: ["auth", "51"] },
  { name: "esp", bit: 4, names: ["50"] },
  { name: "ipv6-nonxt", bit: 2, names: ["none", "59"] },
  { name: "protocol", bit: 1, names: ["prot", "255"] },
];

/** `-m ipv6header [!] --header NAME,... [--soft]`. */
export const ipv6headerMatch: MatchExtension<Ipv6headerMatch> = {
  kind: "ipv6header",
  id: MATCH_IPV6HEADER,
  modules: [
    {
      name: "ipv6header",
      options: { "--header": 1, "--soft": 0 },
      parse(options, context) {
        needIpv6(context);
        const use = needUse(options, "--header");
        const soft = useOf(options, "--soft");
        refuseInvert(soft);
        return {
          kind: "ipv6header",
          headers: parseHeaders(use),
          soft: soft !== undefined,
          invert: use.invert,
        };
      },
    },
  ],
  render(match) {
    const names = HEADERS.filter(({ bit }) => (match.headers & bit) !== 0).map(({ name }) => name);
    const soft = match.soft ? " --soft" : "";
    return `-m ipv6header ${bang(match)}--header ${names.join(",")}${soft}`;
  },
  /** Headers u8, IPV6HEADER_* u8. */
  pack({ headers, soft }, writer) {
    writer.u8(headers);
    writer.u8(soft ? IPV6HEADER_SOFT : 0);
  },
};

function parseHeaders(use: OptionUse): number {
  const words = wordOf(use)
    .split(",")
    .filter((word) => word !== "");
  if (words.length === 0) throw new RuleError(`${use.name}: expected names of headers`, use);
  return words.reduce((bits, word) => {
    const header = HEADERS.find(({ name, names }) => name === word || names.includes(word));
    if (header === undefined) throw new RuleError(`there is no extension header ${word}`, use);
    return bits | header.bit;
  }, 0);
}
