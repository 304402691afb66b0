/** `-m u32`: bytes of the packet, calculated with and compared. */
import { MATCH_U32, U32_AND, U32_AT, U32_LEFT, U32_RIGHT } from "../../assembly/layout.ts";
import { bang, RuleError } from "./extension.ts";
import type { Invertible, MatchExtension, OptionUse } from "./extension.ts";
import { needUse, parseLongNumber, wordOf } from "./words.ts";

/** All tests must hold. */
export interface U32Match extends Invertible {
  readonly kind: "u32";
  readonly tests: readonly U32Test[];
}

interface U32Test {
  /** Where the first 32 bits are, from the IP header on. */
  readonly position: number;
  readonly operations: readonly { readonly sign: keyof typeof SIGNS; readonly number: number }[];
  /** Any of these; inclusive. */
  readonly values: readonly { readonly first: number; readonly last: number }[];
}

const SIGNS = { "&": U32_AND, "<<": U32_LEFT, ">>": U32_RIGHT, "@": U32_AT } as const;

/** > XT_U32_MAXSIZE: tests, numbers and values. */
const MOST = 10;

/** `-m u32 [!] --u32 TESTS`. */
export const u32Match: MatchExtension<U32Match> = {
  kind: "u32",
  id: MATCH_U32,
  modules: [
    {
      name: "u32",
      options: { "--u32": 1 },
      parse(options) {
        const use = needUse(options, "--u32");
        return { kind: "u32", tests: new TestReader(use).tests(), invert: use.invert };
      },
    },
  ],
  render(match) {
    const tests = match.tests.map(({ position, operations, values }) => {
      const calculated = operations.map(({ sign, number }) => `${sign}${hex(number)}`).join("");
      const compared = values.map(({ first, last }) =>
        first === last ? hex(first) : `${hex(first)}:${hex(last)}`,
      );
      return `${hex(position)}${calculated}=${compared.join(",")}`;
    });
    return `-m u32 ${bang(match)}--u32 "${tests.join("&&")}"`;
  },
  /**
   * Tests u32, then each: operations u8, values u8, 0 u16, position u32; operations times U32_* u32 and
   * number u32; values times first u32 and last u32.
   */
  pack({ tests }, writer) {
    writer.u32(tests.length);
    for (const { position, operations, values } of tests) {
      writer.u8(operations.length);
      writer.u8(values.length);
      writer.u16(0);
      writer.u32(position);
      for (const { sign, number } of operations) {
        writer.u32(SIGNS[sign]);
        writer.u32(number);
      }
      for (const { first, last } of values) {
        writer.u32(first);
        writer.u32(last);
      }
    }
  },
};

function hex(number: number): string {
  return `0x${number.toString(16)}`;
}

/** Reads `POSITION [SIGN NUMBER]... = VALUE[:VALUE][,...] [&& ...]`, with spaces anywhere between. */
class TestReader {
  readonly #use: OptionUse;
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(use: OptionUse) {
    this.#use = use;
    const text = wordOf(use);
    this.#tokens = text.match(/&&|<<|>>|[&@=:,]|[0-9a-fx]+|\S/gi) ?? [];
  }

  tests(): U32Test[] {
    const tests = [this.#test()];
    while (this.#take("&&")) tests.push(this.#test());
    if (this.#at < this.#tokens.length) this.#fail("&&");
    this.#refuseMany(tests.length, "tests");
    return tests;
  }

  #test(): U32Test {
    const position = this.#number();
    const operations: U32Test["operations"][number][] = [];
    for (let sign = this.#sign(); sign !== undefined; sign = this.#sign()) {
      const number = this.#number();
      if (number > 31 && (sign === "<<" || sign === ">>")) this.#fail("a shift of at most 31");
      operations.push({ sign, number });
    }
    if (!this.#take("=")) this.#fail("=");
    const values = [this.#value()];
    while (this.#take(",")) values.push(this.#value());
    this.#refuseMany(operations.length + 1, "numbers");
    this.#refuseMany(values.length, "values");
    return { position, operations, values };
  }

  #sign(): keyof typeof SIGNS | undefined {
    return (["&", "<<", ">>", "@"] as const).find((sign) => this.#take(sign));
  }

  #value(): { first: number; last: number } {
    const first = this.#number();
    return { first, last: this.#take(":") ? this.#number() : first };
  }

  #number(): number {
    const text = this.#tokens[this.#at] ?? "";
    const value = parseLongNumber(text);
    if (value === undefined || value > 0xffff_ffffn) return this.#fail("a number of 32 bits");
    this.#at += 1;
    return Number(value);
  }

  #take(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false;
    this.#at += 1;
    return true;
  }

  #refuseMany(count: number, what: string): void {
    if (count > MOST) throw new RuleError(`--u32 has at most ${MOST} ${what}`, this.#use);
  }

  #fail(expected: string): never {
    const found = this.#tokens[this.#at];
    const place = found === undefined ? "at its end" : `in front of ${found}`;
    throw new RuleError(`--u32: expected ${expected} ${place}`, this.#use);
  }
}
