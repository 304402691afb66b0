/**
 * One port of a Service in one family, as kube-proxy sees it: its addresses, what each node may choose
 * from, the names of its chains, and the parts that its rules are made of.
 */
import type { Service, ServiceBackend, ServicePort } from "../cluster/snapshot.ts";
import type { Match } from "../match/index.ts";
import type { PortMatch } from "../match/port.ts";
import { hostPrefix, parsePrefix } from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import type { Target } from "../target/index.ts";
import type { Chain, Rule, RuleOrigin } from "./model.ts";
import { formatSocket, serviceChainName } from "./names.ts";
import { jump, makeRule, protocolIs } from "./rule.ts";
import type { Choice } from "./service-choice.ts";
import { portProtocolNumber, type SetCollector } from "./sets.ts";

/** What is the same for all ports. */
export interface Context {
  readonly family: Family;
  readonly sets: Pick<SetCollector, "placeSet">;
  readonly podRange: PodRange | undefined;
  /** Of the node whose tables these are; of all where they are seen as one. */
  readonly nodeAddresses: readonly Address[];
  readonly terse: boolean;
  /** Who comes from outside is seen as nobody knows whom. */
  readonly veiled: boolean;
}

/** Whom kube-proxy takes for pods. */
export interface PodRange {
  readonly prefixes: readonly Prefix[];
  /** Nothing tells which of those that are in them. */
  readonly open: boolean;
}

/** One port of a Service in one family. */
export interface ProxiedPort {
  readonly context: Context;
  readonly service: Service;
  readonly port: ServicePort;
  readonly portName: string;
  readonly clusterAddresses: readonly Address[];
  readonly externalAddresses: readonly Address[];
  readonly balancerAddresses: readonly Address[];
  /** Empty: everybody. */
  readonly balancerSources: readonly Prefix[];
  /** At least one; several where the nodes of a cluster seen as one choose differently. */
  readonly choices: readonly NodesChoice[];
}

/** What some nodes choose from. */
export interface NodesChoice extends Choice {
  readonly nodes: readonly string[];
}

/** The backends of some nodes. */
export interface Share {
  readonly nodes: readonly string[];
  readonly backends: readonly ServiceBackend[];
  /** Perhaps a node has none of them. */
  readonly mayLack: boolean;
}

/** What the nodes' choices come to for one of the two policies, nodes of the same together. */
export function sharesOf({ choices }: ProxiedPort, which: "cluster" | "local"): Share[] {
  const shares = new Map<string, Share & { readonly nodes: string[] }>();
  for (const choice of choices) {
    const backends = choice[which];
    const mayLack = which === "local" && choice.mayLackLocal;
    const key = `${mayLack} ${backends.map(formatSocket).join(" ")}`;
    const known = shares.get(key);
    if (known === undefined) shares.set(key, { nodes: [...choice.nodes], backends, mayLack });
    else known.nodes.push(...choice.nodes);
  }
  return [...shares.values()];
}

export function hasAny({ choices }: ProxiedPort): boolean {
  return choices.some(({ any }) => any);
}

/** Some node has one to choose; some node has none. */
export function isServed(
  given: ProxiedPort,
  traffic: "Cluster" | "Local",
): {
  readonly somewhere: boolean;
  readonly everywhere: boolean;
} {
  if (traffic === "Cluster") return { somewhere: hasAny(given), everywhere: hasAny(given) };
  const shares = sharesOf(given, "local");
  return {
    somewhere: shares.some(({ backends }) => backends.length > 0),
    everywhere: shares.every(({ backends, mayLack }) => backends.length > 0 && !mayLack),
  };
}

export function hasFirewall(given: ProxiedPort): boolean {
  const { balancerAddresses, balancerSources } = given;
  return hasAny(given) && balancerAddresses.length > 0 && balancerSources.length > 0;
}

export function toChain(chain: string, comment: string, matches: readonly Match[] = []): Rule {
  return makeRule({ comment, matches, target: jump(chain) });
}

type OwnPrefix = SpreadPrefix | "KUBE-EXT-" | "KUBE-FW-";

export type SpreadPrefix = "KUBE-SVC-" | "KUBE-SVL-";

export function toOwn(given: ProxiedPort, prefix: OwnPrefix): Target {
  return jump(ownChain(given, prefix));
}

/** One of the port's chains, or that of nodes whose choice is their own. */
export function ownChain(
  { portName, port }: ProxiedPort,
  prefix: OwnPrefix,
  share?: Pick<Share, "nodes">,
): string {
  const nodes = share === undefined ? "" : `@${share.nodes.join(",")}`;
  return serviceChainName(prefix, portName + nodes, port.protocol);
}

export function portalMatches({ port }: ProxiedPort, address: Address, number: number): Match[] {
  return [
    { kind: "address", side: "dst", prefix: hostPrefix(address), invert: false },
    ...portMatches(port, number),
  ];
}

export function portMatches(port: Pick<ServicePort, "protocol">, number: number): Match[] {
  return [protocolIs(portProtocolNumber(port.protocol)), portIs(port, number)];
}

/** Undefined port: `-m tcp` without a port, which kube-proxy has in front of DNAT. */
export function portIs(
  { protocol }: Pick<ServicePort, "protocol">,
  dport: number | undefined,
): PortMatch {
  return {
    kind: "port",
    protocol: PORT_EXTENSION[protocol],
    sport: undefined,
    dport: dport === undefined ? undefined : { first: dport, last: dport, invert: false },
  };
}

const PORT_EXTENSION = { TCP: "tcp", UDP: "udp", SCTP: "sctp" } as const;

export function originOf({
  service,
  port,
}: Pick<ProxiedPort, "service" | "port">): Omit<Extract<RuleOrigin, { kind: "service" }>, "kind"> {
  return { service: `${service.namespace}/${service.name}:${port.port}`, place: service.place };
}

export function userChain(name: string, rules: readonly Rule[]): Chain {
  return { name, policy: undefined, rules };
}

export const IS_LOCAL = {
  destination: {
    kind: "addrtype",
    source: undefined,
    destination: { types: ["LOCAL"], invert: false },
    limit: undefined,
  },
  source: {
    kind: "addrtype",
    source: { types: ["LOCAL"], invert: false },
    destination: undefined,
    limit: undefined,
  },
} as const satisfies Record<string, Match>;

export const LOOPBACK_4 = range("127.0.0.0/8");
export const LOOPBACK_6 = range("::1/128");

function range(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(`bug: ${text} is no prefix`);
  return parsed.prefix;
}
