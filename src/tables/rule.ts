/**
 * Rules in short form, and the mark bits they talk to each other with. Nothing here knows of policies.
 * Source of the bits: Felix, Calico 3.30 and later, mask 0xffff0000, taken from the lowest.
 */
import { makeComment } from "../match/comment.ts";
import { orderMatches } from "../match/index.ts";
import type { CtState } from "../match/conntrack.ts";
import type { Match } from "../match/index.ts";
import { untracked } from "../target/ct.ts";
import type { Target } from "../target/index.ts";
import { NAT_NOTHING } from "../target/nat-range.ts";
import type { Rule, RuleOrigin } from "./model.ts";

/** A policy or profile has let the packet through. */
export const MARK_ACCEPT = 0x10000;
/** A policy passes the packet to the next tier. */
export const MARK_PASS = 0x20000;
/** A policy denies the packet; the next rule drops it. */
export const MARK_DROP = 0x40000;
/** All match blocks of the policy rule hold so far. */
export const MARK_SCRATCH0 = 0x80000;
/** The present match block holds. */
export const MARK_SCRATCH1 = 0x100000;
/** Ours: an order of policies that the API leaves open is being tried, and one was tried. */
export const MARK_TRYING = 0x200000;
export const MARK_TRIED = 0x400000;
/** Ours: a Service has translated what came from outside, and how its client is seen is not known. */
export const MARK_VEILED = 0x800000;
/** Ours, of a cluster seen as one: the backend is where it is chosen, though nothing tells where that is. */
export { MARK_STAYS } from "../target/mark.ts";
/** The bits Felix clears before policy; the drop bit is not among them. */
export const MARK_ALL = MARK_ACCEPT | MARK_PASS | MARK_SCRATCH0 | MARK_SCRATCH1;
/** kube-proxy: the packet's source is to be masqueraded; outside Calico's mask. */
export const MARK_MASQUERADE = 0x4000;

/** portmap: the same of what comes to a node's port from its own pod or from the node's loopback address. */
export const MARK_HOST_PORT = 0x2000;

export interface RuleParts {
  /** In any order; the rule has them in the kernel's. */
  readonly matches?: readonly Match[];
  /** Printed before the other extensions. */
  readonly comment?: string;
  readonly target?: Target | undefined;
  readonly origin?: RuleOrigin;
}

/** Makes a rule with its matches in the order in which the kernel tries and iptables-save prints them. */
export function makeRule(parts: RuleParts): Rule {
  const { comment, matches: given = [], target, origin } = parts;
  const matches = orderMatches(comment === undefined ? given : [makeComment(comment), ...given]);
  return origin === undefined ? { matches, target } : { matches, target, origin };
}

export const ACCEPT: Target = { kind: "ACCEPT" };
export const DROP: Target = { kind: "DROP" };
export const RETURN: Target = { kind: "RETURN" };

/** Connection tracking leaves the packet alone. */
export const NOTRACK: Target = untracked();

/** A connection gets an address of the interface that it leaves by, and a port drawn at random. */
export const MASQUERADE = {
  kind: "MASQUERADE",
  range: { ...NAT_NOTHING, random: "fully" },
} as const satisfies Target;

/** Goes on in a chain and comes back. */
export function jump(chain: string): Target {
  return { kind: "JUMP", chain };
}

/** Goes on in a chain and comes back to the caller's caller. */
export function goTo(chain: string): Target {
  return { kind: "GOTO", chain };
}

/** Sets mark bits. */
export function setBits(bits: number): Target {
  return { kind: "MARK", value: bits, mask: bits };
}

/** Clears mark bits. */
export function clearBits(bits: number): Target {
  return { kind: "MARK", value: 0, mask: bits };
}

/** All of these bits are set. */
export function bitsSet(bits: number): Match {
  return { kind: "mark", value: bits, mask: bits, invert: false };
}

/** None of these bits is set. */
export function bitsClear(bits: number): Match {
  return { kind: "mark", value: 0, mask: bits, invert: false };
}

/** At least one of these bits is set. */
export function anyBitSet(bits: number): Match {
  return { kind: "mark", value: 0, mask: bits, invert: true };
}

/** `-p`. The same match each time: a large cluster's rules ask it hundreds of thousands of times. */
export function protocolIs(protocol: number): Match {
  return (PROTOCOLS[protocol] ??= { kind: "protocol", protocol, invert: false });
}

const PROTOCOLS: Match[] = [];

/** `-i` or `-o` of one interface. */
export function interfaceIs(side: "in" | "out", name: string): Match {
  return { kind: "interface", side, name, wildcard: false, invert: false };
}

/** `-i` or `-o` of every interface whose name begins so. */
export function interfaceBegins(side: "in" | "out", name: string): Match {
  return { kind: "interface", side, name, wildcard: true, invert: false };
}

/** `--ctstate`. */
export function stateIs(...states: readonly CtState[]): Match {
  return { kind: "conntrack", states, invert: false };
}
