/** `-m mark`: (packet mark & mask) == value. */
import { MATCH_MARK } from "../../assembly/layout.ts";
import { bang } from "./extension.ts";
import type { Invertible, MatchExtension } from "./extension.ts";
import { needUse, parseValueMask } from "./words.ts";

export interface MarkMatch extends Invertible {
  readonly kind: "mark";
  readonly value: number;
  readonly mask: number;
}

/** `-m mark [!] --mark 0xVALUE[/0xMASK]`; the mask of all ones is left out. */
export const markMatch: MatchExtension<MarkMatch> = {
  kind: "mark",
  id: MATCH_MARK,
  modules: [
    {
      name: "mark",
      options: { "--mark": 1 },
      parse(options) {
        const use = needUse(options, "--mark");
        return { kind: "mark", ...parseValueMask(use), invert: use.invert };
      },
    },
  ],
  render(match) {
    const mask = match.mask >>> 0 === 0xffffffff ? "" : `/${hex(match.mask)}`;
    return `-m mark ${bang(match)}--mark ${hex(match.value)}${mask}`;
  },
  pack(match, writer) {
    writer.u32(match.value >>> 0);
    writer.u32(match.mask >>> 0);
  },
};

/** A mark as iptables prints it: `0x10000`. */
export function hex(mark: number): string {
  return `0x${(mark >>> 0).toString(16)}`;
}
