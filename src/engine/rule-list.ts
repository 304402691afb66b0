/**
 * The rules of a program by their index in the records, which is their chain's first and their place in
 * it. A value is made for those that are asked for: a large cluster has a million rules.
 */
import { isPrinted } from "../tables/model.ts";
import type { Chain, Ruleset, TableName } from "../tables/model.ts";
import type { RuleRef } from "./verdict.ts";

/** The chains of a table, and the index of the first rule of each. */
export interface PlacedTable {
  readonly ruleset: Ruleset;
  readonly name: TableName;
  readonly chains: readonly Chain[];
  readonly firsts: Uint32Array;
}

/** Finds rules by index; the end of a chain has the index behind its last rule. */
export class RuleList {
  readonly tables: readonly PlacedTable[];
  /** Records, chain ends included. */
  readonly count: number;
  readonly #made = new Map<number, RuleRef>();

  /** @param before rules that have their indexes already: the others follow behind */
  constructor(rulesets: readonly Ruleset[], before?: RuleList) {
    let count = before?.count ?? 0;
    const tables = rulesets.flatMap((ruleset) =>
      ruleset.tables.map(({ name, chains }): PlacedTable => {
        const firsts = new Uint32Array(chains.length);
        chains.forEach(({ rules }, at) => {
          firsts[at] = count;
          count += rules.length + 1;
        });
        // Who compiles again may change the list.
        return { ruleset, name, chains: [...chains], firsts };
      }),
    );
    this.tables = [...(before?.tables ?? []), ...tables];
    this.count = count;
  }

  /** The rule or chain end at an index; undefined for RULE_NONE. The same value each time. */
  find(index: number): RuleRef | undefined {
    if (index < 0 || index >= this.count) return undefined;
    const before = this.#made.get(index);
    if (before !== undefined) return before;
    const { ruleset, name, chains, firsts } = this.#tableOf(index);
    const at = placeBefore(firsts, index);
    const chain = chains[at];
    const first = firsts[at];
    if (chain === undefined || first === undefined)
      throw new Error(`bug: no chain has rule ${index}`);
    const ref = {
      family: ruleset.family,
      table: name,
      chain: chain.name,
      owner: chain.owner,
      number: numberOf(chain, index - first),
      rule: chain.rules[index - first],
    };
    this.#made.set(index, ref);
    return ref;
  }

  #tableOf(index: number): PlacedTable {
    const table = this.tables.findLast(
      ({ firsts: [first] }) => first !== undefined && first <= index,
    );
    if (table === undefined) throw new Error(`bug: no table has rule ${index}`);
    return table;
  }
}

/** The place of the last of ascending numbers that is not behind one. */
function placeBefore(numbers: Uint32Array, one: number): number {
  let low = 0;
  for (let end = numbers.length; end - low > 1;) {
    const middle = (low + end) >>> 1;
    if ((numbers[middle] ?? 0) <= one) low = middle;
    else end = middle;
  }
  return low;
}

/** The number by which people know a rule: rules that no text has are not counted. */
function numberOf({ rules, partlyPrinted }: Chain, index: number): number {
  if (partlyPrinted !== true) return index + 1;
  return rules.slice(0, index).filter(isPrinted).length + 1;
}
