/** `-m rpfilter`: the way back to the source leads through the interface the packet came by. */
import { MATCH_RPFILTER, RPFILTER_ACCEPT_LOCAL, RPFILTER_LOOSE } from "../../assembly/layout.ts";
import { RuleError } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { refuseInvert, useOf } from "./words.ts";

/** `invert` is the option of that name. */
export interface RpfilterMatch extends Invertible {
  readonly kind: "rpfilter";
  readonly loose: boolean;
  /** Routes may depend on the mark; none here does. */
  readonly validMark: boolean;
  readonly acceptLocal: boolean;
}

/** `-m rpfilter [--loose] [--validmark] [--accept-local] [--invert]`. */
export const rpfilterMatch: MatchExtension<RpfilterMatch> = {
  kind: "rpfilter",
  id: MATCH_RPFILTER,
  modules: [
    {
      name: "rpfilter",
      options: { "--loose": 0, "--validmark": 0, "--accept-local": 0, "--invert": 0 },
      parse(options, { table, chain }) {
        refuseInvert(...options);
        if (
          (table !== "raw" && table !== "mangle") ||
          ["INPUT", "FORWARD", "OUTPUT", "POSTROUTING"].includes(chain)
        ) {
          throw new RuleError("it can stand in PREROUTING of raw and mangle only", undefined);
        }
        return {
          kind: "rpfilter",
          loose: useOf(options, "--loose") !== undefined,
          validMark: useOf(options, "--validmark") !== undefined,
          acceptLocal: useOf(options, "--accept-local") !== undefined,
          invert: useOf(options, "--invert") !== undefined,
        };
      },
    },
  ],
  render({ loose, validMark, acceptLocal, invert }) {
    return [
      "-m rpfilter",
      ...(loose ? ["--loose"] : []),
      ...(validMark ? ["--validmark"] : []),
      ...(acceptLocal ? ["--accept-local"] : []),
      ...(invert ? ["--invert"] : []),
    ].join(" ");
  },
  /** Flags u8 (RPFILTER_*). */
  pack({ loose, acceptLocal }, writer) {
    writer.u8((loose ? RPFILTER_LOOSE : 0) | (acceptLocal ? RPFILTER_ACCEPT_LOCAL : 0));
  },
};
