/**
 * From the built-in chains of the raw, mangle and filter tables to the endpoints' chains, by interface name.
 * Source: Felix rules/static.go and rules/dispatch.go.
 *
 * Rules for tunnels are `tunnels.ts`'s, Calico's part of the nat table `nat-chains.ts`'s.
 */
import { PROTOCOL_ICMPV6 } from "../net/protocol.ts";
import type { FelixSettings } from "../cluster/snapshot.ts";
import type { Match } from "../match/index.ts";
import type { Family } from "../net/address.ts";
import type { Dialect } from "../policy/dialect.ts";
import { DEFAULT_DIALECT } from "../policy/dialects.ts";
import type { Direction } from "../policy/model.ts";
import type { Target } from "../target/index.ts";
import { compileDroppedJump } from "./dialect-protocols.ts";
import { openRule } from "./dialect-rule.ts";
import { isPrinted } from "./model.ts";
import { compareText } from "../net/compare-text.ts";
import type { Chain, Rule } from "./model.ts";
import { placeInOrder } from "./set-members.ts";
import {
  CHAIN_CIDR_BLOCK,
  CHAIN_DISPATCH,
  CHAIN_FORWARD,
  CHAIN_HOST_DISPATCH,
  CHAIN_HOST_FORWARD_DISPATCH,
  CHAIN_INPUT,
  CHAIN_OUTPUT,
  CHAIN_POSTROUTING,
  CHAIN_PREROUTING,
  CHAIN_RPF_SKIP,
  CHAIN_WORKLOAD_TO_HOST,
  endpointChainName,
  hostChainName,
  WORKLOAD_INTERFACE_PREFIX,
} from "./names.ts";
import {
  ACCEPT,
  bitsClear,
  bitsSet,
  clearBits,
  DROP,
  goTo,
  interfaceBegins,
  interfaceIs,
  jump,
  makeRule,
  MARK_ACCEPT,
  MARK_ALL,
  MARK_SCRATCH0,
  MARK_VEILED,
  RETURN,
  setBits,
  stateIs,
} from "./rule.ts";
import type { TunnelRules } from "./tunnels.ts";

/** The filter table's chains that its built-in chains jump to, and the one between a pod and its node. */
export function compileHookChains(
  family: Family,
  endpointToHost: FelixSettings["endpointToHost"],
  tunnels: TunnelRules,
  dialect: Dialect = DEFAULT_DIALECT,
): Chain[] {
  return [
    userChain(CHAIN_INPUT, [
      ...tunnels.input,
      makeRule({ matches: [fromWorkloads()], target: goTo(CHAIN_WORKLOAD_TO_HOST) }),
      acceptAccepted(),
      makeRule({ target: clearBits(MARK_ALL) }),
      makeRule({ target: jump(CHAIN_HOST_DISPATCH.ingress) }),
      endAcceptedByHost(ACCEPT),
    ]),
    userChain(CHAIN_WORKLOAD_TO_HOST, [
      ...(family === 6 ? neighbourRules() : []),
      makeRule({ target: jump(CHAIN_DISPATCH.egress) }),
      // The shipped manifests set ACCEPT; Felix's own default is DROP.
      makeRule({
        comment: "Configured DefaultEndpointToHostAction",
        target: TO_HOST[endpointToHost],
        origin: { kind: "to-host", action: endpointToHost },
      }),
    ]),
    userChain(CHAIN_FORWARD, [
      ...veiledRules(dialect),
      // The accept bit tells that a policy before translation has let the packet through.
      makeRule({ target: clearBits(MARK_ALL & ~MARK_ACCEPT) }),
      makeRule({
        matches: [bitsClear(MARK_ACCEPT)],
        target: jump(CHAIN_HOST_FORWARD_DISPATCH.ingress),
      }),
      makeRule({ matches: [fromWorkloads()], target: jump(CHAIN_DISPATCH.egress) }),
      makeRule({ matches: [toWorkloads()], target: jump(CHAIN_DISPATCH.ingress) }),
      makeRule({ target: jump(CHAIN_HOST_FORWARD_DISPATCH.egress) }),
      makeRule({ target: jump(CHAIN_CIDR_BLOCK) }),
    ]),
    userChain(CHAIN_CIDR_BLOCK, []),
    userChain(CHAIN_OUTPUT, [
      acceptAccepted(),
      ...fromOwnNode(dialect),
      ...tunnels.output,
      makeRule({ target: clearBits(MARK_ALL) }),
      // > Of what is translated the hook shows the interface of before: that waits for mangle.
      makeRule({
        matches: [{ kind: "conntrack", states: ["DNAT"], invert: true }],
        target: jump(CHAIN_HOST_DISPATCH.egress),
      }),
      endAcceptedByHost(ACCEPT),
    ]),
  ];
}

/** > Traffic to and from the node where a Pod is running is always allowed. */
function fromOwnNode(dialect: Dialect): Rule[] {
  const matches = [toWorkloads()];
  const allowed = makeRule({ matches, target: RETURN, origin: { kind: "node-traffic" } });
  const dropped = compileDroppedJump(dialect).map((rule) => ({ ...rule, matches }));
  if (dialect.fromOwnNode === "allowed") return [...dropped, allowed];
  return [
    ...dropped,
    makeRule({ matches: [...matches, stateIs("RELATED", "ESTABLISHED")], target: RETURN }),
    openRule(dialect, "from-own-node", { matches, target: RETURN }),
    makeRule({ matches, target: goTo(CHAIN_DISPATCH.ingress) }),
  ];
}

/** A connection of which it is not known as whom policies see its client. */
function veiledRules(dialect: Dialect): Rule[] {
  if (dialect.outsideServices === "kube-proxy") return [];
  return [openRule(dialect, "outside-service", { matches: [bitsSet(MARK_VEILED)], target: DROP })];
}

const TO_HOST: Readonly<Record<FelixSettings["endpointToHost"], Target>> = {
  accept: ACCEPT,
  drop: DROP,
  return: RETURN,
};

/** The raw table's: pods send from their own addresses only, then policies that do not track. */
export function compileRawChains({ untracked }: TunnelRules, dialect: Dialect): Chain[] {
  const fromPod = bitsSet(MARK_SCRATCH0);
  return [
    userChain(CHAIN_PREROUTING, [
      makeRule({ target: clearBits(MARK_ALL) }),
      ...untracked,
      makeRule({ matches: [fromWorkloads()], target: setBits(MARK_SCRATCH0) }),
      makeRule({ matches: [fromPod], target: jump(CHAIN_RPF_SKIP) }),
      spoofedRule(dialect, fromPod),
      makeRule({
        matches: [bitsClear(MARK_SCRATCH0)],
        target: jump(CHAIN_HOST_DISPATCH.ingress),
      }),
      acceptAccepted(),
    ]),
    userChain(CHAIN_RPF_SKIP, []),
    userChain(CHAIN_OUTPUT, [
      makeRule({ target: clearBits(MARK_ALL) }),
      makeRule({ target: jump(CHAIN_HOST_DISPATCH.egress) }),
      ...untracked,
      acceptAccepted(),
    ]),
  ];
}

/** What a pod sends from an address that is not its own. */
export function spoofedRule(dialect: Dialect, fromPod: Match = fromWorkloads()): Rule {
  const matches: readonly Match[] = [
    fromPod,
    { kind: "rpfilter", loose: false, validMark: true, acceptLocal: false, invert: true },
  ];
  return dialect.spoofed === "dropped"
    ? makeRule({ matches, target: DROP, origin: { kind: "spoofed" } })
    : openRule(dialect, "spoofed", { matches, target: DROP });
}

/** The mangle table's: policies before translation, and those of what the node sends to translated destinations. */
export function compileMangleChains(): Chain[] {
  return [
    userChain(CHAIN_PREROUTING, [
      makeRule({ matches: [stateIs("RELATED", "ESTABLISHED")], target: ACCEPT }),
      acceptAccepted(),
      makeRule({ target: jump(CHAIN_HOST_DISPATCH.ingress) }),
      endAcceptedByHost(ACCEPT),
    ]),
    userChain(CHAIN_POSTROUTING, [
      // What is forwarded has the bit from the end of FORWARD.
      makeRule({ matches: [bitsSet(MARK_ACCEPT)], target: RETURN }),
      makeRule({ target: clearBits(MARK_ALL) }),
      makeRule({ matches: [stateIs("DNAT")], target: jump(CHAIN_HOST_DISPATCH.egress) }),
      endAcceptedByHost(RETURN),
    ]),
  ];
}

function endAcceptedByHost(target: Target): Rule {
  return makeRule({
    comment: "Host endpoint policy accepted packet.",
    matches: [bitsSet(MARK_ACCEPT)],
    target,
  });
}

function fromWorkloads(): Match {
  return interfaceBegins("in", WORKLOAD_INTERFACE_PREFIX);
}

function toWorkloads(): Match {
  return interfaceBegins("out", WORKLOAD_INTERFACE_PREFIX);
}

/** What stands at the end of FORWARD, behind kube-proxy's rules: both pods' chains have agreed. */
export function compileForwardEnd(): Rule[] {
  return [
    makeRule({
      comment: "Policy explicitly accepted packet.",
      matches: [bitsSet(MARK_ACCEPT)],
      target: ACCEPT,
    }),
    makeRule({ target: { kind: "MARK", value: MARK_ACCEPT, mask: MARK_ACCEPT } }),
  ];
}

/** Compiles the chains that find a pod's chain by its interface; there is none without one. */
export function compileDispatch(direction: Direction, interfaceNames: readonly string[]): Chain[] {
  return dispatchBy(interfaceNames, {
    root: CHAIN_DISPATCH[direction],
    side: direction === "egress" ? "in" : "out",
    chainOf: (name) => endpointChainName(direction, name),
    ends: [makeRule({ comment: "Unknown interface", target: DROP })],
  });
}

/**
 * The chain for one more interface among those that find pods' chains, and the rule that it gets.
 *
 * @param interfaceNames sorted, without the new one
 * @returns undefined where more than that chain would be others
 */
export function dispatchRule(
  direction: Direction,
  interfaceNames: readonly string[],
  name: string,
): { readonly chain: string; readonly at: number; readonly rule: Rule } | undefined {
  const common = commonBeginning(interfaceNames);
  const beginning = name.slice(0, common.length + 1);
  if (!name.startsWith(common)) return undefined;
  const first = placeInOrder(interfaceNames, (one) => compareText(one, beginning));
  const at = placeInOrder(interfaceNames, (one) => compareText(one, name));
  const isOfGroup = (one: string | undefined): boolean => one?.startsWith(beginning) === true;
  // A group of one has no chain of its own.
  if (!isOfGroup(interfaceNames[first]) || !isOfGroup(interfaceNames[first + 1])) return undefined;
  const side = direction === "egress" ? "in" : "out";
  return {
    chain: `${CHAIN_DISPATCH[direction]}-${beginning.slice(common.length)}`,
    at: at - first,
    rule: makeRule({
      matches: [interfaceIs(side, name)],
      target: goTo(endpointChainName(direction, name)),
    }),
  };
}

/**
 * Compiles the chains that find a host endpoint's chain by the interface that it binds.
 *
 * @param chainByInterface the interface by whose name the chain of each is called
 * @param everywhere the name under which one has chains that binds every other interface
 */
export function compileHostDispatch(
  direction: Direction,
  chainByInterface: ReadonlyMap<string, string>,
  {
    traffic,
    everywhere,
  }: { readonly traffic: "own" | "forwarded"; readonly everywhere: string | undefined },
): Chain[] {
  const dispatch = traffic === "own" ? CHAIN_HOST_DISPATCH : CHAIN_HOST_FORWARD_DISPATCH;
  const skips = direction === "egress" && traffic === "own";
  return dispatchBy([...chainByInterface.keys()], {
    root: dispatch[direction],
    side: direction === "ingress" ? "in" : "out",
    chainOf: (name) => hostChainName(direction, chainByInterface.get(name) ?? name, traffic),
    ends:
      everywhere === undefined
        ? []
        : [
            ...(skips
              ? [
                  makeRule({
                    comment: "Skip egress WHEP policy for traffic to local workload",
                    matches: [toWorkloads()],
                    target: RETURN,
                  }),
                ]
              : []),
            makeRule({ target: goTo(hostChainName(direction, everywhere, traffic)) }),
          ],
  });
}

/** How chains are found by an interface's name. */
interface Dispatch {
  readonly root: string;
  readonly side: "in" | "out";
  readonly chainOf: (interfaceName: string) => string;
  /** For interfaces that have no chain. */
  readonly ends: readonly Rule[];
}

/**
 * Interfaces are grouped by the first character behind what all names have in common, so that a packet is
 * compared with few names.
 */
function dispatchBy(
  interfaceNames: readonly string[],
  { root, side, chainOf, ends }: Dispatch,
): Chain[] {
  const names = interfaceNames.toSorted();
  const common = commonBeginning(names);
  const groups = groupByBeginning(names, common.length + 1);
  const rules: Rule[] = [];
  const children: Chain[] = [];
  const toChain = (name: string): Rule =>
    makeRule({
      matches: [interfaceIs(side, name)],
      // goto: a RETURN in the endpoint's chain goes on behind the jump to the dispatch.
      target: goTo(chainOf(name)),
    });
  for (const [beginning, group] of groups) {
    if (group.length === 1) {
      rules.push(...group.map(toChain));
      continue;
    }
    const child = `${root}-${beginning.slice(common.length)}`;
    rules.push(makeRule({ matches: [interfaceBegins(side, beginning)], target: goTo(child) }));
    children.push(userChain(child, [...group.map(toChain), ...ends]));
  }
  return [userChain(root, [...rules, ...ends]), ...children];
}

function groupByBeginning(names: readonly string[], length: number): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const name of names) {
    const beginning = name.slice(0, length);
    const group = groups.get(beginning);
    if (group === undefined) groups.set(beginning, [name]);
    else group.push(name);
  }
  return groups;
}

function commonBeginning(names: readonly string[]): string {
  // Sorted: what the first and the last share, all share.
  const first = names[0] ?? "";
  const last = names.at(-1) ?? "";
  let length = 0;
  while (length < first.length && first[length] === last[length]) length++;
  return first.slice(0, length);
}

/** Without these ICMPv6 types a pod has no neighbours; Felix lets them pass before any policy. */
const NEIGHBOUR_TYPES = [130, 131, 132, 133, 135, 136] as const;

function neighbourRules(): Rule[] {
  return NEIGHBOUR_TYPES.map((type) =>
    makeRule({
      matches: [
        { kind: "protocol", protocol: PROTOCOL_ICMPV6, invert: false },
        { kind: "icmp", family: 6, type, code: undefined, invert: false },
      ],
      target: ACCEPT,
    }),
  );
}

function acceptAccepted(): Rule {
  return makeRule({ matches: [bitsSet(MARK_ACCEPT)], target: ACCEPT });
}

function userChain(name: string, rules: readonly Rule[]): Chain {
  const partly = rules.every(isPrinted) ? {} : ({ partlyPrinted: true } as const);
  return { name, policy: undefined, ...partly, rules };
}
