/**
 * Services as kube-proxy in iptables mode programs them: what is translated in nat, and in filter what is
 * refused or dropped because nothing translated it. Policies never see an address of a Service: it is
 * translated before. Which backends a node has the choice of is `service-choice.ts`'s.
 * Source: kube-proxy pkg/proxy/iptables/proxier.go, syncProxyRules().
 *
 * What kube-proxy is told by its configuration is taken as it is by itself: node ports are open on every
 * address of the node, loopback included; pods are told from others by their range (`podRangeOf`).
 *
 * Of a cluster seen as one node each node's choice is there. The matcher knows at which node a connection is
 * translated, or tries them; to a kernel the address of the client tells or, at node ports, of the node.
 */
import type { Service, ServiceBackend, ServicePort, Snapshot } from "../cluster/snapshot.ts";
import { nodeNames } from "../cluster/snapshot.ts";
import { isReachedFromOutside, knowsBackends } from "../cluster/services.ts";
import type { Match } from "../match/index.ts";
import {
  commonPrefix,
  formatPrefix,
  hostPrefix,
  prefixContains,
  prefixOf,
} from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import type { Target } from "../target/index.ts";
import { natTo } from "../target/nat-range.ts";
import { OPEN } from "./dialect-rule.ts";
import { isPrinted, type Chain, type Rule, type Table } from "./model.ts";
import {
  CHAIN_KUBE_MARK_MASQ,
  CHAIN_KUBE_NODEPORTS,
  CHAIN_KUBE_POSTROUTING,
  CHAIN_KUBE_PROXY_FIREWALL,
  CHAIN_KUBE_SERVICES,
  formatSocket,
  servicePortName,
} from "./names.ts";
import {
  jump,
  makeRule,
  MARK_MASQUERADE,
  MARK_VEILED,
  MASQUERADE,
  RETURN,
  setBits,
} from "./rule.ts";
import { chooseBackends, usesLocalBackends, viewOfNode, type Choice } from "./service-choice.ts";
import { compileServiceFilter } from "./service-filter.ts";
import {
  hasAny,
  hasFirewall,
  IS_LOCAL,
  isServed,
  LOOPBACK_6,
  originOf,
  ownChain,
  portalMatches,
  portMatches,
  sharesOf,
  toChain,
  toOwn,
  userChain,
  type Context,
  type NodesChoice,
  type PodRange,
  type ProxiedPort,
  type Share,
} from "./service-port.ts";
import { backendChain, spreadChains, spreadRules } from "./service-spread.ts";
import type { SetCollector } from "./sets.ts";

/** kube-proxy's part of one family's tables. */
export interface ServiceTables {
  readonly nat: Table;
  /** User chains of the filter table. */
  readonly filterChains: readonly Chain[];
}

/** Whose tables. */
export interface ServiceView {
  /** Undefined: all nodes seen as one. */
  readonly node: string | undefined;
  /** Takes the sets by which a cluster's nodes are told apart. */
  readonly sets: Pick<SetCollector, "placeSet">;
  /** What comes to Services' addresses for outside gets a mark that says so. */
  readonly veiled?: boolean;
}

/** Compiles every Service in one family. */
export function compileServices(
  snapshot: Snapshot,
  family: Family,
  view: ServiceView,
): ServiceTables {
  const context: Context = {
    family,
    sets: view.sets,
    podRange: podRangeOf(snapshot, family),
    nodeAddresses: nodeAddresses(snapshot, family, view.node),
    terse: backendCount(snapshot, family) > LARGE_CLUSTER,
    veiled: view.veiled ?? false,
  };
  const nodes = view.node === undefined ? nodeNames(snapshot) : [view.node];
  const all = snapshot.services
    .filter(({ families }) => families.includes(family))
    .flatMap((service) => service.ports.map((port) => ({ service, port })));
  const ports = all
    .filter(({ port }) => knowsBackends(port, view.node))
    .map(({ service, port }): ProxiedPort => ({
      ...proxied(service, port, family),
      context,
      choices: choicesOf(snapshot, { service, port, family, nodes }),
    }))
    .sort(comparePorts);
  const unknown = all.filter(({ port }) => !knowsBackends(port, view.node));
  return {
    nat: withoutUnprinted(
      natTable(ports, [
        userChain(CHAIN_KUBE_SERVICES, [...ports.flatMap(portalRules), nodePortsRule(family)]),
        nodePortsChain(ports, unknown, family),
        userChain(CHAIN_KUBE_MARK_MASQ, [makeRule({ target: setBits(MARK_MASQUERADE) })]),
        userChain(CHAIN_KUBE_POSTROUTING, postroutingRules()),
      ]),
    ),
    filterChains: compileServiceFilter(ports, family),
  };
}

/**
 * The range by which kube-proxy tells pods from others (`--cluster-cidr`): the smallest that holds all
 * ranges of the cluster. Undefined where there is none. Where that holds nodes or Services, or would be wider than
 * any cluster's, nothing tells which part of it is meant.
 */
function podRangeOf(snapshot: Snapshot, family: Family): PodRange | undefined {
  const own = snapshot.clusterPrefixes.filter(({ address }) => address.family === family);
  const prefix = commonPrefix(own);
  if (prefix === undefined) return undefined;
  const isTold = own.some(({ bits }) => bits === prefix.bits);
  const others = [
    ...[...snapshot.nodeByName.values()].flatMap(({ hostAddresses }) => hostAddresses),
    ...snapshot.services.flatMap(({ clusterAddresses }) => clusterAddresses),
  ];
  const widest = WIDEST_RANGE[family];
  if (isTold || prefix.bits >= widest) {
    const holdsOthers = others.some((address) => prefixContains(prefix, address));
    return { prefixes: [prefix], open: !isTold && holdsOthers };
  }
  const each = own.map((one) => (one.bits <= widest ? one : prefixOf(one.address, widest)));
  const unique = new Map(each.map((one) => [formatPrefix(one), one]));
  return { prefixes: [...unique.values()], open: true };
}

/** No cluster's pods have more. */
const WIDEST_RANGE: Readonly<Record<Family, number>> = { 4: 8, 6: 16 };

/** > Beyond so many endpoints, rules for them have no comments. */
const LARGE_CLUSTER = 1000;

function proxied(
  service: Service,
  port: ServicePort,
  family: Family,
): Omit<ProxiedPort, "context" | "choices"> {
  const own = (addresses: readonly Address[]): Address[] =>
    addresses.filter((address) => address.family === family);
  return {
    service,
    port,
    portName: servicePortName({ ...service, port: port.name }),
    clusterAddresses: own(service.clusterAddresses),
    externalAddresses: own(service.externalAddresses),
    balancerAddresses: own(service.balancerAddresses),
    balancerSources: service.balancerSources.filter(({ address }) => address.family === family),
  };
}

/** What each node chooses from; nodes that choose from the same are together. */
function choicesOf(
  snapshot: Snapshot,
  wanted: {
    readonly service: Service;
    readonly port: ServicePort;
    readonly family: Family;
    readonly nodes: readonly string[];
  },
): NodesChoice[] {
  const { service, port, family, nodes } = wanted;
  const choose = (node: string | undefined): Choice =>
    chooseBackends(service, port, family, viewOfNode(snapshot, node));
  const alike = !usesLocalBackends(service, port) && port.backends.every(isForEverybody);
  const [first] = nodes;
  if (alike || first === undefined) return [{ ...choose(first), nodes }];
  const byContent = new Map<string, { readonly nodes: string[]; readonly choice: Choice }>();
  for (const node of nodes) {
    const choice = choose(node);
    const text = (backends: readonly ServiceBackend[]): string =>
      backends.map(formatSocket).join(" ");
    const key = `${text(choice.cluster)}|${text(choice.local)}|${choice.mayLackLocal}`;
    const known = byContent.get(key);
    if (known === undefined) byContent.set(key, { nodes: [node], choice });
    else known.nodes.push(node);
  }
  return [...byContent.values()].map((each) => ({ ...each.choice, nodes: each.nodes }));
}

function isForEverybody({ zoneHints = [], nodeHints = [] }: ServiceBackend): boolean {
  return zoneHints.length === 0 && nodeHints.length === 0;
}

/** Marks the chains of which the text leaves rules out. */
function withoutUnprinted(table: Table): Table {
  const chains = table.chains.map((chain) =>
    chain.rules.every(isPrinted) ? chain : { ...chain, partlyPrinted: true as const },
  );
  return { ...table, chains };
}

function natTable(ports: readonly ProxiedPort[], fixed: readonly Chain[]): Table {
  const portals = "kubernetes service portals";
  return {
    name: "nat",
    chains: [
      builtinChain("PREROUTING", [toChain(CHAIN_KUBE_SERVICES, portals)]),
      builtinChain("INPUT", []),
      builtinChain("OUTPUT", [toChain(CHAIN_KUBE_SERVICES, portals)]),
      builtinChain("POSTROUTING", [
        toChain(CHAIN_KUBE_POSTROUTING, "kubernetes postrouting rules"),
      ]),
      ...uniqueChains([...fixed, ...ports.filter(hasAny).flatMap(portChains)]),
    ],
  };
}

/** From the addresses of a Service to its chains. */
function portalRules(given: ProxiedPort): Rule[] {
  const { service, port, portName, clusterAddresses, externalAddresses, balancerAddresses } = given;
  if (!hasAny(given)) return [];
  const internal = isServed(given, service.internalTraffic).somewhere;
  const balancerChain = hasFirewall(given) ? "KUBE-FW-" : "KUBE-EXT-";
  const rules = (addresses: readonly Address[], what: string, target: Target): Rule[] =>
    addresses.map((address) =>
      makeRule({
        comment: `${portName} ${what}`,
        matches: portalMatches(given, address, port.port),
        target,
      }),
    );
  return [
    ...(internal ? rules(clusterAddresses, "cluster IP", toOwn(given, internalChain(given))) : []),
    ...rules(externalAddresses, "external IP", toOwn(given, "KUBE-EXT-")),
    ...rules(balancerAddresses, "loadbalancer IP", toOwn(given, balancerChain)),
  ];
}

function internalChain({ service }: ProxiedPort): "KUBE-SVC-" | "KUBE-SVL-" {
  return service.internalTraffic === "Local" ? "KUBE-SVL-" : "KUBE-SVC-";
}

/** > This must be the last rule in its chain. */
function nodePortsRule(family: Family): Rule {
  // > IPv6 has no route_localnet: connections to ::1 would never be answered.
  const loopback: Match[] =
    family === 6 ? [{ kind: "address", side: "dst", prefix: LOOPBACK_6, invert: true }] : [];
  const comment = "kubernetes service nodeports; NOTE: this must be the last rule in this chain";
  return makeRule({
    // With its semicolon, which Calico's comments do not have.
    matches: [{ kind: "comment", text: comment }, ...loopback, IS_LOCAL.destination],
    target: jump(CHAIN_KUBE_NODEPORTS),
  });
}

function nodePortsChain(
  ports: readonly ProxiedPort[],
  unknown: readonly { readonly service: Service; readonly port: ServicePort }[],
  family: Family,
): Chain {
  const rules = ports.flatMap((given) => {
    const { nodePort } = given.port;
    if (nodePort === undefined || !hasAny(given)) return [];
    const comment = given.portName;
    const matches = portMatches(given.port, nodePort);
    return [makeRule({ comment, matches, target: toOwn(given, "KUBE-EXT-") })];
  });
  const open = unknown.flatMap(({ service, port }) => unknownNodePort(service, port, family));
  return userChain(CHAIN_KUBE_NODEPORTS, [...rules, ...open]);
}

/**
 * A node port whose backends nobody told: it leads to the Service's own address, of which the routes say
 * that it is not known where it leads.
 */
function unknownNodePort(service: Service, port: ServicePort, family: Family): Rule[] {
  const [address] = service.clusterAddresses.filter((each) => each.family === family);
  if (port.nodePort === undefined || address === undefined) return [];
  return [
    makeRule({
      matches: portMatches(port, port.nodePort),
      target: { kind: "DNAT", range: natTo(address, port.port) },
      origin: { ...originOf({ service, port }), kind: "service-unknown" },
    }),
  ];
}

/** The chains of a port that some node has a backend for. */
function portChains(given: ProxiedPort): Chain[] {
  const { service, port } = given;
  const outside = isReachedFromOutside(service, port);
  const cluster = sharesOf(given, "cluster");
  const local = sharesOf(given, "local");
  const internal = (which: string): Rule[] =>
    internalChain(given) === which ? masqueradeRules(given) : [];
  const backends = new Map(
    given.choices.flatMap(({ all }) => all).map((each) => [formatSocket(each), each]),
  );
  return [
    ...spreadChains(given, "KUBE-SVC-", cluster, internal("KUBE-SVC-")),
    ...spreadChains(given, "KUBE-SVL-", local, internal("KUBE-SVL-")),
    ...(outside ? [userChain(ownChain(given, "KUBE-EXT-"), externalRules(given, local))] : []),
    ...(hasFirewall(given) ? [userChain(ownChain(given, "KUBE-FW-"), sourceRules(given))] : []),
    ...[...backends.values()].map((backend) => backendChain(given, backend)),
  ];
}

/** What comes from outside the cluster to a cluster address gets the node's as its source. */
function masqueradeRules(given: ProxiedPort): Rule[] {
  const { context, port, portName, clusterAddresses } = given;
  const { podRange } = context;
  if (podRange === undefined) return [];
  const { prefixes, open } = podRange;
  const comment = `${portName} cluster IP`;
  const target = jump(CHAIN_KUBE_MARK_MASQ);
  return clusterAddresses.flatMap((address) => {
    const portal = portalMatches(given, address, port.port);
    const others = [...prefixes.map((prefix) => isFrom(prefix, true)), ...portal];
    if (!open) return [makeRule({ comment, matches: others, target })];
    return [
      unprintedRule(given, others, target),
      ...prefixes.map((prefix) => unprintedRule(given, [isFrom(prefix), ...portal, OPEN], target)),
    ];
  });
}

function isFrom(prefix: Prefix, invert = false): Match {
  return { kind: "address", side: "src", prefix, invert };
}

/** Where nothing tells whom kube-proxy takes for pods: no text has it. */
function unprintedRule({ service }: ProxiedPort, matches: readonly Match[], target: Target): Rule {
  return makeRule({ matches, target, origin: { kind: "pod-range-unknown", place: service.place } });
}

/** What comes to a node port, an external address or a load balancer's. */
function externalRules(given: ProxiedPort, local: readonly Share[]): Rule[] {
  const { context, service, portName } = given;
  const destinations = `${portName} external destinations`;
  const veil = context.veiled ? [makeRule({ target: setBits(MARK_VEILED) })] : [];
  if (service.externalTraffic === "Cluster") {
    return [
      ...veil,
      // The backend may be on another node, and has to answer by this one.
      makeRule({
        comment: `masquerade traffic for ${destinations}`,
        target: jump(CHAIN_KUBE_MARK_MASQ),
      }),
      makeRule({ target: toOwn(given, "KUBE-SVC-") }),
    ];
  }
  const { podRange } = context;
  const cluster = toOwn(given, "KUBE-SVC-");
  const comment = `pod traffic for ${destinations}`;
  return [
    ...veil,
    ...(podRange?.prefixes.map((prefix) =>
      podRange.open
        ? unprintedRule(given, [isFrom(prefix), OPEN], cluster)
        : makeRule({ comment, matches: [isFrom(prefix)], target: cluster }),
    ) ?? []),
    makeRule({
      comment: `masquerade LOCAL traffic for ${destinations}`,
      matches: [IS_LOCAL.source],
      target: jump(CHAIN_KUBE_MARK_MASQ),
    }),
    makeRule({
      comment: `route LOCAL traffic for ${destinations}`,
      matches: [IS_LOCAL.source],
      target: cluster,
    }),
    // What a load balancer sends comes to a node that has backends: it asks their health check ports.
    ...(local.length > 1 ? spreadRules(given, "KUBE-SVL-", local, "certain") : []),
    ...(local.length === 1 && local[0]?.backends.length !== 0
      ? [makeRule({ target: toOwn(given, "KUBE-SVL-") })]
      : []),
  ];
}

/** Who may use a load balancer's addresses; the rest is left untranslated, and dropped in filter. */
function sourceRules(given: ProxiedPort): Rule[] {
  const { context, portName, balancerAddresses, balancerSources } = given;
  const from = (prefix: Prefix): Rule =>
    makeRule({
      comment: `${portName} loadbalancer IP`,
      matches: [{ kind: "address", side: "src", prefix, invert: false }],
      target: toOwn(given, "KUBE-EXT-"),
    });
  // > The VIP is often added as a local address: what the node sends to it then comes from it.
  const fromNode = context.nodeAddresses.some((address) =>
    balancerSources.some((prefix) => prefixContains(prefix, address)),
  );
  return [
    ...balancerSources.map(from),
    ...(fromNode ? balancerAddresses.map((address) => from(hostPrefix(address))) : []),
    makeRule({
      comment: `other traffic to ${portName} will be dropped by ${CHAIN_KUBE_PROXY_FIREWALL}`,
    }),
  ];
}

function postroutingRules(): Rule[] {
  return [
    makeRule({
      matches: [{ kind: "mark", value: MARK_MASQUERADE, mask: MARK_MASQUERADE, invert: true }],
      target: RETURN,
    }),
    // Exclusive or: the bit is set, and goes, so that a second passage does not see it.
    makeRule({ target: { kind: "MARK", value: MARK_MASQUERADE, mask: 0 } }),
    makeRule({
      comment: "kubernetes service traffic requiring SNAT",
      target: MASQUERADE,
    }),
  ];
}

function nodeAddresses(
  { nodeByName }: Snapshot,
  family: Family,
  node: string | undefined,
): Address[] {
  const nodes = node === undefined ? [...nodeByName.values()] : [nodeByName.get(node)];
  return nodes.flatMap((each) => each?.ownAddresses.find((own) => own.family === family) ?? []);
}

function backendCount({ services }: Snapshot, family: Family): number {
  const ports = services.flatMap((service) => service.ports);
  const own = ports.map(
    ({ backends }) => backends.filter(({ address }) => address.family === family).length,
  );
  return own.reduce((sum, count) => sum + count, 0);
}

/** kube-proxy goes through a map; by name, the text is the same every time. */
function comparePorts(one: ProxiedPort, other: ProxiedPort): number {
  if (one.portName !== other.portName) return one.portName < other.portName ? -1 : 1;
  if (one.port.port !== other.port.port) return one.port.port - other.port.port;
  return one.port.protocol < other.port.protocol ? -1 : 1;
}

/** A Service that lists a port twice would give the same chain twice: same name, same rules. */
function uniqueChains(chains: readonly Chain[]): Chain[] {
  const byName = new Map<string, Chain>();
  for (const chain of chains) if (!byName.has(chain.name)) byName.set(chain.name, chain);
  return [...byName.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
}

function builtinChain(name: string, rules: readonly Rule[]): Chain {
  return { name, policy: "ACCEPT", rules };
}
