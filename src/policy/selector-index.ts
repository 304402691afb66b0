/**
 * The other way round than the endpoint index: what is kept under selectors, by an endpoint that they may
 * choose. Only those are left out of whom the namespace or one label says that they do not.
 */
import type { Endpoint } from "../cluster/snapshot.ts";
import type { EndpointSelector } from "./model.ts";

/** Things by their selectors. */
export class SelectorIndex<T> {
  readonly #things = new Map<string, Set<T>>();

  add(selector: EndpointSelector | undefined, thing: T): void {
    const key = keyOf(selector);
    const before = this.#things.get(key);
    if (before === undefined) this.#things.set(key, new Set([thing]));
    else before.add(thing);
  }

  /** Forgets what was added under this selector. */
  remove(selector: EndpointSelector | undefined, thing: T): void {
    this.#things.get(keyOf(selector))?.delete(thing);
  }

  /** What the selectors of an endpoint may be, each once. */
  *candidates({ namespace, labels }: Endpoint): Generator<T> {
    for (const where of [namespace, ANYWHERE]) {
      yield* this.#things.get(where) ?? [];
      for (const [key, value] of labels) {
        yield* this.#things.get(withLabel(where, key, value)) ?? [];
      }
    }
  }
}

/** No namespace is called so. */
const ANYWHERE = "";

/** The namespace, and the first label that must have one value. */
function keyOf(selector: EndpointSelector | undefined): string {
  if (selector?.kind !== "labels") return ANYWHERE;
  const { namespace = ANYWHERE, podSelector } = selector;
  for (const { key, operator, values } of podSelector?.requirements ?? []) {
    const [value] = values;
    if (operator !== "In" || values.length !== 1 || value === undefined) continue;
    return withLabel(namespace, key, value);
  }
  return namespace;
}

/** Neither a namespace nor the key of a label has the characters between. */
function withLabel(namespace: string, key: string, value: string): string {
  return `${namespace},${key}=${value}`;
}
