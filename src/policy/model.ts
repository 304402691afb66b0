/**
 * The policy form that all kinds are lowered to. Says which endpoints a policy applies to and what its
 * rules say in policy words; knows nothing of chains or sets.
 */
import type { LabelSelector } from "../cluster/selector.ts";
import type { PortProtocol } from "../cluster/snapshot.ts";
import type { Place } from "../errors.ts";
import type { Prefix } from "../net/address.ts";

/** As seen from the selected endpoint: to it, or from it. */
export type Direction = "ingress" | "egress";

/** Names a policy object, and the place of its `metadata.name`. */
export interface PolicyRef {
  readonly kind: "NetworkPolicy";
  readonly namespace: string;
  readonly name: string;
  readonly place: Place;
}

/** One policy, defaults applied. */
export interface Policy {
  readonly ref: PolicyRef;
  /** Selects endpoints of the policy's namespace. */
  readonly podSelector: LabelSelector;
  /** Undefined: does not apply to this direction. Empty: isolates, allows nothing. */
  readonly ingress: readonly PolicyRule[] | undefined;
  readonly egress: readonly PolicyRule[] | undefined;
  /** Where an isolation without a matching rule points: the policyTypes entry, else the spec. */
  readonly ingressPlace: Place;
  readonly egressPlace: Place;
}

/** One rule: traffic that any peer and any port describes is allowed. */
export interface PolicyRule {
  /** Position in the manifest's list, from 0. */
  readonly index: number;
  /** Undefined: every peer (`from`/`to` absent or empty). */
  readonly peers: readonly PolicyPeer[] | undefined;
  /** Undefined: every port of every protocol (`ports` absent or empty). */
  readonly ports: readonly PolicyPort[] | undefined;
  readonly place: Place;
}

/** The other side of a rule. */
export type PolicyPeer =
  | {
      readonly kind: "pods";
      /** Undefined: the policy's own namespace. */
      readonly namespaceSelector: LabelSelector | undefined;
      /** Undefined: every pod of the namespaces. */
      readonly podSelector: LabelSelector | undefined;
      readonly place: Place;
    }
  | {
      readonly kind: "block";
      /** Host bits masked. */
      readonly prefix: Prefix;
      /** Each strictly inside `prefix`. */
      readonly except: readonly Prefix[];
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
      readonly protocol: PortProtocol;
      readonly name: string;
      readonly place: Place;
    };

/** Formats a policy reference as `NetworkPolicy namespace/name`. */
export function formatPolicyRef(ref: PolicyRef): string {
  return `${ref.kind} ${ref.namespace}/${ref.name}`;
}
