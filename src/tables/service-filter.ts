/**
 * kube-proxy's part of the filter table: what is refused or dropped because nothing translated it, and
 * what is let through.
 */
import type { Match } from "../match/index.ts";
import type { Family } from "../net/address.ts";
import type { Chain, Rule } from "./model.ts";
import {
  CHAIN_KUBE_EXTERNAL_SERVICES,
  CHAIN_KUBE_FIREWALL,
  CHAIN_KUBE_FORWARD,
  CHAIN_KUBE_NODEPORTS,
  CHAIN_KUBE_PROXY_FIREWALL,
  CHAIN_KUBE_SERVICES,
} from "./names.ts";
import { ACCEPT, bitsSet, DROP, jump, makeRule, MARK_MASQUERADE, stateIs } from "./rule.ts";
import {
  hasAny,
  hasFirewall,
  IS_LOCAL,
  isServed,
  LOOPBACK_4,
  originOf,
  ownChain,
  portalMatches,
  portMatches,
  toChain,
  userChain,
  type ProxiedPort,
} from "./service-port.ts";

/** Compiles the user chains of the filter table. */
export function compileServiceFilter(ports: readonly ProxiedPort[], family: Family): Chain[] {
  return [
    userChain(CHAIN_KUBE_SERVICES, ports.flatMap(internalRefusals)),
    userChain(CHAIN_KUBE_EXTERNAL_SERVICES, ports.flatMap(externalRefusals)),
    userChain(CHAIN_KUBE_NODEPORTS, ports.flatMap(healthCheckRules)),
    userChain(CHAIN_KUBE_PROXY_FIREWALL, ports.flatMap(firewallRefusals)),
    userChain(CHAIN_KUBE_FORWARD, forwardRules()),
    ...(family === 4 ? [userChain(CHAIN_KUBE_FIREWALL, [localnetRule()])] : []),
  ];
}

/** The jumps to kube-proxy's filter chains, which stand behind Calico's. */
export function compileServiceJumps(hook: "INPUT" | "FORWARD" | "OUTPUT", family: Family): Rule[] {
  const isNew = [stateIs("NEW")];
  const balancer = toChain(CHAIN_KUBE_PROXY_FIREWALL, "kubernetes load balancer firewall", isNew);
  const portals = toChain(CHAIN_KUBE_SERVICES, "kubernetes service portals", isNew);
  const external = toChain(
    CHAIN_KUBE_EXTERNAL_SERVICES,
    "kubernetes externally-visible service portals",
    isNew,
  );
  const localnet = family === 4 ? [makeRule({ target: jump(CHAIN_KUBE_FIREWALL) })] : [];
  switch (hook) {
    case "INPUT": {
      const checks = toChain(CHAIN_KUBE_NODEPORTS, "kubernetes health check service ports");
      return [balancer, checks, external, ...localnet];
    }
    case "FORWARD":
      return [
        balancer,
        toChain(CHAIN_KUBE_FORWARD, "kubernetes forwarding rules"),
        portals,
        external,
      ];
    case "OUTPUT":
      return [balancer, portals, ...localnet];
  }
}

/** Cluster addresses that nothing translated. */
function internalRefusals(given: ProxiedPort): Rule[] {
  const { service, port, clusterAddresses } = given;
  if (isServed(given, service.internalTraffic).everywhere) return [];
  return clusterAddresses.map((address) =>
    refusal(given, portalMatches(given, address, port.port)),
  );
}

/** Addresses and node ports for outside that nothing translated. */
function externalRefusals(given: ProxiedPort): Rule[] {
  const { service, port, externalAddresses, balancerAddresses } = given;
  if (isServed(given, service.externalTraffic).everywhere) return [];
  const { nodePort } = port;
  return [
    ...[...externalAddresses, ...balancerAddresses].map((address) =>
      refusal(given, portalMatches(given, address, port.port)),
    ),
    ...(nodePort === undefined
      ? []
      : [refusal(given, [IS_LOCAL.destination, ...portMatches(port, nodePort)])]),
  ];
}

/** Without any backend it is refused; without one on this node it is dropped. */
function refusal(given: ProxiedPort, matches: readonly Match[]): Rule {
  const any = hasAny(given);
  return makeRule({
    comment: `${given.portName} has no ${any ? "local " : ""}endpoints`,
    matches,
    target: any
      ? DROP
      : {
          kind: "REJECT",
          with: given.context.family === 4 ? "icmp-port-unreachable" : "icmp6-port-unreachable",
        },
    origin: {
      ...originOf(given),
      kind: "service-refused",
      why: any ? "no local backend" : "no backend",
    },
  });
}

function firewallRefusals(given: ProxiedPort): Rule[] {
  if (!hasFirewall(given)) return [];
  return given.balancerAddresses.map((address) =>
    makeRule({
      comment: `${given.portName} traffic not accepted by ${ownChain(given, "KUBE-FW-")}`,
      matches: portalMatches(given, address, given.port.port),
      target: DROP,
      origin: { ...originOf(given), kind: "service-refused", why: "source" },
    }),
  );
}

function healthCheckRules({ service, portName }: ProxiedPort): Rule[] {
  const { type, externalTraffic, healthCheckPort: port } = service;
  if (type !== "LoadBalancer" || externalTraffic !== "Local" || port === undefined) return [];
  return [
    makeRule({
      comment: `${portName} health check node port`,
      matches: portMatches({ protocol: "TCP" }, port),
      target: ACCEPT,
    }),
  ];
}

function forwardRules(): Rule[] {
  return [
    // A packet that conntrack cannot place would leave untranslated.
    makeRule({ matches: [stateIs("INVALID")], target: DROP }),
    makeRule({
      comment: "kubernetes forwarding rules",
      matches: [bitsSet(MARK_MASQUERADE)],
      target: ACCEPT,
    }),
    makeRule({
      comment: "kubernetes forwarding conntrack rule",
      matches: [stateIs("RELATED", "ESTABLISHED")],
      target: ACCEPT,
    }),
  ];
}

/** Node ports on loopback addresses need route_localnet, which lets others in, too. */
function localnetRule(): Rule {
  return makeRule({
    comment: "block incoming localnet connections",
    matches: [
      { kind: "address", side: "src", prefix: LOOPBACK_4, invert: true },
      { kind: "address", side: "dst", prefix: LOOPBACK_4, invert: false },
      { kind: "conntrack", states: ["RELATED", "ESTABLISHED", "DNAT"], invert: true },
    ],
    target: DROP,
  });
}
