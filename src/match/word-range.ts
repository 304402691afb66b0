/** Ranges of 32 bits, with which fields of IPsec's and of extension headers are compared. */
import type { OptionUse, PayloadWriter } from "./extension.ts";
import { formatPortRange } from "./multiport.ts";
import { parseRange, wordOf } from "./words.ts";

/** Inclusive; what ends before it starts holds nothing. */
export interface WordRange {
  readonly first: number;
  readonly last: number;
}

const MAX = 0xffffffff;

/** `A[:B]`; everything without the option. */
export function parseWordRange(use: OptionUse | undefined): WordRange {
  if (use === undefined) return { first: 0, last: MAX };
  return parseRange(wordOf(use), use, { max: MAX, reversible: true });
}

/** > A range of everything is not printed, negated or not. */
export function renderWordRange(option: string, range: WordRange, invert: boolean): string[] {
  if (range.first === 0 && range.last === MAX) return [];
  return [`${invert ? "! " : ""}${option} ${formatPortRange(range)}`];
}

/** First u32, last u32. */
export function packWordRange({ first, last }: WordRange, writer: PayloadWriter): void {
  writer.u32(first);
  writer.u32(last);
}
