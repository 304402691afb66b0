/** What makes chains the same to whoever compares two programs. */
import { describe, expect, it } from "vitest";

import type { Chain, Rule, Ruleset } from "../../src/tables/model.ts";
import { ACCEPT, DROP, goTo, interfaceIs, jump, makeRule } from "../../src/tables/rule.ts";
import { Interned, takeFingerprints } from "../../src/workload/fingerprint.ts";

const PODS = new Set(["cali1", "cali2"]);

function rulesetOf(
  forward: readonly Rule[],
  ...chains: readonly [string, readonly Rule[]][]
): Ruleset {
  const user = chains.map(([name, rules]): Chain => ({ name, policy: undefined, rules }));
  const builtin: Chain = { name: "FORWARD", policy: "ACCEPT", rules: forward };
  const tables = [{ name: "filter", chains: [builtin, ...user] } as const];
  return { family: 4, backend: "legacy", tables, sets: [] };
}

describe("takeFingerprints", () => {
  it("gives equal chains one number, whatever they are called", () => {
    const interned = new Interned();
    const of = (chain: string, target = ACCEPT) =>
      takeFingerprints(
        rulesetOf(
          [makeRule({ matches: [interfaceIs("out", "cali1")], target: goTo(chain) })],
          [chain, [makeRule({ target })]],
        ),
        PODS,
        interned,
      );
    expect(of("a")).toEqual(of("b"));
    expect(of("a").byInterface.get("cali1")).not.toBe(of("a", DROP).byInterface.get("cali1"));
    expect(of("a").common).toBe(of("a", DROP).common);
  });

  it("has a rule that asks for the interfaces of two endpoints with both, and with no other", () => {
    const interned = new Interned();
    const of = (...rules: readonly Rule[]) => takeFingerprints(rulesetOf(rules), PODS, interned);
    const between = (from: string, to: string): Rule =>
      makeRule({ matches: [interfaceIs("in", from), interfaceIs("out", to)], target: DROP });
    const none = of();
    const both = of(between("cali1", "cali2"));
    expect([...both.byInterface.keys()].sort()).toEqual(["cali1", "cali2"]);
    expect(both.common).toBe(none.common);
    // What else it asks for is not left out.
    const away = of(between("cali1", "eth0"));
    expect(away.byInterface.get("cali1")).not.toBe(both.byInterface.get("cali1"));
    expect(away).not.toEqual(of(between("cali1", "eth1")));
    expect([...away.byInterface.keys()]).toEqual(["cali1"]);
  });

  it("counts rules of no endpoint for all of them", () => {
    const interned = new Interned();
    const of = (rules: readonly Rule[]) =>
      takeFingerprints(rulesetOf([makeRule({ target: jump("a") })], ["a", rules]), PODS, interned);
    const accepting = of([makeRule({ target: ACCEPT })]);
    expect(accepting.common).not.toBe(of([makeRule({ target: DROP })]).common);
    expect(accepting).toEqual(of([makeRule({ comment: "which says nothing", target: ACCEPT })]));
  });
});
