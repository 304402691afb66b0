/** Values under sequences of keys, of which many begin alike. */

interface PathNode<Key, Value> {
  next: Map<Key, PathNode<Key, Value>> | undefined;
  value: Value | undefined;
}

/** A map whose keys are sequences of others. */
export class PathMap<Key, Value> {
  readonly #root: PathNode<Key, Value> = { next: undefined, value: undefined };

  /** What is there under a path, or is made and put there. */
  entry(path: Iterable<Key>, make: () => Value): Value {
    let node = this.#root;
    for (const key of path) {
      node.next ??= new Map();
      let next = node.next.get(key);
      if (next === undefined) {
        next = { next: undefined, value: undefined };
        node.next.set(key, next);
      }
      node = next;
    }
    return (node.value ??= make());
  }
}
