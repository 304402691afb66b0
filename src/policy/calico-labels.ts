/**
 * The labels by which Calico's selectors choose: an endpoint's own, those that Calico adds, and those
 * that it inherits from the profiles of its namespace and service account.
 * Source: libcalico-go conversion.go (NamespaceToProfile, ServiceAccountToProfile),
 * defaults/workload_endpoint_default.go; felix/labelindex.
 */
import type { Endpoint, Labels, NetworkSet, Snapshot } from "../cluster/snapshot.ts";

export const LABEL_NAMESPACE = "projectcalico.org/namespace";
export const LABEL_ORCHESTRATOR = "projectcalico.org/orchestrator";
export const LABEL_SERVICE_ACCOUNT = "projectcalico.org/serviceaccount";
/** Before the labels of the namespace. */
export const NAMESPACE_PREFIX = "pcns.";
/** Before the labels of the service account. */
export const SERVICE_ACCOUNT_PREFIX = "pcsa.";

/** Under which a profile hands on the name of its object, with its prefix before it. */
export const NAME_KEY = "projectcalico.org/name";

/** Label values are shorter than 64, and of a service account's name only what is shorter than 63. */
const LONGEST_ACCOUNT_LABEL = 62;

/** Labels that are looked up and listed, and need not be copied together for it. */
export type LabelView = Pick<Labels, "get" | "has"> & Iterable<readonly [string, string]>;

/** An endpoint's labels as Calico's selectors see them. Its own win over inherited ones. */
export function endpointLabels(endpoint: Endpoint, snapshot: Snapshot): LabelView {
  const { namespace, serviceAccount, labels } = endpoint;
  const own = new Map(labels).set(LABEL_NAMESPACE, namespace).set(LABEL_ORCHESTRATOR, "k8s");
  if (serviceAccount.length <= LONGEST_ACCOUNT_LABEL) {
    own.set(LABEL_SERVICE_ACCOUNT, serviceAccount);
  }
  const accountLabels = snapshot.serviceAccounts.get(`${namespace}/${serviceAccount}`) ?? NONE;
  return new LayeredLabels(own, [
    ...namespaceLayer(namespace, snapshot),
    { prefix: SERVICE_ACCOUNT_PREFIX, name: serviceAccount, labels: accountLabels },
  ]);
}

/** A network set's labels: those of a namespaced one inherit the namespace's. */
export function networkSetLabels({ namespace, labels }: NetworkSet, snapshot: Snapshot): LabelView {
  if (namespace === undefined) return labels;
  const own = new Map(labels).set(LABEL_NAMESPACE, namespace);
  return new LayeredLabels(own, namespaceLayer(namespace, snapshot));
}

function namespaceLayer(namespace: string, snapshot: Snapshot): Layer[] {
  const labels = snapshot.namespaceByName.get(namespace)?.labels ?? NONE;
  return [{ prefix: NAMESPACE_PREFIX, name: namespace, labels }];
}

const NONE: Labels = new Map();

/** Inherited labels: an object's, with a prefix before their keys, and its name under a key of its own. */
interface Layer {
  readonly prefix: string;
  readonly name: string;
  readonly labels: Labels;
}

class LayeredLabels implements LabelView {
  readonly #own: Labels;
  readonly #layers: readonly Layer[];

  constructor(own: Labels, layers: readonly Layer[]) {
    this.#own = own;
    this.#layers = layers;
  }

  get(key: string): string | undefined {
    const own = this.#own.get(key);
    if (own !== undefined) return own;
    for (const { prefix, name, labels } of this.#layers) {
      if (!key.startsWith(prefix)) continue;
      const inner = key.slice(prefix.length);
      return inner === NAME_KEY ? name : labels.get(inner);
    }
    return undefined;
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  *[Symbol.iterator](): Generator<readonly [string, string]> {
    yield* this.#own;
    for (const { prefix, name, labels } of this.#layers) {
      for (const [key, value] of [...labels, [NAME_KEY, name] as const]) {
        if (!this.#own.has(prefix + key)) yield [prefix + key, value];
      }
    }
  }
}
