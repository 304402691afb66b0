/** The hashes that a real node's rules have, which ours have where they are the same. */
import { describe, expect, it } from "vitest";

import { renderIptables } from "../../src/tables/iptables.ts";
import { withRuleHashes } from "../../src/tables/rule-hash.ts";
import { makeRule, ACCEPT } from "../../src/tables/rule.ts";
import type { Ruleset } from "../../src/tables/model.ts";
import { dumpText, haveDumps } from "../dump/corpus.ts";
import { compileObjects } from "../judge.ts";

/** Hash by table, chain and position, of the rules that have one. */
function hashesOf(text: string, chains: RegExp): string[] {
  let table = "";
  return text.split("\n").flatMap((line) => {
    if (line.startsWith("*")) table = line.slice(1);
    const [, chain = "", hash = ""] = /^-A (\S+) .*?"cali:([\w-]{16})"/.exec(line) ?? [];
    return hash !== "" && chains.test(`${table}:${chain}`) ? [`${table}:${chain} ${hash}`] : [];
  });
}

/** Chains that do not hang on how nodes are tied together, which is why others have rules more there. */
const SAME =
  /^(mangle:(cali-)?(PREROUTING|POSTROUTING)|raw:(PREROUTING|OUTPUT)|filter:(INPUT|FORWARD|OUTPUT|cali-(FORWARD|wl-to-host|from-wl-dispatch|to-wl-dispatch)))$/;

describe("withRuleHashes", () => {
  it.skipIf(!haveDumps())("gives the hashes of a real node's rules", () => {
    const [four] = compileObjects([]).rulesets;
    const ours = hashesOf(renderIptables(withRuleHashes(four)), SAME);
    const real = hashesOf(dumpText("calico/felix/fv/cali-iptables-dump.txt"), SAME);
    expect(ours.toSorted()).toEqual(real.toSorted());
    expect(real).toHaveLength(27);
  });

  it("leaves the rules of others alone", () => {
    const rules = [makeRule({ target: ACCEPT })];
    const ruleset: Ruleset = {
      family: 4,
      backend: "legacy",
      tables: [{ name: "filter", chains: [{ name: "KUBE-FORWARD", policy: undefined, rules }] }],
      sets: [],
    };
    expect(withRuleHashes(ruleset)).toEqual(ruleset);
  });
});
