/** Entries of maps that are made when they are asked for first. */

/** What is there under a key, or is made and put there. */
export function entryOf<K, V>(entries: Map<K, V>, key: K, make: () => V): V {
  const before = entries.get(key);
  if (before !== undefined) return before;
  const made = make();
  entries.set(key, made);
  return made;
}
