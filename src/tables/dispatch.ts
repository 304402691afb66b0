/**
 * From the built-in chains of the filter table to the endpoints' chains, by interface name.
 * Source: Felix rules/static.go and rules/dispatch.go.
 *
 * Left out, because they are empty or never decide where there are no host endpoints: the host
 * endpoint dispatch, failsafe and cidr-block chains, and all of Calico's raw, mangle and nat chains
 * (reverse path filter, NOTRACK of tunnels, outgoing NAT).
 */
import { PROTOCOL_ICMPV6 } from "../net/protocol.ts";
import type { Family } from "../net/address.ts";
import type { Direction } from "../policy/model.ts";
import type { Chain, Rule } from "./model.ts";
import {
  CHAIN_DISPATCH,
  CHAIN_FORWARD,
  CHAIN_INPUT,
  CHAIN_OUTPUT,
  CHAIN_WORKLOAD_TO_HOST,
  endpointChainName,
  WORKLOAD_INTERFACE_PREFIX,
} from "./names.ts";
import {
  ACCEPT,
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
  RETURN,
} from "./rule.ts";

/** The chains that the built-in chains jump to, and the one between a pod and its own node. */
export function compileHookChains(family: Family): Chain[] {
  return [
    userChain(CHAIN_INPUT, [
      makeRule({
        matches: [interfaceBegins("in", WORKLOAD_INTERFACE_PREFIX)],
        target: goTo(CHAIN_WORKLOAD_TO_HOST),
      }),
      acceptAccepted(),
      makeRule({ target: clearBits(MARK_ALL) }),
    ]),
    userChain(CHAIN_WORKLOAD_TO_HOST, [
      ...(family === 6 ? neighbourRules() : []),
      makeRule({ target: jump(CHAIN_DISPATCH.egress) }),
      // The shipped manifests set ACCEPT; Felix's own default is DROP.
      makeRule({ comment: "Configured DefaultEndpointToHostAction", target: ACCEPT }),
    ]),
    userChain(CHAIN_FORWARD, [
      makeRule({ target: clearBits(MARK_ALL & ~MARK_ACCEPT) }),
      makeRule({
        matches: [interfaceBegins("in", WORKLOAD_INTERFACE_PREFIX)],
        target: jump(CHAIN_DISPATCH.egress),
      }),
      makeRule({
        matches: [interfaceBegins("out", WORKLOAD_INTERFACE_PREFIX)],
        target: jump(CHAIN_DISPATCH.ingress),
      }),
    ]),
    userChain(CHAIN_OUTPUT, [
      acceptAccepted(),
      // > Traffic to and from the node where a Pod is running is always allowed.
      makeRule({
        matches: [interfaceBegins("out", WORKLOAD_INTERFACE_PREFIX)],
        target: RETURN,
        origin: { kind: "node-traffic" },
      }),
      makeRule({ target: clearBits(MARK_ALL) }),
    ]),
  ];
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

/**
 * Compiles the chains that find an endpoint's chain by its interface. Interfaces are grouped by the
 * first character behind what all names have in common, so that a packet is compared with few names.
 */
export function compileDispatch(direction: Direction, interfaceNames: readonly string[]): Chain[] {
  const names = interfaceNames.toSorted();
  const common = commonBeginning(names);
  const groups = groupByBeginning(names, common.length + 1);
  const root: Rule[] = [];
  const children: Chain[] = [];
  for (const [beginning, group] of groups) {
    if (group.length === 1) {
      root.push(...group.map((name) => endpointRule(direction, name)));
      continue;
    }
    const child = `${CHAIN_DISPATCH[direction]}-${beginning.slice(common.length)}`;
    root.push(
      makeRule({ matches: [interfaceBegins(side(direction), beginning)], target: goTo(child) }),
    );
    children.push(
      userChain(child, [...group.map((name) => endpointRule(direction, name)), unknownInterface()]),
    );
  }
  return [userChain(CHAIN_DISPATCH[direction], [...root, unknownInterface()]), ...children];
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

function endpointRule(direction: Direction, name: string): Rule {
  return makeRule({
    matches: [interfaceIs(side(direction), name)],
    // goto: a RETURN in the endpoint's chain goes on behind the jump to the dispatch.
    target: goTo(endpointChainName(direction, name)),
  });
}

function unknownInterface(): Rule {
  return makeRule({ comment: "Unknown interface", target: DROP });
}

function side(direction: Direction): "in" | "out" {
  return direction === "egress" ? "in" : "out";
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
  return { name, policy: undefined, rules };
}
