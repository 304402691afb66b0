/** `-m tcpmss`: the maximum segment size that a TCP header announces. */
import { MATCH_TCPMSS } from "../../assembly/layout.ts";
import { PROTOCOL_TCP } from "../net/protocol.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { formatPortRange } from "./multiport.ts";
import { needProtocol, needUse, parseRange, wordOf } from "./words.ts";

/** Bytes, inclusive. */
export interface TcpmssMatch extends Invertible {
  readonly kind: "tcpmss";
  readonly first: number;
  readonly last: number;
}

/** `-m tcpmss [!] --mss A[:B]`. */
export const tcpmssMatch: MatchExtension<TcpmssMatch> = {
  kind: "tcpmss",
  id: MATCH_TCPMSS,
  modules: [
    {
      name: "tcpmss",
      options: { "--mss": 1 },
      parse(options, context) {
        needProtocol(context, "tcp", PROTOCOL_TCP);
        const use = needUse(options, "--mss");
        return {
          kind: "tcpmss",
          ...parseRange(wordOf(use), use, { max: 0xffff }),
          invert: use.invert,
        };
      },
    },
  ],
  render: (match) => `-m tcpmss ${bang(match)}--mss ${formatPortRange(match)}`,
  /** First u16, last u16. */
  pack({ first, last }, writer) {
    writer.u16(first);
    writer.u16(last);
  },
};
