/**
 * Whether several workers can decide one capture, each the connections that are its own: nothing that they
 * look at may hang on packets of others. Where it does, or where nobody knows, one decides all.
 */
import * as layout from "../../assembly/layout.ts";
import type { Match } from "../match/index.ts";
import type { Target } from "../target/index.ts";
import type { Chain, IpSet, Rule } from "../tables/model.ts";
import { isSimple } from "./connections.ts";
import type { MatcherExports } from "./exports.ts";
import type { Program } from "./program.ts";

/** One of several workers on one capture. */
export interface Share {
  /** From 0. */
  readonly index: number;
  readonly count: number;
}

/** The port of destinations that are translated: as clients see it, or as it really is. */
interface TranslatedPort {
  readonly protocol: number;
  readonly port: number;
}

/** How a program's packets can be shared. */
export type Sharing =
  | { readonly kind: "shared" }
  /** `why` goes on behind "one worker decides all: ". */
  | { readonly kind: "whole"; readonly why: string };

const found = new WeakMap<Program, Sharing>();

/** Tells how a program's packets can be shared; of each program it is found once. */
export function sharingOf(program: Program): Sharing {
  const before = found.get(program);
  if (before !== undefined) return before;
  const sharing = findSharing(program);
  found.set(program, sharing);
  return sharing;
}

function findSharing(program: Program): Sharing {
  const { rulesets, topology, connections = [] } = program;
  const realNode = topology.interfaces !== undefined;
  const why =
    firstOf(rulesets, ({ sets }) => firstOf(sets, setObstacle)) ??
    firstOf(rulesets, ({ tables }) =>
      firstOf(tables, ({ chains }) =>
        firstOf(chains, ({ rules }) => firstOf(rules, (rule) => ruleObstacle(rule, realNode))),
      ),
    );
  if (why !== undefined) return { kind: "whole", why };
  if (!connections.every(isSimple)) {
    return { kind: "whole", why: "a connection from before the capture is translated or helped" };
  }
  return portsOf(program) === undefined
    ? { kind: "whole", why: "a rule translates destinations of more than one port" }
    : { kind: "shared" };
}

/** The ports that a program's rules translate from or to; undefined where a rule names none. */
function portsOf({ rulesets }: Program): readonly TranslatedPort[] | undefined {
  const ports = rulesets.flatMap(({ tables }) =>
    tables.flatMap(({ name, chains }) => (name === "nat" ? translatedPorts(chains) : [])),
  );
  const known = ports.filter((port) => port !== undefined);
  return known.length === ports.length ? known : undefined;
}

/** Tells the matcher which ports a cluster's rules translate from or to. */
export function tellTranslatedPorts(exports: MatcherExports, program: Program): void {
  const ports = program.topology.interfaces === undefined ? portsOf(program) : undefined;
  for (const { protocol, port } of ports ?? []) exports.addTranslatedPort(protocol, port);
  exports.setPortsKnown(ports !== undefined);
}

/** Has the matcher decide one share. */
export function setShare(exports: MatcherExports, { index, count }: Share): void {
  exports.setShare(index, count);
  exports.setFlowsMax(Math.floor(layout.FLOW_MAX / count));
}

/** So many connections of a share always fit a table for all. */
export function shareOfConnections(most: number, { count }: Share): number {
  return Math.floor((most - Math.max(1, Math.floor(most / layout.FULL_PART))) / count);
}

/** What came up that no worker could decide from its share; undefined: nothing. */
export function obstacleText(number: number): string | undefined {
  switch (number) {
    case layout.SHARE_WHOLE:
      return undefined;
    case layout.SHARE_TRANSLATION:
      return "a connection's answers may come from anywhere, as its source is translated";
    case layout.SHARE_FULL:
      return "there may be more connections at a time than are followed";
    case layout.SHARE_FRAGMENTS:
      return "fragments are put together behind rules";
    default:
      throw new Error(`bug: no SHARE_* is ${number}`);
  }
}

function firstOf<T>(
  values: readonly T[],
  tell: (value: T) => string | undefined,
): string | undefined {
  for (const value of values) {
    const told = tell(value);
    if (told !== undefined) return told;
  }
  return undefined;
}

/** What a match remembers of packets that may be of other connections. */
const REMEMBERS: Readonly<Record<Match["kind"], boolean>> = {
  address: false,
  addrtype: false,
  ah: false,
  bpf: false,
  comment: false,
  connbytes: true,
  connlimit: true,
  connmark: false,
  conntrack: false,
  devgroup: false,
  dscp: false,
  ecn: false,
  esp: false,
  eui64: false,
  frag: false,
  fragment: false,
  hashlimit: true,
  helper: true,
  icmp: false,
  interface: false,
  ipcomp: false,
  iprange: false,
  ipv6header: false,
  length: false,
  limit: true,
  mac: false,
  mark: false,
  mh: false,
  multiport: false,
  nth: true,
  opaque: true,
  options: false,
  owner: false,
  physdev: false,
  pkttype: false,
  policy: false,
  port: false,
  protocol: false,
  quota: true,
  random: false,
  realm: false,
  recent: true,
  rpfilter: false,
  rt: false,
  set: false,
  srh: false,
  state: false,
  string: false,
  tcpmss: false,
  time: false,
  tos: false,
  ttl: false,
  u32: false,
};

/**
 * What a target does to packets of other connections. `chooses`: which source or destination a connection
 * gets may hang on those of others.
 */
const REACHES: Readonly<Record<Target["kind"], "no" | "remembers" | "chooses">> = {
  ACCEPT: "no",
  DROP: "no",
  RETURN: "no",
  JUMP: "no",
  GOTO: "no",
  CONNMARK: "no",
  CT: "remembers",
  DNAT: "chooses",
  ECN: "no",
  LOG: "no",
  MARK: "no",
  MASQUERADE: "chooses",
  NETMAP: "chooses",
  NFQUEUE: "no",
  REDIRECT: "chooses",
  REJECT: "no",
  SET: "remembers",
  SNAT: "chooses",
  TCPMSS: "no",
  TCPOPTSTRIP: "no",
  TOS: "no",
  TPROXY: "no",
  TTL: "no",
  opaque: "remembers",
};

/** Of a cluster only pods that reach themselves are masqueraded, which shows itself when it happens. */
const CLUSTER_TRANSLATIONS: ReadonlySet<Target["kind"]> = new Set(["DNAT", "MASQUERADE"]);

function ruleObstacle({ matches, target }: Rule, realNode: boolean): string | undefined {
  const remembering = matches.find(({ kind }) => REMEMBERS[kind]);
  if (remembering !== undefined) {
    const name = remembering.kind === "opaque" ? remembering.name : remembering.kind;
    return `a rule remembers packets of all connections (-m ${name === "nth" ? "statistic" : name})`;
  }
  if (target === undefined) return undefined;
  const name = target.kind === "opaque" ? target.name : target.kind;
  const reaches = REACHES[target.kind];
  if (target.kind === "CT" && target.helper === undefined && target.zone === undefined)
    return undefined;
  if (reaches === "remembers")
    return `a rule's target changes what is said of other connections (-j ${name})`;
  if (reaches === "no" || (!realNode && CLUSTER_TRANSLATIONS.has(target.kind))) return undefined;
  return `a rule translates addresses (-j ${name})`;
}

/** What changes of a set that no rule changes. */
function setObstacle(set: IpSet): string | undefined {
  if (set.kind !== "entries") return undefined;
  const learns = set.type === "bitmap:ip,mac";
  const counts = set.counters === true || set.timeoutSeconds !== undefined;
  return learns || counts ? `set ${set.name} changes with packets or time` : undefined;
}

/** The ports of what a nat table may translate; undefined where no rule in front of a translation names one. */
function translatedPorts(chains: readonly Chain[]): (TranslatedPort | undefined)[] {
  const byName = new Map(chains.map((chain) => [chain.name, chain]));
  const translating = new Map<Chain, boolean>();
  const translates = (chain: Chain): boolean => {
    const before = translating.get(chain);
    if (before !== undefined) return before;
    translating.set(chain, false);
    const found = chain.rules.some(({ target }) => {
      const callee = calledBy(target, byName);
      return target?.kind === "DNAT" || (callee !== undefined && translates(callee));
    });
    translating.set(chain, found);
    return found;
  };
  const ports: (TranslatedPort | undefined)[] = [];
  const visited = new Set<Chain>();
  const visit = (chain: Chain): void => {
    if (visited.has(chain)) return;
    visited.add(chain);
    for (const rule of chain.rules) {
      const callee = calledBy(rule.target, byName);
      const leads = callee !== undefined && translates(callee);
      if (!leads && rule.target?.kind !== "DNAT") continue;
      const named = namedPort(rule);
      if (named !== undefined) ports.push(named);
      else if (callee !== undefined) visit(callee);
      else ports.push(undefined);
    }
  };
  for (const chain of chains) if (chain.policy !== undefined) visit(chain);
  for (const { rules } of chains) {
    for (const rule of rules) if (rule.target?.kind === "DNAT") ports.push(translatedTo(rule));
  }
  return ports;
}

function calledBy(
  target: Target | undefined,
  chains: ReadonlyMap<string, Chain>,
): Chain | undefined {
  return target?.kind === "JUMP" || target?.kind === "GOTO" ? chains.get(target.chain) : undefined;
}

/** The only destination port that a rule is for. */
function namedPort({ matches }: Rule): TranslatedPort | undefined {
  const match = matches.find(({ kind }) => kind === "port");
  const dport = match?.kind === "port" ? match.dport : undefined;
  return portOf(matches, dport?.invert === true ? undefined : dport);
}

/** The only port that a rule translates to. */
function translatedTo({ matches, target }: Rule): TranslatedPort | undefined {
  return target?.kind === "DNAT" ? portOf(matches, target.range.ports) : undefined;
}

function portOf(
  matches: readonly Match[],
  ports: { readonly first: number; readonly last: number } | undefined,
): TranslatedPort | undefined {
  const protocol = protocolOf(matches);
  if (protocol === undefined || ports === undefined || ports.first !== ports.last) return undefined;
  return { protocol, port: ports.first };
}

function protocolOf(matches: readonly Match[]): number | undefined {
  const match = matches.find(({ kind }) => kind === "protocol");
  return match?.kind === "protocol" && !match.invert ? match.protocol : undefined;
}
