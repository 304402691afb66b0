/**
 * How kube-proxy spreads a port's connections over its backends: KUBE-SVC, KUBE-SVL and KUBE-SEP.
 */
import type { ServiceBackend } from "../cluster/snapshot.ts";
import type { Match } from "../match/index.ts";
import { addressBits, hostPrefix, prefixMask } from "../net/address.ts";
import { natTo } from "../target/nat-range.ts";
import type { Chain, Rule } from "./model.ts";
import { backendChainName, CHAIN_KUBE_MARK_MASQ, formatSocket } from "./names.ts";
import { jump, makeRule, protocolIs, RETURN } from "./rule.ts";
import {
  originOf,
  ownChain,
  portIs,
  userChain,
  type ProxiedPort,
  type Share,
  type SpreadPrefix,
} from "./service-port.ts";
import { portProtocolNumber } from "./sets.ts";

/** The chain that spreads a port over backends, with chains of their own for nodes that have others. */
export function spreadChains(
  given: ProxiedPort,
  prefix: SpreadPrefix,
  shares: readonly Share[],
  before: readonly Rule[],
): Chain[] {
  if (shares.every(({ backends }) => backends.length === 0)) return [];
  const name = ownChain(given, prefix);
  const [only, ...others] = shares;
  if (only !== undefined && others.length === 0) {
    return [userChain(name, [...before, ...backendRules(given, only.backends, "certain")])];
  }
  return [
    userChain(name, [...before, ...spreadRules(given, prefix, shares, "perhaps")]),
    ...shares
      .filter(({ backends }) => backends.length > 0)
      .map((share) =>
        userChain(ownChain(given, prefix, share), backendRules(given, share.backends, "certain")),
      ),
  ];
}

/**
 * Each node's own backends, told apart by whose address the packet has: at a node port the node's, else
 * the client's. Where it has none that is known, any node's may be meant.
 *
 * @param last what happens there: some backend is chosen, or `perhaps` none, where some node has none
 */
export function spreadRules(
  given: ProxiedPort,
  prefix: SpreadPrefix,
  shares: readonly Share[],
  last: "certain" | "perhaps",
): Rule[] {
  const sides = given.port.nodePort === undefined ? (["src"] as const) : (["dst", "src"] as const);
  const byNode = sides.flatMap((side) =>
    shares.map((share) => {
      const set = given.context.sets.placeSet(share.nodes);
      return makeRule({
        matches: [{ kind: "set", set, flags: [side], invert: false }],
        target: share.backends.length === 0 ? RETURN : jump(ownChain(given, prefix, share)),
      });
    }),
  );
  const all = new Map(
    shares.flatMap(({ backends }) => backends).map((each) => [formatSocket(each), each]),
  );
  const lacks = shares.some(({ backends }) => backends.length === 0);
  return [...byNode, ...backendRules(given, [...all.values()], lacks ? last : "certain")];
}

/** Any of the backends, each as likely: 1/n of all, then 1/(n-1) of the rest, the last what remains. */
function backendRules(
  given: ProxiedPort,
  backends: readonly ServiceBackend[],
  last: "certain" | "perhaps",
): Rule[] {
  const { service, portName } = given;
  const { affinitySeconds } = service;
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
    const rest = backends.length - index + (last === "perhaps" ? 1 : 0);
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
  const { service, port, portName } = given;
  const remember =
    service.affinitySeconds === undefined
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
