/** `-m length`: the length of the IP packet, header included. */
import { MATCH_LENGTH } from "../../assembly/layout.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { formatPortRange } from "./multiport.ts";
import { needUse, parseRange, wordOf } from "./words.ts";

export interface LengthMatch extends Invertible {
  readonly kind: "length";
  /** Inclusive. */
  readonly first: number;
  readonly last: number;
}

/** `-m length [!] --length A[:B]`. */
export const lengthMatch: MatchExtension<LengthMatch> = {
  kind: "length",
  id: MATCH_LENGTH,
  modules: [
    {
      name: "length",
      options: { "--length": 1 },
      parse(options) {
        const use = needUse(options, "--length");
        return {
          kind: "length",
          ...parseRange(wordOf(use), use, { max: 0xffff, reversible: true }),
          invert: use.invert,
        };
      },
    },
  ],
  render: (match) => `-m length ${bang(match)}--length ${formatPortRange(match)}`,
  /** First u16, last u16. */
  pack(match, writer) {
    writer.u16(match.first);
    writer.u16(match.last);
  },
};
