/**
 * Objects to the snapshot: reads every kind that makes a cluster, links what belongs together, and
 * reports what contradicts itself or is not read. Policies are left to the policy layer.
 */
import type { OnDiagnostic, Place } from "../errors.ts";
import { formatPlace } from "../errors.ts";
import {
  formatAddress,
  formatPrefix,
  sameAddress,
  type Address,
  type Prefix,
} from "../net/address.ts";
import { compareText } from "../net/compare-text.ts";
import { suggestionFor } from "./fields.ts";
import { readFelixScopes } from "./felix-environment.ts";
import { automaticHostEndpoints, readHostEndpoint, readProfileLabels } from "./host-endpoints.ts";
import { isCalico, kindRole, kindsOfGroup, meantApi } from "./kinds.ts";
import type { ManifestObject } from "./manifest-object.ts";
import { mentionedNamespace, readNamespace, readNode } from "./nodes.ts";
import { readNetworkSet, readPool } from "./network-sets.ts";
import { readPods, type Pod } from "./pods.ts";
import { readServices } from "./services.ts";
import {
  endpointName,
  type ClusterNode,
  type HostEndpoint,
  type Namespace,
  type Snapshot,
} from "./snapshot.ts";

/** What a snapshot holds beside the objects. */
export interface SnapshotOptions {
  /** Ranges in which every address belongs to the cluster. */
  readonly clusterPrefixes: readonly Prefix[];
  /** Addresses of domain names, as DNS tells them; names as `domainKey` writes them. */
  readonly addressesByDomain?: ReadonlyMap<string, readonly Address[]>;
  /** Addresses that the user gives to pods or workloads, which are named `namespace/name`. */
  readonly endpoints: readonly { readonly address: Address; readonly name: string }[];
}

/**
 * Builds the snapshot. The order of the objects does not matter. Reports FOREIGN_KIND,
 * UNSUPPORTED_KIND (for a kind that is nearly one we know), ADDRESS_CONFLICT and what the fields report.
 */
export function buildSnapshot(
  objects: readonly ManifestObject[],
  options: SnapshotOptions,
  onDiagnostic: OnDiagnostic,
): Snapshot {
  reportForeign(objects, onDiagnostic);
  const own = objects
    .filter(({ apiVersion, kind }) => kindRole(apiVersion, kind) === "cluster")
    .sort(
      (one, other) =>
        compareText(one.metadata.namespace, other.metadata.namespace) ||
        compareText(one.metadata.name, other.metadata.name) ||
        compareText(one.kind, other.kind),
    );
  const nodes = own
    .filter(({ kind }) => kind === "Node")
    .map((object) => readNode(object, onDiagnostic));
  const pods = settleAddresses(giveAddresses(readPods(own, onDiagnostic), options, onDiagnostic));
  const { services, membersByService } = readServices(own, pods, onDiagnostic);
  const endpoints = pods
    .filter((pod) => !pod.hostNetwork)
    .map(({ endpoint }) => endpoint)
    // Pods come before workloads of the same name, whatever they are called.
    .sort(
      (one, other) =>
        compareText(one.namespace, other.namespace) || compareText(one.name, other.name),
    );
  const pools = own
    .filter(({ kind }) => kind === "IPPool")
    .flatMap((object) => readPool(object, onDiagnostic) ?? []);
  const snapshot: Snapshot = {
    namespaceByName: namespacesOf(objects),
    nodeByName: new Map(nodes.map(({ node }) => [node.name, node])),
    endpoints,
    hostNetworkPods: pods
      .filter((pod) => pod.hostNetwork)
      .map(({ endpoint: { namespace, name, node, place } }) => ({ namespace, name, node, place })),
    blindSpots: pods
      .filter(({ powers }) => powers.length > 0)
      .map(({ endpoint: { namespace, name, workload, node, place }, powers }) => ({
        namespace,
        name,
        workload,
        node,
        powers,
        place,
      }))
      .sort(
        (one, other) =>
          compareText(one.namespace, other.namespace) || compareText(one.name, other.name),
      ),
    services,
    membersByService,
    serviceAccounts: new Map(
      own
        .filter(({ kind }) => kind === "ServiceAccount")
        .map(({ metadata }) => [endpointName(metadata), metadata.labels]),
    ),
    networkSets: own
      .filter(({ kind }) => kind === "NetworkSet" || kind === "GlobalNetworkSet")
      .map((object) => readNetworkSet(object, onDiagnostic)),
    pools,
    hostEndpoints: readHostEndpoints(
      objects,
      nodes.map(({ node }) => node),
      onDiagnostic,
    ),
    felixByScope: readFelixScopes(own, onDiagnostic),
    addressesByDomain: options.addressesByDomain ?? new Map<string, readonly Address[]>(),
    answersByDomain: new Map(),
    clusterPrefixes: uniquePrefixes([
      ...options.clusterPrefixes,
      ...nodes.flatMap(({ podPrefixes }) => podPrefixes),
      ...pools.filter(({ forPods }) => forPods).map(({ prefix }) => prefix),
    ]),
  };
  reportConflicts(snapshot, onDiagnostic);
  return snapshot;
}

/** Host endpoints that have an object, and those that Calico makes by itself. */
function readHostEndpoints(
  objects: readonly ManifestObject[],
  nodes: readonly ClusterNode[],
  onDiagnostic: OnDiagnostic,
): HostEndpoint[] {
  const ofCalico = (kind: string): ManifestObject[] =>
    objects.filter((object) => object.kind === kind && isCalico(object.apiVersion));
  const labelsByProfile = readProfileLabels(ofCalico("Profile"));
  const given = ofCalico("HostEndpoint").map((object) =>
    readHostEndpoint(object, labelsByProfile, onDiagnostic),
  );
  const configurations = ofCalico("KubeControllersConfiguration");
  return [...given, ...automaticHostEndpoints(configurations, nodes, given, onDiagnostic)].sort(
    (one, other) => compareText(one.name, other.name),
  );
}

/** Namespaces that have an object, and those that only other objects mention. */
function namespacesOf(objects: readonly ManifestObject[]): Map<string, Namespace> {
  const namespaces = new Map<string, Namespace>();
  for (const object of objects) {
    const role = kindRole(object.apiVersion, object.kind);
    if (role === "foreign") continue;
    const { namespace, name } = object.metadata;
    if (role === "cluster" && object.kind === "Namespace") {
      namespaces.set(name, readNamespace(object));
    } else if (namespace !== "" && !namespaces.has(namespace)) {
      namespaces.set(namespace, mentionedNamespace(namespace));
    }
  }
  return new Map([...namespaces].sort(([one], [other]) => compareText(one, other)));
}

/** Adds the addresses that the user gives to pods and workloads. */
function giveAddresses(
  pods: readonly Pod[],
  options: SnapshotOptions,
  onDiagnostic: OnDiagnostic,
): Pod[] {
  const given = new Map<Pod, Address[]>();
  for (const { address, name } of options.endpoints) {
    const pod = namedPod(pods, name);
    if (pod !== undefined) {
      given.set(pod, [...(given.get(pod) ?? []), address]);
      continue;
    }
    const suggestion = suggestionFor(
      name,
      pods.map(({ endpoint }) => endpointName(endpoint)),
    );
    onDiagnostic({
      severity: "error",
      code: "BAD_VALUE",
      message: `--endpoint ${formatAddress(address)}=${name}: expected exactly one pod or workload of this name`,
      ...(suggestion === undefined ? {} : { suggestion }),
    });
  }
  return pods.map((pod) => {
    const known = pod.endpoint.addresses;
    const added = (given.get(pod) ?? []).filter(
      (address) => !known.some((other) => sameAddress(other, address)),
    );
    if (added.length === 0) return pod;
    return { ...pod, endpoint: { ...pod.endpoint, addresses: [...known, ...added] } };
  });
}

/** Finds a pod by name, else a workload without pods, else the only pod of a workload. */
function namedPod(pods: readonly Pod[], name: string): Pod | undefined {
  const named = pods.filter(({ endpoint }) => endpointName(endpoint) === name);
  const exact = named.find(({ endpoint }) => endpoint.kind === "Pod") ?? named[0];
  if (exact !== undefined) return exact;
  const members = pods.filter(
    ({ endpoint: { namespace, workload } }) => `${namespace}/${workload.name}` === name,
  );
  return members.length === 1 ? members[0] : undefined;
}

/** Takes an address from a pod that terminates when another pod has it already. */
function settleAddresses(pods: readonly Pod[]): Pod[] {
  const living = new Set(
    pods
      .filter((pod) => !pod.terminating)
      .flatMap(({ endpoint }) => endpoint.addresses.map(formatAddress)),
  );
  return pods.map((pod) => {
    if (!pod.terminating) return pod;
    const { hostPorts, ...endpoint } = pod.endpoint;
    const addresses = endpoint.addresses.filter((one) => !living.has(formatAddress(one)));
    // Without any its network is gone, and with it what led there.
    const own = hostPorts === undefined || addresses.length === 0 ? {} : { hostPorts };
    return { ...pod, endpoint: { ...endpoint, ...own, addresses } };
  });
}

/** Reports every address that two things claim. */
function reportConflicts(snapshot: Snapshot, onDiagnostic: OnDiagnostic): void {
  const holders = new Map<string, { readonly who: string; readonly place: Place | undefined }>();
  const claim = (who: string, address: Address, place: Place | undefined): void => {
    const text = formatAddress(address);
    const holder = holders.get(text);
    if (holder === undefined) {
      holders.set(text, { who, place });
      return;
    }
    if (holder.who === who) return;
    const where = holder.place === undefined ? "" : ` at ${formatPlace(holder.place)}`;
    onDiagnostic({
      severity: "error",
      code: "ADDRESS_CONFLICT",
      message: `${who} has address ${text}, which ${holder.who}${where} has too`,
      ...(place === undefined ? {} : { place }),
    });
  };
  for (const { name, addresses, place } of snapshot.nodeByName.values()) {
    for (const address of addresses) claim(`Node ${name}`, address, place);
  }
  for (const endpoint of snapshot.endpoints) {
    const who = `${endpoint.kind} ${endpointName(endpoint)}`;
    for (const address of endpoint.addresses) claim(who, address, endpoint.place);
  }
  for (const service of snapshot.services) {
    const who = `Service ${endpointName(service)}`;
    for (const address of service.clusterAddresses) claim(who, address, service.place);
  }
}

/** Lists the kinds that are not read, each once; one that is nearly a known one, or has another's API, is an error. */
function reportForeign(objects: readonly ManifestObject[], onDiagnostic: OnDiagnostic): void {
  const foreign = new Map<string, { readonly first: ManifestObject; count: number }>();
  for (const object of objects) {
    const { apiVersion, kind } = object;
    const meant = meantApi(apiVersion, kind);
    if (meant !== undefined) {
      onDiagnostic({
        severity: "error",
        code: "UNSUPPORTED_KIND",
        message: `there is no kind ${kind} in ${apiVersion}`,
        place: object.placeOf(["apiVersion"]),
        suggestion: `did you mean "${meant}"?`,
      });
      continue;
    }
    if (kindRole(apiVersion, kind) !== "foreign") continue;
    const suggestion = suggestionFor(kind, kindsOfGroup(apiVersion));
    if (suggestion !== undefined && !KINDS_NEAR_OURS.has(kind)) {
      onDiagnostic({
        severity: "error",
        code: "UNSUPPORTED_KIND",
        message: `there is no kind ${kind} in ${apiVersion}`,
        place: object.placeOf(["kind"]),
        suggestion,
      });
      continue;
    }
    const entry = foreign.get(`${apiVersion} ${kind}`);
    if (entry === undefined) foreign.set(`${apiVersion} ${kind}`, { first: object, count: 1 });
    else entry.count++;
  }
  for (const { first, count } of foreign.values()) {
    const objectsOf = count === 1 ? "1 object" : `${count} objects`;
    onDiagnostic({
      severity: "warning",
      code: "FOREIGN_KIND",
      message: `${objectsOf} of kind ${first.kind} (${first.apiVersion}) not read`,
      place: first.place,
    });
  }
}

/** Kinds that exist beside ours with names like ours. */
const KINDS_NEAR_OURS = new Set([
  "PodTemplate",
  // Calico's, those of its enterprise edition included.
  "BFDConfiguration",
  "BGPConfiguration",
  "GlobalReport",
  "IPAMConfiguration",
]);

function uniquePrefixes(prefixes: readonly Prefix[]): Prefix[] {
  return [...new Map(prefixes.map((prefix) => [formatPrefix(prefix), prefix])).values()];
}
