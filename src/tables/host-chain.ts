/**
 * The chains of host endpoints: for a node's own traffic and for what it forwards (filter), for what it
 * sends to translated destinations and what comes before translation (mangle), and for what is not
 * tracked (raw); and the failsafe ports that come before all of them.
 * Source: Felix rules/endpoints.go, HostEndpointTo*Chains; rules/static.go, failsafe*Chain.
 */
import type { FailsafePort, FelixSettings, HostEndpoint } from "../cluster/snapshot.ts";
import type { Family } from "../net/address.ts";
import type { Direction, Policy } from "../policy/model.ts";
import type { Match } from "../match/index.ts";
import { conntrackRules, dropInvalid } from "./conntrack-rules.ts";
import type { BoundHostEndpoint } from "./host-binding.ts";
import type { Chain, Rule } from "./model.ts";
import { CHAIN_FAILSAFE, hostChainName } from "./names.ts";
import {
  ACCEPT,
  jump,
  makeRule,
  MARK_ACCEPT,
  protocolIs,
  RETURN,
  setBits,
  stateIs,
} from "./rule.ts";
import { BEGIN_POLICY, END_UNACCEPTED } from "./shared-rules.ts";
import type { SharedRules } from "./shared-rules.ts";
import { tierRules } from "./tier-rules.ts";

/** A host endpoint and those of its policies that some of its chains are made of. */
export interface HostPolicies extends BoundHostEndpoint {
  /** By direction, as they are asked. */
  readonly own: PoliciesByDirection;
  readonly forwarded: PoliciesByDirection;
  readonly preDnat: PoliciesByDirection;
  readonly untracked: PoliciesByDirection;
}

export type PoliciesByDirection = { readonly [D in Direction]: readonly Policy[] };

/** What all chains are made with. */
export interface HostContext {
  readonly shared: SharedRules;
  readonly settings: FelixSettings;
}

/** The name by which reports know a host endpoint. */
function hostEndpointName({ name }: HostEndpoint): string {
  return `host endpoint ${name}`;
}

/** Tells whether any policy is there, in whatever direction. */
export function hasPolicies({ ingress, egress }: PoliciesByDirection): boolean {
  return ingress.length > 0 || egress.length > 0;
}

/** The filter table's chain for what the node itself sends or gets. */
export function compileHostChain(
  given: HostPolicies,
  direction: Direction,
  { shared, settings }: HostContext,
): Chain {
  return {
    name: hostChainName(direction, given.interfaceName, "own"),
    policy: undefined,
    owner: hostEndpointName(given.hostEndpoint),
    rules: [...conntrackRules(direction, settings), ...ownRules(given, direction, shared)],
  };
}

/**
 * The mangle table's chain for what the node sends to a translated destination: the same, but what is let
 * through goes on to the rules behind.
 */
export function compileHostMangleEgress(
  given: HostPolicies,
  { shared, settings }: HostContext,
): Chain {
  const direction = "egress";
  const established = [stateIs("RELATED", "ESTABLISHED")];
  return {
    name: hostChainName(direction, given.interfaceName, "own"),
    policy: undefined,
    owner: hostEndpointName(given.hostEndpoint),
    rules: [
      makeRule({ matches: established, target: setBits(MARK_ACCEPT) }),
      makeRule({
        matches: established,
        target: RETURN,
        origin: { kind: "established", direction },
      }),
      ...(settings.dropsInvalid ? [dropInvalid(direction)] : []),
      ...ownRules(given, direction, shared),
    ],
  };
}

/** What decides a node's own connections: failsafe ports, the policies, and where none has a say the profiles. */
function ownRules(given: HostPolicies, direction: Direction, shared: SharedRules): Rule[] {
  return [
    jumpToFailsafe(direction),
    BEGIN_POLICY,
    ...tierRules({ direction, policies: given.own[direction] }, shared, "own"),
    ...endByProfiles(given, direction, shared),
  ];
}

/** The filter table's chain for what is forwarded: it has no failsafe ports and no profiles. */
export function compileHostForwardChain(
  given: HostPolicies,
  direction: Direction,
  { shared, settings }: HostContext,
): Chain {
  const policies = given.forwarded[direction];
  // > Forwarded traffic is allowed by default: only where no policy is for it in either direction.
  const open = !hasPolicies(given.forwarded);
  return {
    name: hostChainName(direction, given.interfaceName, "forwarded"),
    policy: undefined,
    owner: hostEndpointName(given.hostEndpoint),
    rules: [
      ...conntrackRules(direction, settings),
      BEGIN_POLICY,
      ...tierRules({ direction, policies }, shared, "forwarded"),
      ...(open
        ? [
            makeRule({
              comment: "Allow forwarded traffic by default",
              target: setBits(MARK_ACCEPT),
              origin: { kind: "host-forward", direction },
            }),
            makeRule({ comment: "Return for accepted forward traffic", target: RETURN }),
          ]
        : []),
    ],
  };
}

/** The mangle table's chain for what comes, before its destination is translated. */
export function compileHostPreDnatChain(
  given: HostPolicies,
  { shared, settings }: HostContext,
): Chain {
  const direction = "ingress";
  return {
    name: hostChainName(direction, given.interfaceName, "own"),
    policy: undefined,
    owner: hostEndpointName(given.hostEndpoint),
    rules: [
      ...conntrackRules(direction, settings),
      jumpToFailsafe(direction),
      BEGIN_POLICY,
      ...tierRules({ direction, policies: given.preDnat[direction] }, shared, "pre-dnat"),
    ],
  };
}

/** The raw table's chain: what is let through is not tracked. */
export function compileHostRawChain(
  given: HostPolicies,
  direction: Direction,
  { shared }: HostContext,
): Chain {
  const policies = given.untracked[direction];
  return {
    name: hostChainName(direction, given.interfaceName, "own"),
    policy: undefined,
    owner: hostEndpointName(given.hostEndpoint),
    rules: [
      jumpToFailsafe(direction),
      BEGIN_POLICY,
      ...tierRules({ direction, policies }, shared, "untracked"),
    ],
  };
}

function endByProfiles(
  { hostEndpoint }: HostPolicies,
  direction: Direction,
  shared: SharedRules,
): Rule[] {
  const { profiles, place } = hostEndpoint;
  return [
    ...profiles.flatMap(({ name }) => shared.profile(name, direction)),
    {
      ...END_UNACCEPTED,
      origin: { kind: "host-closed", direction, place },
    },
  ];
}

function jumpToFailsafe(direction: Direction): Rule {
  return makeRule({ target: jump(CHAIN_FAILSAFE[direction]) });
}

/**
 * The chain of the ports that stay open. In the raw table, which comes before connections are known, it
 * has the answers of the other direction's, too, lest half of a connection is not tracked.
 */
export function compileFailsafe(
  direction: Direction,
  table: "raw" | "mangle" | "filter",
  { settings, family }: { readonly settings: FelixSettings; readonly family: Family },
): Chain {
  const { failsafeInbound, failsafeOutbound } = settings;
  const [ports, others] =
    direction === "ingress"
      ? [failsafeInbound, failsafeOutbound]
      : [failsafeOutbound, failsafeInbound];
  const peer = direction === "ingress" ? "src" : "dst";
  const rules = (list: readonly FailsafePort[], side: "src" | "dst"): Rule[] =>
    list
      .filter(({ prefix }) => prefix === undefined || prefix.address.family === family)
      .map(({ protocol, port, prefix, place }) => {
        const range = [{ first: port, last: port }];
        const far: Match[] =
          prefix === undefined || prefix.bits === 0
            ? []
            : [{ kind: "address", side: peer, prefix, invert: false }];
        return makeRule({
          matches: [
            protocolIs(protocol),
            ...far,
            { kind: "multiport", side, ports: range, invert: false },
          ],
          target: ACCEPT,
          origin: { kind: "failsafe", direction, place },
        });
      });
  return {
    name: CHAIN_FAILSAFE[direction],
    policy: undefined,
    rules: [...rules(ports, "dst"), ...(table === "raw" ? rules(others, "src") : [])],
  };
}
