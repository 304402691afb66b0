/**
 * Policies of which the API leaves open who decides: those of one tier with equal order, where it gives
 * equal orders no meaning. Of interest are only those that may say different things of one packet.
 */
import type { Direction, PeerRule, Policy, PolicyPeer, PolicyPort } from "./model.ts";

/** Policies that are asked one after the other. */
export interface OrderGroup {
  readonly policies: readonly Policy[];
  /** Those of them that could come before the others, with another outcome; the first is none of them. */
  readonly rivals: readonly Policy[];
}

/** Parts the ordered policies of one tier into those that have an order, and those whose order is open. */
export function groupByOrder(policies: readonly Policy[], direction: Direction): OrderGroup[] {
  const groups: Policy[][] = [];
  for (const policy of policies) {
    const last = groups.at(-1);
    const tied = policy.tier.tiesUndefined === true && last?.[0]?.order === policy.order;
    if (tied) last?.push(policy);
    else groups.push([policy]);
  }
  return groups.map((group) => ({ policies: group, rivals: rivalsIn(group, direction) }));
}

function rivalsIn(group: readonly Policy[], direction: Direction): Policy[] {
  const actions = new Set(
    group.flatMap((policy) => (policy[direction] ?? []).map(({ action }) => action)),
  );
  // What all say, is so in whatever order.
  if (group.length < 2 || actions.size < 2) return [];
  return group.filter((policy, index) =>
    group.slice(0, index).some((before) => mayDisagree(before, policy, direction)),
  );
}

/** The same pairs select many endpoints. */
const answers = {
  ingress: new WeakMap<Policy, WeakMap<Policy, boolean>>(),
  egress: new WeakMap<Policy, WeakMap<Policy, boolean>>(),
};

function mayDisagree(one: Policy, other: Policy, direction: Direction): boolean {
  const known = answers[direction].get(one) ?? new WeakMap<Policy, boolean>();
  answers[direction].set(one, known);
  const before = known.get(other);
  if (before !== undefined) return before;
  const answer = rulesDisagree(one, other, direction);
  known.set(other, answer);
  return answer;
}

/** Tells whether there may be a packet that the policies' rules treat differently. */
function rulesDisagree(one: Policy, other: Policy, direction: Direction): boolean {
  const rulesOf = (policy: Policy): PeerRule[] =>
    (policy[direction] ?? []).filter((rule) => rule.kind === "peers");
  return rulesOf(one).some((rule) =>
    rulesOf(other).some(
      (each) => each.action !== rule.action && portsMeet(rule, each) && peersMeet(rule, each),
    ),
  );
}

function portsMeet({ ports: some }: PeerRule, { ports: others }: PeerRule): boolean {
  // No ports: every port.
  if (some === undefined || others === undefined) return true;
  return some.some((one) => others.some((other) => portMeets(one, other)));
}

/** Which numbers have a name is another's question: they may be any. */
function portMeets(one: PolicyPort, other: PolicyPort): boolean {
  const same =
    one.protocol === undefined || other.protocol === undefined || one.protocol === other.protocol;
  if (one.kind === "named" || other.kind === "named") return same;
  return same && one.first <= other.last && other.first <= one.last;
}

function peersMeet({ peers: some }: PeerRule, { peers: others }: PeerRule): boolean {
  // No peers: every peer.
  if (some === undefined || others === undefined) return true;
  return some.some((one) => others.some((other) => peerMeets(one, other)));
}

/** Addresses of nodes are never those of pods; what else may be one, is not looked at. */
function peerMeets(one: PolicyPeer, other: PolicyPeer): boolean {
  const kinds = [one.kind, other.kind];
  return !(kinds.includes("nodes") && kinds.includes("pods"));
}
