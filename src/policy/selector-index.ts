/**
 * The other way round than the endpoint index: what is kept under selectors, by an endpoint that they may
 * choose. Only those are left out of whom the namespace or one label says that they do not.
 */
import type { Endpoint } from "../cluster/snapshot.ts";
import type { EndpointSelector } from "./model.ts";

/** Things by their selectors. */
export class SelectorIndex<T> {
  readonly #byNamespace = new Map<string, Set<T>>();
  readonly #byLabel = new Map<string, Set<T>>();
  readonly #others = new Set<T>();

  add(selector: EndpointSelector | undefined, thing: T): void {
    this.#listOf(selector).add(thing);
  }

  /** Forgets what was added under this selector. */
  remove(selector: EndpointSelector | undefined, thing: T): void {
    this.#listOf(selector).delete(thing);
  }

  /** What the selectors of an endpoint may be, each once. */
  *candidates({ namespace, labels }: Endpoint): Generator<T> {
    yield* this.#byNamespace.get(namespace) ?? [];
    for (const [key, value] of labels) yield* this.#byLabel.get(labelKey(key, value)) ?? [];
    yield* this.#others;
  }

  #listOf(selector: EndpointSelector | undefined): Set<T> {
    if (selector?.kind !== "labels") return this.#others;
    if (selector.namespace !== undefined) return setOf(this.#byNamespace, selector.namespace);
    for (const { key, operator, values } of selector.podSelector?.requirements ?? []) {
      const [value] = values;
      if (operator !== "In" || values.length !== 1 || value === undefined) continue;
      return setOf(this.#byLabel, labelKey(key, value));
    }
    return this.#others;
  }
}

/** No key of a label has the character between. */
function labelKey(key: string, value: string): string {
  return `${key}=${value}`;
}

function setOf<T>(sets: Map<string, Set<T>>, key: string): Set<T> {
  const before = sets.get(key);
  if (before !== undefined) return before;
  const made = new Set<T>();
  sets.set(key, made);
  return made;
}
