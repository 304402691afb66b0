/**
 * One rule of a dump: the words behind `-A CHAIN` to matches and a target. What is not modelled becomes an opaque match or
 * target; what iptables or the kernel refuses is an error at its column.
 */
import type { RuleContext } from "../match/extension.ts";
import { orderMatches } from "../match/index.ts";
import type { Match } from "../match/index.ts";
import { quoteWord } from "../match/words.ts";
import type { Target } from "../target/index.ts";
import { RuleConditions } from "./rule-conditions.ts";
import { RuleFault } from "./rule-fault.ts";
import { finishMatch, finishTarget, isTargetModule, RuleModules } from "./rule-modules.ts";
import type { Loaded } from "./rule-modules.ts";
import { BASE_OPTIONS, SAME_OPTION, UNNEGATED } from "./rule-options.ts";
import type { PlacedUse } from "./rule-options.ts";
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

/** Where the rule stands. */
export type RuleSurroundings = Omit<RuleContext, "protocol"> & {
  /** Tells whether the table has a user chain of this name. */
  readonly isChain: (name: string) => boolean;
};

const VERDICTS: ReadonlySet<string> = new Set(["ACCEPT", "DROP", "RETURN"]);

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
  readonly #conditions: RuleConditions;
  readonly #modules = new RuleModules();
  #target: Target | undefined;
  #targetAt: number | undefined;
  /** > Files may be written for both families: -4 and -6 say which commands take a rule. */
  #otherFamily = false;
  #at = 0;

  constructor(words: readonly Word[], around: RuleSurroundings) {
    this.#words = words;
    this.#around = around;
    this.#conditions = new RuleConditions(around);
  }

  parse(): ParsedRule[] {
    while (this.#at < this.#words.length) this.#parseOption();
    if (this.#otherFamily) return [];
    const context: RuleContext = { ...this.#around, protocol: this.#conditions.protocol };
    const opaque: { what: "match" | "target"; name: string; column: number }[] = [];
    const matches = [...this.#conditions.matches];
    for (const loaded of this.#modules.loaded) {
      const { what, name, module, column } = loaded;
      if (module === undefined) opaque.push({ what, name, column });
      if (what === "match") matches.push(finishMatch(loaded, context));
      else this.#target = finishTarget(loaded, context);
    }
    return this.#conditions.spreadAddresses().map((addresses) => ({
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
    const owner = this.#modules.ownerOf(name);
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
    if (this.#modules.loadImplicit(name, this.#conditions.protocol, word.column)) {
      this.#at -= invert ? 2 : 1;
      return;
    }
    const last = this.#modules.loaded.at(-1);
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
    const implicit = this.#modules.implicitModule(this.#conditions.protocol);
    const options = [BASE_OPTIONS, implicit?.options ?? {}];
    if (this.#modules.options.has(text)) return text;
    if (options.some((each) => Object.hasOwn(each, text))) return text;
    // What looks like a beginning may be an option of the extension whose options are not known.
    const last = this.#modules.loaded.at(-1);
    if (last !== undefined && last.module === undefined) return text;
    const known = [...new Set([...options.flatMap(Object.keys), ...this.#modules.options])];
    const begun = known.filter((option) => option.startsWith(text));
    const [only, second] = [
      ...new Map(begun.map((option) => [SAME_OPTION[option] ?? option, option])),
    ];
    if (second !== undefined) {
      throw new RuleFault(`${text} may be ${begun.join(" or ")}`, column);
    }
    return only?.[1] ?? text;
  }

  #useOf(
    name: string,
    arity: number,
    invertBefore: boolean,
    given: readonly string[],
    column: number,
  ): PlacedUse {
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

  #parseBase(name: string, use: PlacedUse): void {
    const word = use.words[0] ?? "";
    if (use.invert && UNNEGATED.has(name)) {
      throw new RuleFault(`${name} cannot be negated`, use.column);
    }
    switch (name) {
      case "-m":
      case "--match":
        this.#load("match", word, use.column);
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
      case "-c":
      case "--set-counters":
        // What is counted starts anew.
        return;
      default:
        this.#conditions.add(name, use);
    }
  }

  #load(what: Loaded["what"], name: string, column: number): void {
    const loaded = this.#modules.load(what, name, column);
    if (loaded.module === undefined) this.#takeOpaqueWords(loaded);
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
    // > Extensions are written in capitals; anything else can only be a chain.
    if (!isTargetModule(name) && !/^[A-Z][A-Z0-9]*$/.test(name)) {
      throw new RuleFault(`there is no chain or target ${name}`, column);
    }
    this.#load("target", name, column);
  }
}

function quoteWordOf({ text, quoted }: Word): string {
  return quoted ? quoteWord(text) : text;
}
