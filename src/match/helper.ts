/** `-m helper`: the connection was expected by another one's helper. */
import { MATCH_HELPER } from "../../assembly/layout.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { needUse, quoteWord, wordOf } from "./words.ts";

export interface HelperMatch extends Invertible {
  readonly kind: "helper";
  /** Empty: any helper. */
  readonly name: string;
}

/** > The name field of xt_helper_info has 30 bytes. */
const LONGEST = 29;

/** `-m helper [!] --helper NAME`. */
export const helperMatch: MatchExtension<HelperMatch> = {
  kind: "helper",
  id: MATCH_HELPER,
  modules: [
    {
      name: "helper",
      options: { "--helper": 1 },
      parse(options) {
        const use = needUse(options, "--helper");
        return { kind: "helper", name: wordOf(use).slice(0, LONGEST), invert: use.invert };
      },
    },
  ],
  render: (match) => `-m helper ${bang(match)}--helper ${quoteWord(match.name)}`,
  pack: () => undefined,
};
