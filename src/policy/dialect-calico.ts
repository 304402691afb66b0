/** Calico: what its own policies and tables make of the API. */
import type { Dialect } from "./dialect.ts";

export const calico: Dialect = {
  name: "calico",
  title: "Calico",
  kinds: [
    "networking.k8s.io NetworkPolicy",
    "projectcalico.org NetworkPolicy",
    "projectcalico.org GlobalNetworkPolicy",
    "projectcalico.org StagedNetworkPolicy",
    "projectcalico.org StagedGlobalNetworkPolicy",
    "projectcalico.org StagedKubernetesNetworkPolicy",
    "policy.networking.k8s.io AdminNetworkPolicy",
    "policy.networking.k8s.io BaselineAdminNetworkPolicy",
    "policy.networking.k8s.io ClusterNetworkPolicy",
  ],
  tables: "felix",
  blocksHoldPods: "yes",
  blocksHoldNodes: "yes",
  blocksSeeBefore: "no",
  icmp: "by-rules",
  sctp: "by-rules",
  otherProtocols: "by-rules",
  toItself: "by-rules",
  invalid: "dropped",
  fromOwnNode: "allowed",
  spoofed: "dropped",
  mayEncapsulate: false,
  namesInitPorts: "yes",
  namesArePeers: "yes",
  // Calico goes by name; that the API does not say so is worth knowing wherever policies are to be portable.
  equalPriorities: "open",
  knowsNodePeers: true,
  outsideServices: "kube-proxy",
};
