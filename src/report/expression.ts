/**
 * The tcpdump-style expression that chooses which packets are reported. A subset of pcap-filter(7), on
 * decoded fields: hosts, nets, ports and protocols, with and, or, not and parentheses. What is not in
 * the subset is refused with its column; nothing is guessed.
 */
import { parseAddress, parsePrefix, prefixContains, sameAddress } from "../net/address.ts";
import type { Address, Prefix } from "../net/address.ts";
import type { Tuple } from "../engine/verdict.ts";

/** A parsed expression. */
export type Expression =
  | { readonly kind: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | { readonly kind: "not"; readonly operand: Expression }
  | { readonly kind: "family"; readonly family: 4 | 6 }
  | { readonly kind: "protocol"; readonly protocol: number }
  | { readonly kind: "host"; readonly side: Side; readonly address: Address }
  | { readonly kind: "net"; readonly side: Side; readonly prefix: Prefix }
  | { readonly kind: "port"; readonly side: Side; readonly first: number; readonly last: number };

/** Which end a condition is about. */
export type Side = "src" | "dst" | "either";

/** Where an expression is wrong. */
export interface ExpressionError {
  readonly message: string;
  /** 1-based, in the expression. */
  readonly column: number;
}

const PRIMITIVES: ReadonlyMap<string, Expression> = new Map<string, Expression>([
  ["ip", { kind: "family", family: 4 }],
  ["ip6", { kind: "family", family: 6 }],
  ["tcp", { kind: "protocol", protocol: 6 }],
  ["udp", { kind: "protocol", protocol: 17 }],
  ["icmp", { kind: "protocol", protocol: 1 }],
  ["icmp6", { kind: "protocol", protocol: 58 }],
  ["sctp", { kind: "protocol", protocol: 132 }],
]);

const EXPECTED =
  "expected host, net, port, portrange (with src or dst), tcp, udp, sctp, icmp, icmp6, ip, ip6, not or (";

/** Parses an expression. */
export function parseExpression(text: string): Expression | ExpressionError {
  try {
    return new Parser(text).parse();
  } catch (error) {
    if (error instanceof Refusal) return { message: error.message, column: error.column };
    throw error;
  }
}

/** Tells an error from an expression. */
export function isExpressionError(parsed: Expression | ExpressionError): parsed is ExpressionError {
  return "message" in parsed;
}

/** Tells whether an expression chooses a packet. A field that is not known satisfies no condition. */
export function expressionMatches(expression: Expression, tuple: Tuple): boolean {
  switch (expression.kind) {
    case "and":
      return (
        expressionMatches(expression.left, tuple) && expressionMatches(expression.right, tuple)
      );
    case "or":
      return (
        expressionMatches(expression.left, tuple) || expressionMatches(expression.right, tuple)
      );
    case "not":
      return !expressionMatches(expression.operand, tuple);
    case "family":
      return tuple.family === expression.family;
    case "protocol":
      return tuple.protocol === expression.protocol;
    case "host": {
      const { address } = expression;
      return sideHolds(expression.side, tuple.source, tuple.destination, (each) =>
        sameAddress(each, address),
      );
    }
    case "net": {
      const { prefix } = expression;
      return sideHolds(expression.side, tuple.source, tuple.destination, (each) =>
        prefixContains(prefix, each),
      );
    }
    case "port": {
      const { first, last } = expression;
      return sideHolds(
        expression.side,
        tuple.sourcePort,
        tuple.destinationPort,
        (each) => first <= each && each <= last,
      );
    }
  }
}

function sideHolds<T>(
  side: Side,
  source: T | undefined,
  destination: T | undefined,
  holds: (value: T) => boolean,
): boolean {
  const inSource = side !== "dst" && source !== undefined && holds(source);
  return inSource || (side !== "src" && destination !== undefined && holds(destination));
}

/** Unwinds the parser; never leaves this file. */
class Refusal extends Error {
  readonly column: number;

  constructor(message: string, column: number) {
    super(message);
    this.column = column;
  }
}

interface Word {
  readonly text: string;
  readonly column: number;
}

/** Nested parentheses and negations; deeper ones are no question a person asks. */
const DEPTH_MAX = 100;
/** Each `or` is a level of the expression, which is walked for every packet. */
const WORDS_MAX = 4096;

/** `and` and `or` have equal precedence and associate to the left, `not` binds tightest: pcap-filter(7). */
class Parser {
  readonly #words: Word[];
  readonly #end: number;
  #next = 0;
  #depth = 0;

  constructor(text: string) {
    this.#words = [...text.matchAll(/[()!]|&&|\|\||[^\s()!&|]+|[&|]/g)].map((match) => ({
      text: match[0],
      column: match.index + 1,
    }));
    this.#end = text.length + 1;
    const beyond = this.#words[WORDS_MAX];
    if (beyond !== undefined) throw new Refusal(`more than ${WORDS_MAX} words`, beyond.column);
  }

  parse(): Expression {
    const expression = this.#sequence();
    const rest = this.#peek();
    if (rest !== undefined) throw new Refusal("expected and, or, or the end", rest.column);
    return expression;
  }

  #sequence(): Expression {
    let left = this.#operand();
    while (true) {
      const kind = this.#operator();
      if (kind === undefined) return left;
      left = { kind, left, right: this.#operand() };
    }
  }

  #operator(): "and" | "or" | undefined {
    if (this.#accept("and") || this.#accept("&&")) return "and";
    if (this.#accept("or") || this.#accept("||")) return "or";
    return undefined;
  }

  #operand(): Expression {
    const { column } = this.#peek() ?? { column: this.#end };
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) throw new Refusal("nested too deeply", column);
    const expression = this.#unnestedOperand();
    this.#depth -= 1;
    return expression;
  }

  #unnestedOperand(): Expression {
    if (this.#accept("not") || this.#accept("!")) return { kind: "not", operand: this.#operand() };
    if (this.#accept("(")) {
      const inner = this.#sequence();
      if (!this.#accept(")")) throw new Refusal("expected )", this.#peek()?.column ?? this.#end);
      return inner;
    }
    const word = this.#take(EXPECTED);
    const primitive = PRIMITIVES.get(word.text);
    if (primitive === undefined) return this.#condition(word);
    // `tcp port 80`: a protocol may stand before a port or host, as in tcpdump.
    if (!/^(src|dst|port|portrange|host|net)$/.test(this.#peek()?.text ?? "")) return primitive;
    return { kind: "and", left: primitive, right: this.#condition(this.#take(EXPECTED)) };
  }

  #condition(first: Word): Expression {
    let side: Side = "either";
    let word = first;
    if (first.text === "src" || first.text === "dst") {
      side = first.text;
      word = this.#take("expected host, net, port, portrange or an address");
      // `src 10.0.0.1` is `src host 10.0.0.1`.
      const address = parseAddress(word.text);
      if (address !== undefined) return { kind: "host", side, address };
    }
    switch (word.text) {
      case "host": {
        const value = this.#take("expected an address");
        const address = parseAddress(value.text);
        if (address === undefined) throw new Refusal("expected an address", value.column);
        return { kind: "host", side, address };
      }
      case "net": {
        const value = this.#take("expected ADDRESS/BITS");
        const parsed = parsePrefix(value.text);
        if (parsed === undefined) throw new Refusal("expected ADDRESS/BITS", value.column);
        return { kind: "net", side, prefix: parsed.prefix };
      }
      case "port": {
        const value = this.#take("expected a port number");
        const port = portOf(value);
        return { kind: "port", side, first: port, last: port };
      }
      case "portrange": {
        const value = this.#take("expected FIRST-LAST");
        const [first, last, more] = value.text.split("-").map((text) => portOf({ ...value, text }));
        if (first === undefined || last === undefined || more !== undefined || first > last) {
          throw new Refusal("expected FIRST-LAST", value.column);
        }
        return { kind: "port", side, first, last };
      }
    }
    throw new Refusal(`"${word.text}" is not supported: ${EXPECTED}`, word.column);
  }

  #peek(): Word | undefined {
    return this.#words[this.#next];
  }

  #accept(text: string): boolean {
    if (this.#peek()?.text !== text) return false;
    this.#next += 1;
    return true;
  }

  #take(expected: string): Word {
    const word = this.#peek();
    if (word === undefined) throw new Refusal(expected, this.#end);
    this.#next += 1;
    return word;
  }
}

function portOf(word: Word): number {
  if (!/^\d{1,5}$/.test(word.text) || Number(word.text) > 65535) {
    throw new Refusal("expected a port number from 0 to 65535", word.column);
  }
  return Number(word.text);
}
