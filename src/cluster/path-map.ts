/** Values under sequences of keys, of which many begin alike. */

/** What is under a sequence of keys, and where those are that go on from there. */
export class PathMap<Key, Value> {
  // Most have one that goes on, if any.
  #key: Key | undefined;
  #next: PathMap<Key, Value> | undefined;
  #others: Map<Key, PathMap<Key, Value>> | undefined;
  #value: Value | undefined;

  /** One key further, which is there from now on. */
  at(key: Key): PathMap<Key, Value> {
    if (this.#next === undefined) {
      this.#key = key;
      this.#next = new PathMap();
    }
    if (this.#key === key) return this.#next;
    this.#others ??= new Map();
    let other = this.#others.get(key);
    if (other === undefined) {
      other = new PathMap();
      this.#others.set(key, other);
    }
    return other;
  }

  /** What is here, or is made and put here; `undefined` is nothing. */
  entry(make: () => Value): Value {
    return (this.#value ??= make());
  }
}
