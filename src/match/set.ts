/** `-m set --match-set`: fields of the packet are a member of an ipset. */
import { MATCH_SET, MATCH_SET_RETURN_NOMATCH, SIDE_DST, SIDE_SRC } from "../../assembly/layout.ts";
import { bang } from "./extension.ts";
import { RuleError } from "./extension.ts";
import type { Invertible, MatchExtension, OptionUse } from "./extension.ts";
import { needUse, refuseInvert, useOf } from "./words.ts";

export interface SetMatch extends Invertible {
  readonly kind: "set";
  readonly set: string;
  /** One for each dimension of the set. */
  readonly flags: readonly ("src" | "dst")[];
  /** Entries marked `nomatch` are what is looked for. */
  readonly returnNomatch?: boolean;
}

/** > IPSET_DIM_MAX: more flags than a set has dimensions are ignored. */
const MOST_FLAGS = 6;

/** `src,dst`: one packet field for each dimension of the set. */
export function parseSetFlags(text: string, use: OptionUse): ("src" | "dst")[] {
  const flags = text.split(",").map((flag) => {
    if (flag !== "src" && flag !== "dst") {
      throw new RuleError(`${use.name} ${text}: expected src or dst`, use);
    }
    return flag;
  });
  if (flags.length > MOST_FLAGS) throw new RuleError(`at most ${MOST_FLAGS} directions`, use);
  return flags;
}

/** `-m set [!] --match-set NAME src|dst[,src|dst]`. */
export const setMatch: MatchExtension<SetMatch> = {
  kind: "set",
  id: MATCH_SET,
  modules: [
    {
      name: "set",
      options: { "--match-set": 2, "--set": 2, "--return-nomatch": 0 },
      parse(options) {
        const use = needUse(options, "--match-set", "--set");
        const [set = "", flags = ""] = use.words;
        const returnNomatch = useOf(options, "--return-nomatch");
        refuseInvert(returnNomatch);
        return {
          kind: "set",
          set,
          flags: parseSetFlags(flags, use),
          ...(returnNomatch === undefined ? {} : { returnNomatch: true }),
          invert: use.invert,
        };
      },
    },
  ],
  render(match) {
    const nomatch = match.returnNomatch === true ? " --return-nomatch" : "";
    return `-m set ${bang(match)}--match-set ${match.set} ${match.flags.join(",")}${nomatch}`;
  },
  pack(match, writer) {
    writer.u32(writer.setId(match.set));
    writer.u8(match.flags.length);
    for (let at = 0; at < MOST_FLAGS; at++) {
      writer.u8(match.flags[at] === "dst" ? SIDE_DST : SIDE_SRC);
    }
    writer.u8(match.returnNomatch === true ? MATCH_SET_RETURN_NOMATCH : 0);
  },
};
