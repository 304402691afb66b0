/** `-m ah`: the authentication header of IPsec; of IPv6 an extension header. */
import { AH_INVERT_LENGTH, AH_RESERVED, MATCH_AH } from "../../assembly/layout.ts";
import { PROTOCOL_AH } from "../net/protocol.ts";
import { RuleError } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { packWordRange, parseWordRange, renderWordRange } from "./word-range.ts";
import type { WordRange } from "./word-range.ts";
import { needProtocol, parseNumber, refuseInvert, useOf, wordOf } from "./words.ts";

/** `invert` is of the index. */
export interface AhMatch extends Invertible {
  readonly kind: "ah";
  readonly spi: WordRange;
  /** Of the header, in bytes. > 0 is any, negated or not. */
  readonly length: { readonly bytes: number; readonly invert: boolean };
  /** Its reserved field is zero. */
  readonly reserved: boolean;
}

/** `-m ah [!] --ahspi A[:B]`, for IPv6 also `[!] --ahlen N --ahres`. */
export const ahMatch: MatchExtension<AhMatch> = {
  kind: "ah",
  id: MATCH_AH,
  modules: [
    {
      name: "ah",
      options: { "--ahspi": 1, "--ahlen": 1, "--ahres": 0 },
      parse(options, context) {
        if (context.family === 4) {
          needProtocol(context, "ah", PROTOCOL_AH);
          const use = options.find(({ name }) => name !== "--ahspi");
          if (use !== undefined) throw new RuleError(`${use.name} is for IPv6 only`, use);
        }
        const spi = useOf(options, "--ahspi");
        const length = useOf(options, "--ahlen");
        const reserved = useOf(options, "--ahres");
        refuseInvert(reserved);
        return {
          kind: "ah",
          spi: parseWordRange(spi),
          length: {
            bytes: length === undefined ? 0 : parseNumber(wordOf(length), length),
            invert: length?.invert ?? false,
          },
          reserved: reserved !== undefined,
          invert: spi?.invert ?? false,
        };
      },
    },
  ],
  render({ spi, length, reserved, invert }) {
    const shown = length.bytes !== 0 || length.invert;
    return [
      "-m ah",
      ...renderWordRange("--ahspi", spi, invert),
      ...(shown ? [`${length.invert ? "! " : ""}--ahlen ${length.bytes}`] : []),
      ...(reserved ? ["--ahres"] : []),
    ].join(" ");
  },
  /** First u32, last u32, length u32, AH_* u8. */
  pack({ spi, length, reserved }, writer) {
    packWordRange(spi, writer);
    writer.u32(length.bytes);
    writer.u8((length.invert ? AH_INVERT_LENGTH : 0) | (reserved ? AH_RESERVED : 0));
  },
};
