/**
 * The policy form that all kinds are lowered to. Says which endpoints a policy applies to, in which order
 * it is asked and what its rules say in policy words; knows nothing of chains or sets.
 */
import type { SelectorExpression } from "../cluster/selector-expression.ts";
import type { LabelSelector } from "../cluster/selector.ts";
import type { PortProtocol } from "../cluster/snapshot.ts";
import type { Place } from "../errors.ts";
import type { Family, Prefix } from "../net/address.ts";

/** As seen from the selected endpoint: to it, or from it. */
export type Direction = "ingress" | "egress";

/** Every kind that is judged, by what tells it from the others: two APIs have a NetworkPolicy. */
export type PolicyKindName =
  | "networking.k8s.io NetworkPolicy"
  | "projectcalico.org NetworkPolicy"
  | "projectcalico.org GlobalNetworkPolicy"
  | "projectcalico.org StagedNetworkPolicy"
  | "projectcalico.org StagedGlobalNetworkPolicy"
  | "projectcalico.org StagedKubernetesNetworkPolicy"
  | "policy.networking.k8s.io AdminNetworkPolicy"
  | "policy.networking.k8s.io BaselineAdminNetworkPolicy"
  | "policy.networking.k8s.io ClusterNetworkPolicy";

/** Names a policy object, and the place of its `metadata.name`. */
export interface PolicyRef {
  readonly kind: PolicyKindName;
  /** Undefined: cluster-wide. */
  readonly namespace: string | undefined;
  readonly name: string;
  readonly place: Place;
}

/** A release of Calico 3. */
export interface CalicoVersion {
  /** Infinity: the newest. */
  readonly minor: number;
}

/**
 * A group of policies that are asked together. Tiers are asked in ascending order, those of equal order
 * by name; only tiers with a policy that selects the endpoint in the direction have a say in it.
 */
export interface Tier {
  readonly name: string;
  /** Infinity: last. */
  readonly order: number;
  /** What becomes of traffic that no rule of the tier's policies matches: `pass` asks the next tier. */
  readonly defaultAction: "deny" | "pass";
  /** The API leaves open which of several policies of equal order decides. */
  readonly tiesUndefined?: boolean;
}

/** One policy, defaults applied. */
export interface Policy {
  readonly ref: PolicyRef;
  readonly tier: Tier;
  /** Ascending within the tier; Infinity: last. `sortPolicies` says what comes first of equal ones. */
  readonly order: number;
  readonly subject: PolicySubject;
  /** Undefined: does not apply to this direction. Empty: applies, and no rule matches. */
  readonly ingress: readonly PolicyRule[] | undefined;
  readonly egress: readonly PolicyRule[] | undefined;
  /** Where a denial without a matching rule points: the policyTypes entry, else the spec. */
  readonly ingressPlace: Place;
  readonly egressPlace: Place;
  /** Undefined: for workloads, and for what host endpoints send and get themselves. */
  readonly host?: HostLayer;
  /** Undefined: the policy is enforced. */
  readonly stagedAction?: StagedAction;
}

/**
 * Which traffic of host endpoints a policy is for, beside or instead of their own: `forwarded` also what
 * passes through them; only the hosts' `pre-dnat` before a Service is translated, and `untracked` without
 * following connections.
 */
export type HostLayer = "forwarded" | "pre-dnat" | "untracked";

/** What a staged policy would do to the policy of its name. */
export type StagedAction = "set" | "delete" | "learn" | "ignore";

/**
 * What a rule does with traffic that it matches: the first match in a tier decides. `allow` and `deny`
 * are final, `pass` goes to the next tier, `log` goes on with the next rule.
 */
export type RuleAction = "allow" | "deny" | "pass" | "log";

export type PolicyRule = PeerRule | MatchRule;

/** One rule of a Kubernetes kind: it matches traffic that any of its peers and of its ports describes. */
export interface PeerRule {
  readonly kind: "peers";
  /** Position in the manifest's list, from 0. */
  readonly index: number;
  readonly action: RuleAction;
  /** Undefined: every peer (`from`/`to` absent or empty). */
  readonly peers: readonly PolicyPeer[] | undefined;
  /** Undefined: every port of every protocol (`ports` absent or empty). */
  readonly ports: readonly PolicyPort[] | undefined;
  readonly place: Place;
}

/** One rule of Calico's: it matches traffic of which everything holds that is given. */
export interface MatchRule {
  readonly kind: "match";
  /** Position in the manifest's list, from 0. */
  readonly index: number;
  readonly action: RuleAction;
  /** Undefined: of either family. */
  readonly family: Family | undefined;
  readonly protocol: number | undefined;
  readonly notProtocol: number | undefined;
  readonly icmp: IcmpMatch | undefined;
  readonly notIcmp: IcmpMatch | undefined;
  readonly source: RuleSide;
  readonly destination: RuleSide;
  readonly place: Place;
}

export interface IcmpMatch {
  readonly type: number;
  /** Undefined: every code. */
  readonly code: number | undefined;
}

/** What a rule asks of one side of the traffic. Empty lists ask nothing. */
export interface RuleSide {
  /** In any of them. */
  readonly nets: readonly Prefix[];
  /** In none of them. */
  readonly notNets: readonly Prefix[];
  /** Undefined: any address, of endpoints or not. */
  readonly selector: ExpressedEndpoints | undefined;
  /** An address that no such endpoint has. */
  readonly notSelector: ExpressedEndpoints | undefined;
  /** Any of them. */
  readonly ports: readonly RulePort[];
  /** None of them. */
  readonly notPorts: readonly RulePort[];
  /** Backends of a Service; of a destination with their ports. */
  readonly service: ServiceRef | undefined;
}

/** A port of a rule whose protocol is given beside it. */
export type RulePort =
  | { readonly kind: "range"; readonly first: number; readonly last: number; readonly place: Place }
  | { readonly kind: "named"; readonly name: string; readonly place: Place };

export interface ServiceRef {
  readonly namespace: string;
  readonly name: string;
  readonly place: Place;
}

/** Chooses endpoints, as a policy's subject or a rule's peer. */
export type EndpointSelector = LabelledPods | ExpressedEndpoints;

/** The endpoints that a policy applies to. */
export type PolicySubject = EndpointSelector & {
  /** As Felix has it: policies of one text select the same (subject-text.ts). */
  readonly text: string;
};

/** Endpoints and network sets by Calico's labels, which tell their namespace and service account too. */
export interface ExpressedEndpoints {
  readonly kind: "expression";
  readonly expression: SelectorExpression;
}

/** Endpoints by what Kubernetes objects say of them: all that is given must hold. */
export interface LabelledPods {
  readonly kind: "labels";
  /** Undefined: of whatever namespace. */
  readonly namespace: string | undefined;
  /** Undefined: whatever labels the namespace has. */
  readonly namespaceSelector: LabelSelector | undefined;
  /** Undefined: every pod of the namespaces. */
  readonly podSelector: LabelSelector | undefined;
}

/** The other side of a rule. */
export type PolicyPeer =
  | {
      readonly kind: "pods";
      readonly selector: LabelledPods;
      readonly place: Place;
    }
  | {
      readonly kind: "block";
      /** Host bits masked. */
      readonly prefix: Prefix;
      /** Each strictly inside `prefix`. */
      readonly except: readonly Prefix[];
      readonly place: Place;
    }
  | {
      readonly kind: "networks";
      /** Any of them; at least one, host bits masked. */
      readonly prefixes: readonly Prefix[];
      readonly place: Place;
    }
  | {
      /** The addresses of nodes. */
      readonly kind: "nodes";
      readonly nodeSelector: LabelSelector;
      readonly place: Place;
    }
  | {
      /** The addresses that the names stand for, which no manifest tells. */
      readonly kind: "domains";
      readonly domainNames: readonly string[];
      readonly place: Place;
    };

/** One item of `ports`. */
export type PolicyPort =
  | {
      readonly kind: "range";
      readonly protocol: PortProtocol;
      /** Inclusive; 0 to 65535 stands for every port of the protocol. */
      readonly first: number;
      readonly last: number;
      readonly place: Place;
    }
  | {
      readonly kind: "named";
      /** Undefined: of whatever protocol the port is. */
      readonly protocol: PortProtocol | undefined;
      readonly name: string;
      readonly place: Place;
    };

/** Formats a policy reference as `NetworkPolicy namespace/name`; a cluster-wide one without namespace. */
export function formatPolicyRef(ref: PolicyRef): string {
  // The only kind whose name another API has, too.
  const calico = ref.kind === "projectcalico.org NetworkPolicy" ? "Calico " : "";
  return `${calico}${kindWord(ref)} ${formatPolicyName(ref)}`;
}

/** Formats a policy's name as `namespace/name`; a cluster-wide one's without namespace. */
export function formatPolicyName({ namespace, name }: PolicyRef): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** The group of the kind's API: Kubernetes and Calico both have a NetworkPolicy. */
export function groupWord({ kind }: PolicyRef): string {
  return kind.slice(0, kind.indexOf(" "));
}

/** The kind as its objects name it. */
export function kindWord({ kind }: PolicyRef): string {
  return kind.slice(kind.indexOf(" ") + 1);
}

/** What no two policies have in common. */
export function policyKey(ref: PolicyRef): string {
  return `${ref.kind} ${formatPolicyName(ref)}`;
}
