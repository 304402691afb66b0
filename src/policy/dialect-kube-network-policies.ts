/** kube-network-policies: a program that is asked about each connection's first packet, by NFQUEUE. */
import type { Dialect } from "./dialect.ts";

export const kubeNetworkPolicies: Dialect = {
  name: "kube-network-policies",
  title: "kube-network-policies",
  kinds: [
    "networking.k8s.io NetworkPolicy",
    "policy.networking.k8s.io AdminNetworkPolicy",
    "policy.networking.k8s.io BaselineAdminNetworkPolicy",
    "policy.networking.k8s.io ClusterNetworkPolicy",
  ],
  tables: "none",
  blocksHoldPods: "yes",
  blocksHoldNodes: "yes",
  blocksSeeBefore: "no",
  icmp: "by-rules",
  sctp: "by-rules",
  otherProtocols: "by-rules",
  toItself: "by-rules",
  invalid: "by-rules",
  fromOwnNode: "open",
  spoofed: "open",
  mayEncapsulate: true,
  namesInitPorts: "no",
  namesArePeers: "yes",
  equalPriorities: "by-name",
  // What it makes of them are the pods of such nodes.
  knowsNodePeers: false,
  outsideServices: "kube-proxy",
  hostPorts: "open",
};
