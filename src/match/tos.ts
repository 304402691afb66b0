/** `-m tos`: (type of service & mask) == value. */
import { MATCH_TOS } from "../../assembly/layout.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension, OptionUse } from "./extension.ts";
import { needUse, parseNumber, wordOf } from "./words.ts";

export interface TosMatch extends Invertible {
  readonly kind: "tos";
  readonly value: number;
  readonly mask: number;
}

/** Source: RFC 1349. */
const NAMES: ReadonlyMap<string, number> = new Map([
  ["minimize-delay", 0x10],
  ["maximize-throughput", 0x08],
  ["maximize-reliability", 0x04],
  ["minimize-cost", 0x02],
  ["normal-service", 0],
]);
/** The mask of the named ones: without the two bits of ECN... and the precedence. */
const NAME_MASK = 0x3f;

/** `-m tos [!] --tos 0xV/0xM`. */
export const tosMatch: MatchExtension<TosMatch> = {
  kind: "tos",
  id: MATCH_TOS,
  modules: [
    {
      name: "tos",
      options: { "--tos": 1 },
      parse(options) {
        const use = needUse(options, "--tos");
        return { kind: "tos", ...parseTos(use, 0xff), invert: use.invert };
      },
    },
  ],
  render: (match) => `-m tos ${bang(match)}--tos ${byte(match.value)}/${byte(match.mask)}`,
  /** Value u8, mask u8. */
  pack(match, writer) {
    writer.u8(match.value);
    writer.u8(match.mask);
  },
};

/** `V[/M]`, or a name of old. */
export function parseTos(use: OptionUse, mask: number): { value: number; mask: number } {
  const named = NAMES.get(wordOf(use).toLowerCase());
  if (named !== undefined) return { value: named, mask: NAME_MASK };
  const [value = "", given, ...rest] = wordOf(use).split("/");
  if (rest.length > 0) throw new RuleError(`${use.name}: expected VALUE/MASK`, use);
  return {
    value: parseNumber(value, use, 255),
    mask: given === undefined ? mask : parseNumber(given, use, 255),
  };
}

/** `0x10`. */
export function byte(value: number): string {
  return `0x${value.toString(16).padStart(2, "0")}`;
}
