/** Targets that rules see nothing of: they log, copy or mark for others, and the walk goes on. */
import { TARGET_CONTINUE } from "../../assembly/layout.ts";
import { RuleError } from "../match/extension.ts";
import type { Module, OptionUse } from "../match/extension.ts";
import { parseNumber, quoteWord, refuseInvert, wordOf } from "../match/words.ts";
import type { TargetExtension } from "./extension.ts";

export interface LogTarget {
  readonly kind: "LOG";
  readonly name: string;
  /** The options as iptables-save prints them, in its order. */
  readonly options: readonly string[];
}

/** How an option is read and printed: undefined where iptables-save leaves it out. */
type Print = (use: OptionUse) => string | undefined;

const number =
  (max: number, omitted?: number, min = 0): Print =>
  (use) => {
    const value = parseNumber(wordOf(use), use, max, min);
    return value === omitted ? undefined : `${use.name} ${value}`;
  };
const bare: Print = (use) => use.name;
const text =
  (longest: number): Print =>
  (use) =>
    `${use.name} ${quoteWord(wordOf(use).slice(0, longest))}`;
const word: Print = (use) => `${use.name} ${wordOf(use)}`;

const LEVELS = ["emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"];
const LEVEL_ALIASES: Readonly<Record<string, string>> = {
  err: "error",
  warn: "warning",
  panic: "emerg",
};
/** Printed for no one: it is what LOG takes anyway. */
const DEFAULT_LEVEL = 4;

/** A level by number or by name, printed as a number. */
const level: Print = (use) => {
  const name = wordOf(use).toLowerCase();
  const named = LEVELS.indexOf(LEVEL_ALIASES[name] ?? name);
  const value = named >= 0 ? named : parseNumber(name, use, 7);
  return value === DEFAULT_LEVEL ? undefined : `${use.name} ${value}`;
};

/** By name: the options in the order in which they are printed. */
const KINDS: Readonly<
  Record<string, Readonly<Record<string, readonly [arity: number, print: Print]>>>
> = {
  LOG: {
    "--log-prefix": [1, text(29)],
    "--log-level": [1, level],
    "--log-tcp-sequence": [0, bare],
    "--log-tcp-options": [0, bare],
    "--log-ip-options": [0, bare],
    "--log-uid": [0, bare],
    "--log-macdecode": [0, bare],
  },
  NFLOG: {
    "--nflog-prefix": [1, text(63)],
    "--nflog-group": [1, number(0xffff, 0)],
    "--nflog-range": [1, number(0xffffffff)],
    "--nflog-size": [1, number(0xffffffff)],
    "--nflog-threshold": [1, number(0xffff, 1)],
  },
  TRACE: {},
  AUDIT: { "--type": [1, word] },
  CHECKSUM: { "--checksum-fill": [0, bare] },
  CLASSIFY: { "--set-class": [1, word] },
  TEE: { "--gateway": [1, word], "--oif": [1, word] },
  IDLETIMER: { "--timeout": [1, word], "--label": [1, word], "--alarm": [0, bare] },
  SECMARK: { "--selctx": [1, word] },
  CONNSECMARK: { "--save": [0, bare], "--restore": [0, bare] },
  TCPMSS: { "--set-mss": [1, number(0xffff)], "--clamp-mss-to-pmtu": [0, bare] },
  LED: { "--led-trigger-id": [1, word], "--led-delay": [1, word], "--led-always-blink": [0, bare] },
  RATEEST: {
    "--rateest-name": [1, word],
    "--rateest-interval": [1, word],
    "--rateest-ewmalog": [1, word],
  },
};

/** `-j LOG ...` and the like. */
export const logTarget: TargetExtension<LogTarget> = {
  kind: "LOG",
  id: TARGET_CONTINUE,
  modules: Object.keys(KINDS).map(makeModule),
  render: ({ name, options }) => ["-j", name, ...options].join(" "),
  pack: () => undefined,
};

function makeModule(name: string): Module<LogTarget> {
  const known = KINDS[name] ?? {};
  return {
    name,
    options: Object.fromEntries(Object.entries(known).map(([option, [arity]]) => [option, arity])),
    parse(options) {
      refuseInvert(...options);
      const printed = Object.entries(known).flatMap(([option, [, print]]) => {
        const uses = options.filter((use) => use.name === option);
        const [use, second] = uses;
        if (second !== undefined) throw new RuleError(`${option} stands twice`, second);
        const shown = use === undefined ? undefined : print(use);
        return shown === undefined ? [] : [shown];
      });
      return { kind: "LOG", name, options: printed };
    },
  };
}
