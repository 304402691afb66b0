/** Numbers that a node's files have names for: routing realms and groups of interfaces. */
import type { Invertible, OptionUse } from "./extension.ts";
import { RuleError } from "./extension.ts";
import { parseValueMask, wordOf } from "./words.ts";

export interface NamedNumber extends Invertible {
  readonly value: number;
  readonly mask: number;
  /** A name that only the node's own files know: the value is not known. */
  readonly name?: string;
}

/** `VALUE[/MASK]`, or a name without a mask; `zero` is that of 0. */
export function parseNamedNumber(use: OptionUse, zero: string): NamedNumber {
  const word = wordOf(use);
  const whole = { mask: 0xffffffff, invert: use.invert };
  if (word === zero) return { ...whole, value: 0 };
  if (/^[a-z_]/i.test(word)) {
    if (word.includes("/")) throw new RuleError(`${use.name}: a name has no mask`, use);
    return { ...whole, value: 0, name: word };
  }
  return { ...parseValueMask(use), invert: use.invert };
}

/** > A mask of all ones is not printed, and 0 by its name then. */
export function renderNamedNumber(option: string, number: NamedNumber, zero: string): string {
  const { value, mask, name, invert } = number;
  const hex = `0x${value.toString(16)}`;
  const text = mask === 0xffffffff ? (value === 0 ? zero : hex) : `${hex}/0x${mask.toString(16)}`;
  return `${invert ? "! " : ""}${option} ${name ?? text}`;
}
