/**
 * Finds the endpoints that policies and peers mean, without trying each policy on each endpoint. Who is
 * meant is decided by `selectsEndpoint`; here only those are left out of whom one label says that they
 * are not.
 */
import { LabelIndex } from "../cluster/label-index.ts";
import { expressionMatches, necessaryLabels } from "../cluster/selector-expression.ts";
import { selectorMatches, type LabelSelector } from "../cluster/selector.ts";
import type {
  Endpoint,
  HostEndpoint,
  Namespace,
  NetworkSet,
  Snapshot,
} from "../cluster/snapshot.ts";
import { endpointLabels, networkSetLabels, type LabelView } from "./calico-labels.ts";
import type { EndpointSelector, ExpressedEndpoints } from "./model.ts";
import { selectsEndpoint } from "./selects.ts";

/** Something by the labels that Calico's selectors see. */
interface Labelled {
  readonly labels: LabelView;
}

/** A snapshot's endpoints, by namespace and labels. */
export class EndpointIndex {
  #snapshot: Snapshot;
  readonly #namespaces: LabelIndex<Namespace>;
  readonly #everywhere: LabelIndex<Endpoint>;
  readonly #byNamespace: Map<string, LabelIndex<Endpoint>>;
  #endpointsByView: LabelIndex<Labelled & { readonly endpoint: Endpoint }> | undefined;
  #hostEndpoints: LabelIndex<HostEndpoint> | undefined;
  #setsByView: LabelIndex<Labelled & { readonly set: NetworkSet }> | undefined;

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

  /** Moves on to a snapshot that has one endpoint more, and is the same in all else. */
  add(endpoint: Endpoint, snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    // Calico's view of labels is made anew when one of its selectors asks.
    this.#endpointsByView = undefined;
    this.#everywhere.add(endpoint);
    const own = this.#byNamespace.get(endpoint.namespace) ?? new LabelIndex<Endpoint>([]);
    own.add(endpoint);
    this.#byNamespace.set(endpoint.namespace, own);
  }

  /** The endpoints that a selector chooses, in no particular order. */
  chosenBy(selector: EndpointSelector): Endpoint[] {
    if (selector.kind === "expression") {
      return chosenAmong(this.#expressed(), selector).map(({ endpoint }) => endpoint);
    }
    const { namespace, namespaceSelector, podSelector } = selector;
    const candidates =
      namespace !== undefined
        ? this.#inNamespace(namespace, podSelector)
        : namespaceSelector !== undefined
          ? this.#inNamespaces(namespaceSelector, podSelector)
          : this.#everywhere.candidates(podSelector);
    return candidates.filter((endpoint) => selectsEndpoint(selector, endpoint, this.#snapshot));
  }

  /** The network sets that a selector chooses; one in Kubernetes' words chooses pods only. */
  networkSetsChosenBy(selector: EndpointSelector): NetworkSet[] {
    if (selector.kind === "labels") return [];
    return chosenAmong(this.#networkSets(), selector).map(({ set }) => set);
  }

  /** The host endpoints that a selector chooses; one in Kubernetes' words chooses pods only. */
  hostEndpointsChosenBy(selector: EndpointSelector): HostEndpoint[] {
    if (selector.kind === "labels") return [];
    this.#hostEndpoints ??= new LabelIndex(this.#snapshot.hostEndpoints);
    return chosenAmong(this.#hostEndpoints, selector);
  }

  /** Endpoints by the labels that Calico sees; made when one of its selectors asks. */
  #expressed(): LabelIndex<Labelled & { readonly endpoint: Endpoint }> {
    const snapshot = this.#snapshot;
    this.#endpointsByView ??= new LabelIndex(
      snapshot.endpoints.map((endpoint) => ({
        endpoint,
        labels: endpointLabels(endpoint, snapshot),
      })),
    );
    return this.#endpointsByView;
  }

  #networkSets(): LabelIndex<Labelled & { readonly set: NetworkSet }> {
    const snapshot = this.#snapshot;
    this.#setsByView ??= new LabelIndex(
      snapshot.networkSets.map((set) => ({ set, labels: networkSetLabels(set, snapshot) })),
    );
    return this.#setsByView;
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

function chosenAmong<T extends Labelled>(
  index: LabelIndex<T>,
  { expression }: ExpressedEndpoints,
): T[] {
  return index
    .candidates(necessaryLabels(expression))
    .filter(({ labels }) => expressionMatches(expression, labels));
}
