/** `-m policy`: the IPsec policy that a packet was or will be handled by. */
import { MATCH_POLICY } from "../../assembly/layout.ts";
import { formatAddress, prefixMask } from "../net/address.ts";
import type { Family } from "../net/address.ts";
import { PROTOCOL_AH, PROTOCOL_ESP, PROTOCOL_IPCOMP, protocolName } from "../net/protocol.ts";
import { RuleError } from "./extension.ts";
import type { MatchExtension, OptionUse, RuleContext } from "./extension.ts";
import {
  maskBits,
  parseMask,
  parseNumber,
  parseProtocol,
  parseRuleAddress,
  refuseInvert,
  useOf,
  wordOf,
} from "./words.ts";

export interface PolicyMatch {
  readonly kind: "policy";
  readonly direction: "in" | "out";
  /** `none`: no policy applies. */
  readonly policy: "none" | "ipsec";
  /** The elements are all that the policy has, in this order. */
  readonly strict: boolean;
  /** Each as its options are printed. */
  readonly elements: readonly (readonly string[])[];
}

/** In the order in which they are printed. */
const ELEMENT_OPTIONS = [
  "--reqid",
  "--spi",
  "--proto",
  "--mode",
  "--tunnel-dst",
  "--tunnel-src",
] as const;
/** > XT_POLICY_MAX_ELEM. */
const MOST = 4;

/** `-m policy --dir in|out --pol none|ipsec [--strict] ELEMENT [--next ELEMENT]...`. */
export const policyMatch: MatchExtension<PolicyMatch> = {
  kind: "policy",
  id: MATCH_POLICY,
  modules: [
    {
      name: "policy",
      options: {
        "--dir": 1,
        "--pol": 1,
        "--strict": 0,
        "--next": 0,
        ...Object.fromEntries(ELEMENT_OPTIONS.map((name) => [name, 1])),
      },
      parse(options, context) {
        const direction = parseDirection(useOf(options, "--dir"), context);
        const policy = parsePolicy(useOf(options, "--pol"));
        const strict = useOf(options, "--strict");
        refuseInvert(strict);
        if (policy === "none") {
          if (strict !== undefined) throw new RuleError("--strict needs --pol ipsec", strict);
          const next = options.find(({ name }) => name === "--next");
          if (next !== undefined) throw new RuleError("--next needs --strict", next);
          readElement(options, context);
          return { kind: "policy", direction, policy, strict: false, elements: [] };
        }
        const elements = splitElements(options, strict !== undefined).map((uses) =>
          readElement(uses, context),
        );
        if (strict !== undefined && elements.some((words) => words.length === 0)) {
          throw new RuleError("--strict needs an option in each element", strict);
        }
        return { kind: "policy", direction, policy, strict: strict !== undefined, elements };
      },
    },
  ],
  render: ({ direction, policy, strict, elements }) =>
    [
      `-m policy --dir ${direction} --pol ${policy}`,
      ...(strict ? ["--strict"] : []),
      ...elements.flatMap((words, index) => [...(index === 0 ? [] : ["--next"]), ...words]),
    ].join(" "),
  /** No policy is asked for u8. */
  pack({ policy }, writer) {
    writer.u8(policy === "none" ? 1 : 0);
  },
};

function parseDirection(use: OptionUse | undefined, { chain }: RuleContext): "in" | "out" {
  if (use === undefined) throw new RuleError("expected --dir", undefined);
  refuseInvert(use);
  const word = wordOf(use);
  if (word !== "in" && word !== "out") {
    throw new RuleError(`--dir ${word}: expected in or out`, use);
  }
  const without = word === "in" ? ["OUTPUT", "POSTROUTING"] : ["PREROUTING", "INPUT"];
  if (without.includes(chain)) throw new RuleError(`--dir ${word} cannot stand in ${chain}`, use);
  return word;
}

/** > IPsec without the option. */
function parsePolicy(use: OptionUse | undefined): "none" | "ipsec" {
  if (use === undefined) return "ipsec";
  refuseInvert(use);
  const word = wordOf(use);
  if (word === "none" || word === "ipsec") return word;
  throw new RuleError(`--pol ${word}: expected none or ipsec`, use);
}

function splitElements(options: readonly OptionUse[], strict: boolean): OptionUse[][] {
  const elements: OptionUse[][] = [[]];
  for (const use of options) {
    if (use.name === "--next") {
      refuseInvert(use);
      if (!strict) throw new RuleError("--next needs --strict", use);
      if (elements.length === MOST) throw new RuleError(`at most ${MOST} elements`, use);
      elements.push([]);
    } else elements.at(-1)?.push(use);
  }
  return elements;
}

function readElement(uses: readonly OptionUse[], { family }: RuleContext): string[] {
  const mode = useOf(uses, "--mode");
  for (const name of ["--tunnel-dst", "--tunnel-src"]) {
    const use = useOf(uses, name);
    if (use !== undefined && (mode === undefined || wordOf(mode) !== "tunnel" || mode.invert)) {
      throw new RuleError(`${name} needs --mode tunnel`, use);
    }
  }
  return ELEMENT_OPTIONS.flatMap((name) => {
    const use = useOf(uses, name);
    if (use === undefined) return [];
    return [`${use.invert ? "! " : ""}${name} ${PRINT[name](use, family)}`];
  });
}

const PRINT: Readonly<
  Record<(typeof ELEMENT_OPTIONS)[number], (use: OptionUse, family: Family) => string>
> = {
  "--reqid": (use) => `${parseNumber(wordOf(use), use)}`,
  "--spi": (use) => `0x${parseNumber(wordOf(use), use).toString(16)}`,
  "--proto": (use) => {
    const number = parseProtocol(wordOf(use), use);
    if (![PROTOCOL_ESP, PROTOCOL_AH, PROTOCOL_IPCOMP].includes(number)) {
      throw new RuleError(`${use.name} ${wordOf(use)}: expected ah, esp or ipcomp`, use);
    }
    return protocolName(number);
  },
  "--mode": (use) => {
    if (["transport", "tunnel"].includes(wordOf(use))) return wordOf(use);
    throw new RuleError(`${use.name} ${wordOf(use)}: expected transport or tunnel`, use);
  },
  "--tunnel-dst": printTunnel,
  "--tunnel-src": printTunnel,
};

/** > The address is not masked. Of IPv4 a mask with gaps is printed as none. */
function printTunnel(use: OptionUse, family: Family): string {
  const [text = "", mask] = wordOf(use).split("/");
  const address = formatAddress(parseRuleAddress(text, use, family));
  const whole = family === 4 ? 32 : 128;
  const bits = maskBits(
    mask === undefined ? prefixMask(whole) : parseMask(mask, use, family),
    family,
  );
  return bits === undefined || bits === whole ? address : `${address}/${bits}`;
}
