/**
 * Things by their labels, so that a selector is tried on the few that it could choose and not on all.
 * Whether it does choose them is for `selectorMatches` to say.
 */
import type { LabelSelector } from "./selector.ts";

/** Finds by labels what it was made of. */
export class LabelIndex<T extends { readonly labels: Iterable<readonly [string, string]> }> {
  readonly #all: T[] = [];
  readonly #byValueByKey = new Map<string, Map<string, T[]>>();

  constructor(all: readonly T[]) {
    for (const one of all) this.add(one);
  }

  add(one: T): void {
    this.#all.push(one);
    for (const [key, value] of one.labels) addTo(entryOf(this.#byValueByKey, key), value, one);
  }

  /**
   * Those that a selector may choose, each once, and others; in no particular order. No selector, and one
   * without requirements: all.
   */
  candidates(selector: LabelSelector | undefined): readonly T[] {
    let fewest: readonly T[] = this.#all;
    for (const { key, operator, values } of selector?.requirements ?? []) {
      if (operator !== "In") continue;
      const byValue = this.#byValueByKey.get(key);
      const lists = [...new Set(values)].map((value) => byValue?.get(value) ?? NONE);
      const count = lists.reduce((sum, list) => sum + list.length, 0);
      if (count >= fewest.length) continue;
      const [only] = lists;
      fewest = only !== undefined && lists.length === 1 ? only : lists.flat();
    }
    return fewest;
  }
}

const NONE: readonly never[] = [];

function entryOf<T>(maps: Map<string, Map<string, T[]>>, key: string): Map<string, T[]> {
  const before = maps.get(key);
  if (before !== undefined) return before;
  const made = new Map<string, T[]>();
  maps.set(key, made);
  return made;
}

function addTo<T>(lists: Map<string, T[]>, key: string, one: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [one]);
  else list.push(one);
}
