/**
 * How kube-proxy spreads a port's connections over its backends: KUBE-SVC, KUBE-SVL and KUBE-SEP.
 */
import type { ServiceBackend } from "../cluster/snapshot.ts";
import type { Match } from "../match/index.ts";
import { addressBits, hostPrefix, prefixMask } from "../net/address.ts";
import { natTo } from "../target/nat-range.ts";
import type { Chain, Rule } from "./model.ts";
import { backendChainName, CHAIN_KUBE_MARK_MASQ, formatSocket } from "./names.ts";
import { goTo, jump, makeRule, MARK_STAYS, protocolIs, RETURN, setBits } from "./rule.ts";
import {
  IS_LOCAL,
  originOf,
  ownChain,
  portIs,
  userChain,
  type ProxiedPort,
  type Share,
  type SpreadPrefix,
} from "./service-port.ts";
import { portProtocolNumber } from "./sets.ts";

/**
 * The chain that spreads a port over backends; where nodes have others each, chains of their own for them.
 *
 * @param before what stands in front of the backends
 */
export function spreadChains(
  given: ProxiedPort,
  prefix: SpreadPrefix,
  shares: readonly Share[],
  before: readonly Rule[],
): Chain[] {
  const served = shares.filter(({ backends }) => backends.length > 0);
  if (served.length === 0) return [];
  const name = ownChain(given, prefix);
  const chainOf = (chain: string, { backends, mayLack }: Omit<Share, "nodes">): Chain =>
    userChain(chain, [
      ...(mayLack ? perhapsNone(given) : []),
      ...(staysHere(prefix, backends) ? [makeRule({ target: setBits(MARK_STAYS) })] : []),
      ...before,
      ...backendRules(given, backends),
    ]);
  const [only, ...others] = shares;
  if (only !== undefined && others.length === 0) return [chainOf(name, only)];
  const anywhere = backendsAnywhere(prefix, shares);
  return [
    userChain(name, spreadRules(given, prefix, shares, "perhaps")),
    ...(anywhere.length === 0
      ? []
      : [chainOf(ownChain(given, prefix, ANY_NODE), { backends: anywhere, mayLack: false })]),
    ...served.map((share) => chainOf(ownChain(given, prefix, share), share)),
  ];
}

/** A node chooses from its own, and of some nothing tells whether they are. */
function staysHere(prefix: SpreadPrefix, backends: readonly ServiceBackend[]): boolean {
  return prefix === "KUBE-SVL-" && backends.some(({ node }) => node === undefined);
}

/** What a node that nothing names may have: of its own ones, those of which nothing tells where they are. */
function backendsAnywhere(prefix: SpreadPrefix, shares: readonly Share[]): ServiceBackend[] {
  const all = shares
    .flatMap(({ backends }) => backends)
    .filter(({ node }) => prefix === "KUBE-SVC-" || node === undefined);
  return [...new Map(all.map((each) => [formatSocket(each), each])).values()];
}

/**
 * Of nodes seen as one, perhaps one has no backend: nothing tells where they are. What comes by a
 * load balancer does not come to such a node.
 */
function perhapsNone({ service, clusterAddresses }: ProxiedPort): Rule[] {
  const none = (matches: readonly Match[]): Rule =>
    makeRule({ matches: [...matches, PERHAPS], target: RETURN });
  const internal = service.internalTraffic === "Local" ? clusterAddresses : [];
  return [
    ...internal.map((address) =>
      none([{ kind: "address", side: "dst", prefix: hostPrefix(address), invert: false }]),
    ),
    none([IS_LOCAL.destination]),
  ];
}

const PERHAPS: Match = { kind: "random", probability: 0.5, invert: false };

/** Stands for whichever node it is. */
const ANY_NODE: Pick<Share, "nodes"> = { nodes: [] };

/**
 * Each node's own backends, told apart by whose address the packet has: at a node port the node's, else
 * the client's. The matcher asks by which node the connection comes, and is at the last rule where that may be
 * one which nothing names.
 *
 * @param last what happens there: some backend is chosen, or `perhaps` none, where some node has none; `certain`
 *   also says that nothing comes from outside by nodes that have none
 */
export function spreadRules(
  given: ProxiedPort,
  prefix: SpreadPrefix,
  shares: readonly Share[],
  last: "certain" | "perhaps",
): Rule[] {
  const sides = given.port.nodePort === undefined ? (["src"] as const) : (["dst", "src"] as const);
  // Which nodes are spared is known before it is asked which one it is.
  const ordered = shares.toSorted((one, other) => one.backends.length - other.backends.length);
  const byNode = sides.flatMap((side) =>
    ordered.map((share) => {
      const spared = last === "certain" && share.backends.length === 0;
      const set = given.context.sets.placeSet(share.nodes, spared ? "spared" : "open");
      return makeRule({
        matches: [{ kind: "set", set, flags: [side], invert: false }],
        // What returns from there has no backend: it is no other node's.
        target: share.backends.length === 0 ? RETURN : goTo(ownChain(given, prefix, share)),
      });
    }),
  );
  return [...byNode, ...rulesAnywhere(given, prefix, { shares, last })];
}

/** The last rule, where it may be a node that nothing names. */
function rulesAnywhere(
  given: ProxiedPort,
  prefix: SpreadPrefix,
  { shares, last }: { readonly shares: readonly Share[]; readonly last: "certain" | "perhaps" },
): Rule[] {
  if (backendsAnywhere(prefix, shares).length > 0) {
    const perhaps = last === "perhaps" && shares.some(({ mayLack }) => mayLack);
    const target = jump(ownChain(given, prefix, ANY_NODE));
    return [makeRule({ matches: perhaps ? [PERHAPS] : [], target })];
  }
  // By such a node nothing comes: it is one of the others.
  const other = shares.find(({ backends }) => backends.length > 0);
  if (last === "perhaps" || other === undefined) return [];
  return [makeRule({ target: goTo(ownChain(given, prefix, other)) })];
}

/** Any of the backends, each as likely: 1/n of all, then 1/(n-1) of the rest, the last what remains. */
function backendRules(given: ProxiedPort, backends: readonly ServiceBackend[]): Rule[] {
  const { portName } = given;
  const { affinitySeconds } = given.service;
  const toBackend = (backend: ServiceBackend, matches: readonly Match[]): Rule =>
    makeRule({
      ...commentOf(given, `${portName} -> ${formatSocket(backend)}`),
      matches,
      target: jump(chainOfBackend(given, backend)),
    });
  const again =
    affinitySeconds === undefined
      ? []
      : backends.map((backend) =>
          toBackend(backend, [
            recent(given, backend, { action: "rcheck", seconds: affinitySeconds }),
          ]),
        );
  const spread = backends.map((backend, index) => {
    const rest = backends.length - index;
    // kube-proxy writes ten digits, which decides the last bit of what the kernel keeps.
    const probability = Number((1 / rest).toFixed(10));
    return toBackend(backend, rest === 1 ? [] : [{ kind: "random", probability, invert: false }]);
  });
  return [...again, ...spread];
}

/** Whether a client was sent to a backend before, or that it is now. */
function recent(
  given: ProxiedPort,
  backend: ServiceBackend,
  what: { readonly action: "rcheck" | "set"; readonly seconds: number },
): Match {
  const { family } = given.context;
  return {
    kind: "recent",
    family,
    name: chainOfBackend(given, backend),
    side: "source",
    mask: prefixMask(addressBits(family)),
    hits: 0,
    sameTtl: false,
    reap: what.action === "rcheck",
    invert: false,
    ...what,
  };
}

export function backendChain(given: ProxiedPort, backend: ServiceBackend): Chain {
  const { port, portName } = given;
  const remember =
    given.service.affinitySeconds === undefined
      ? []
      : [recent(given, backend, { action: "set", seconds: 0 })];
  return userChain(chainOfBackend(given, backend), [
    // Hairpin: a pod that reaches itself through its Service must not see itself as the source.
    makeRule({
      ...commentOf(given, portName),
      matches: [
        { kind: "address", side: "src", prefix: hostPrefix(backend.address), invert: false },
      ],
      target: jump(CHAIN_KUBE_MARK_MASQ),
    }),
    makeRule({
      ...commentOf(given, portName),
      matches: [
        ...remember,
        protocolIs(portProtocolNumber(port.protocol)),
        portIs(port, undefined),
      ],
      target: { kind: "DNAT", range: natTo(backend.address, backend.port) },
      origin: { ...originOf(given), kind: "service" },
    }),
  ]);
}

function chainOfBackend({ portName, port }: ProxiedPort, backend: ServiceBackend): string {
  return backendChainName(portName, port.protocol, backend);
}

function commentOf({ context }: ProxiedPort, comment: string): { readonly comment?: string } {
  return context.terse ? {} : { comment };
}
