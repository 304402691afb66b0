/** `-m comment`: says something to people; always true. */
import { MATCH_COMMENT } from "../../assembly/layout.ts";
import type { MatchExtension } from "./extension.ts";

export interface CommentMatch {
  readonly kind: "comment";
  /** At most 255 characters of those that need no escape. */
  readonly text: string;
}

/** `-m comment --comment "TEXT"`. Not packed: it decides nothing. */
export const commentMatch: MatchExtension<CommentMatch> = {
  kind: "comment",
  id: MATCH_COMMENT,
  modules: [],
  render: (match) => `-m comment --comment ${quote(match.text)}`,
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

/** Source: libxtables, xtables_save_string. */
function quote(text: string): string {
  if (/^[A-Za-z0-9_-]+$/.test(text)) return text;
  return `"${text.replace(/["\\']/g, "\\$&")}"`;
}
