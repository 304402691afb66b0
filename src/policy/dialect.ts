/**
 * What the NetworkPolicy API leaves to those who implement it, as questions that the compiler asks. A
 * dialect is one implementation's answers, as it comes without configuration; docs/dialects.md has the
 * source of each.
 */
import type { PolicyKindName } from "./model.ts";

/** Every dialect, by what `--dialect` calls it; the first is the default. */
export const DIALECT_NAMES = [
  "calico",
  "kube-network-policies",
  "cilium",
  "kube-router",
  "generic",
] as const;
export type DialectName = (typeof DIALECT_NAMES)[number];

/** `open`: not known, or left to the implementation. What hangs on it is unknown. */
export type Answer = "yes" | "no" | "open";

/** What becomes of a protocol: what rules without ports say, or the same for all. */
export type ProtocolAnswer = "by-rules" | "dropped" | "open";

/** One implementation of the API. */
export interface Dialect {
  readonly name: DialectName;
  /** In sentences. */
  readonly title: string;
  /** The policies that it enforces. */
  readonly kinds: readonly PolicyKindName[];
  /** `none`: it enforces by something else, and the tables are only a way to say what it does. */
  readonly tables: "felix" | "kube-router" | "none";
  /** An ipBlock holds the addresses of pods. */
  readonly blocksHoldPods: Answer;
  /** An ipBlock holds the addresses of nodes. */
  readonly blocksHoldNodes: Answer;
  /** An ipBlock may mean the address that a Service has, or the one that a client had, before translation. */
  readonly blocksSeeBefore: "no" | "open";
  /** How NetworkPolicies bind protocols that they cannot name, and SCTP. */
  readonly icmp: ProtocolAnswer;
  readonly sctp: ProtocolAnswer;
  readonly otherProtocols: ProtocolAnswer;
  /** What a pod sends to itself by way of its own Service. */
  readonly toItself: "by-rules" | "allowed" | "open";
  /** What conntrack calls INVALID. */
  readonly invalid: "dropped" | "by-rules" | "open";
  /** What a node sends to its own pods: always allowed, or only that of some processes. */
  readonly fromOwnNode: "allowed" | "open";
  /** What a pod sends from an address that is not its own. */
  readonly spoofed: "dropped" | "open";
  /** Pods may send packets inside of VXLAN or IPIP, as far as policies let them. */
  readonly mayEncapsulate: boolean;
  /** Ports of init containers have names, too. */
  readonly namesInitPorts: Answer;
  /** At egress a port's name means the port that the peer calls so, and no other. */
  readonly namesArePeers: "yes" | "open";
  /** Which of several policies of equal priority decides. */
  readonly equalPriorities: "by-name" | "open";
  /** Rules of cluster-wide policies may choose nodes. */
  readonly knowsNodePeers: boolean;
  /** Connections to node ports and to Services' addresses for outside are taken as kube-proxy takes them. */
  readonly outsideServices: "kube-proxy" | "open";
  /** Ports of nodes that containers ask for lead to them by the rules of the CNI plugin portmap. */
  readonly hostPorts: "portmap" | "open";
}

/** What is not known of a dialect, where it makes a difference. */
export type DialectQuestion =
  | "blocks-hold-pods"
  | "blocks-hold-nodes"
  | "blocks-see-before"
  | "protocol"
  | "to-itself"
  | "invalid"
  | "from-own-node"
  | "spoofed"
  | "init-ports"
  | "port-names"
  | "outside-service"
  | "same-block"
  | "established"
  | "icmp-messages";
