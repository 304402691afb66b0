/** `-m comment`: says something to people; always true. */

export interface CommentMatch {
  readonly kind: "comment";
  /** At most 255 characters of those that need no escape. */
  readonly text: string;
}
