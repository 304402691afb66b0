/** `-j TTL`, `HL`, `TOS`, `DSCP`: change a field of the IP header; later rules see it changed. */
import {
  TARGET_TOS,
  TARGET_TTL,
  TTL_DECREMENT,
  TTL_INCREMENT,
  TTL_SET,
} from "../../assembly/layout.ts";
import { formatDscp, parseDscp } from "../match/dscp.ts";
import { RuleError } from "../match/extension.ts";
import type { Module, OptionUse, RuleContext } from "../match/extension.ts";
import { byte, parseTos } from "../match/tos.ts";
import { parseNumber, refuseInvert, wordOf } from "../match/words.ts";
import type { TargetExtension } from "./extension.ts";

export interface TtlTarget {
  readonly kind: "TTL";
  readonly how: "set" | "dec" | "inc";
  readonly value: number;
}

/** tos = (tos & ~mask) ^ value. */
export interface TosTarget {
  readonly kind: "TOS";
  /** `DSCP` prints the upper six bits only. */
  readonly name: "TOS" | "DSCP";
  readonly value: number;
  readonly mask: number;
}

/** `-j TTL --ttl-set N` and the like; `HL` for IPv6. */
export const ttlTarget: TargetExtension<TtlTarget> = {
  kind: "TTL",
  id: TARGET_TTL,
  modules: [ttlModule("TTL", "ttl"), ttlModule("HL", "hl")],
  render({ how, value }, family) {
    return family === 4 ? `-j TTL --ttl-${how} ${value}` : `-j HL --hl-${how} ${value}`;
  },
  /** TTL_* u8, value u8. */
  pack({ how, value }, writer) {
    writer.u8({ set: TTL_SET, dec: TTL_DECREMENT, inc: TTL_INCREMENT }[how]);
    writer.u8(value);
  },
};

/** `-j TOS --set-tos V/M`, `-j DSCP --set-dscp 0xN`. */
export const tosTarget: TargetExtension<TosTarget> = {
  kind: "TOS",
  id: TARGET_TOS,
  modules: [
    {
      name: "TOS",
      options: { "--set-tos": 1, "--and-tos": 1, "--or-tos": 1, "--xor-tos": 1 },
      parse(options, context) {
        const use = onlyUse(options, context);
        return { kind: "TOS", name: "TOS", ...parseTosChange(use) };
      },
    },
    {
      name: "DSCP",
      options: { "--set-dscp": 1, "--set-dscp-class": 1 },
      parse(options, context) {
        const use = onlyUse(options, context);
        return { kind: "TOS", name: "DSCP", value: parseDscp(use) << 2, mask: 0xfc };
      },
    },
  ],
  render({ name, value, mask }) {
    if (name === "DSCP") return `-j DSCP --set-dscp ${formatDscp(value >> 2)}`;
    return `-j TOS --set-tos ${byte(value)}/${byte(mask)}`;
  },
  /** Value u8, mask u8. */
  pack({ value, mask }, writer) {
    writer.u8(value);
    writer.u8(mask);
  },
};

function ttlModule(name: string, prefix: string): Module<TtlTarget> {
  return {
    name,
    options: { [`--${prefix}-set`]: 1, [`--${prefix}-dec`]: 1, [`--${prefix}-inc`]: 1 },
    parse(options, context) {
      const own = context.family === 4 ? "TTL" : "HL";
      if (name !== own) throw new RuleError(`for IPv${context.family} it is ${own}`, undefined);
      const use = onlyUse(options, context);
      const how = use.name.endsWith("set") ? "set" : use.name.endsWith("dec") ? "dec" : "inc";
      const value = parseNumber(wordOf(use), use, 255, how === "set" ? 0 : 1);
      return { kind: "TTL", how, value };
    },
  };
}

function onlyUse(options: readonly OptionUse[], { table }: RuleContext): OptionUse {
  const [use, second] = options;
  if (use === undefined) throw new RuleError("expected an option", undefined);
  if (second !== undefined) throw new RuleError("one of its options only", second);
  if (table !== "mangle") throw new RuleError("it can stand in table mangle only", undefined);
  refuseInvert(use);
  return use;
}

function parseTosChange(use: OptionUse): { value: number; mask: number } {
  if (use.name === "--set-tos") return parseTos(use, 0xff);
  const bits = parseNumber(wordOf(use), use, 255);
  if (use.name === "--and-tos") return { value: 0, mask: ~bits & 0xff };
  return use.name === "--or-tos" ? { value: bits, mask: bits } : { value: bits, mask: 0 };
}
