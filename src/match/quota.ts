/** `-m quota`: so many bytes, and no more. */
import { MATCH_QUOTA } from "../../assembly/layout.ts";
import { packRange } from "./bucket.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { needUse, parseLongNumber, wordOf } from "./words.ts";

export interface QuotaMatch extends Invertible {
  readonly kind: "quota";
  readonly bytes: bigint;
}

const MOST = 0x7fff_ffff_ffff_ffffn;

/** `-m quota [!] --quota BYTES`. */
export const quotaMatch: MatchExtension<QuotaMatch> = {
  kind: "quota",
  id: MATCH_QUOTA,
  modules: [
    {
      name: "quota",
      options: { "--quota": 1 },
      parse(options) {
        const use = needUse(options, "--quota");
        const bytes = parseLongNumber(wordOf(use));
        if (bytes === undefined || bytes > 0xffff_ffff_ffff_ffffn) {
          throw new RuleError(`--quota ${wordOf(use)}: expected a number of bytes`, use);
        }
        return { kind: "quota", bytes, invert: use.invert };
      },
    },
  ],
  render: (match) => `-m quota ${bang(match)}--quota ${match.bytes}`,
  /** Bytes left (state, a Range of assembly/range.ts): more than an i64 holds are as good as any. */
  pack({ bytes }, writer) {
    packRange(bytes > MOST ? MOST : bytes, writer);
  },
};
