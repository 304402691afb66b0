/** `-m frag`: the fragment header of IPv6. */
import {
  FRAG_FIRST,
  FRAG_LAST,
  FRAG_MORE,
  FRAG_RESERVED,
  MATCH_FRAG6,
} from "../../assembly/layout.ts";
import { RuleError } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { packWordRange, parseWordRange, renderWordRange } from "./word-range.ts";
import type { WordRange } from "./word-range.ts";
import { needIpv6, parseNumber, refuseInvert, useOf, wordOf } from "./words.ts";

/** `invert` is of the identification. */
export interface FragMatch extends Invertible {
  readonly kind: "frag";
  readonly identification: WordRange;
  /** > Taken and printed, but never looked at. */
  readonly length: { readonly bytes: number; readonly invert: boolean } | undefined;
  /** Which of FLAGS must hold. */
  readonly flags: readonly (keyof typeof FLAGS)[];
}

/** In the order in which they are printed. */
const FLAGS = {
  "--fragres": FRAG_RESERVED,
  "--fragfirst": FRAG_FIRST,
  "--fragmore": FRAG_MORE,
  "--fraglast": FRAG_LAST,
} as const;
const FLAG_NAMES = ["--fragres", "--fragfirst", "--fragmore", "--fraglast"] as const;

/** `-m frag [!] --fragid A[:B] [!] --fraglen N --fragres --fragfirst --fragmore|--fraglast`. */
export const fragMatch: MatchExtension<FragMatch> = {
  kind: "frag",
  id: MATCH_FRAG6,
  modules: [
    {
      name: "frag",
      options: {
        "--fragid": 1,
        "--fraglen": 1,
        ...Object.fromEntries(FLAG_NAMES.map((name) => [name, 0])),
      },
      parse(options, context) {
        needIpv6(context);
        const identification = useOf(options, "--fragid");
        const length = useOf(options, "--fraglen");
        const flags = FLAG_NAMES.flatMap((name) => {
          const use = useOf(options, name);
          refuseInvert(use);
          return use === undefined ? [] : [name];
        });
        if (flags.includes("--fragmore") && flags.includes("--fraglast")) {
          throw new RuleError("--fragmore and --fraglast exclude each other", undefined);
        }
        return {
          kind: "frag",
          identification: parseWordRange(identification),
          length:
            length === undefined
              ? undefined
              : { bytes: parseNumber(wordOf(length), length), invert: length.invert },
          flags,
          invert: identification?.invert ?? false,
        };
      },
    },
  ],
  render: ({ identification, length, flags, invert }) =>
    [
      "-m frag",
      ...renderWordRange("--fragid", identification, invert),
      ...(length === undefined ? [] : [`${length.invert ? "! " : ""}--fraglen ${length.bytes}`]),
      ...flags,
    ].join(" "),
  /** First u32, last u32, FRAG_* u8. */
  pack({ identification, flags }, writer) {
    packWordRange(identification, writer);
    writer.u8(flags.reduce((bits, name) => bits | FLAGS[name], 0));
  },
};
