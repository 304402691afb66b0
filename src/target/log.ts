/**
 * Targets behind which the walk goes on as if nothing had happened: they log, copy, count or mark for
 * others.
 */
import { CONTINUE_MARKS, TARGET_CONTINUE } from "../../assembly/layout.ts";
import { RuleError } from "../match/extension.ts";
import type { Module, OptionUse, RuleContext } from "../match/extension.ts";
import { parseNumber, parseRuleAddress, quoteWord, refuseInvert, wordOf } from "../match/words.ts";
import { formatAddress } from "../net/address.ts";
import type { TargetExtension } from "./extension.ts";

export interface LogTarget {
  readonly kind: "LOG";
  readonly name: string;
  /** The options as iptables-save prints them, in its order. */
  readonly options: readonly string[];
}

interface Kind {
  /** In the order in which they are printed; printed as undefined where iptables-save leaves one out. */
  readonly options: Readonly<Record<string, readonly [arity: number, print: Print]>>;
  /** The rule needs one of these. */
  readonly needs?: readonly string[];
  readonly tables?: readonly string[];
  /** Built-in chains in which it can stand. */
  readonly chains?: readonly string[];
  /** Makes a mark that is not modelled. */
  readonly marks?: boolean;
  readonly check?: (context: RuleContext, options: readonly OptionUse[]) => void;
}

type Print = (use: OptionUse, context: RuleContext) => string | undefined;

const number =
  (max: number, omitted?: number, min = 0): Print =>
  (use) => {
    const value = parseNumber(wordOf(use), use, max, min);
    return value === omitted ? undefined : `${use.name} ${value}`;
  };
const bare: Print = (use) => use.name;
const text =
  (longest: number): Print =>
  (use) => {
    if (wordOf(use) === "") throw new RuleError(`${use.name}: it is empty`, use);
    return `${use.name} ${quoteWord(wordOf(use).slice(0, longest))}`;
  };
const word: Print = (use) => `${use.name} ${wordOf(use)}`;
const oneOf =
  (...words: readonly string[]): Print =>
  (use) => {
    if (words.includes(wordOf(use))) return `${use.name} ${wordOf(use)}`;
    throw new RuleError(`${use.name} ${wordOf(use)}: expected ${words.join(", ")}`, use);
  };
const address: Print = (use, { family }) =>
  `${use.name} ${formatAddress(parseRuleAddress(wordOf(use), use, family))}`;

/** At the place of their number. */
const LEVELS = ["emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"];
/** Printed for no one: it is what LOG takes anyway. */
const DEFAULT_LEVEL = 4;

/** A level by number or by name, printed as a number. */
const level: Print = (use) => {
  const name = wordOf(use) === "panic" ? "emerg" : wordOf(use);
  const named = LEVELS.indexOf(name);
  const value = named >= 0 ? named : parseNumber(name, use, 7);
  return value === DEFAULT_LEVEL ? undefined : `${use.name} ${value}`;
};

/** `MAJOR:MINOR`, two hexadecimal numbers of 16 bits. */
const trafficClass: Print = (use) => {
  const [, major, minor] = /^([0-9a-f]+):([0-9a-f]+)$/i.exec(wordOf(use)) ?? [];
  if (major === undefined || minor === undefined) {
    throw new RuleError(`${use.name} ${wordOf(use)}: expected MAJOR:MINOR`, use);
  }
  const print = (digits: string): string => digits.toLowerCase().slice(-4).padStart(4, "0");
  return `${use.name} ${print(major)}:${print(minor)}`;
};

const LEAVING = ["FORWARD", "OUTPUT", "POSTROUTING"];

const KINDS: Readonly<Record<string, Kind>> = {
  LOG: {
    options: {
      "--log-prefix": [1, text(29)],
      "--log-level": [1, level],
      "--log-tcp-sequence": [0, bare],
      "--log-tcp-options": [0, bare],
      "--log-ip-options": [0, bare],
      "--log-uid": [0, bare],
      "--log-macdecode": [0, bare],
    },
  },
  NFLOG: {
    options: {
      "--nflog-prefix": [1, text(63)],
      "--nflog-group": [1, number(0xffff, 0)],
      "--nflog-range": [1, number(0xffffffff)],
      "--nflog-size": [1, number(0xffffffff)],
      "--nflog-threshold": [1, number(0xffff, 0)],
    },
  },
  TRACE: {
    options: {},
    check({ table, backend }) {
      if (table !== "raw" && backend === "legacy") {
        throw new RuleError("it can stand in table raw only", undefined);
      }
    },
  },
  AUDIT: {
    options: { "--type": [1, oneOf("accept", "drop", "reject")] },
    needs: ["--type"],
  },
  CHECKSUM: {
    options: { "--checksum-fill": [0, bare] },
    needs: ["--checksum-fill"],
    tables: ["mangle"],
  },
  CLASSIFY: {
    options: { "--set-class": [1, trafficClass] },
    needs: ["--set-class"],
    chains: LEAVING,
  },
  TEE: {
    options: { "--gateway": [1, address], "--oif": [1, word] },
    needs: ["--gateway"],
  },
  IDLETIMER: {
    options: {
      "--timeout": [1, number(0xffffffff, undefined, 1)],
      "--label": [1, word],
      "--alarm": [0, bare],
    },
    needs: ["--timeout", "--label"],
  },
  SECMARK: {
    options: { "--selctx": [1, word] },
    needs: ["--selctx"],
    tables: ["mangle", "security"],
  },
  CONNSECMARK: {
    options: { "--save": [0, bare], "--restore": [0, bare] },
    tables: ["mangle", "security"],
    check: needOne,
  },
  HMARK: {
    options: Object.fromEntries(
      [
        "tuple",
        "src-prefix",
        "dst-prefix",
        "sport-mask",
        "dport-mask",
        "spi-mask",
        "sport",
        "dport",
        "spi",
        "proto",
        "rnd",
        "mod",
        "offset",
      ].map((option) => [`--hmark-${option}`, [1, word]]),
    ),
    needs: ["--hmark-mod"],
    marks: true,
  },
  LED: {
    options: {
      "--led-trigger-id": [1, text(27)],
      "--led-delay": [1, word],
      "--led-always-blink": [0, bare],
    },
    needs: ["--led-trigger-id"],
  },
  RATEEST: {
    options: {
      "--rateest-name": [1, word],
      "--rateest-interval": [1, word],
      "--rateest-ewmalog": [1, word],
    },
    needs: ["--rateest-name", "--rateest-interval", "--rateest-ewmalog"],
  },
};

/** `-j LOG ...` and the like. */
export const logTarget: TargetExtension<LogTarget> = {
  kind: "LOG",
  id: TARGET_CONTINUE,
  modules: Object.entries(KINDS).map(([name, kind]) => makeModule(name, kind)),
  render: ({ name, options }) => ["-j", name, ...options].join(" "),
  /** CONTINUE_* u8. */
  pack({ name }, writer) {
    writer.u8(KINDS[name]?.marks === true ? CONTINUE_MARKS : 0);
  },
};

function makeModule(name: string, kind: Kind): Module<LogTarget> {
  const known = Object.entries(kind.options);
  return {
    name,
    options: Object.fromEntries(known.map(([option, [arity]]) => [option, arity])),
    parse(options, context) {
      refuseInvert(...options);
      const missing = kind.needs?.find((need) => !options.some((use) => use.name === need));
      if (missing !== undefined) throw new RuleError(`expected ${missing}`, undefined);
      if (kind.tables?.includes(context.table) === false) {
        throw new RuleError(`it can stand in table ${kind.tables.join(", ")} only`, undefined);
      }
      if (kind.chains !== undefined) needChain(context, kind.chains);
      kind.check?.(context, options);
      const printed = known.flatMap(([option, [, print]]) => {
        const [use, second] = options.filter((each) => each.name === option);
        if (second !== undefined) throw new RuleError(`${option} stands twice`, second);
        const shown = use === undefined ? undefined : print(use, context);
        return shown === undefined ? [] : [shown];
      });
      return { kind: "LOG", name, options: printed };
    },
  };
}

function needOne(_: RuleContext, options: readonly OptionUse[]): void {
  if (options.length !== 1) throw new RuleError("expected one of its options", options[1]);
}

/** Refuses built-in chains other than these; which of them call a user chain is not looked at. */
function needChain({ chain }: RuleContext, chains: readonly string[]): void {
  const others = ["PREROUTING", "INPUT", ...LEAVING].filter((each) => !chains.includes(each));
  if (others.includes(chain)) throw new RuleError(`it cannot stand in ${chain}`, undefined);
}
