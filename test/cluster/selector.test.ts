import { describe, expect, it } from "vitest";

import { formatSelector, selectorMatches, type Requirement } from "../../src/cluster/selector.ts";

const require = (operator: Requirement["operator"], ...values: string[]): Requirement => ({
  key: "a",
  operator,
  values,
});

describe("selectorMatches", () => {
  // Each row: the requirement, then whether it holds for a=x, a=, and no label a.
  it.each([
    [require("In", "x"), [true, false, false]],
    [require("In", "x", ""), [true, true, false]],
    [require("NotIn", "x"), [false, true, true]],
    [require("Exists"), [true, true, false]],
    [require("DoesNotExist"), [false, false, true]],
  ])("judges %o (K-7)", (requirement, expected) => {
    const labels = [new Map([["a", "x"]]), new Map([["a", ""]]), new Map([["b", "x"]])];
    expect(labels.map((one) => selectorMatches({ requirements: [requirement] }, one))).toEqual(
      expected,
    );
  });

  it("needs every requirement, and chooses everything with none", () => {
    const both = { requirements: [require("In", "x"), require("NotIn", "x")] };
    expect(selectorMatches(both, new Map([["a", "x"]]))).toBe(false);
    expect(selectorMatches({ requirements: [] }, new Map())).toBe(true);
  });
});

describe("formatSelector", () => {
  it.each([
    [[], "<all>"],
    [[require("In", "x"), require("NotIn", "y")], "a=x,a!=y"],
    [[require("In", "x", "y"), require("NotIn", "x", "y")], "a in (x,y),a notin (x,y)"],
    [[require("Exists"), require("DoesNotExist")], "a,!a"],
  ])("prints as kubectl does", (requirements, expected) => {
    expect(formatSelector({ requirements })).toBe(expected);
  });
});
