/** `-m esp`: the security parameter index of an encrypted packet. */
import { MATCH_ESP } from "../../assembly/layout.ts";
import { PROTOCOL_ESP } from "../net/protocol.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { packWordRange, parseWordRange, renderWordRange } from "./word-range.ts";
import type { WordRange } from "./word-range.ts";
import { needProtocol, useOf } from "./words.ts";

export interface EspMatch extends Invertible {
  readonly kind: "esp";
  readonly spi: WordRange;
}

/** `-m esp [!] --espspi A[:B]`. */
export const espMatch: MatchExtension<EspMatch> = {
  kind: "esp",
  id: MATCH_ESP,
  modules: [
    {
      name: "esp",
      options: { "--espspi": 1 },
      parse(options, context) {
        needProtocol(context, "esp", PROTOCOL_ESP);
        const use = useOf(options, "--espspi");
        return { kind: "esp", spi: parseWordRange(use), invert: use?.invert ?? false };
      },
    },
  ],
  render: ({ spi, invert }) => ["-m esp", ...renderWordRange("--espspi", spi, invert)].join(" "),
  /** First u32, last u32. */
  pack: ({ spi }, writer) => packWordRange(spi, writer),
};
