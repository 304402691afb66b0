/**
 * The rules of a program by their index in the records, which is their chain's first and their place in
 * it. A value is made for those that are asked for: a large cluster has a million rules.
 */
import { isPrinted } from "../tables/model.ts";
import type { Chain, Ruleset, TableName } from "../tables/model.ts";
import type { RuleRef } from "./verdict.ts";

/** A chain of some table, with the index of its first rule. */
export interface PlacedChain {
  readonly ruleset: Ruleset;
  readonly table: TableName;
  readonly chain: Chain;
  readonly first: number;
}

/** Finds rules by index; the end of a chain has the index behind its last rule. */
export class RuleList {
  readonly chains: readonly PlacedChain[];
  /** Records, chain ends included. */
  readonly count: number;
  readonly #made = new Map<number, RuleRef>();

  /** @param before rules that have their indexes already: the others follow behind */
  constructor(rulesets: readonly Ruleset[], before?: RuleList) {
    let first = before?.count ?? 0;
    const chains = rulesets.flatMap((ruleset) =>
      ruleset.tables.flatMap((table) =>
        table.chains.map((chain) => {
          const placed = { ruleset, table: table.name, chain, first };
          first += chain.rules.length + 1;
          return placed;
        }),
      ),
    );
    this.chains = [...(before?.chains ?? []), ...chains];
    this.count = first;
  }

  /** The rule or chain end at an index; undefined for RULE_NONE. The same value each time. */
  find(index: number): RuleRef | undefined {
    if (index < 0 || index >= this.count) return undefined;
    const before = this.#made.get(index);
    if (before !== undefined) return before;
    const { ruleset, table, chain, first } = this.#chainAt(index);
    const rule = chain.rules[index - first];
    const ref = {
      family: ruleset.family,
      table,
      chain: chain.name,
      number: numberOf(chain, index - first),
      rule,
    };
    this.#made.set(index, ref);
    return ref;
  }

  #chainAt(index: number): PlacedChain {
    let low = 0;
    for (let end = this.chains.length; end - low > 1;) {
      const middle = (low + end) >>> 1;
      if ((this.chains[middle]?.first ?? 0) <= index) low = middle;
      else end = middle;
    }
    const placed = this.chains[low];
    if (placed === undefined) throw new Error(`bug: no chain has rule ${index}`);
    return placed;
  }
}

/** The number by which people know a rule: rules that no text has are not counted. */
function numberOf({ rules, partlyPrinted }: Chain, index: number): number {
  if (partlyPrinted !== true) return index + 1;
  return rules.slice(0, index).filter(isPrinted).length + 1;
}
