/** kube-router, its network policies alone: iptables rules of its own, with kube-proxy beside it. */
import type { Dialect } from "./dialect.ts";

export const kubeRouter: Dialect = {
  name: "kube-router",
  title: "kube-router",
  kinds: ["networking.k8s.io NetworkPolicy"],
  tables: "kube-router",
  blocksHoldPods: "yes",
  blocksHoldNodes: "yes",
  blocksSeeBefore: "no",
  icmp: "by-rules",
  sctp: "by-rules",
  otherProtocols: "by-rules",
  toItself: "by-rules",
  invalid: "dropped",
  fromOwnNode: "allowed",
  spoofed: "open",
  mayEncapsulate: true,
  namesInitPorts: "no",
  namesArePeers: "yes",
  equalPriorities: "open",
  knowsNodePeers: true,
  outsideServices: "kube-proxy",
  hostPorts: "portmap",
};
