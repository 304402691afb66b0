/** Cilium: peers have identities, and what has one is in no ipBlock. */
import type { Dialect } from "./dialect.ts";

export const cilium: Dialect = {
  name: "cilium",
  title: "Cilium",
  kinds: ["networking.k8s.io NetworkPolicy"],
  tables: "none",
  blocksHoldPods: "no",
  blocksHoldNodes: "no",
  blocksSeeBefore: "no",
  icmp: "by-rules",
  sctp: "dropped",
  otherProtocols: "dropped",
  toItself: "allowed",
  invalid: "open",
  fromOwnNode: "allowed",
  spoofed: "dropped",
  mayEncapsulate: true,
  namesInitPorts: "open",
  namesArePeers: "open",
  equalPriorities: "open",
  knowsNodePeers: true,
  outsideServices: "open",
  hostPorts: "open",
};
