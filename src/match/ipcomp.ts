/** `-m ipcomp`: the index of a compressed packet. */
import { MATCH_IPCOMP } from "../../assembly/layout.ts";
import { PROTOCOL_IPCOMP } from "../net/protocol.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { packWordRange, parseWordRange, renderWordRange } from "./word-range.ts";
import type { WordRange } from "./word-range.ts";
import { needProtocol, refuseInvert, useOf } from "./words.ts";

export interface IpcompMatch extends Invertible {
  readonly kind: "ipcomp";
  /** > 0 without the option. */
  readonly index: WordRange;
  /** > Taken and printed, but never looked at. */
  readonly reserved: boolean;
}

/** `-m ipcomp [!] --ipcompspi A[:B] --compres`. */
export const ipcompMatch: MatchExtension<IpcompMatch> = {
  kind: "ipcomp",
  id: MATCH_IPCOMP,
  modules: [
    {
      name: "ipcomp",
      options: { "--ipcompspi": 1, "--compres": 0 },
      parse(options, context) {
        needProtocol(context, "ipcomp", PROTOCOL_IPCOMP);
        const index = useOf(options, "--ipcompspi");
        const reserved = useOf(options, "--compres");
        refuseInvert(reserved);
        return {
          kind: "ipcomp",
          index: index === undefined ? { first: 0, last: 0 } : parseWordRange(index),
          reserved: reserved !== undefined,
          invert: index?.invert ?? false,
        };
      },
    },
  ],
  render: ({ index, reserved, invert }) =>
    [
      "-m ipcomp",
      ...renderWordRange("--ipcompspi", index, invert),
      ...(reserved ? ["--compres"] : []),
    ].join(" "),
  /** First u32, last u32. */
  pack: ({ index }, writer) => packWordRange(index, writer),
};
