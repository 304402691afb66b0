/**
 * Finds the endpoints that policies and peers mean, without trying each policy on each endpoint. Who is
 * meant is decided by `selectsEndpoint`; here only those are left out of whom one
 * label says that they are not.
 */
import { LabelIndex } from "../cluster/label-index.ts";
import { selectorMatches, type LabelSelector } from "../cluster/selector.ts";
import type { Endpoint, Namespace, Snapshot } from "../cluster/snapshot.ts";
import type { EndpointSelector } from "./model.ts";
import { selectsEndpoint } from "./selects.ts";

/** A snapshot's endpoints, by namespace and labels. */
export class EndpointIndex {
  readonly #snapshot: Snapshot;
  readonly #namespaces: LabelIndex<Namespace>;
  readonly #everywhere: LabelIndex<Endpoint>;
  readonly #byNamespace: ReadonlyMap<string, LabelIndex<Endpoint>>;

  constructor(snapshot: Snapshot) {
    const { endpoints, namespaceByName } = snapshot;
    this.#snapshot = snapshot;
    this.#namespaces = new LabelIndex([...namespaceByName.values()]);
    this.#everywhere = new LabelIndex(endpoints);
    const byNamespace = new Map<string, Endpoint[]>();
    for (const endpoint of endpoints) {
      const own = byNamespace.get(endpoint.namespace);
      if (own === undefined) byNamespace.set(endpoint.namespace, [endpoint]);
      else own.push(endpoint);
    }
    this.#byNamespace = new Map([...byNamespace].map(([name, own]) => [name, new LabelIndex(own)]));
  }

  /** The endpoints that a selector chooses, in no particular order. */
  chosenBy(selector: EndpointSelector): Endpoint[] {
    const { namespace, namespaceSelector, podSelector } = selector;
    const candidates =
      namespace !== undefined
        ? this.#inNamespace(namespace, podSelector)
        : namespaceSelector !== undefined
          ? this.#inNamespaces(namespaceSelector, podSelector)
          : this.#everywhere.candidates(podSelector);
    return candidates.filter((endpoint) => selectsEndpoint(selector, endpoint, this.#snapshot));
  }

  #inNamespace(name: string, selector: LabelSelector | undefined): readonly Endpoint[] {
    return this.#byNamespace.get(name)?.candidates(selector) ?? [];
  }

  #inNamespaces(
    namespaceSelector: LabelSelector,
    selector: LabelSelector | undefined,
  ): readonly Endpoint[] {
    const everywhere = this.#everywhere.candidates(selector);
    const candidates = this.#namespaces.candidates(namespaceSelector);
    // So few that asking namespace after namespace would take longer.
    if (everywhere.length <= candidates.length) return everywhere;
    return candidates
      .filter(({ labels }) => selectorMatches(namespaceSelector, labels))
      .flatMap(({ name }) => this.#inNamespace(name, selector));
  }
}
