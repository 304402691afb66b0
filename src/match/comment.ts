/** `-m comment`: says something to people; always true. */
import { MATCH_COMMENT } from "../../assembly/layout.ts";
import { RuleError } from "./extension.ts";
import type { MatchExtension } from "./extension.ts";
import { needUse, quoteWord, refuseInvert, wordOf } from "./words.ts";

export interface CommentMatch {
  readonly kind: "comment";
  /** At most 255 bytes. */
  readonly text: string;
}

/** `-m comment --comment "TEXT"`. Not packed: it decides nothing. */
export const commentMatch: MatchExtension<CommentMatch> = {
  kind: "comment",
  id: MATCH_COMMENT,
  modules: [
    {
      name: "comment",
      options: { "--comment": 1 },
      parse(options) {
        const use = needUse(options, "--comment");
        refuseInvert(use);
        const text = wordOf(use);
        if (new TextEncoder().encode(text).length > LONGEST_COMMENT) {
          throw new RuleError(`a comment has at most ${LONGEST_COMMENT} bytes`, use);
        }
        return { kind: "comment", text };
      },
    },
  ],
  render: (match) => `-m comment --comment ${quoteWord(match.text)}`,
  pack: () => undefined,
};

/**
 * Makes a comment of any text: names come from the input and may hold what would end the quotes.
 * Source: Felix's iptables renderer, which replaces everything outside this set.
 */
export function makeComment(text: string): CommentMatch {
  const safe = text.replace(/[^A-Za-z0-9_ @%+=:,./>[\]-]/gu, "_");
  return { kind: "comment", text: safe.slice(0, LONGEST_COMMENT) };
}

/** XT_MAX_COMMENT_LEN is 256, the NUL included. */
const LONGEST_COMMENT = 255;
