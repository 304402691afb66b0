/**
 * The chain of one endpoint in one direction: what conntrack knows, then the policies that isolate it,
 * or its namespace's profile where none does. Here an isolation becomes DROP.
 * Source: Felix rules/endpoints.go, a normal workload endpoint chain with the default tier only.
 *
 * Left out, because they never decide: the service account's profile (it has no rules) and policy
 * groups (the same policies behind one more jump).
 */
import { endpointName } from "../cluster/snapshot.ts";
import type { Endpoint } from "../cluster/snapshot.ts";
import { PROTOCOL_UDP } from "../net/protocol.ts";
import type { Direction, Policy } from "../policy/model.ts";
import type { Chain, Rule } from "./model.ts";
import {
  endpointChainName,
  namespaceProfileName,
  policyChainName,
  profileChainName,
} from "./names.ts";
import {
  ACCEPT,
  bitsClear,
  bitsSet,
  clearBits,
  DROP,
  jump,
  makeRule,
  MARK_ACCEPT,
  MARK_PASS,
  protocolIs,
  RETURN,
  setBits,
  stateIs,
} from "./rule.ts";

const VXLAN_PORT = 4789;
const PROTOCOL_IPIP = 4;

/** An endpoint and what its chain in one direction is made of. */
export interface EndpointPolicies {
  readonly endpoint: Endpoint;
  readonly interfaceName: string;
  readonly direction: Direction;
  /** Those that isolate it in this direction, in the order of evaluation. None: not isolated. */
  readonly policies: readonly Policy[];
}

/** Compiles the chain of an endpoint in one direction. */
export function compileEndpointChain(given: EndpointPolicies): Chain {
  const { endpoint, interfaceName, direction, policies } = given;
  return {
    name: endpointChainName(direction, interfaceName),
    policy: undefined,
    rules: [
      ...conntrackRules(endpoint, direction),
      makeRule({ target: clearBits(MARK_ACCEPT | MARK_PASS) }),
      ...(direction === "egress" ? encapsulationRules() : []),
      ...tierRules(endpoint, direction, policies),
      makeRule({ target: jump(profileChainName(direction, endpoint.namespace)) }),
      makeRule({
        comment: "Return if profile accepted",
        matches: [bitsSet(MARK_ACCEPT)],
        target: RETURN,
      }),
      makeRule({ comment: "Drop if no profiles matched", target: DROP }),
    ],
  };
}

/** Compiles the chain of a namespace's profile: it lets everything through. */
export function compileProfileChain(direction: Direction, namespace: string): Chain {
  return {
    name: profileChainName(direction, namespace),
    policy: undefined,
    rules: [
      makeRule({
        comment: `Profile ${namespaceProfileName(namespace)} ${direction}`,
        target: setBits(MARK_ACCEPT),
        origin: { kind: "not-isolated", direction, namespace },
      }),
    ],
  };
}

/** ACCEPT ends the table: the other endpoint's chain is not asked about an established flow. */
function conntrackRules(endpoint: Endpoint, direction: Direction): Rule[] {
  const name = endpointName(endpoint);
  return [
    makeRule({
      matches: [stateIs("RELATED", "ESTABLISHED")],
      target: ACCEPT,
      origin: { kind: "established", direction, endpoint: name },
    }),
    makeRule({
      matches: [stateIs("INVALID")],
      target: DROP,
      origin: { kind: "invalid", direction, endpoint: name },
    }),
  ];
}

/** A pod could tunnel around its own egress policy. */
function encapsulationRules(): Rule[] {
  return [
    makeRule({
      comment: "Drop VXLAN encapped packets originating in workloads",
      matches: [
        protocolIs(PROTOCOL_UDP),
        {
          kind: "multiport",
          side: "dst",
          ports: [{ first: VXLAN_PORT, last: VXLAN_PORT }],
          invert: false,
        },
      ],
      target: DROP,
    }),
    makeRule({
      comment: "Drop IPinIP encapped packets originating in workloads",
      matches: [protocolIs(PROTOCOL_IPIP)],
      target: DROP,
    }),
  ];
}

/**
 * > By default, a pod is non-isolated. A pod is isolated if there is any NetworkPolicy that selects it
 * > and has the direction in its policyTypes; then only what the policies allow gets through.
 */
function tierRules(endpoint: Endpoint, direction: Direction, policies: readonly Policy[]): Rule[] {
  // No policies: not isolated, the profile decides.
  if (policies.length === 0) return [];
  return [
    makeRule({ comment: "Start of tier default", target: clearBits(MARK_PASS) }),
    ...policies.flatMap((policy) => [
      makeRule({
        matches: [bitsClear(MARK_PASS)],
        target: jump(policyChainName(direction, policy.ref)),
      }),
      makeRule({
        comment: "Return if policy accepted",
        matches: [bitsSet(MARK_ACCEPT)],
        target: RETURN,
      }),
    ]),
    makeRule({
      comment: "Drop if no policies passed packet",
      matches: [bitsClear(MARK_PASS)],
      target: DROP,
      origin: {
        kind: "isolation",
        direction,
        endpoint: endpointName(endpoint),
        policies: policies.map((policy) => ({
          policy: policy.ref,
          place: direction === "ingress" ? policy.ingressPlace : policy.egressPlace,
        })),
      },
    }),
  ];
}
