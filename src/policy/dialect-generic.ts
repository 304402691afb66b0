/** The API's words alone: what they leave open is unknown. */
import type { Dialect } from "./dialect.ts";

export const generic: Dialect = {
  name: "generic",
  title: "the API",
  kinds: [
    "networking.k8s.io NetworkPolicy",
    "policy.networking.k8s.io AdminNetworkPolicy",
    "policy.networking.k8s.io BaselineAdminNetworkPolicy",
    "policy.networking.k8s.io ClusterNetworkPolicy",
  ],
  tables: "none",
  blocksHoldPods: "open",
  blocksHoldNodes: "open",
  blocksSeeBefore: "open",
  icmp: "open",
  sctp: "open",
  otherProtocols: "open",
  toItself: "open",
  invalid: "open",
  fromOwnNode: "allowed",
  spoofed: "open",
  mayEncapsulate: true,
  namesInitPorts: "open",
  namesArePeers: "yes",
  equalPriorities: "open",
  knowsNodePeers: true,
  outsideServices: "kube-proxy",
  hostPorts: "open",
};
