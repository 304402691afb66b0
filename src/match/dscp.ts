/** `-m dscp`: the differentiated services field, the upper six bits of the type of service. */
import { MATCH_DSCP } from "../../assembly/layout.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension, OptionUse } from "./extension.ts";
import { parseNumber, useOf, wordOf } from "./words.ts";

export interface DscpMatch extends Invertible {
  readonly kind: "dscp";
  /** 0 to 63. */
  readonly value: number;
}

/** Source: RFC 2474, 2597, 3246, 5865; the names iptables takes. */
const CLASSES: ReadonlyMap<string, number> = new Map([
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((level): [string, number] => [`cs${level}`, level * 8]),
  ...[1, 2, 3, 4].flatMap((level) =>
    [1, 2, 3].map((drop): [string, number] => [`af${level}${drop}`, level * 8 + drop * 2]),
  ),
  ["be", 0],
  ["ef", 46],
]);

/** `-m dscp [!] --dscp 0xN`. */
export const dscpMatch: MatchExtension<DscpMatch> = {
  kind: "dscp",
  id: MATCH_DSCP,
  modules: [
    {
      name: "dscp",
      options: { "--dscp": 1, "--dscp-class": 1 },
      parse(options) {
        const use = useOf(options, "--dscp", "--dscp-class");
        if (use === undefined) throw new RuleError("expected --dscp", undefined);
        return { kind: "dscp", value: parseDscp(use), invert: use.invert };
      },
    },
  ],
  render: (match) => `-m dscp ${bang(match)}--dscp ${formatDscp(match.value)}`,
  /** Value u8. */
  pack: (match, writer) => writer.u8(match.value),
};

/** A value by number, or by the name of its class. */
export function parseDscp(use: OptionUse): number {
  if (!use.name.endsWith("-class")) return parseNumber(wordOf(use), use, 63);
  const value = CLASSES.get(wordOf(use).toLowerCase());
  if (value === undefined) throw new RuleError(`there is no DSCP class ${wordOf(use)}`, use);
  return value;
}

/** As iptables prints it: `0x0a`. */
export function formatDscp(value: number): string {
  return `0x${value.toString(16).padStart(2, "0")}`;
}
