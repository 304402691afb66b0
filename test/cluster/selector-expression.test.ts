import { describe, expect, it } from "vitest";

import { rootField, fieldOf } from "../../src/cluster/fields.ts";
import { LabelIndex } from "../../src/cluster/label-index.ts";
import { parseManifests } from "../../src/cluster/manifest.ts";
import { parseExpression } from "../../src/cluster/parse-expression.ts";
import { readExpression } from "../../src/cluster/read-selector.ts";
import {
  expressionMatches,
  formatExpression,
  necessaryLabels,
  prefixLabels,
  type SelectorExpression,
} from "../../src/cluster/selector-expression.ts";
import { formatDiagnostic } from "../../src/errors.ts";
import { selectorId } from "../../src/tables/names.ts";
import { makeRandom, type Random } from "../random.ts";

function parsed(text: string): SelectorExpression {
  const result = parseExpression(text);
  if ("fault" in result) throw new Error(`${text}: ${result.fault.message}`);
  return result.expression;
}

/** `COLUMN: MESSAGE`, from 1. */
function fault(text: string): string {
  const result = parseExpression(text);
  return "fault" in result
    ? `${result.fault.at + 1}: ${result.fault.message}`
    : formatExpression(result.expression);
}

describe("parseExpression", () => {
  // Each row: the text, then its canonical text (L-1, L-4).
  it.each([
    ["", "all()"],
    [" \t", "all()"],
    [" all() ", "all()"],
    ["(all())", "all()"],
    ["all( \t)", "all()"],
    ["global( )", "global()"],
    ["! (has( b)||! has(a ))", "!(has(b) || !has(a))"],
    ["!!has(a)", "has(a)"],
    ["!!!has(a)", "!has(a)"],
    ["!(!has(a))", "!!has(a)"],
    ["a=='b'", 'a == "b"'],
    ["a == 'say \"b\"'", "a == 'say \"b\"'"],
    ['a == "it\'s"', 'a == "it\'s"'],
    ["a != ''", 'a != ""'],
    ["a contains 'b'", 'a contains "b"'],
    ["a contains'b'", 'a contains "b"'],
    ["a starts with 'b'", 'a starts with "b"'],
    ["a startswith 'b'", 'a starts with "b"'],
    ["a ends \t with 'b'", 'a ends with "b"'],
    ["a in {'c','b' , 'c',}", 'a in {"b", "c"}'],
    ["a in{}", "a in {}"],
    ["a notin {'b'}", 'a not in {"b"}'],
    ["a not  in { }", "a not in {}"],
    ["a in {'\u{1f600}', '\uffff'}", 'a in {"\uffff", "\u{1f600}"}'],
    ["in in {'in'}", 'in in {"in"}'],
    ["not == 'x'", 'not == "x"'],
    ["contains contains 'contains'", 'contains contains "contains"'],
    ["has == 'x' && all != 'y'", '(has == "x" && all != "y")'],
    ["a.b/c-d_E9 == 'x'", 'a.b/c-d_E9 == "x"'],
    ["a == 'x' && b == 'y' || c == 'z'", '((a == "x" && b == "y") || c == "z")'],
    ["has(a) || has(b) && has(c)", "(has(a) || (has(b) && has(c)))"],
    ["(has(a) && has(b)) && (has(c))", "((has(a) && has(b)) && has(c))"],
    ["has(a)&&has(b)&&has(c)", "(has(a) && has(b) && has(c))"],
    ["a == 'multi\nline'", 'a == "multi\nline"'],
  ])("reads %j", (text, canonical) => {
    expect(formatExpression(parsed(text))).toBe(canonical);
  });

  it.each([
    ["a", '2: expected an operator such as "==" behind the label, not the end'],
    ["a = 'b'", '3: expected "==", not "="'],
    ["a == b", '6: expected a string in quotes, not "b"'],
    ["a == 'b", "6: the string has no end"],
    ["a == 'b' && ", '13: expected a label, "has(", "all()", "!" or "(", not the end'],
    ["a == 'b' & c", '10: expected "&&", "||" or the end, not "&"'],
    ["a == 'b' c == 'd'", '10: expected "&&", "||" or the end, not "c"'],
    ["(a == 'b'", '10: expected ")", not the end'],
    ["a == 'b')", '9: expected "&&", "||" or the end, not ")"'],
    ["has (a)", '5: "has(" is one word, without a blank'],
    ["has()", '5: expected a label, not ")"'],
    ["has(a", '6: expected ")", not the end'],
    ["a in 'b'", '6: expected "{", not "\'"'],
    ["a in {'b' 'c'}", '11: expected "}", not "\'"'],
    ["a in {,}", '7: expected a string in quotes, not ","'],
    ["a inside {'b'}", '3: expected an operator such as "==" behind the label, not "i"'],
    ["a starts 'b'", '3: expected an operator such as "==" behind the label, not "s"'],
    ["all()\n", '6: expected "&&", "||" or the end, not "\n"'],
    ["\u{1f600} == 'x'", '1: expected a label, "has(", "all()", "!" or "(", not "\u{1f600}"'],
    [`${"a".repeat(513)} == 'x'`, "1: a label has at most 512 characters"],
    [`${"(".repeat(201)}all()`, "201: parentheses are nested more than 200 deep"],
  ])("refuses %j", (text, message) => {
    expect(fault(text)).toBe(message);
  });

  it("takes time that grows with the text", () => {
    const many = "!".repeat(200_000) + "has(a)";
    expect(fault(many)).toBe("has(a)");
    expect(fault(Array(50_000).fill("a in {'b'}").join("||"))).toHaveLength(50_000 * 14 - 2);
  });

  it("names sets as Calico does", () => {
    expect(selectorId(formatExpression(parsed(" all() ")))).toBe(
      "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug",
    );
    expect(selectorId(formatExpression(parsed("! (has( b)||! has(a ))")))).toBe(
      "s:Iss0uCleLYv1GSv_pNm7hAO58kE9jAx1NKyG3Q",
    );
  });
});

describe("expressionMatches", () => {
  // Each row: the selector, then whether it chooses a=xyz, a=, and no label a (L-2).
  it.each([
    ["a == 'xyz'", [true, false, false]],
    ["a != 'xyz'", [false, true, true]],
    ["a contains 'y'", [true, false, false]],
    ["a contains ''", [true, true, false]],
    ["a starts with 'x'", [true, false, false]],
    ["a starts with 'y'", [false, false, false]],
    ["a ends with 'z'", [true, false, false]],
    ["a in {'xyz', ''}", [true, true, false]],
    ["a in {}", [false, false, false]],
    ["a not in {'xyz'}", [false, true, true]],
    ["a not in {}", [true, true, true]],
    ["has(a)", [true, true, false]],
    ["!has(a)", [false, false, true]],
    ["a == 'XYZ'", [false, false, false]],
    ["all()", [true, true, true]],
    ["global()", [true, true, true]],
  ])("judges %s", (text, expected) => {
    const labels = [new Map([["a", "xyz"]]), new Map([["a", ""]]), new Map([["b", "xyz"]])];
    expect(labels.map((one) => expressionMatches(parsed(text), one))).toEqual(expected);
  });
});

describe("prefixLabels", () => {
  it("changes every label and nothing else", () => {
    const text = "all() && !(a == 'a' || !has(b)) && c in {'c'}";
    expect(formatExpression(prefixLabels(parsed(text), "pcns."))).toBe(
      '(all() && !(pcns.a == "a" || !has(pcns.b)) && pcns.c in {"c"})',
    );
  });
});

describe("readExpression", () => {
  const said = (yaml: string): string[] => {
    const diagnostics: string[] = [];
    const text = `apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n${yaml}\n`;
    const [object] = parseManifests([{ file: "a.yaml", text }], (one) =>
      diagnostics.push(formatDiagnostic(one)),
    );
    readExpression(
      fieldOf(
        rootField(object!, (one) => diagnostics.push(formatDiagnostic(one))),
        "s",
      ),
    );
    return diagnostics;
  };

  it.each([
    ["s: a = 'b'", 'a.yaml:4:6: error: s: expected "==", not "=" [BAD_SELECTOR]'],
    [
      "s: 'a == ''b'' &'",
      'a.yaml:4:16: error: s: expected "&&", "||" or the end, not "&" [BAD_SELECTOR]',
    ],
    [
      's: "a == \\"b\\" &"',
      'a.yaml:4:16: error: s: expected "&&", "||" or the end, not "&" [BAD_SELECTOR]',
    ],
    ["s: |\n  a = 'b'", 'a.yaml:4:4: error: s: expected "==", not "=" [BAD_SELECTOR]'],
    [
      "s: has(a) && global()",
      "a.yaml:4:14: error: s: global() is for a rule's namespaceSelector [BAD_SELECTOR]",
    ],
    ['s: "\\u0061 = x"', 'a.yaml:4:12: error: s: expected "==", not "=" [BAD_SELECTOR]'],
    ["s: a == 'b'", undefined],
    ["s: &x a = 'b'", 'a.yaml:4:9: error: s: expected "==", not "=" [BAD_SELECTOR]'],
  ])("points at the character in %j", (yaml, message) => {
    expect(said(yaml)).toEqual(message === undefined ? [] : [message]);
  });
});

// ── Against random selectors ─────────────────────────────────────────────────────────────────────────

const LABELS = ["a", "b", "in", "a.b/c"];
const VALUES = ["", "x", "xy", "yx", 'q"q', "it's"];

function randomExpression(random: Random, depth: number): SelectorExpression {
  const kinds = ["all", "has", "compare", "in", "not", "and", "or"] as const;
  const kind = random.pick(depth > 0 ? kinds : kinds.slice(0, 4));
  const label = random.pick(LABELS);
  switch (kind) {
    case "all":
      return { kind };
    case "has":
      return { kind, label };
    case "compare": {
      const operators = ["==", "!=", "contains", "starts with", "ends with"] as const;
      return { kind, label, operator: random.pick(operators), value: random.pick(VALUES) };
    }
    case "in": {
      const values = VALUES.filter(() => random.chance(0.4)).toSorted();
      return { kind, label, values: new Set(values), invert: random.chance(0.5) };
    }
    case "not": {
      const operand = randomExpression(random, depth - 1);
      return operand.kind === "not" ? operand : { kind, operand };
    }
    case "and":
    case "or": {
      const count = 2 + random.below(2);
      const operands = Array.from({ length: count }, () => randomExpression(random, depth - 1));
      return { kind, operands };
    }
  }
}

/** A second evaluator, over sets: which of the numbered labels an expression chooses. */
function choose(expression: SelectorExpression, all: readonly Map<string, string>[]): Set<number> {
  const every = new Set(all.keys());
  const without = (some: Set<number>): Set<number> =>
    new Set([...every].filter((one) => !some.has(one)));
  const having = (label: string, holds: (value: string) => boolean): Set<number> =>
    new Set([...every].filter((one) => all[one]!.has(label) && holds(all[one]!.get(label)!)));
  switch (expression.kind) {
    case "all":
      return every;
    case "global":
      throw new Error("not drawn");
    case "has":
      return having(expression.label, () => true);
    case "compare": {
      const { label, operator, value } = expression;
      const equal = having(label, (own) => own === value);
      const at = (place: (own: string) => number) =>
        having(label, (own) => own.indexOf(value, place(own)) === Math.max(0, place(own)));
      return {
        "==": () => equal,
        "!=": () => without(equal),
        contains: () => having(label, (own) => own.indexOf(value) !== -1),
        "starts with": () => at(() => 0),
        "ends with": () => at((own) => own.length - value.length),
      }[operator]();
    }
    case "in": {
      const values = [...expression.values];
      const listed = having(expression.label, (own) => values.indexOf(own) !== -1);
      return expression.invert ? without(listed) : listed;
    }
    case "not":
      return without(choose(expression.operand, all));
    case "and":
      return expression.operands
        .map((one) => choose(one, all))
        .reduce((one, other) => new Set([...one].filter((number) => other.has(number))));
    case "or":
      return expression.operands
        .map((one) => choose(one, all))
        .reduce((one, other) => new Set([...one, ...other]));
  }
}

describe("random selectors", () => {
  it("are what their canonical text says, and choose what a second evaluator chooses", () => {
    const random = makeRandom(5);
    const endpoints = Array.from({ length: 60 }, () => ({
      labels: new Map(
        LABELS.filter(() => random.chance(0.6)).map((label) => [label, random.pick(VALUES)]),
      ),
    }));
    const labels = endpoints.map((endpoint) => endpoint.labels);
    const index = new LabelIndex(endpoints);
    for (let round = 0; round < 3000; round++) {
      const expression = randomExpression(random, 4);
      const text = formatExpression(expression);
      expect(parsed(text)).toEqual(expression);
      const numbers = choose(expression, labels);
      const wanted = endpoints.filter((_, number) => numbers.has(number));
      const chosen = endpoints.filter(({ labels }) => expressionMatches(expression, labels));
      expect(chosen, text).toEqual(wanted);
      const candidates = new Set(index.candidates(necessaryLabels(expression)));
      expect(
        wanted.filter((endpoint) => !candidates.has(endpoint)),
        text,
      ).toEqual([]);
    }
  });
});
