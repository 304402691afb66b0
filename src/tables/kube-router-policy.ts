/**
 * kube-router's chain of one policy. It holds the rules of both directions, each behind the set of the
 * policy's own pods; a rule's blocks are one set, and what is excepted from one is `nomatch` in it.
 * Source: kube-router pkg/controllers/netpol/policy.go.
 */
import type { Endpoint, PortProtocol } from "../cluster/snapshot.ts";
import type { Match } from "../match/index.ts";
import { formatPrefix, hostPrefix, parsePrefix } from "../net/address.ts";
import type { Family, Prefix } from "../net/address.ts";
import type { Dialect, DialectQuestion } from "../policy/dialect.ts";
import type {
  Direction,
  EndpointSelector,
  PeerRule,
  Policy,
  PolicyPeer,
  PolicyPort,
} from "../policy/model.ts";
import { OPEN } from "./dialect-rule.ts";
import type { IpSet, Rule, SetEntry } from "./model.ts";
import { routerName } from "./names.ts";
import { bitsSet, makeRule, protocolIs, RETURN, setBits } from "./rule.ts";
import { portIs } from "./service-port.ts";
import type { PeerMeanings } from "./peer-meanings.ts";
import { describePods, portProtocolNumber } from "./sets.ts";

/** A policy's rule, or the want of policies, lets the packet through. */
export const ROUTER_ALLOWED = 0x10000;

interface Given {
  readonly family: Family;
  readonly dialect: Dialect;
  readonly meanings: PeerMeanings;
}

/** A chain with the sets that its rules ask. */
export interface RouterPolicy {
  readonly name: string;
  readonly rules: readonly Rule[];
  readonly sets: readonly IpSet[];
}

/** The name of a policy's chain; a real one has the time of its making in its hash. */
export function routerPolicyName({ ref }: Policy, family: Family): string {
  return routerName("KUBE-NWPLCY-", `${ref.namespace ?? ""}${ref.name}${FAMILY[family]}`);
}

const FAMILY: Readonly<Record<Family, string>> = { 4: "IPv4", 6: "IPv6" };

/** Compiles the rules of both directions. */
export function compileRouterPolicy(policy: Policy, given: Given): RouterPolicy {
  const sets = new Map<string, IpSet>();
  const rules = DIRECTIONS.flatMap((direction) =>
    (policy[direction] ?? []).flatMap((rule) =>
      rule.kind === "peers"
        ? new RuleCompiler({ policy, direction, rule, given, sets }).rules()
        : [],
    ),
  );
  return { name: routerPolicyName(policy, given.family), rules, sets: [...sets.values()] };
}

const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

/** A port of one protocol; without a number every one. */
interface RouterPort {
  readonly protocol: PortProtocol;
  readonly first: number | undefined;
  readonly last: number | undefined;
}

/** The number that a name means at some pods. */
interface NamedNumber extends RouterPort {
  readonly name: string;
  readonly first: number;
  readonly pods: readonly Endpoint[];
}

/** What a rule asks of the two ends. */
interface Ends {
  readonly source?: string;
  readonly destination?: string;
  readonly port?: RouterPort;
}

class RuleCompiler {
  readonly #policy: Policy;
  readonly #direction: Direction;
  readonly #rule: PeerRule;
  readonly #given: Given;
  readonly #sets: Map<string, IpSet>;
  readonly #targets: readonly Endpoint[];

  constructor(parts: {
    readonly policy: Policy;
    readonly direction: Direction;
    readonly rule: PeerRule;
    readonly given: Given;
    readonly sets: Map<string, IpSet>;
  }) {
    this.#policy = parts.policy;
    this.#direction = parts.direction;
    this.#rule = parts.rule;
    this.#given = parts.given;
    this.#sets = parts.sets;
    this.#targets = this.#podsOf(parts.policy.subject);
  }

  rules(): Rule[] {
    const { peers } = this.#rule;
    if (peers === undefined) return this.#everywhere();
    const pods = peers.flatMap((peer) => (peer.kind === "pods" ? [peer] : []));
    const blocks = peers.filter((peer) => peer.kind === "block");
    return [...(pods.length === 0 ? [] : this.#pods(pods)), ...this.#blocks(blocks)];
  }

  /** Any peer. */
  #everywhere(): Rule[] {
    const own = this.#ownSide();
    const { ports } = this.#rule;
    if (ports === undefined) return this.#allow(own);
    if (this.#direction === "ingress") {
      return [...this.#numbers(own), ...this.#named({}, this.#namedNumbers(this.#targets))];
    }
    const { namespace } = this.#policy.ref;
    // > we must try to grab NamedPort from pods that in same namespace
    const pods = this.#podsOf(undefined).filter((endpoint) => endpoint.namespace === namespace);
    return [
      ...this.#numbers(own),
      ...this.#namedNumbers(pods).flatMap((port) => this.#allow({ ...own, port })),
    ];
  }

  #pods(peers: readonly Extract<PolicyPeer, { kind: "pods" }>[]): Rule[] {
    const chosen = this.#chosen();
    const description = peers.map(({ selector }) => describePods(selector)).join(" or ");
    const ingress = this.#direction === "ingress";
    const peer = this.#podSet(ingress ? "SRC" : "DST", "pod", chosen, description);
    const ends = { ...this.#ownSide(), ...(ingress ? { source: peer } : { destination: peer }) };
    const { ports = [] } = this.#rule;
    const named = this.#namedNumbers(ingress ? this.#targets : chosen);
    const numbers = ports.some(({ kind }) => kind === "range");
    // Names that mean nothing anywhere are as no ports at all.
    if (!numbers && named.length === 0) return this.#allow(ends);
    return [
      ...this.#numbers(ends),
      ...this.#named(ingress ? { source: peer } : this.#ownSide(), named),
      ...(ingress ? [] : this.#missingNames(peers)),
    ];
  }

  /** Pods that no manifest has may call a number so. */
  #missingNames(peers: readonly Extract<PolicyPeer, { kind: "pods" }>[]): Rule[] {
    const names = (this.#rule.ports ?? []).some(({ kind }) => kind === "named");
    if (!names) return [];
    const description = peers.map(({ selector }) => describePods(selector)).join(" or ");
    const destination = this.#podSet("DST", "nobody", [], description);
    return this.#allow({ ...this.#ownSide(), destination }, "port-names");
  }

  #blocks(peers: readonly Extract<PolicyPeer, { kind: "block" }>[]): Rule[] {
    const own = peers.filter(({ prefix }) => prefix.address.family === this.#given.family);
    if (own.length === 0) return [];
    const ingress = this.#direction === "ingress";
    const plain = own.flatMap(({ prefix }) => storable(prefix));
    const except = own.flatMap((peer) => peer.except);
    const excepted = new Set(except.map(formatPrefix));
    const clash = plain.some((prefix) => excepted.has(formatPrefix(prefix)));
    const set = this.#blockSet("", plain, except);
    const end = (name: string): Ends => (ingress ? { source: name } : { destination: name });
    const rulesOf = (name: string, question?: DialectQuestion): Rule[] => {
      const ends = { ...this.#ownSide(), ...end(name) };
      if (this.#rule.ports === undefined) return this.#allow(ends, question);
      // > There are no rules for named ports of blocks at egress.
      return [
        ...this.#numbers(ends, question),
        ...(ingress ? this.#named(end(name), this.#namedNumbers(this.#targets), question) : []),
      ];
    };
    return [
      ...rulesOf(set),
      // Which of two entries of one prefix stays is up to the order of `ipset restore`.
      ...(clash ? rulesOf(this.#blockSet("open:", plain, except), "same-block") : []),
    ];
  }

  #numbers(ends: Ends, question?: DialectQuestion): Rule[] {
    return (this.#rule.ports ?? []).flatMap((port) =>
      port.kind === "range" ? this.#allow({ ...ends, port: numbersOf(port) }, question) : [],
    );
  }

  /** Of a name at several pods, one's list may have come to hold others: Go's maps are shared. */
  #named(ends: Ends, numbers: readonly NamedNumber[], question?: DialectQuestion): Rule[] {
    const grabbed = this.#direction === "ingress" ? this.#targets : this.#chosen();
    return numbers.flatMap((port, index) => {
      const { name, protocol, first, pods } = port;
      const text = `${name} (${first}/${protocol})`;
      const set = this.#podSet("DST", `${index}namedport`, pods, `what calls a port ${text}`);
      const certain = this.#allow({ ...ends, destination: set, port }, question);
      const others = grabbed.some((pod) => !pods.includes(pod));
      if (!others) return certain;
      const all = this.#podSet(
        "DST",
        `${index}all`,
        grabbed,
        `what may be taken to call a port ${text}`,
      );
      return [
        ...certain,
        ...this.#allow({ ...ends, destination: all, port }, question ?? "port-names"),
      ];
    });
  }

  #chosen(): readonly Endpoint[] {
    const peers = this.#rule.peers ?? [];
    const chosen = peers.flatMap((peer) =>
      peer.kind === "pods" ? this.#podsOf(peer.selector) : [],
    );
    return [...new Set(chosen)];
  }

  /** Pods without an address are no pods yet. */
  #podsOf(selector: EndpointSelector | undefined): readonly Endpoint[] {
    const { meanings } = this.#given;
    const pods = meanings.endpoints(selector, meanings.chosen(selector));
    return pods.filter(({ addresses }) => addresses.length > 0);
  }

  /** The numbers that the rule's names mean at some pods. Ports of init containers have no names. */
  #namedNumbers(pods: readonly Endpoint[]): NamedNumber[] {
    const found = new Map<string, { port: NamedNumber; pods: Endpoint[] }>();
    const names = (this.#rule.ports ?? []).filter((port) => port.kind === "named");
    for (const { name, protocol = "TCP" } of names) {
      for (const pod of pods) {
        for (const each of pod.ports) {
          if (each.name !== name || each.protocol !== protocol || each.init !== undefined) continue;
          const key = `${name} ${protocol} ${each.port}`;
          const own = found.get(key) ?? {
            port: { name, protocol, first: each.port, last: each.port, pods: [] },
            pods: [],
          };
          if (!own.pods.includes(pod)) own.pods.push(pod);
          found.set(key, own);
        }
      }
    }
    return [...found.values()].map((own) => ({ ...own.port, pods: own.pods }));
  }

  /** The policy's own pods, at their side. */
  #ownSide(): Ends {
    const { subject } = this.#policy;
    const kind = this.#direction === "ingress" ? "DST" : "SRC";
    const name = this.#setName(kind, "");
    this.#keepPods(name, this.#targets, describePods(subject));
    return this.#direction === "ingress" ? { destination: name } : { source: name };
  }

  /** What is marked and has the rule's looks leaves the chain. */
  #allow({ source, destination, port }: Ends, question?: DialectQuestion): Rule[] {
    const { dialect } = this.#given;
    const matches: Match[] = [
      ...(source === undefined ? [] : [inSet(source, "src")]),
      ...(destination === undefined ? [] : [inSet(destination, "dst")]),
      ...(port === undefined ? [] : portMatches(port)),
    ];
    const origin = {
      kind: "policy-rule",
      effect: "allow",
      policy: this.#policy.ref,
      direction: this.#direction,
      rule: this.#rule.index,
      place: this.#rule.place,
    } as const;
    const target = setBits(ROUTER_ALLOWED);
    if (question !== undefined) {
      const open = { question, dialect: dialect.title };
      return [makeRule({ matches: [...matches, OPEN], target, origin: { ...origin, open } })];
    }
    return [
      makeRule({ matches, target, origin }),
      makeRule({ matches: [...matches, bitsSet(ROUTER_ALLOWED)], target: RETURN }),
    ];
  }

  #podSet(
    kind: "SRC" | "DST",
    what: string,
    pods: readonly Endpoint[],
    description: string,
  ): string {
    const name = this.#setName(kind, `${this.#direction}rule${this.#rule.index}${what}`);
    this.#keepPods(name, pods, description);
    return name;
  }

  #keepPods(name: string, pods: readonly Endpoint[], description: string): void {
    const { family } = this.#given;
    if (this.#sets.has(name)) return;
    this.#sets.set(name, {
      kind: "hash:net",
      name,
      family,
      members: pods
        .flatMap(({ addresses }) => addresses)
        .filter((address) => address.family === family)
        .map(hostPrefix),
      origin: { incomplete: true, description },
    });
  }

  /** Of a prefix that is both in it and excepted: `open:` has it, the other has not. */
  #blockSet(before: "" | "open:", plain: readonly Prefix[], except: readonly Prefix[]): string {
    const { family } = this.#given;
    const kind = this.#direction === "ingress" ? "SRC" : "DST";
    const what = `${this.#direction}rule${this.#rule.index}ipblock`;
    const name = before === "" ? this.#setName(kind, what) : `${before}${this.#hash(what)}`;
    const entries = new Map<string, SetEntry>();
    const add = (first: Prefix, nomatch: boolean): void => {
      entries.set(formatPrefix(first), { first, ...(nomatch ? { nomatch } : {}) });
    };
    const inside = (): void => {
      for (const prefix of plain) add(prefix, false);
    };
    const outside = (): void => {
      for (const prefix of except) add(prefix, true);
    };
    for (const step of before === "" ? [inside, outside] : [outside, inside]) step();
    this.#sets.set(name, {
      kind: "entries",
      type: "hash:net",
      name,
      family,
      entries: [...entries.values()],
      origin: { incomplete: false, description: "the rule's blocks" },
    });
    return name;
  }

  #setName(kind: "SRC" | "DST", what: string): string {
    return `${this.#given.family === 6 ? "inet6:" : ""}KUBE-${kind}-${this.#hash(what)}`;
  }

  #hash(what: string): string {
    const { namespace = "", name } = this.#policy.ref;
    const family = FAMILY[this.#given.family];
    // > The family stands before the last word, and behind what has no such word.
    const [, rule = what, word = ""] = /^(.*?\d+)([a-z]+)$/.exec(what) ?? [];
    return routerName("", namespace + name + rule + family + word);
  }
}

function numbersOf(port: Extract<PolicyPort, { kind: "range" }>): RouterPort {
  const { protocol, first, last } = port;
  return first === 0 && last === 0xffff
    ? { protocol, first: undefined, last: undefined }
    : { protocol, first, last };
}

function portMatches({ protocol, first, last }: RouterPort): Match[] {
  const number = protocolIs(portProtocolNumber(protocol));
  if (first === undefined || last === undefined) return [number];
  return [number, { ...portIs({ protocol }, undefined), dport: { first, last, invert: false } }];
}

function inSet(set: string, side: "src" | "dst"): Match {
  return { kind: "set", set, flags: [side], invert: false };
}

/** hash:net has no prefix of no bits: kube-router's stand for it are two halves, and in IPv6 what is in use. */
function storable(given: Prefix): Prefix[] {
  if (given.bits > 0) return [given];
  return EVERYTHING[given.address.family];
}

const EVERYTHING: Readonly<Record<Family, Prefix[]>> = {
  4: [prefix("0.0.0.0/1"), prefix("128.0.0.0/1")],
  6: [prefix("2000::/3"), prefix("fd00::/8")],
};

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(`bug: ${text} is no prefix`);
  return parsed.prefix;
}
