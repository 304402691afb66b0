/** Seeded numbers, for everything that tests draw. */

/** A source of numbers that is the same for the same seed. */
export interface Random {
  /** From 0 up to but not including `end`. */
  below(end: number): number;
  chance(probability: number): boolean;
  pick<T>(values: readonly T[]): T;
  /** Up to `most` different values, at least `least`. */
  some<T>(values: readonly T[], least: number, most: number): T[];
}

/** Makes a source of numbers. Source: the mulberry32 generator. */
export function makeRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x100000000;
  };
  const random: Random = {
    below: (end) => Math.floor(next() * end),
    chance: (probability) => next() < probability,
    pick: (values) => values[Math.floor(next() * values.length)]!,
    some: (values, least, most) => {
      const rest = [...values];
      const count = Math.min(rest.length, least + random.below(most - least + 1));
      return Array.from({ length: count }, () => rest.splice(random.below(rest.length), 1)[0]!);
    },
  };
  return random;
}
