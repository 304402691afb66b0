/** Where everything in a file begins: integers in one array, as there are as many as values and keys. */

/** A value, and its entry among the offsets. */
export interface PlainNode {
  readonly value: unknown;
  readonly entry: number;
}

/**
 * Where every value begins, and every key. The entry of what is neither map nor list is its offset. That of a map or
 * list is below 0 and says where its own are: its offset, then of each member the key's and the value's entry, or of
 * each item its entry.
 */
export class PlainOffsets {
  #entries: Int32Array;
  /** From 1: minus 0 is not below 0. */
  #count = 1;
  /** Entries of the values on the way here, and of those in maps and lists that are not complete. */
  #open = new Int32Array(1024);
  #noted = 0;
  /** Keys as written, of maps whose keys an object keeps in another order. */
  readonly #keys = new Map<object, readonly string[]>();

  /** @param byteLength bytes of the text, of which few have an entry: room that is not touched costs nothing */
  constructor(byteLength: number) {
    this.#entries = new Int32Array(Math.max(1024, byteLength >>> 3));
  }

  /** The value at the end of a path; where there is none, undefined with the entry of the nearest outer one. */
  find(node: PlainNode, path: readonly (string | number)[]): PlainNode {
    let { value, entry } = node;
    for (const step of path) {
      const place = this.#placeOf(value, entry, step);
      if (place < 0) return { value: undefined, entry };
      entry = this.#entries[place] ?? 0;
      value = (value as Readonly<Record<string | number, unknown>>)[step];
    }
    return { value, entry };
  }

  /** The offset of the first character. */
  offsetOf({ entry }: PlainNode): number {
    return entry < 0 ? (this.#entries[-entry] ?? 0) : entry;
  }

  /** The offset of the key that a path ends with; undefined where there is none. */
  ofKey(node: PlainNode, path: readonly (string | number)[]): number | undefined {
    const last = path.at(-1);
    if (typeof last !== "string") return undefined;
    const { value, entry } = this.find(node, path.slice(0, -1));
    const place = this.#placeOf(value, entry, last);
    return place < 0 ? undefined : this.#entries[place - 1];
  }

  /** How many entries there are of what is not complete: the slot of the next. */
  get noted(): number {
    return this.#noted;
  }

  /** Notes where a value or key begins. @returns its slot, until what it is in is complete */
  note(offset: number): number {
    const slot = this.#noted;
    if (slot === this.#open.length) this.#open = grown(this.#open, slot + 1);
    this.#open[slot] = offset;
    this.#noted = slot + 1;
    return slot;
  }

  /** Notes that the value of a slot begins elsewhere. */
  move(slot: number, offset: number): void {
    this.#open[slot] = offset;
  }

  /** Takes back what was noted last. @returns the entry of the value that began there */
  take(): number {
    this.#noted -= 1;
    return this.#open[this.#noted] ?? 0;
  }

  /** Behind a map or list, which has what was noted from a slot on, and its own offset in the slot before. */
  complete(first: number): void {
    const start = this.#count;
    const end = start + this.#noted - first + 1;
    if (end > this.#entries.length) this.#entries = grown(this.#entries, end);
    const entries = this.#entries;
    const open = this.#open;
    for (let at = start; at < end; at++) entries[at] = open[first - 1 + at - start] ?? 0;
    this.#count = end;
    open[first - 1] = -start;
    this.#noted = first;
  }

  /** Notes the keys of a map as written. */
  addKeys(container: object, keys: readonly string[]): void {
    this.#keys.set(container, keys);
  }

  /** Where the entry of a member or an item is; below 0 where there is none. */
  #placeOf(container: unknown, entry: number, step: string | number): number {
    if (Array.isArray(container)) {
      const there = typeof step === "number" && step >= 0 && step < container.length;
      return there ? 1 - entry + step : -1;
    }
    if (typeof step !== "string" || typeof container !== "object" || container === null) return -1;
    const index = this.#keys.get(container)?.indexOf(step) ?? indexOfKey(container, step);
    return index < 0 ? -1 : 2 - entry + 2 * index;
  }
}

function grown(entries: Int32Array, needed: number): Int32Array<ArrayBuffer> {
  const more = new Int32Array(Math.max(2 * entries.length, needed));
  more.set(entries);
  return more;
}

function indexOfKey(record: object, wanted: string): number {
  let index = 0;
  for (const key in record) {
    if (key === wanted) return index;
    index += 1;
  }
  return -1;
}
