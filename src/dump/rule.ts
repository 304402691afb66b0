/**
 * One rule of a dump: the words behind `-A CHAIN` to matches and a target. An option belongs to the
 * module that was loaded last and has it. What is not modelled becomes an opaque match or target; what
 * iptables or the kernel refuses is an error at its column.
 */
import { RuleError } from "../match/extension.ts";
import type { Module, OptionUse, RuleContext } from "../match/extension.ts";
import { MATCH_MODULES, orderMatches } from "../match/index.ts";
import type { Match } from "../match/index.ts";
import { maskBits, parseAddressMask, parseProtocol, quoteWord } from "../match/words.ts";
import {
  PROTOCOL_DCCP,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  PROTOCOL_UDPLITE,
} from "../net/protocol.ts";
import { TARGET_MODULES } from "../target/index.ts";
import type { Target } from "../target/index.ts";
import type { Word } from "./words.ts";

/** What a rule's words mean. */
export interface ParsedRule {
  readonly matches: readonly Match[];
  readonly target: Target | undefined;
  /** Where the target stands. */
  readonly targetColumn?: number;
  /** Extensions that are not modelled, for a warning. */
  readonly opaque: readonly {
    readonly what: "match" | "target";
    readonly name: string;
    readonly column: number;
  }[];
}

/** A fault in a rule, at its column. */
export class RuleFault extends Error {
  readonly column: number;

  constructor(message: string, column: number) {
    super(message);
    this.column = column;
  }
}

/** Where the rule stands. */
export type RuleSurroundings = Omit<RuleContext, "protocol"> & {
  /** Tells whether the table has a user chain of this name. */
  readonly isChain: (name: string) => boolean;
};

/** One `-m` or extension `-j`, and the options that fell to it. */
interface Loaded {
  readonly what: "match" | "target";
  readonly name: string;
  /** Undefined: not modelled. */
  readonly module: Module<Match> | Module<Target> | undefined;
  readonly column: number;
  readonly uses: (OptionUse & { readonly column: number })[];
  /** Of an extension that is not modelled: its words. */
  readonly words: string[];
}

const matchModules = new Map(MATCH_MODULES.map((module) => [module.name, module]));
const targetModules = new Map(TARGET_MODULES.map((module) => [module.name, module]));
const VERDICTS: ReadonlySet<string> = new Set(["ACCEPT", "DROP", "RETURN"]);

/** Conditions that every rule has room for, and the words behind them. */
const BASE_OPTIONS: Readonly<Record<string, number>> = {
  "-s": 1,
  "--source": 1,
  "--src": 1,
  "-d": 1,
  "--destination": 1,
  "--dst": 1,
  "-i": 1,
  "--in-interface": 1,
  "-o": 1,
  "--out-interface": 1,
  "-p": 1,
  "--protocol": 1,
  "--proto": 1,
  "-f": 0,
  "--fragment": 0,
  "--fragments": 0,
  "-m": 1,
  "--match": 1,
  "-j": 1,
  "--jump": 1,
  "-g": 1,
  "--goto": 1,
  "-c": 2,
  "--set-counters": 2,
  "-4": 0,
  "--ipv4": 0,
  "-6": 0,
  "--ipv6": 0,
};

/** Options that no exclamation mark may stand in front of. */
const UNNEGATED: ReadonlySet<string> = new Set([
  "-m",
  "--match",
  "-j",
  "--jump",
  "-g",
  "--goto",
  "-c",
  "--set-counters",
  "-4",
  "--ipv4",
  "-6",
  "--ipv6",
]);

/**
 * Parses the words behind `-A CHAIN`; several rules where comma lists name several addresses, none when
 * the rule is for the other family.
 */
export function parseRule(words: readonly Word[], around: RuleSurroundings): ParsedRule[] {
  return new RuleParser(words, around).parse();
}

class RuleParser {
  readonly #words: readonly Word[];
  readonly #around: RuleSurroundings;
  readonly #loaded: Loaded[] = [];
  /** The names of what is loaded, and the options that it has: rules may be megabytes long. */
  readonly #loadedNames = new Set<string>();
  readonly #loadedOptions = new Set<string>();
  readonly #base: Match[] = [];
  readonly #addresses: {
    readonly side: "src" | "dst";
    readonly use: OptionUse;
    readonly column: number;
  }[] = [];
  #protocol: RuleContext["protocol"];
  #protocolAt: number | undefined;
  #target: Target | undefined;
  #targetAt: number | undefined;
  /** > Files may be written for both families: -4 and -6 say which commands take a rule. */
  #otherFamily = false;
  #at = 0;

  constructor(words: readonly Word[], around: RuleSurroundings) {
    this.#words = words;
    this.#around = around;
  }

  parse(): ParsedRule[] {
    while (this.#at < this.#words.length) this.#parseOption();
    if (this.#otherFamily) return [];
    const context: RuleContext = { ...this.#around, protocol: this.#protocol };
    const opaque: { what: "match" | "target"; name: string; column: number }[] = [];
    const matches = [...this.#base];
    for (const loaded of this.#loaded) {
      const { what, name, module, column } = loaded;
      if (module === undefined) opaque.push({ what, name, column });
      if (what === "match") matches.push(finishMatch(loaded, context));
      else this.#target = finishTarget(loaded, context);
    }
    return this.#spreadAddresses().map((addresses) => ({
      matches: orderMatches([...addresses, ...matches]),
      target: this.#target,
      ...(this.#targetAt === undefined ? {} : { targetColumn: this.#targetAt }),
      opaque,
    }));
  }

  #parseOption(): void {
    const first = this.#next();
    let invert = false;
    let word = first;
    if (first.text === "!" && !first.quoted) {
      invert = true;
      word = this.#next();
    }
    const equals = word.text.startsWith("--") ? word.text.indexOf("=") : -1;
    const name = this.#wholeName(equals < 0 ? word.text : word.text.slice(0, equals), word.column);
    const given = equals < 0 ? [] : [word.text.slice(equals + 1)];
    const owner = this.#ownerOf(name);
    if (owner !== undefined) {
      const use = this.#useOf(name, owner.module?.options[name] ?? 0, invert, given, word.column);
      owner.uses.push(use);
      return;
    }
    const arity = Object.hasOwn(BASE_OPTIONS, name) ? BASE_OPTIONS[name] : undefined;
    if (arity !== undefined && !word.quoted) {
      this.#parseBase(name, this.#useOf(name, arity, invert, given, word.column));
      return;
    }
    if (this.#loadImplicit(name, word.column)) {
      this.#at -= invert ? 2 : 1;
      return;
    }
    const last = this.#loaded.at(-1);
    if (last?.module !== undefined || last === undefined || word.quoted) {
      throw new RuleFault(`unknown option "${word.text}"`, word.column);
    }
    // An extension that is not modelled keeps all its words.
    if (invert) last.words.push("!");
    last.words.push(word.text);
    this.#takeOpaqueWords(last);
  }

  // The words of an extension that is not modelled: up to the next option of a rule itself.
  #takeOpaqueWords(last: Loaded): void {
    while (this.#at < this.#words.length) {
      const word = this.#words[this.#at];
      if (word === undefined || (!word.quoted && (word.text.startsWith("-") || word.text === "!")))
        return;
      last.words.push(quoteWordOf(word));
      this.#at += 1;
    }
  }

  #next(): Word {
    const word = this.#words[this.#at];
    if (word === undefined) {
      const last = this.#words.at(-1);
      throw new RuleFault(
        "the rule ends where a word is expected",
        (last?.column ?? 0) + (last?.text.length ?? 0),
      );
    }
    this.#at += 1;
    return word;
  }

  /** > getopt_long() takes any beginning of a long option that only one has. */
  #wholeName(text: string, column: number): string {
    if (!/^--\w/.test(text)) return text;
    const implicit = this.#implicitModule();
    const options = [BASE_OPTIONS, implicit?.options ?? {}];
    if (this.#loadedOptions.has(text)) return text;
    if (options.some((each) => Object.hasOwn(each, text))) return text;
    // What looks like a beginning may be an option of the extension whose options are not known.
    const last = this.#loaded.at(-1);
    if (last !== undefined && last.module === undefined) return text;
    const known = [...new Set([...options.flatMap(Object.keys), ...this.#loadedOptions])];
    const begun = known.filter((option) => option.startsWith(text));
    const [only, second] = [
      ...new Map(begun.map((option) => [SAME_OPTION[option] ?? option, option])),
    ];
    if (second !== undefined) {
      throw new RuleFault(`${text} may be ${begun.join(" or ")}`, column);
    }
    return only?.[1] ?? text;
  }

  /** The module loaded last that has the option. */
  #ownerOf(name: string): Loaded | undefined {
    if (!this.#loadedOptions.has(name)) return undefined;
    return this.#loaded.findLast(
      ({ module }) => module !== undefined && Object.hasOwn(module.options, name),
    );
  }

  #useOf(
    name: string,
    arity: number,
    invertBefore: boolean,
    given: readonly string[],
    column: number,
  ): OptionUse & { readonly column: number } {
    let invert = invertBefore;
    const words = [...given];
    // > The old place of the exclamation mark: in front of the argument.
    const next = this.#words[this.#at];
    if (arity > 0 && words.length === 0 && next?.text === "!" && !next.quoted) {
      if (invert) throw new RuleFault(`${name} is negated twice`, next.column);
      invert = true;
      this.#at += 1;
    }
    while (words.length < arity) words.push(this.#next().text);
    return { name, invert, words, column };
  }

  #parseBase(name: string, use: OptionUse & { readonly column: number }): void {
    const word = use.words[0] ?? "";
    if (use.invert && UNNEGATED.has(name)) {
      throw new RuleFault(`${name} cannot be negated`, use.column);
    }
    switch (name) {
      case "-s":
      case "--source":
      case "--src":
        this.#addresses.push({ side: "src", use, column: use.column });
        return;
      case "-d":
      case "--destination":
      case "--dst":
        this.#addresses.push({ side: "dst", use, column: use.column });
        return;
      case "-i":
      case "--in-interface":
      case "-o":
      case "--out-interface":
        this.#base.push(
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
        this.#base.push({ kind: "protocol", protocol, invert: use.invert });
        return;
      }
      case "-f":
      case "--fragment":
      case "--fragments":
        if (this.#around.family === 6) throw new RuleFault("ip6tables has no -f", use.column);
        if (this.#base.some(({ kind }) => kind === "fragment")) {
          throw new RuleFault("-f stands twice", use.column);
        }
        this.#base.push({ kind: "fragment", invert: use.invert });
        return;
      case "-m":
      case "--match":
        this.#load({
          what: "match",
          name: word,
          module: matchModules.get(word),
          column: use.column,
        });
        return;
      case "-j":
      case "--jump":
      case "-g":
      case "--goto":
        this.#parseTarget(word, name === "-g" || name === "--goto", use.column);
        return;
      case "-4":
      case "--ipv4":
      case "-6":
      case "--ipv6":
        this.#otherFamily ||= name.endsWith("4") !== (this.#around.family === 4);
        return;
      default:
        // Counters: what is counted starts anew.
        return;
    }
  }

  #load(loaded: Omit<Loaded, "uses" | "words">): void {
    this.#addLoaded({ ...loaded, uses: [], words: [] });
    const last = this.#loaded.at(-1);
    if (last !== undefined && last.module === undefined) this.#takeOpaqueWords(last);
  }

  /** > `-p tcp` loads the tcp match as soon as one of its options is met. */
  #loadImplicit(name: string, column: number): boolean {
    const module = this.#implicitModule();
    if (module === undefined || !Object.hasOwn(module.options, name)) return false;
    this.#addLoaded({ what: "match", name: module.name, module, column, uses: [], words: [] });
    return true;
  }

  #addLoaded(loaded: Loaded): void {
    this.#loaded.push(loaded);
    this.#loadedNames.add(loaded.name);
    for (const option of Object.keys(loaded.module?.options ?? {})) this.#loadedOptions.add(option);
  }

  #implicitModule(): Module<Match> | undefined {
    const { number, invert } = this.#protocol ?? { number: -1, invert: true };
    const name = invert ? undefined : IMPLICIT.get(number);
    if (name === undefined || this.#loadedNames.has(name)) return undefined;
    return matchModules.get(name);
  }

  #parseTarget(name: string, goto: boolean, column: number): void {
    if (this.#targetAt !== undefined) throw new RuleFault("the rule has two targets", column);
    this.#targetAt = column;
    const isChain = this.#around.isChain(name);
    if (goto || isChain) {
      if (!isChain) throw new RuleFault(`there is no chain ${name}`, column);
      this.#target = { kind: goto ? "GOTO" : "JUMP", chain: name };
      return;
    }
    if (VERDICTS.has(name)) {
      this.#target = { kind: name === "ACCEPT" ? "ACCEPT" : name === "DROP" ? "DROP" : "RETURN" };
      return;
    }
    const module = targetModules.get(name);
    // > Extensions are written in capitals; anything else can only be a chain.
    if (module === undefined && !/^[A-Z][A-Z0-9]*$/.test(name)) {
      throw new RuleFault(`there is no chain or target ${name}`, column);
    }
    this.#load({ what: "target", name, module, column });
  }

  #interfaceMatch(incoming: boolean, use: OptionUse & { readonly column: number }): Match {
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
    if (this.#base.some((match) => match.kind === "interface" && match.side === side)) {
      throw new RuleFault(`${use.name} stands twice`, use.column);
    }
    return { kind: "interface", side, name, wildcard, invert: use.invert };
  }

  /** Every combination of the addresses that comma lists name. */
  #spreadAddresses(): Match[][] {
    let rules: Match[][] = [[]];
    for (const side of ["src", "dst"] as const) {
      const given = this.#addresses.filter((each) => each.side === side);
      const [first, second] = given;
      if (first === undefined) continue;
      if (second !== undefined)
        throw new RuleFault(`${second.use.name} stands twice`, second.column);
      const { use, column } = first;
      const texts = (use.words[0] ?? "").split(",");
      if (texts.length > 1 && use.invert) {
        throw new RuleFault("a list of addresses cannot be negated", column);
      }
      const matches = texts.map((text): Match => {
        const { address, mask } = at({ ...use, column }, () =>
          parseAddressMask(text, use, this.#around.family),
        );
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

/** Options that are one under two names: a beginning of both is not ambiguous. */
const SAME_OPTION: Readonly<Record<string, string>> = {
  "--src": "--source",
  "--dst": "--destination",
  "--proto": "--protocol",
  "--fragments": "--fragment",
};

const IMPLICIT: ReadonlyMap<number, string> = new Map([
  [PROTOCOL_TCP, "tcp"],
  [PROTOCOL_UDP, "udp"],
  [PROTOCOL_UDPLITE, "udplite"],
  [PROTOCOL_SCTP, "sctp"],
  [PROTOCOL_DCCP, "dccp"],
  [1, "icmp"],
  [58, "icmp6"],
  [50, "esp"],
  [51, "ah"],
  [108, "ipcomp"],
  [135, "mh"],
]);

function finishMatch(loaded: Loaded, context: RuleContext): Match {
  const module = matchModules.get(loaded.name);
  if (module === undefined) {
    return { kind: "opaque", name: loaded.name, text: loaded.words.join(" ") };
  }
  return finish(loaded, () => module.parse(loaded.uses, context));
}

function finishTarget(loaded: Loaded, context: RuleContext): Target {
  const module = targetModules.get(loaded.name);
  if (module === undefined) {
    return { kind: "opaque", name: loaded.name, text: loaded.words.join(" ") };
  }
  return finish(loaded, () => module.parse(loaded.uses, context));
}

/** Runs a module's parser; its faults get the column of the option they are about. */
function finish<T>({ what, name, uses, column }: Loaded, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof RuleError)) throw error;
    const where = uses.find((use) => use === error.option)?.column ?? column;
    const flag = what === "match" ? "-m" : "-j";
    throw new RuleFault(`${flag} ${name}: ${error.message}`, where);
  }
}

function at<T>(use: OptionUse & { readonly column: number }, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof RuleError)) throw error;
    throw new RuleFault(error.message, use.column);
  }
}

function quoteWordOf({ text, quoted }: Word): string {
  return quoted ? quoteWord(text) : text;
}
