/** What lints look at: the policies, the cluster as far as it was given, and the objects as written. */
import type { ManifestObject } from "../cluster/manifest-object.ts";
import type { Labels, Snapshot } from "../cluster/snapshot.ts";
import { isRecord } from "../cluster/fields.ts";
import { EndpointIndex } from "../policy/endpoint-index.ts";
import { groupWord, kindWord } from "../policy/model.ts";
import type { Policy, PolicyPeer, PolicyRef } from "../policy/model.ts";
import { homeGroup } from "../cluster/kinds.ts";
import type { Direction } from "../policy/model.ts";
import { sortPolicies } from "../policy/order.ts";

/** The manifests as lints see them. */
export interface LintContext {
  readonly snapshot: Snapshot;
  /** Those that are enforced, in the order in which they are asked. */
  readonly policies: readonly Policy[];
  readonly index: EndpointIndex;
  readonly objects: readonly ManifestObject[];
  /** Nodes or the pods of kube-system were given: what is not there, is nowhere. */
  readonly wholeCluster: boolean;
  /** Labels of pods that act as their node, by `namespace/name`. */
  readonly hostNetworkLabels: ReadonlyMap<string, Labels>;
  /** The namespaces of which some pod, endpoint or not, was given. */
  readonly inhabited: ReadonlySet<string>;
  /** The object that a policy was read from. */
  objectOf(ref: PolicyRef): ManifestObject | undefined;
}

export const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

/** Gathers what lints ask for again and again. */
export function makeLintContext(given: {
  readonly snapshot: Snapshot;
  readonly policies: readonly Policy[];
  readonly objects: readonly ManifestObject[];
}): LintContext {
  const { snapshot, policies, objects } = given;
  const byKey = new Map(
    objects.map((object) => [
      keyOf(
        homeGroup(object.apiVersion, object.kind),
        object.kind,
        object.metadata.namespace,
        object.metadata.name,
      ),
      object,
    ]),
  );
  const hostNetwork = new Set(
    snapshot.hostNetworkPods.map(({ namespace, name }) => `${namespace}/${name}`),
  );
  const hostNetworkLabels = new Map(
    objects.flatMap(({ kind, metadata }) => {
      const name = `${metadata.namespace}/${metadata.name}`;
      return kind === "Pod" && hostNetwork.has(name) ? [[name, metadata.labels] as const] : [];
    }),
  );
  const inhabitants = [snapshot.endpoints, snapshot.hostNetworkPods].flat();
  const nodes = [...snapshot.nodeByName.values()].filter(({ place }) => place !== undefined);
  const inhabited = new Set(inhabitants.map(({ namespace }) => namespace));
  return {
    snapshot,
    policies: sortPolicies(policies),
    objects,
    index: new EndpointIndex(snapshot),
    wholeCluster: nodes.length > 0 || inhabited.has("kube-system"),
    hostNetworkLabels,
    inhabited,
    objectOf: (ref) =>
      byKey.get(keyOf(groupWord(ref), kindWord(ref), ref.namespace ?? "", ref.name)),
  };
}

function keyOf(group: string, kind: string, namespace: string, name: string): string {
  return `${group} ${kind} ${namespace}/${name}`;
}

/** The value at a path of an object; undefined: there is none. */
export function valueAt(object: ManifestObject, path: readonly (string | number)[]): unknown {
  let value: unknown = object.value;
  for (const step of path) {
    if (Array.isArray(value) && typeof step === "number") value = value[step];
    else if (isRecord(value) && typeof step === "string") value = value[step];
    else return undefined;
  }
  return value;
}

/** The peers of a policy's rules in Kubernetes' words, each with its direction. */
export function* peersOf(
  policy: Policy,
): Generator<{ readonly direction: Direction; readonly rule: number; readonly peer: PolicyPeer }> {
  for (const direction of DIRECTIONS) {
    for (const rule of policy[direction] ?? []) {
      if (rule.kind !== "peers") continue;
      for (const peer of rule.peers ?? []) yield { direction, rule: rule.index, peer };
    }
  }
}
