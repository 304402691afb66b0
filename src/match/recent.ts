/** `-m recent`: lists of addresses that were seen, by name. */
import {
  MATCH_RECENT,
  RECENT_CHECK,
  RECENT_DEST,
  RECENT_REAP,
  RECENT_REMOVE,
  RECENT_SET,
  RECENT_TTL,
  RECENT_UPDATE,
} from "../../assembly/layout.ts";
import type { Family, Words } from "../net/address.ts";
import { addressBits, formatAddress, prefixMask } from "../net/address.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { parseNumber, parseRuleAddress, refuseInvert, useOf, wordOf } from "./words.ts";

export interface RecentMatch extends Invertible {
  readonly kind: "recent";
  readonly family: Family;
  readonly action: keyof typeof ACTIONS;
  readonly name: string;
  readonly side: "source" | "destination";
  readonly mask: Words;
  /** 0: however long ago. */
  readonly seconds: number;
  /** 0: once is enough. */
  readonly hits: number;
  /** With the same TTL only. */
  readonly sameTtl: boolean;
  /** What is too old is forgotten. */
  readonly reap: boolean;
}

const ACTIONS = {
  set: RECENT_SET,
  rcheck: RECENT_CHECK,
  update: RECENT_UPDATE,
  remove: RECENT_REMOVE,
} as const;
const ACTION_NAMES = ["set", "rcheck", "update", "remove"] as const;

/** > XT_RECENT_NAME_LEN, its end included. */
const NAME_MAX = 199;
/** > XT_RECENT_MAX_NSTAMPS */
const HITS_MAX = 0xffff;

/** `-m recent [!] --set|--rcheck|--update|--remove [--seconds N [--reap]] [--hitcount N] [--rttl] ...`. */
export const recentMatch: MatchExtension<RecentMatch> = {
  kind: "recent",
  id: MATCH_RECENT,
  modules: [
    {
      name: "recent",
      options: {
        "--set": 0,
        "--rcheck": 0,
        "--update": 0,
        "--remove": 0,
        "--seconds": 1,
        "--reap": 0,
        "--hitcount": 1,
        "--rttl": 0,
        "--name": 1,
        "--mask": 1,
        "--rsource": 0,
        "--rdest": 0,
      },
      parse(options, { family }) {
        const action = useOf(options, "--set", "--rcheck", "--update", "--remove");
        if (action === undefined) {
          throw new RuleError("expected --set, --rcheck, --update or --remove", undefined);
        }
        refuseInvert(...options.filter((use) => use !== action));
        const nameUse = useOf(options, "--name");
        const maskUse = useOf(options, "--mask");
        const secondsUse = useOf(options, "--seconds");
        const hitsUse = useOf(options, "--hitcount");
        const rttl = useOf(options, "--rttl");
        const reap = useOf(options, "--reap");
        const name = nameUse === undefined ? "DEFAULT" : wordOf(nameUse);
        if (name === "" || name.length > NAME_MAX || /^\.\.?$|\//.test(name)) {
          throw new RuleError(`--name ${name} is no name`, nameUse);
        }
        const seconds =
          secondsUse === undefined ? 0 : parseNumber(wordOf(secondsUse), secondsUse, undefined, 1);
        const hits = hitsUse === undefined ? 0 : parseNumber(wordOf(hitsUse), hitsUse, HITS_MAX);
        const looks = action.name === "--rcheck" || action.name === "--update";
        const [extra] = [secondsUse, hitsUse, rttl, reap].filter((use) => use !== undefined);
        if (!looks && (seconds > 0 || hits > 0 || rttl !== undefined || reap !== undefined)) {
          throw new RuleError(`${action.name} takes no ${extra?.name ?? "more"}`, extra);
        }
        if (reap !== undefined && secondsUse === undefined) {
          throw new RuleError("--reap needs --seconds", reap);
        }
        const mask =
          maskUse === undefined
            ? prefixMask(addressBits(family))
            : parseRecentMask(wordOf(maskUse), maskUse, family);
        // > Of --rsource and --rdest the last counts.
        const side = options.findLast(({ name: own }) => own === "--rsource" || own === "--rdest");
        return {
          kind: "recent",
          family,
          action: ACTION_NAMES.find((each) => `--${each}` === action.name) ?? "set",
          name,
          side: side?.name === "--rdest" ? "destination" : "source",
          mask,
          seconds,
          hits,
          sameTtl: rttl !== undefined,
          reap: reap !== undefined,
          invert: action.invert,
        };
      },
    },
  ],
  render(match) {
    return [
      `-m recent ${bang(match)}--${match.action}`,
      ...(match.seconds === 0 ? [] : [`--seconds ${match.seconds}`]),
      ...(match.reap ? ["--reap"] : []),
      ...(match.hits === 0 ? [] : [`--hitcount ${match.hits}`]),
      ...(match.sameTtl ? ["--rttl"] : []),
      `--name ${match.name}`,
      `--mask ${formatAddress({ family: match.family, words: match.mask })}`,
      match.side === "source" ? "--rsource" : "--rdest",
    ].join(" ");
  },
  /** List u32, seconds u32, hits u32, mask 4 words, RECENT_* u16. */
  pack(match, writer) {
    const { family, name, mask, hits } = match;
    const rest = family === 6 ? mask.slice(1).join(" ") : "not told";
    // As many times are kept as the largest count asks for.
    const size = 2 ** Math.ceil(Math.log2(Math.max(1, hits)));
    writer.u32(writer.sharedId({ name: `recent ${name}`, terms: [String(mask[0]), rest], size }));
    writer.u32(match.seconds);
    writer.u32(hits);
    for (const word of mask) writer.u32(word);
    writer.u16(
      ACTIONS[match.action] |
        (match.sameTtl ? RECENT_TTL : 0) |
        (match.reap ? RECENT_REAP : 0) |
        (match.side === "destination" ? RECENT_DEST : 0),
    );
  },
};

/** > A plain number is an address too: 24 is 0.0.0.24. */
function parseRecentMask(
  text: string,
  use: Parameters<typeof parseRuleAddress>[1],
  family: Family,
): Words {
  if (family === 4 && /^\d+$/.test(text)) return [parseNumber(text, use), 0, 0, 0];
  return parseRuleAddress(text, use, family).words;
}
