/** Makes a failing example small: takes list items out, one by one, as long as it goes on failing. */

/**
 * Shrinks plain data. What is tried need not be valid: `fails` says no to it.
 *
 * @returns the smallest example found; no single item can be taken out of it
 */
export async function shrink<T>(start: T, fails: (candidate: T) => Promise<boolean>): Promise<T> {
  let best = start;
  let smaller = true;
  while (smaller) {
    smaller = false;
    for (const path of listItems(best).toReversed()) {
      const candidate = without(best, path);
      if (candidate !== undefined && (await fails(candidate).catch(() => false))) {
        best = candidate;
        smaller = true;
      }
    }
  }
  return best;
}

type Path = readonly (string | number)[];

/** The paths of all items of all lists, outer ones first. */
function listItems(value: unknown, path: Path = []): Path[] {
  if (Array.isArray(value)) {
    const items = [...value.keys()].map((index) => [...path, index]);
    return [...items, ...value.flatMap((item, index) => listItems(item, [...path, index]))];
  }
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => listItems(item, [...path, key]));
}

/** A copy without one item; undefined when the item is gone already. */
function without<T>(value: T, path: Path): T | undefined {
  const copy = structuredClone(value);
  let list: unknown = copy;
  for (const step of path.slice(0, -1)) {
    list = (list as Record<string | number, unknown> | undefined)?.[step];
  }
  const index = Number(path.at(-1));
  if (!Array.isArray(list) || index >= list.length) return undefined;
  list.splice(index, 1);
  return copy;
}
