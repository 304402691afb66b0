/**
 * The text of Calico's selectors to expressions, in one pass over the characters:
 *
 *     selector := [ or ]                      empty is all()
 *     or       := and { "||" and }
 *     and      := unary { "&&" unary }
 *     unary    := { "!" } atom                an even number of "!" cancels out
 *     atom     := "(" or ")" | "all()" | "global()" | "has(" label ")"
 *               | label ( "==" | "!=" | "contains" | "starts with" | "ends with" ) string
 *               | label ( "in" | "not in" ) "{" [ string { "," string } [ "," ] ] "}"
 *
 * Source: libcalico-go lib/selector/tokenizer and lib/selector/parser.
 */
import type { SelectorExpression } from "./selector-expression.ts";
import { ALL } from "./selector-expression.ts";

/** What is wrong with a text, and where in it, from 0. */
export interface ExpressionFault {
  readonly at: number;
  readonly message: string;
}

/** Parses a selector; the fault when it is none. Spaces and tabs may stand between words. */
export function parseExpression(
  text: string,
): { readonly expression: SelectorExpression } | { readonly fault: ExpressionFault } {
  try {
    return { expression: new ExpressionParser(text).parse() };
  } catch (error) {
    if (error instanceof FaultFound) return { fault: error.fault };
    throw error;
  }
}

/** Deepest nesting of parentheses. */
const MAX_DEPTH = 200;
const LONGEST_LABEL = 512;

class FaultFound extends Error {
  readonly fault: ExpressionFault;

  constructor(fault: ExpressionFault) {
    super(fault.message);
    this.fault = fault;
  }
}

const WORD_OPERATORS = [
  { words: ["contains"], operator: "contains" },
  { words: ["starts", "with"], operator: "starts with" },
  { words: ["ends", "with"], operator: "ends with" },
  { words: ["not", "in"], operator: "not in" },
  { words: ["in"], operator: "in" },
] as const;

type Operator = "==" | "!=" | (typeof WORD_OPERATORS)[number]["operator"];

class ExpressionParser {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): SelectorExpression {
    this.#skipBlanks();
    if (this.#atEnd()) return ALL;
    const expression = this.#any();
    if (!this.#atEnd()) this.#fail(`expected "&&", "||" or the end, not ${this.#found()}`);
    return expression;
  }

  #any(): SelectorExpression {
    return this.#list("or", "||", () => this.#list("and", "&&", () => this.#unary()));
  }

  #list(
    kind: "and" | "or",
    separator: string,
    parseOperand: () => SelectorExpression,
  ): SelectorExpression {
    const first = parseOperand();
    const operands = [first];
    while (this.#take(separator)) operands.push(parseOperand());
    return operands.length === 1 ? first : { kind, operands };
  }

  #unary(): SelectorExpression {
    let negated = false;
    while (this.#take("!")) negated = !negated;
    const operand = this.#atom();
    return negated ? { kind: "not", operand } : operand;
  }

  #atom(): SelectorExpression {
    if (this.#take("(")) {
      if (++this.#depth > MAX_DEPTH) {
        this.#fail(`parentheses are nested more than ${MAX_DEPTH} deep`, this.#at - 1);
      }
      const expression = this.#any();
      this.#expect(")");
      this.#depth--;
      return expression;
    }
    // The parenthesis belongs to the word: with a blank between them the word is a label.
    if (this.#take("has(")) {
      const label = this.#label("a label");
      this.#expect(")");
      return { kind: "has", label };
    }
    for (const kind of ["all", "global"] as const) {
      if (!this.#take(`${kind}(`)) continue;
      this.#expect(")");
      return { kind };
    }
    return this.#condition();
  }

  #condition(): SelectorExpression {
    const label = this.#label(`a label, "has(", "all()", "!" or "("`);
    const operator = this.#operator(label);
    if (operator === "in" || operator === "not in") {
      return { kind: "in", label, values: this.#set(), invert: operator === "not in" };
    }
    return { kind: "compare", label, operator, value: this.#string() };
  }

  #operator(label: string): Operator {
    for (const operator of ["==", "!="] as const) if (this.#take(operator)) return operator;
    for (const { words, operator } of WORD_OPERATORS) if (this.#takeWords(words)) return operator;
    const call = ["has", "all", "global"].includes(label) && this.#text[this.#at] === "(";
    if (call) this.#fail(`"${label}(" is one word, without a blank`);
    if (this.#text[this.#at] === "=") this.#fail('expected "==", not "="');
    return this.#fail(`expected an operator such as "==" behind the label, not ${this.#found()}`);
  }

  #set(): ReadonlySet<string> {
    this.#expect("{");
    const values: string[] = [];
    while (this.#text[this.#at] !== "}") {
      values.push(this.#string());
      if (!this.#take(",")) break;
    }
    this.#expect("}");
    return new Set(values.sort(compareBytes));
  }

  #string(): string {
    const quote = this.#text[this.#at];
    if (quote !== '"' && quote !== "'") {
      this.#fail(`expected a string in quotes, not ${this.#found()}`);
    }
    const end = this.#text.indexOf(quote, this.#at + 1);
    if (end < 0) this.#fail("the string has no end");
    const value = this.#text.slice(this.#at + 1, end);
    this.#advance(end + 1);
    return value;
  }

  #label(expected: string): string {
    let end = this.#at;
    while (isLabelCharacter(this.#text.charCodeAt(end))) end++;
    if (end === this.#at) this.#fail(`expected ${expected}, not ${this.#found()}`);
    if (end - this.#at > LONGEST_LABEL) {
      this.#fail(`a label has at most ${LONGEST_LABEL} characters`);
    }
    const label = this.#text.slice(this.#at, end);
    this.#advance(end);
    return label;
  }

  /** Words may stand apart or not: `startswith`. The last one ends where no label character follows. */
  #takeWords(words: readonly string[]): boolean {
    let end = this.#at;
    for (const word of words) {
      end = this.#afterBlanks(end);
      if (!this.#text.startsWith(word, end)) return false;
      end += word.length;
    }
    if (isLabelCharacter(this.#text.charCodeAt(end))) return false;
    this.#advance(end);
    return true;
  }

  #take(token: string): boolean {
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#advance(this.#at + token.length);
    return true;
  }

  #expect(token: string): void {
    if (!this.#take(token)) this.#fail(`expected "${token}", not ${this.#found()}`);
  }

  #advance(end: number): void {
    this.#at = end;
    this.#skipBlanks();
  }

  #skipBlanks(): void {
    this.#at = this.#afterBlanks(this.#at);
  }

  #afterBlanks(start: number): number {
    let at = start;
    while (this.#text[at] === " " || this.#text[at] === "\t") at++;
    return at;
  }

  #atEnd(): boolean {
    return this.#at === this.#text.length;
  }

  #found(): string {
    const character = String.fromCodePoint(this.#text.codePointAt(this.#at) ?? 0);
    return this.#atEnd() ? "the end" : `"${character}"`;
  }

  #fail(message: string, at = this.#at): never {
    throw new FaultFound({ at, message });
  }
}

/** Letters, digits, `_`, `.`, `/` and `-`. */
function isLabelCharacter(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) ||
    (code >= 0x41 && code <= 0x5a) ||
    // `-`, `.`, `/` and the digits are neighbours.
    (code >= 0x2d && code <= 0x39) ||
    code === 0x5f
  );
}

/** The order of UTF-8's bytes, which is that of code points. */
function compareBytes(one: string, other: string): number {
  const [left, right] = [[...one], [...other]];
  for (const [index, character] of left.entries()) {
    const against = right[index];
    if (against === undefined) return 1;
    if (character !== against) {
      return (character.codePointAt(0) ?? 0) - (against.codePointAt(0) ?? 0);
    }
  }
  return left.length - right.length;
}
