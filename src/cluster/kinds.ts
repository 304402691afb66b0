/**
 * Which kinds of object there are for us: the ones that make the cluster, the ones that are policies
 * in whatever API, and the rest, which has no say in a verdict. Says nothing of how they are read.
 */

/** Kinds whose objects `buildSnapshot` reads, with their API group. */
const GROUP_BY_CLUSTER_KIND: ReadonlyMap<string, string> = new Map([
  ["Pod", ""],
  ["Namespace", ""],
  ["Node", ""],
  ["Service", ""],
  ["Endpoints", ""],
  ["ServiceAccount", ""],
  ["EndpointSlice", "discovery.k8s.io"],
  ["Deployment", "apps"],
  ["StatefulSet", "apps"],
  ["DaemonSet", "apps"],
  ["ReplicaSet", "apps"],
  ["Job", "batch"],
  ["CronJob", "batch"],
]);

/**
 * Versions that these groups have, or had with objects that are read alike; the one to use now comes first. None: of a
 * group of Kubernetes without a kind that is read, or of what it is called in its documentation only (`core`).
 */
const VERSIONS_BY_GROUP: ReadonlyMap<string, readonly string[]> = new Map([
  ["", ["v1"]],
  ["apps", ["v1", "v1beta2", "v1beta1"]],
  ["extensions", ["v1beta1"]],
  ["batch", ["v1", "v1beta1", "v2alpha1"]],
  ["discovery.k8s.io", ["v1", "v1beta1"]],
  ["core", []],
  ["networking.k8s.io", []],
  ["policy", []],
  ["rbac.authorization.k8s.io", []],
]);

const GROUP_OF_CALICO = "projectcalico.org";
/** Under which Calico stores the same objects. */
const GROUP_OF_STORED = "crd.projectcalico.org";
const GROUPS_OF_CALICO = new Set([GROUP_OF_CALICO, GROUP_OF_STORED]);

/** Their versions that are read. */
export const API_VERSIONS_OF_CALICO: readonly string[] = [
  "projectcalico.org/v3",
  "crd.projectcalico.org/v1",
];

const CLUSTER_KINDS_OF_CALICO = new Set([
  "NetworkSet",
  "GlobalNetworkSet",
  "IPPool",
  "HostEndpoint",
  "FelixConfiguration",
  "KubeControllersConfiguration",
]);

const POLICY_KINDS_OF_CALICO = new Set([
  "NetworkPolicy",
  "GlobalNetworkPolicy",
  "StagedNetworkPolicy",
  "StagedGlobalNetworkPolicy",
  "StagedKubernetesNetworkPolicy",
  "Profile",
  "Tier",
]);

/** Groups all of whose kinds take part in a policy decision. */
const POLICY_GROUPS = new Set(["policy.networking.k8s.io"]);

/** Cluster-wide kinds among those we know by name; everything else is taken as namespaced. */
const CLUSTER_WIDE_KINDS = new Set([
  "Namespace",
  "Node",
  "GlobalNetworkPolicy",
  "StagedGlobalNetworkPolicy",
  "GlobalNetworkSet",
  "HostEndpoint",
  "Profile",
  "Tier",
  "AdminNetworkPolicy",
  "BaselineAdminNetworkPolicy",
  "ClusterNetworkPolicy",
  "CiliumClusterwideNetworkPolicy",
  "PersistentVolume",
  "StorageClass",
  "IngressClass",
  "ClusterRole",
  "ClusterRoleBinding",
  "CustomResourceDefinition",
  "PriorityClass",
  "IPPool",
  "FelixConfiguration",
  "KubeControllersConfiguration",
]);

/** What an object is to us. */
export type KindRole = "cluster" | "policy" | "foreign";

/** Tells what objects of a kind are to us, by its API group and name; versions do not matter. */
export function kindRole(apiVersion: string, kind: string): KindRole {
  const group = apiGroup(apiVersion);
  const known = GROUP_BY_CLUSTER_KIND.get(kind);
  // Workloads were in `extensions` before they moved to `apps`.
  if (known === group || (known === "apps" && group === "extensions")) return "cluster";
  if (POLICY_GROUPS.has(group)) return "policy";
  if (GROUPS_OF_CALICO.has(group)) {
    if (CLUSTER_KINDS_OF_CALICO.has(kind)) return "cluster";
    return POLICY_KINDS_OF_CALICO.has(kind) ? "policy" : "foreign";
  }
  // Cilium, Antrea, OVN and others name theirs so; a wrong apiVersion of the standard kind lands here too.
  return /NetworkPolicy$|NetworkPolicies$|^EgressFirewall$/.test(kind) ? "policy" : "foreign";
}

/** The kinds of an API group that are read, for suggestions. */
export function kindsOfGroup(apiVersion: string): string[] {
  const group = apiGroup(apiVersion);
  if (GROUPS_OF_CALICO.has(group)) return [...CLUSTER_KINDS_OF_CALICO, ...POLICY_KINDS_OF_CALICO];
  const kinds = [...GROUP_BY_CLUSTER_KIND].filter(([, home]) => home === group);
  const names = kinds.map(([kind]) => kind);
  return group === "networking.k8s.io" ? [...names, "NetworkPolicy"] : names;
}

/**
 * The API that an object of a kind that is read was meant to be of, where its own is one of Kubernetes' and does not
 * have that: the version or the group is wrong.
 */
export function meantApi(apiVersion: string, kind: string): string | undefined {
  const versions = VERSIONS_BY_GROUP.get(apiGroup(apiVersion));
  if (versions === undefined) return undefined;
  if (CLUSTER_KINDS_OF_CALICO.has(kind)) return API_VERSIONS_OF_CALICO[0];
  const home = GROUP_BY_CLUSTER_KIND.get(kind);
  if (home === undefined) return undefined;
  const version = apiVersion.slice(apiVersion.indexOf("/") + 1);
  if (kindRole(apiVersion, kind) === "cluster" && versions.includes(version)) return undefined;
  return `${home === "" ? "" : `${home}/`}v1`;
}

/** Tells whether an API is Calico's. */
export function isCalico(apiVersion: string): boolean {
  return GROUPS_OF_CALICO.has(apiGroup(apiVersion));
}

/** Tells whether an object was printed as Calico stores it. */
export function isStored(apiVersion: string): boolean {
  return apiGroup(apiVersion) === GROUP_OF_STORED;
}

/** Tells whether objects of this kind live in a namespace. */
export function isNamespaced(kind: string): boolean {
  return !CLUSTER_WIDE_KINDS.has(kind);
}

/** The group of an object's API, also where it was printed as stored, or under the group it had before. */
export function homeGroup(apiVersion: string, kind: string): string {
  const group = apiGroup(apiVersion);
  if (GROUPS_OF_CALICO.has(group)) return GROUP_OF_CALICO;
  return group === "extensions" ? (GROUP_BY_CLUSTER_KIND.get(kind) ?? group) : group;
}

/** `apps` of `apps/v1`; empty for the core group's `v1`. */
export function apiGroup(apiVersion: string): string {
  const slash = apiVersion.indexOf("/");
  return slash < 0 ? "" : apiVersion.slice(0, slash);
}
