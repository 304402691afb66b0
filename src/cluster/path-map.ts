/** Values under sequences of keys, of which many begin alike. */

/** What is under a sequence of keys, and where those are that go on from there. */
export class PathMap<Key, Value> {
  #next: Map<Key, PathMap<Key, Value>> | undefined;
  #value: Value | undefined;

  /** One key further. */
  at(key: Key): PathMap<Key, Value> {
    this.#next ??= new Map();
    let next = this.#next.get(key);
    if (next === undefined) {
      next = new PathMap();
      this.#next.set(key, next);
    }
    return next;
  }

  /** What is here, or is made and put here. */
  entry(make: () => Value): Value {
    return (this.#value ??= make());
  }
}
