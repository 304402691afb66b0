/**
 * What a policy's rules ask for, in words, with whom and what that is in this cluster: pods by their workloads,
 * named ports by their numbers.
 */
import { formatExpression } from "../cluster/selector-expression.ts";
import { formatSelector, selectorMatches } from "../cluster/selector.ts";
import type { LabelSelector } from "../cluster/selector.ts";
import { domainAddresses } from "../cluster/snapshot.ts";
import type { Endpoint, Snapshot } from "../cluster/snapshot.ts";
import { formatAddress, formatPrefix } from "../net/address.ts";
import { protocolName } from "../net/protocol.ts";
import type { EndpointIndex } from "../policy/endpoint-index.ts";
import type {
  Direction,
  EndpointSelector,
  IcmpMatch,
  MatchRule,
  PeerRule,
  PolicyPeer,
  PolicyPort,
  PolicyRule,
  RulePort,
  RuleSide,
} from "../policy/model.ts";

/** One condition of a rule. */
export interface RuleWords {
  /** `from`, `to`, `ports`, or what a rule of Calico's asks for besides. */
  readonly about: string;
  /** As the policy says it. */
  readonly words: string;
  /** Who or what that is here; undefined: the words say all. */
  readonly means: readonly string[] | undefined;
}

/** What rules are resolved with. */
export interface Resolution {
  readonly snapshot: Snapshot;
  readonly index: EndpointIndex;
  readonly direction: Direction;
  /** Whom the policy selects: at ingress, named ports are theirs. */
  readonly subject: readonly Endpoint[];
}

/** The conditions of a rule, any item of one of them and all of them together; none: it matches all. */
export function ruleWords(rule: PolicyRule, resolution: Resolution): RuleWords[] {
  return rule.kind === "peers" ? peerWords(rule, resolution) : matchWords(rule, resolution);
}

/** Names of workloads, each once. */
export function workloadNames(endpoints: readonly Endpoint[]): string[] {
  const names = endpoints.map(({ namespace, workload }) => `${namespace}/${workload.name}`);
  return [...new Set(names)].sort();
}

/** Whom a selector chooses, in its own words. */
export function selectorWords(selector: EndpointSelector): string {
  if (selector.kind === "expression") return formatExpression(selector.expression);
  const { namespace, namespaceSelector, podSelector } = selector;
  const pods = isEmpty(podSelector) ? "all pods" : `pods with ${formatSelector(podSelector)}`;
  if (namespace !== undefined) return `${pods} of namespace ${namespace}`;
  return isEmpty(namespaceSelector)
    ? `${pods} of all namespaces`
    : `${pods} of namespaces with ${formatSelector(namespaceSelector)}`;
}

function isEmpty(selector: LabelSelector | undefined): selector is undefined {
  return selector === undefined || selector.requirements.length === 0;
}

function peerWords({ peers, ports }: PeerRule, resolution: Resolution): RuleWords[] {
  const about = resolution.direction === "ingress" ? "from" : "to";
  const others = peers?.map((peer) => ({ about, ...onePeer(peer, resolution) }));
  const destinations =
    resolution.direction === "ingress"
      ? resolution.subject
      : (peers ?? []).flatMap((peer) =>
          peer.kind === "pods" ? resolution.index.chosenBy(peer.selector) : [],
        );
  return [
    ...(others ?? [{ about, words: "anybody", means: undefined }]),
    ...(ports === undefined
      ? [{ about: "ports", words: "all, of every protocol", means: undefined }]
      : ports.map((port) => onePort(port, destinations))),
  ];
}

function onePeer(peer: PolicyPeer, { snapshot, index }: Resolution): Omit<RuleWords, "about"> {
  switch (peer.kind) {
    case "pods":
      return {
        words: selectorWords(peer.selector),
        means: workloadNames(index.chosenBy(peer.selector)),
      };
    case "block": {
      const except = peer.except.map(formatPrefix).join(", ");
      const words = `${formatPrefix(peer.prefix)}${except === "" ? "" : ` except ${except}`}`;
      return { words, means: undefined };
    }
    case "networks":
      return { words: peer.prefixes.map(formatPrefix).join(", "), means: undefined };
    case "nodes": {
      const chosen = [...snapshot.nodeByName.values()].filter(({ labels }) =>
        selectorMatches(peer.nodeSelector, labels),
      );
      return {
        words: `nodes with ${formatSelector(peer.nodeSelector)}`,
        means: chosen.map(({ name }) => `node/${name}`),
      };
    }
    case "domains": {
      const addresses = peer.domainNames.flatMap((name) => domainAddresses(name, snapshot));
      return { words: peer.domainNames.join(", "), means: addresses.map(formatAddress) };
    }
  }
}

function onePort(port: PolicyPort, destinations: readonly Endpoint[]): RuleWords {
  if (port.kind === "range") {
    const { first, last, protocol } = port;
    const all = first === 0 && last === 65_535;
    const range = first === last ? `${first}` : `${first}-${last}`;
    const words = all ? `all of ${protocol}` : `${range}/${protocol}`;
    return { about: "ports", words, means: undefined };
  }
  const own = destinations.flatMap((endpoint) =>
    endpoint.ports.flatMap((each) =>
      each.name === port.name && (port.protocol ?? each.protocol) === each.protocol
        ? [`${each.port}/${each.protocol} of ${workloadNames([endpoint]).join("")}`]
        : [],
    ),
  );
  const protocol = port.protocol === undefined ? "" : ` (${port.protocol})`;
  return { about: "ports", words: `named ${port.name}${protocol}`, means: [...new Set(own)] };
}

function matchWords(rule: MatchRule, resolution: Resolution): RuleWords[] {
  const said = (about: string, words: string | undefined): RuleWords[] =>
    words === undefined ? [] : [{ about, words, means: undefined }];
  const name = (number: number): string => protocolName(number).toUpperCase();
  const { family, protocol, notProtocol, icmp, notIcmp } = rule;
  return [
    ...said("family", family === undefined ? undefined : `IPv${family}`),
    ...said("protocol", protocol === undefined ? undefined : name(protocol)),
    ...said("protocol", notProtocol === undefined ? undefined : `not ${name(notProtocol)}`),
    ...said("ICMP", icmp && icmpWords(icmp)),
    ...said("ICMP", notIcmp && `not ${icmpWords(notIcmp)}`),
    ...sideWords("source", rule.source, resolution),
    ...sideWords("destination", rule.destination, resolution),
  ];
}

function icmpWords({ type, code }: IcmpMatch): string {
  return `type ${type}${code === undefined ? "" : ` code ${code}`}`;
}

function sideWords(
  about: "source" | "destination",
  side: RuleSide,
  { snapshot, index }: Resolution,
): RuleWords[] {
  const words: RuleWords[] = [];
  const say = (text: string, means?: readonly string[]): void => {
    words.push({ about, words: text, means });
  };
  if (side.nets.length > 0) say(side.nets.map(formatPrefix).join(", "));
  if (side.notNets.length > 0) say(`not ${side.notNets.map(formatPrefix).join(", ")}`);
  for (const [selector, not] of [
    [side.selector, ""],
    [side.notSelector, "not "],
  ] as const) {
    if (selector === undefined) continue;
    const sets = index.networkSetsChosenBy(selector).map(({ name }) => `network set ${name}`);
    const hosts = index.hostEndpointsChosenBy(selector).map(({ name }) => `host endpoint ${name}`);
    const pods = workloadNames(index.chosenBy(selector));
    say(`${not}${formatExpression(selector.expression)}`, [...pods, ...sets, ...hosts]);
  }
  if (side.service !== undefined) {
    const { namespace, name } = side.service;
    const members = snapshot.membersByService.get(`${namespace}/${name}`);
    say(`Service ${namespace}/${name}`, (members?.addresses ?? []).map(formatAddress));
  }
  if (side.ports.length > 0) say(`port ${side.ports.map(rulePort).join(", ")}`);
  if (side.notPorts.length > 0) say(`not port ${side.notPorts.map(rulePort).join(", ")}`);
  return words;
}

function rulePort(port: RulePort): string {
  if (port.kind === "named") return port.name;
  return port.first === port.last ? `${port.first}` : `${port.first}-${port.last}`;
}
