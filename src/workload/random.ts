/** Seeded draws: the same seed draws the same everywhere. */

/** A source of draws. */
export interface Random {
  /** A whole number from 0 to `count - 1`. */
  below(count: number): number;
  /** True in so many of a hundred cases. */
  percent(chance: number): boolean;
  /** One of them; undefined when there is none. */
  pick<T>(values: readonly T[]): T | undefined;
}

/** Makes a source of draws (the generator called mulberry32). */
export function makeRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x100000000;
  };
  const below = (count: number): number => Math.floor(next() * count);
  return {
    below,
    percent: (chance) => next() * 100 < chance,
    pick: (values) => values[below(values.length)],
  };
}
