/**
 * For a drop by isolation: the rule that came closest to allowing the flow, and what it lacked, in
 * words. Reads policies and labels only; it explains a verdict and never decides one.
 */
import {
  formatRequirement,
  formatSelector,
  requirementHolds,
  selectorMatches,
} from "../cluster/selector.ts";
import type { LabelSelector } from "../cluster/selector.ts";
import { domainAddresses, endpointName } from "../cluster/snapshot.ts";
import type { Endpoint, Labels, Snapshot } from "../cluster/snapshot.ts";
import type { Judgement, Tuple } from "../engine/verdict.ts";
import type { Place } from "../errors.ts";
import { formatAddress, formatPrefix, prefixContains, sameAddress } from "../net/address.ts";
import type { Address, Prefix } from "../net/address.ts";
import { protocolName } from "../net/protocol.ts";
import type { Dialect } from "../policy/dialect.ts";
import { DEFAULT_DIALECT } from "../policy/dialects.ts";
import { policyKey } from "../policy/model.ts";
import type {
  Direction,
  Policy,
  PolicyPeer,
  PolicyPort,
  PolicyRef,
  PeerRule,
} from "../policy/model.ts";
import { matchRuleOutcome } from "./match-rule.ts";
import type { Facts, FlowEnd, Outcome } from "./flow-facts.ts";
import { decidingOrigin, ruleWithOrigin } from "./reason.ts";
import type { FindEndpoint } from "./workload.ts";

/** The rule with the fewest unmet conditions. */
export interface NearestMiss {
  readonly policy: PolicyRef;
  readonly direction: Direction;
  readonly rule: number;
  readonly place: Place;
  /** `port 8443/TCP matches; peer needs app=web, has app=checkout`. */
  readonly sentence: string;
}

/** What a nearest miss is looked for in. */
export interface PolicyContext {
  readonly snapshot: Snapshot;
  readonly policies: readonly Policy[];
  readonly find: FindEndpoint;
  /** Who enforces them; Calico when absent. */
  readonly dialect?: Dialect;
}

/**
 * Finds the rule that came closest, among those of the policies that isolate the endpoint.
 *
 * @returns undefined when no isolation dropped it, or those policies have no rule in its direction
 */
export function findNearestMiss(
  judged: Tuple & Judgement,
  context: PolicyContext,
): NearestMiss | undefined {
  const origin = decidingOrigin(judged);
  if (judged.verdict !== "drop" || origin?.kind !== "isolation") return undefined;
  const { direction } = origin;
  const isolating = new Set(origin.policies.map(({ policy }) => policyKey(policy)));
  const facts = factsOf(judged, direction, context);
  let nearest: { readonly miss: NearestMiss; readonly unmet: number } | undefined;
  for (const policy of context.policies) {
    if (!isolating.has(policyKey(policy.ref))) continue;
    for (const rule of policy[direction] ?? []) {
      if (rule.action !== "allow") continue;
      const { unmet, words } =
        rule.kind === "match" ? matchRuleOutcome(rule, facts) : peerRuleOutcome(rule, facts);
      if (nearest !== undefined && nearest.unmet <= unmet) continue;
      const { ref } = policy;
      const miss = { policy: ref, direction, rule: rule.index, place: rule.place, sentence: words };
      nearest = { miss, unmet };
    }
  }
  return nearest?.miss;
}

/** What a rule with peers lacks; each 0 when it holds. */
export interface PeerRuleMiss {
  readonly rule: PeerRule;
  readonly ports: number;
  readonly peers: number;
  /** The peer that comes closest; undefined: the rule names none. */
  readonly peer: PolicyPeer | undefined;
}

/** How far the allowing rules of a policy are from a flow, in the order of its list. */
export function peerRuleMisses(
  judged: Tuple & Judgement,
  policy: Policy,
  direction: Direction,
  context: PolicyContext,
): PeerRuleMiss[] {
  const facts = factsOf(judged, direction, context);
  return (policy[direction] ?? []).flatMap((rule) => {
    if (rule.kind === "match" || rule.action !== "allow") return [];
    const peers =
      rule.peers?.map((peer) => ({ peer, unmet: peerOutcome(peer, facts).unmet })) ?? [];
    const [closest] = peers.toSorted((one, other) => one.unmet - other.unmet);
    const ports = bestOf(rule.ports?.map((each) => portOutcome(each, facts)))?.unmet ?? 0;
    return [{ rule, ports, peers: closest?.unmet ?? 0, peer: closest?.peer }];
  });
}

function factsOf(judged: Tuple & Judgement, direction: Direction, context: PolicyContext): Facts {
  const endpointOf = (owner: string | undefined): Endpoint | undefined =>
    owner === undefined ? undefined : context.find(owner);
  const ingress = direction === "ingress";
  // What a node masqueraded comes from that node.
  const seen = ingress ? judged.translated?.source : undefined;
  const source = seen === undefined ? endpointOf(judged.sourceRoute?.owner) : undefined;
  const sourceAddress = seen ?? judged.source;
  // Policies see a backend, never the Service: of several that fare alike one stands for all.
  const backend = judged.translated === undefined ? someBackend(judged, context) : undefined;
  const destination = backend?.endpoint ?? endpointOf(judged.destinationRoute?.owner);
  const behind = judged.translated ?? backend;
  const target: FlowEnd = {
    endpoint: destination,
    address: behind?.address ?? judged.destination,
    port: behind?.port ?? judged.destinationPort,
  };
  return {
    snapshot: context.snapshot,
    dialect: context.dialect ?? DEFAULT_DIALECT,
    source: { endpoint: source, address: sourceAddress, port: judged.sourcePort },
    target,
    peer: ingress ? source : destination,
    peerAddress: ingress ? sourceAddress : target.address,
    asked: ingress || behind === undefined ? undefined : judged.destination,
    chosen: judged.translated !== undefined,
    destination,
    protocol: judged.protocol === undefined ? "?" : protocolName(judged.protocol).toUpperCase(),
    port: target.port,
  };
}

/** One of the backends that a Service's address or a node's port leads to; the isolated one, where there is one. */
function someBackend(
  judged: Tuple & Judgement,
  { snapshot }: PolicyContext,
): (FlowEnd & { readonly address: Address }) | undefined {
  const { destination, destinationPort, destinationRoute, protocol } = judged;
  if (destination === undefined || destinationPort === undefined || protocol === undefined)
    return undefined;
  const { rule, owner } = ruleWithOrigin(judged) ?? {};
  const isolated = rule?.origin?.kind === "isolation" ? owner : undefined;
  const toNode = destinationRoute?.owner?.startsWith("node ") === true;
  const backends = snapshot.services.flatMap((service) => {
    const { clusterAddresses, externalAddresses, balancerAddresses } = service;
    const own = [...clusterAddresses, ...externalAddresses, ...balancerAddresses].some((each) =>
      sameAddress(each, destination),
    );
    return service.ports.flatMap((port) => {
      const asked = own ? port.port : toNode ? port.nodePort : undefined;
      const leads =
        asked === destinationPort && port.protocol === protocolName(protocol).toUpperCase();
      return leads ? port.backends : [];
    });
  });
  const ends = backends
    .filter(({ address }) => address.family === destination.family)
    .map(({ address, port }) => {
      const endpoint = snapshot.endpoints.find(({ addresses }) =>
        addresses.some((each) => sameAddress(each, address)),
      );
      return { endpoint, address, port };
    });
  const isIsolated = ({ endpoint }: FlowEnd): boolean =>
    endpoint !== undefined && endpointName(endpoint) === isolated;
  return ends.find(isIsolated) ?? ends[0];
}

function peerRuleOutcome(rule: PeerRule, facts: Facts): Outcome {
  const port = bestOf(rule.ports?.map((each) => portOutcome(each, facts)));
  const peer = bestOf(rule.peers?.map((each) => peerOutcome(each, facts)));
  const flowPort = facts.port === undefined ? facts.protocol : `${facts.port}/${facts.protocol}`;
  const words: string[] = [];
  // No ports: any port. No peers: any peer. Neither can be what is unmet.
  if (port?.unmet === 0) words.push(`port ${flowPort} matches`);
  if (peer?.unmet === 0) words.push("peer matches");
  if (port !== undefined && port.unmet > 0) words.push(`port needs ${port.words}, has ${flowPort}`);
  if (peer !== undefined && peer.unmet > 0) words.push(`peer needs ${peer.words}`);
  return { unmet: (port?.unmet ?? 0) + (peer?.unmet ?? 0), words: words.join("; ") };
}

function portOutcome(port: PolicyPort, facts: Facts): Outcome {
  const protocolUnmet = port.protocol === facts.protocol ? 0 : 1;
  if (port.kind === "named") {
    const { name, protocol } = port;
    const holds = facts.destination?.ports.some(
      (each) =>
        each.name === name &&
        each.protocol === (protocol ?? facts.protocol) &&
        each.port === facts.port &&
        !(each.init !== undefined && facts.dialect.namesInitPorts === "no"),
    );
    const unmet = holds === true ? 0 : 1 + (protocol === undefined ? 0 : protocolUnmet);
    const words = `the port named ${name}${protocol === undefined ? "" : ` (${protocol})`}`;
    return { unmet, words };
  }
  const inRange = facts.port !== undefined && port.first <= facts.port && facts.port <= port.last;
  return {
    unmet: protocolUnmet + (inRange ? 0 : 1),
    words: rangeText(port.first, port.last, port.protocol),
  };
}

function rangeText(first: number, last: number, protocol: string): string {
  if (first === 0 && last === 65535) return `any ${protocol} port`;
  return first === last ? `${first}/${protocol}` : `${first}-${last}/${protocol}`;
}

function peerOutcome(peer: PolicyPeer, facts: Facts): Outcome {
  switch (peer.kind) {
    case "pods":
      return podsOutcome(peer, facts);
    case "block":
      return blockOutcome(peer, facts);
    case "networks":
      return networksOutcome(peer.prefixes, facts);
    case "nodes": {
      const words = `a node with ${formatSelector(peer.nodeSelector)}, is ${peerText(facts)}`;
      return { unmet: nodeMatches(peer.nodeSelector, facts) ? 0 : 3, words };
    }
    case "domains": {
      const words = `an address of ${peer.domainNames.join(", ")}, is ${peerText(facts)}`;
      return { unmet: domainsMatch(peer.domainNames, facts) ? 0 : 3, words };
    }
  }
}

function networksOutcome(prefixes: readonly Prefix[], facts: Facts): Outcome {
  const address = facts.peerAddress;
  const holds = address !== undefined && prefixes.some((prefix) => prefixContains(prefix, address));
  const networks = prefixes.map(formatPrefix).join(", ");
  return { unmet: holds ? 0 : 2, words: `an address in ${networks}, is ${peerText(facts)}` };
}

function nodeMatches(selector: LabelSelector, { snapshot, peerAddress }: Facts): boolean {
  if (peerAddress === undefined) return false;
  return [...snapshot.nodeByName.values()].some(
    ({ addresses, labels }) =>
      selectorMatches(selector, labels) && addresses.some((each) => sameAddress(each, peerAddress)),
  );
}

function domainsMatch(names: readonly string[], { snapshot, peerAddress }: Facts): boolean {
  return names
    .flatMap((name) => domainAddresses(name, snapshot))
    .some((address) => peerAddress !== undefined && sameAddress(address, peerAddress));
}

function peerText({ peer, peerAddress }: Facts): string {
  if (peer !== undefined) return endpointName(peer);
  return peerAddress === undefined ? "an unknown address" : formatAddress(peerAddress);
}

function blockOutcome(peer: PolicyPeer & { readonly kind: "block" }, facts: Facts): Outcome {
  const address = facts.peerAddress;
  const block = formatPrefix(peer.prefix);
  if (address === undefined)
    return { unmet: 1, words: `an address in ${block}, has an unknown one` };
  const { asked } = facts;
  if (asked !== undefined && prefixContains(peer.prefix, asked)) {
    const which = facts.chosen ? "the" : "a";
    const has = `has ${formatAddress(address)}, ${which} pod behind ${formatAddress(asked)}`;
    // It names what the packet was sent to: no other rule is nearer.
    if (!prefixContains(peer.prefix, address)) {
      return { unmet: 0.5, words: `an address in ${block}, ${has}` };
    }
  }
  if (!prefixContains(peer.prefix, address)) {
    // An address that is nowhere near is further off than a label that differs.
    return { unmet: 2, words: `an address in ${block}, has ${formatAddress(address)}` };
  }
  const hole = peer.except.find((except) => prefixContains(except, address));
  if (hole === undefined) return identityOutcome(block, address, facts);
  return {
    unmet: 1,
    words: `an address in ${block} except ${formatPrefix(hole)}, has ${formatAddress(address)}`,
  };
}

/** Where those of the cluster have an identity, a block means others. */
function identityOutcome(block: string, address: Address, facts: Facts): Outcome {
  const { peer, dialect, snapshot } = facts;
  const node = [...snapshot.nodeByName.values()].find(({ addresses }) =>
    addresses.some((each) => sameAddress(each, address)),
  );
  const is =
    peer !== undefined && dialect.blocksHoldPods === "no"
      ? `pod ${endpointName(peer)}`
      : node !== undefined && dialect.blocksHoldNodes === "no"
        ? `node ${node.name}`
        : undefined;
  if (is === undefined) return { unmet: 0, words: "" };
  return {
    unmet: 1,
    words: `an address in ${block} outside the cluster (${dialect.title}), is ${is}`,
  };
}

function podsOutcome(peer: PolicyPeer & { readonly kind: "pods" }, facts: Facts): Outcome {
  const pod = facts.peer;
  if (pod === undefined) {
    return { unmet: 3, words: `a pod, is ${peerText(facts)}` };
  }
  const parts: Outcome[] = [];
  const { namespace, namespaceSelector, podSelector } = peer.selector;
  if (namespace !== undefined && pod.namespace !== namespace) {
    parts.push({ unmet: 1, words: `namespace ${namespace}, is ${endpointName(pod)}` });
  }
  if (namespaceSelector !== undefined) {
    const labels =
      facts.snapshot.namespaceByName.get(pod.namespace)?.labels ?? new Map<string, string>();
    const outcome = selectorOutcome(namespaceSelector, labels);
    if (outcome.unmet > 0) {
      parts.push({ ...outcome, words: `a namespace with ${outcome.words} (${pod.namespace})` });
    }
  }
  if (podSelector !== undefined) {
    const outcome = selectorOutcome(podSelector, pod.labels);
    if (outcome.unmet > 0) parts.push(outcome);
  }
  return {
    unmet: parts.reduce((sum, part) => sum + part.unmet, 0),
    words: parts.map((part) => part.words).join(" and "),
  };
}

/** `app=web, has app=checkout`: the requirements that do not hold, and what the labels say instead. */
function selectorOutcome(selector: LabelSelector, labels: Labels): Outcome {
  const unmet = selector.requirements.filter(
    (requirement) => !requirementHolds(requirement, labels),
  );
  const needs = unmet.map(formatRequirement).join(",");
  const has = [...new Set(unmet.map(({ key }) => key))].map((key) => {
    const value = labels.get(key);
    return value === undefined ? `no label ${key}` : `${key}=${value}`;
  });
  return { unmet: unmet.length, words: `${needs}, has ${has.join(",")}` };
}

function bestOf(outcomes: readonly Outcome[] | undefined): Outcome | undefined {
  if (outcomes === undefined) return undefined;
  return outcomes.reduce<Outcome | undefined>(
    (best, each) => (best === undefined || each.unmet < best.unmet ? each : best),
    undefined,
  );
}
