/** `-j MARK`: changes the packet's mark. */
import { TARGET_MARK } from "../../assembly/layout.ts";
import { RuleError } from "../match/extension.ts";
import type { OptionUse } from "../match/extension.ts";
import { hex } from "../match/mark.ts";
import { parseNumber, parseValueMask, refuseInvert, wordOf } from "../match/words.ts";
import type { TargetExtension } from "./extension.ts";

// It stands among the other marks in src/tables/rule.ts, which know nothing of bytes.
export { MARK_STAYS } from "../../assembly/layout.ts";

/** mark = (mark & ~mask) ^ value. */
export interface MarkTarget {
  readonly kind: "MARK";
  readonly value: number;
  readonly mask: number;
}

/** `-j MARK --set-xmark VALUE/MASK`. */
export const markTarget: TargetExtension<MarkTarget> = {
  kind: "MARK",
  id: TARGET_MARK,
  modules: [
    {
      name: "MARK",
      options: {
        "--set-xmark": 1,
        "--set-mark": 1,
        "--and-mark": 1,
        "--or-mark": 1,
        "--xor-mark": 1,
      },
      parse(options) {
        const [use, second] = options;
        if (use === undefined) throw new RuleError("expected --set-xmark", use);
        if (second !== undefined) throw new RuleError("one of its options only", second);
        refuseInvert(use);
        return { kind: "MARK", ...parseMarkChange(use) };
      },
    },
  ],
  render: (target) => `-j MARK --set-xmark ${hex(target.value)}/${hex(target.mask)}`,
  pack(target, writer) {
    writer.u32(target.value >>> 0);
    writer.u32(target.mask >>> 0);
  },
};

/** Any of the spellings as mark = (mark & ~mask) ^ value. */
export function parseMarkChange(use: OptionUse): { value: number; mask: number } {
  if (use.name === "--set-xmark") return parseValueMask(use);
  if (use.name === "--set-mark") {
    const { value, mask } = parseValueMask(use);
    return { value, mask: (value | mask) >>> 0 };
  }
  const bits = parseNumber(wordOf(use), use);
  if (use.name === "--and-mark") return { value: 0, mask: ~bits >>> 0 };
  return use.name === "--or-mark" ? { value: bits, mask: bits } : { value: bits, mask: 0 };
}
