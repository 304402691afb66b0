/** Calico: what its own policies and tables make of the API. */
import type { Dialect } from "./dialect.ts";
import type { PolicyKindName } from "./model.ts";
import { CALICO_KIND } from "./order.ts";

export const calico: Dialect = {
  name: "calico",
  title: "Calico",
  // Felix has a name for every kind that there is.
  kinds: Object.keys(CALICO_KIND) as PolicyKindName[],
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
  hostPorts: "portmap",
};
