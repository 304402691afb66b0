/** The conditions that every rule has room for: addresses, interfaces, the protocol, fragments. */
import { RuleError } from "../match/extension.ts";
import type { RuleContext } from "../match/extension.ts";
import type { Match } from "../match/index.ts";
import { maskBits, parseAddressMask, parseProtocol } from "../match/words.ts";
import { RuleFault } from "./rule-fault.ts";
import type { PlacedUse } from "./rule-options.ts";

/** Collects the conditions of one rule. */
export class RuleConditions {
  readonly #around: Pick<RuleContext, "family" | "chain">;
  readonly #matches: Match[] = [];
  readonly #addresses: { readonly side: "src" | "dst"; readonly use: PlacedUse }[] = [];
  #protocol: RuleContext["protocol"];
  #protocolAt: number | undefined;

  constructor(around: Pick<RuleContext, "family" | "chain">) {
    this.#around = around;
  }

  /** As `-p` says; undefined without one, or for every protocol. */
  get protocol(): RuleContext["protocol"] {
    return this.#protocol;
  }

  /** All but those of addresses. */
  get matches(): readonly Match[] {
    return this.#matches;
  }

  /** Notes one of the options that are such conditions. */
  add(name: string, use: PlacedUse): void {
    const word = use.words[0] ?? "";
    switch (name) {
      case "-s":
      case "--source":
      case "--src":
        this.#addresses.push({ side: "src", use });
        return;
      case "-d":
      case "--destination":
      case "--dst":
        this.#addresses.push({ side: "dst", use });
        return;
      case "-i":
      case "--in-interface":
      case "-o":
      case "--out-interface":
        this.#matches.push(
          this.#interfaceMatch(name.startsWith("-i") || name === "--in-interface", use),
        );
        return;
      case "-p":
      case "--protocol":
      case "--proto": {
        if (this.#protocolAt !== undefined) throw new RuleFault("-p stands twice", use.column);
        this.#protocolAt = use.column;
        const protocol = at(use, () => parseProtocol(word, use));
        if (protocol === 0) {
          if (use.invert) throw new RuleFault("! -p all matches nothing", use.column);
          return;
        }
        this.#protocol = { number: protocol, invert: use.invert };
        this.#matches.push({ kind: "protocol", protocol, invert: use.invert });
        return;
      }
      case "-f":
      case "--fragment":
      case "--fragments":
        if (this.#around.family === 6) throw new RuleFault("ip6tables has no -f", use.column);
        if (this.#matches.some(({ kind }) => kind === "fragment")) {
          throw new RuleFault("-f stands twice", use.column);
        }
        this.#matches.push({ kind: "fragment", invert: use.invert });
        return;
      default:
        throw new Error(`bug: ${use.name} is no condition`);
    }
  }

  #interfaceMatch(incoming: boolean, use: PlacedUse): Match {
    const word = use.words[0] ?? "";
    const wildcard = word.endsWith("+");
    const name = wildcard ? word.slice(0, -1) : word;
    const { chain } = this.#around;
    const refused = incoming ? ["OUTPUT", "POSTROUTING"] : ["PREROUTING", "INPUT"];
    if (refused.includes(chain)) {
      throw new RuleFault(`${chain} has no ${incoming ? "in" : "out"}-interface`, use.column);
    }
    if (word === "") throw new RuleFault(`${use.name}: expected an interface's name`, use.column);
    if (new TextEncoder().encode(word).length > LONGEST_INTERFACE) {
      throw new RuleFault(`${word}: an interface's name has at most 15 bytes`, use.column);
    }
    const side = incoming ? "in" : "out";
    if (this.#matches.some((match) => match.kind === "interface" && match.side === side)) {
      throw new RuleFault(`${use.name} stands twice`, use.column);
    }
    return { kind: "interface", side, name, wildcard, invert: use.invert };
  }

  /** Every combination of the addresses that comma lists name. */
  spreadAddresses(): Match[][] {
    let rules: Match[][] = [[]];
    for (const side of ["src", "dst"] as const) {
      const given = this.#addresses.filter((each) => each.side === side);
      const [first, second] = given;
      if (first === undefined) continue;
      if (second !== undefined) {
        throw new RuleFault(`${second.use.name} stands twice`, second.use.column);
      }
      const { use } = first;
      const texts = (use.words[0] ?? "").split(",");
      if (texts.length > 1 && use.invert) {
        throw new RuleFault("a list of addresses cannot be negated", use.column);
      }
      const matches = texts.map((text): Match => {
        const { address, mask } = at(use, () => parseAddressMask(text, use, this.#around.family));
        const bits = maskBits(mask, this.#around.family);
        return {
          kind: "address",
          side,
          prefix: { address, bits: bits ?? 0 },
          ...(bits === undefined ? { mask } : {}),
          invert: use.invert,
        };
      });
      rules = rules.flatMap((rule) => matches.map((match) => [...rule, match]));
    }
    return rules;
  }
}

const LONGEST_INTERFACE = 15;

/** Runs a parser of words; its faults get the column of their option. */
function at<T>(use: PlacedUse, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof RuleError)) throw error;
    throw new RuleFault(error.message, use.column);
  }
}
