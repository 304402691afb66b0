/**
 * kube-router's tables: a chain for each pod, by its address, and one for each policy with its rules of both
 * directions. Left out: its rules for bridges, of which no packet here passes one, and for logging.
 * Source: kube-router pkg/controllers/netpol/policy.go, pod.go, network_policy_controller.go and
 * pkg/utils/iptables.go.
 */
import { endpointName } from "../cluster/snapshot.ts";
import type { Endpoint } from "../cluster/snapshot.ts";
import type { Match } from "../match/index.ts";
import { hostPrefix, parsePrefix } from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP } from "../net/protocol.ts";
import type { Dialect } from "../policy/dialect.ts";
import type { Direction, Policy } from "../policy/model.ts";
import { DEFAULT_TIER } from "../policy/order.ts";
import { doesRule } from "./dialect-rule.ts";
import { compileRouterPolicy, ROUTER_ALLOWED, routerPolicyName } from "./kube-router-policy.ts";
import { isPrinted } from "./model.ts";
import type { Chain, IpSet, Rule } from "./model.ts";
import { routerName } from "./names.ts";
import {
  ACCEPT,
  bitsClear,
  bitsSet,
  clearBits,
  DROP,
  jump,
  makeRule,
  protocolIs,
  RETURN,
  setBits,
  stateIs,
} from "./rule.ts";
import { IS_LOCAL } from "./service-port.ts";
import type { PeerMeanings } from "./peer-meanings.ts";

export const CHAIN_ROUTER = {
  INPUT: "KUBE-ROUTER-INPUT",
  FORWARD: "KUBE-ROUTER-FORWARD",
  OUTPUT: "KUBE-ROUTER-OUTPUT",
} as const;
const CHAIN_COMMON = "KUBE-NWPLCY-COMMON";
const CHAIN_DEFAULT = "KUBE-NWPLCY-DEFAULT";

/** Every pod's chain that saw the packet has let it through. */
const ROUTER_DONE = 0x20000;

/** A pod, and the policies that select it. */
export interface RouterPod {
  readonly endpoint: Endpoint;
  readonly policies: readonly Policy[];
}

interface Given {
  readonly family: Family;
  readonly dialect: Dialect;
  readonly meanings: PeerMeanings;
  readonly wholeCluster: boolean;
}

/** Compiles the filter table's user chains, and the sets that they ask. */
export function compileRouter(
  pods: readonly RouterPod[],
  given: Given,
): { readonly chains: readonly Chain[]; readonly sets: readonly IpSet[] } {
  const { family, dialect } = given;
  const addressed = pods.flatMap((pod) =>
    pod.endpoint.addresses
      .filter((address) => address.family === family)
      .map((address) => ({ ...pod, address })),
  );
  const policies = [...new Set(pods.flatMap((pod) => pod.policies))];
  const compiled = policies.map((policy) => compileRouterPolicy(policy, given));
  return {
    chains: [
      ...hookChains(addressed, given),
      userChain(CHAIN_COMMON, commonRules(dialect, family)),
      userChain(CHAIN_DEFAULT, [makeRule({ target: setBits(ROUTER_ALLOWED) })]),
      ...addressed.map((pod) => podChain(pod, given)),
      ...compiled.map(({ name, rules }) => userChain(name, rules)),
    ],
    sets: compiled.flatMap(({ sets }) => sets),
  };
}

interface AddressedPod extends RouterPod {
  readonly address: Address;
}

function podChainName({ namespace, name }: Endpoint): string {
  return routerName("KUBE-POD-FW-", namespace + name);
}

/**
 * What is left alone at INPUT comes first, the flag that keeps kube-proxy's refusals out last. Between them
 * the order of pods is up to a map; no verdict hangs on it, as every chain that a packet meets must agree.
 */
function hookChains(pods: readonly AddressedPod[], { family, wholeCluster }: Given): Chain[] {
  const toPod = (side: "src" | "dst") => (pod: AddressedPod) =>
    makeRule({
      matches: [isAddress(side, pod.address)],
      target: jump(podChainName(pod.endpoint)),
    });
  const from = pods.map(toPod("src"));
  const to = pods.map(toPod("dst"));
  const end = makeRule({ matches: [bitsSet(ROUTER_DONE)], target: ACCEPT });
  const nodePorts = [PROTOCOL_TCP, PROTOCOL_UDP].map((protocol) =>
    makeRule({
      matches: [
        protocolIs(protocol),
        IS_LOCAL.destination,
        { kind: "multiport", side: "dst", ports: [NODE_PORTS], invert: false },
      ],
      target: RETURN,
    }),
  );
  const services: Match = { kind: "address", side: "dst", prefix: SERVICES, invert: false };
  return [
    userChain(CHAIN_ROUTER.INPUT, [
      ...(family === 4 ? [makeRule({ matches: [services], target: RETURN })] : []),
      ...nodePorts,
      ...from,
      end,
    ]),
    userChain(CHAIN_ROUTER.FORWARD, [...from, ...to, end]),
    userChain(CHAIN_ROUTER.OUTPUT, [
      // Where all nodes are seen as one, the pods' chains do not tell which of them sends.
      ...(wholeCluster ? pods.flatMap(({ address }) => fromNode(address, true)) : []),
      ...to,
      ...from,
      end,
    ]),
  ];
}

const NODE_PORTS = { first: 30000, last: 32767 };
/** `--service-cluster-ip-range`, as it is by itself. */
const SERVICES = prefix("10.96.0.0/12");

/** > Traffic to and from the node where a Pod is running is always allowed. */
function fromNode(address: Address, first: boolean): Rule[] {
  const to = isAddress("dst", address);
  return [
    ...(first ? [makeRule({ matches: [to], target: jump(CHAIN_COMMON) })] : []),
    makeRule({
      matches: [to, IS_LOCAL.source],
      target: ACCEPT,
      origin: { kind: "node-traffic" },
    }),
  ];
}

function podChain({ endpoint, address, policies }: AddressedPod, given: Given): Chain {
  const { family, wholeCluster } = given;
  const sides = { ingress: isAddress("dst", address), egress: isAddress("src", address) };
  const of = (direction: Direction): readonly Policy[] =>
    policies.filter((policy) => policy[direction] !== undefined);
  const toPolicies = policies.map((policy) => {
    const matches =
      policy.egress === undefined
        ? [sides.ingress]
        : policy.ingress === undefined
          ? [sides.egress]
          : [];
    return makeRule({ matches, target: jump(routerPolicyName(policy, family)) });
  });
  const toDefault = (direction: Direction): Rule[] => {
    if (of(direction).length > 0) return [];
    const { namespace } = endpoint;
    const origin = { kind: "not-isolated", direction, namespace } as const;
    return [makeRule({ matches: [sides[direction]], target: jump(CHAIN_DEFAULT), origin })];
  };
  const refuse = (direction: Direction): Rule[] => {
    const isolating = of(direction);
    if (isolating.length === 0) return [];
    return [
      makeRule({
        matches: [sides[direction], bitsClear(ROUTER_ALLOWED)],
        target: {
          kind: "REJECT",
          with: family === 4 ? "icmp-port-unreachable" : "icmp6-port-unreachable",
        },
        origin: {
          kind: "isolation",
          tier: DEFAULT_TIER.name,
          direction,
          policies: isolating.map(({ ref, ingressPlace, egressPlace }) => ({
            policy: ref,
            place: direction === "ingress" ? ingressPlace : egressPlace,
          })),
        },
      }),
    ];
  };
  const rules = [
    makeRule({ target: jump(CHAIN_COMMON) }),
    ...(wholeCluster ? [] : fromNode(address, false)),
    ...toPolicies,
    ...toDefault("egress"),
    ...toDefault("ingress"),
    ...refuse("egress"),
    ...refuse("ingress"),
    makeRule({ target: clearBits(ROUTER_ALLOWED) }),
    makeRule({ target: setBits(ROUTER_DONE) }),
  ];
  return { ...userChain(podChainName(endpoint), rules), owner: endpointName(endpoint) };
}

/** What every pod's chain begins with. */
function commonRules(dialect: Dialect, family: Family): Rule[] {
  const protocol = family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
  return [
    doesRule(dialect, "invalid", "drop", { matches: [stateIs("INVALID")], target: DROP }),
    doesRule(dialect, "established", "allow", {
      matches: [stateIs("RELATED", "ESTABLISHED")],
      target: ACCEPT,
    }),
    ...ICMP_TYPES[family].map((type) =>
      doesRule(dialect, "icmp-messages", "allow", {
        matches: [
          protocolIs(protocol),
          { kind: "icmp", family, type, code: undefined, invert: false },
        ],
        target: ACCEPT,
      }),
    ),
  ];
}

/** Echo request, destination unreachable, time exceeded; IPv6 also neighbours and echo replies. */
const ICMP_TYPES: Readonly<Record<Family, readonly number[]>> = {
  4: [8, 3, 11],
  6: [128, 1, 3, 135, 136, 129],
};

function isAddress(side: "src" | "dst", address: Address): Match {
  return { kind: "address", side, prefix: hostPrefix(address), invert: false };
}

function userChain(name: string, rules: readonly Rule[]): Chain {
  const partly = rules.every(isPrinted) ? {} : ({ partlyPrinted: true } as const);
  return { name, policy: undefined, ...partly, rules };
}

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(`bug: ${text} is no prefix`);
  return parsed.prefix;
}
