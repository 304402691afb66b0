import { describe, expect, it } from "vitest";
import { PathMap } from "../../src/cluster/path-map.ts";

describe("PathMap", () => {
  it("makes a value once for each sequence of keys", () => {
    const map = new PathMap<string, number>();
    let made = 0;
    const paths = ["", "a", "ab", "ac", "ad", "b", "ba", "abc"];
    const ask = (path: string): number =>
      [...path].reduce((place, key) => place.at(key), map).entry(() => (made += 1));
    const first = paths.map(ask);
    expect(new Set(first).size).toBe(paths.length);
    expect(paths.map(ask)).toEqual(first);
  });
});
