/**
 * Egress that is restricted without a thought of DNS: pods that may open connections, and cannot find out
 * where to. Whatever might mean a DNS server counts as allowing it.
 */
import { NAMESPACE_NAME_LABEL } from "../cluster/nodes.ts";
import { endpointName } from "../cluster/snapshot.ts";
import type { Endpoint } from "../cluster/snapshot.ts";
import { expressionMatches } from "../cluster/selector-expression.ts";
import { selectorMatches } from "../cluster/selector.ts";
import { prefixContains } from "../net/address.ts";
import type { Prefix } from "../net/address.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../net/protocol.ts";
import { formatPolicyRef } from "../policy/model.ts";
import type { Policy, PolicyPeer, PolicyPort, PolicyRule } from "../policy/model.ts";
import { BlockOwners } from "./blocks.ts";
import type { LintContext } from "./context.ts";
import { dnsPods } from "./dns-pods.ts";
import type { Finding } from "./finding.ts";
import { endpointsCover } from "./inclusion.ts";

const DNS_PORT = 53;

/** Finds DNS_FORGOTTEN. */
export function* lintDns(context: LintContext): Generator<Finding> {
  const { policies, index } = context;
  const asker = new DnsAsker(context);
  const egress = policies.filter((policy) => policy.egress !== undefined);
  const chosen = new Map(egress.map((policy) => [policy, index.chosenBy(policy.subject)]));
  const byEndpoint = new Map<Endpoint, Policy[]>();
  for (const [policy, endpoints] of chosen) {
    for (const endpoint of endpoints) {
      const own = byEndpoint.get(endpoint);
      if (own === undefined) byEndpoint.set(endpoint, [policy]);
      else own.push(policy);
    }
  }
  for (const policy of egress) {
    if (!restricts(policy) || asker.isAllowedBy(policy)) continue;
    const endpoints = chosen.get(policy) ?? [];
    if (endpoints.length === 0) {
      // Of pods to come: what is for all of them counts.
      const others = egress.filter(({ subject }) => endpointsCover(subject, policy.subject));
      if (others.some((other) => asker.isAllowedBy(other))) continue;
      yield finding(policy, undefined, asker);
      continue;
    }
    const without = endpoints.find(
      (endpoint) =>
        !asker.isServer(endpoint) &&
        !(byEndpoint.get(endpoint) ?? []).some((other) => asker.isAllowedBy(other)),
    );
    if (without !== undefined) yield finding(policy, without, asker);
  }
}

/** It lets something out, and not the rest. */
function restricts({ tier, egress = [], host }: Policy): boolean {
  return (
    tier.defaultAction === "deny" &&
    host === undefined &&
    egress.some(({ action }) => action === "allow")
  );
}

function finding(policy: Policy, endpoint: Endpoint | undefined, asker: DnsAsker): Finding {
  const byTcp = asker.isAllowedBy(policy, PROTOCOL_TCP);
  const who = endpoint === undefined ? "its pods" : `pods such as ${endpointName(endpoint)}`;
  const what = byTcp ? "can ask DNS by TCP only" : "cannot ask DNS";
  const asked = byTcp ? egressPlace(policy, asker) : undefined;
  return {
    code: "DNS_FORGOTTEN",
    severity: "warning",
    message: `${formatPolicyRef(policy.ref)} restricts egress, and ${who} ${what}`,
    place: asked ?? policy.egressPlace,
    suggestion: byTcp
      ? "a port without protocol is TCP's: add protocol: UDP, port: 53"
      : `allow it: to namespaceSelector {matchLabels: {${NAMESPACE_NAME_LABEL}: kube-system}} with podSelector {matchLabels: {k8s-app: kube-dns}}, ports 53/UDP and 53/TCP`,
  };
}

/** The rule that lets TCP through. */
function egressPlace({ egress = [] }: Policy, asker: DnsAsker): PolicyRule["place"] | undefined {
  return egress.find((rule) => asker.ruleAllows(rule, PROTOCOL_TCP))?.place;
}

/** Tells whether rules may mean DNS servers: those that were given, else wherever they may be. */
class DnsAsker {
  readonly #context: LintContext;
  readonly #servers: readonly Endpoint[];
  readonly #ports: ReadonlySet<number>;
  readonly #owners: BlockOwners;

  constructor(context: LintContext) {
    this.#context = context;
    this.#servers = dnsPods(context.snapshot);
    // OpenShift's servers listen at another port than their Service.
    const declared = this.#servers
      .flatMap(({ ports }) => ports)
      .filter(({ protocol, name }) => protocol === "UDP" && /dns/.test(name));
    this.#ports = new Set([DNS_PORT, ...declared.map(({ port }) => port)]);
    this.#owners = new BlockOwners(context.snapshot);
  }

  isServer(endpoint: Endpoint): boolean {
    return this.#servers.includes(endpoint);
  }

  isAllowedBy(policy: Policy, protocol = PROTOCOL_UDP): boolean {
    return (policy.egress ?? []).some((rule) => this.ruleAllows(rule, protocol));
  }

  ruleAllows(rule: PolicyRule, protocol: number): boolean {
    // One that passes leaves it to others.
    if (rule.action === "deny" || rule.action === "log") return false;
    if (rule.kind === "peers") {
      const portsMean = rule.ports?.some((port) => this.#portMeans(port, protocol)) ?? true;
      return portsMean && (rule.peers?.some((peer) => this.#peerMay(peer)) ?? true);
    }
    const { destination } = rule;
    if (rule.protocol !== undefined && rule.protocol !== protocol) return false;
    if (rule.notProtocol === protocol) return false;
    const ports =
      destination.ports.length === 0 ||
      destination.ports.some(
        (port) => port.kind === "named" || this.#hasDnsPort(port.first, port.last),
      );
    if (!ports) return false;
    const { selector, nets } = destination;
    if (selector !== undefined && this.#servers.length > 0) {
      const chosen = this.#context.index.chosenBy(selector);
      const sets = this.#context.index.networkSetsChosenBy(selector);
      if (sets.length === 0 && !chosen.some((endpoint) => this.isServer(endpoint))) return false;
    } else if (selector !== undefined && !expressionMatches(selector.expression, USUAL_LABELS)) {
      return destination.ports.length > 0;
    }
    return nets.length === 0 || nets.some((net) => this.#blockMay(net, []));
  }

  #hasDnsPort(first: number, last: number): boolean {
    return [...this.#ports].some((port) => first <= port && port <= last);
  }

  #portMeans(port: PolicyPort, protocol: number): boolean {
    const name = protocol === PROTOCOL_UDP ? "UDP" : "TCP";
    if (port.protocol !== undefined && port.protocol !== name) return false;
    return port.kind === "named" || this.#hasDnsPort(port.first, port.last);
  }

  #peerMay(peer: PolicyPeer): boolean {
    switch (peer.kind) {
      case "nodes":
        // A server may listen on its node.
        return true;
      case "domains":
        return false;
      case "block":
        return this.#blockMay(peer.prefix, peer.except);
      case "networks":
        return peer.prefixes.some((prefix) => this.#blockMay(prefix, []));
      case "pods": {
        if (this.#servers.length > 0) {
          return this.#context.index
            .chosenBy(peer.selector)
            .some((endpoint) => this.isServer(endpoint));
        }
        const { namespace, namespaceSelector, podSelector } = peer.selector;
        const pods = podSelector === undefined || selectorMatches(podSelector, USUAL_LABELS);
        if (namespace !== undefined) return namespace === "kube-system" && pods;
        // Labels of the namespace may be any.
        const byName = namespaceSelector?.requirements.find(
          ({ key }) => key === NAMESPACE_NAME_LABEL,
        );
        return pods && (byName === undefined || byName.values.includes("kube-system"));
      }
    }
  }

  /** One that holds nothing but a Service's address lets nobody ask it. */
  #blockMay(prefix: Prefix, except: readonly Prefix[]): boolean {
    if (this.#owners.serviceOf(prefix, "egress") !== undefined) return false;
    const addresses = this.#servers.flatMap((server) => server.addresses);
    if (addresses.length === 0) return true;
    // A server on the node, or outside, is asked at an address of no pod.
    const held = (address: Endpoint["addresses"][number]): boolean =>
      prefixContains(prefix, address) && !except.some((gap) => prefixContains(gap, address));
    return addresses.some(held) || prefix.bits >= 24;
  }
}

const USUAL_LABELS: ReadonlyMap<string, string> = new Map([
  ["k8s-app", "kube-dns"],
  ["projectcalico.org/namespace", "kube-system"],
  ["projectcalico.org/orchestrator", "k8s"],
  ["pcns.projectcalico.org/name", "kube-system"],
  [`pcns.${NAMESPACE_NAME_LABEL}`, "kube-system"],
]);
