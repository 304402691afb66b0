/**
 * Rules to records and to the bytes that these point to. Rules with the same list of matches have its bytes in common:
 * most of a cluster's rules are such.
 */
import * as layout from "../../assembly/layout.ts";
import type { Match } from "../match/index.ts";
import type { Chain, Rule, RuleOrigin } from "../tables/model.ts";
import { packTarget, targetId } from "../target/index.ts";
import type { Target } from "../target/index.ts";
import type { PayloadBytes } from "./payload-bytes.ts";
import type { RecordList } from "./record-list.ts";

/** What the kernel does for rules: bits of `needs`. */
export const TRACKS = 1 << 0;
export const REASSEMBLES = 1 << 1;
export const COUNTS = 1 << 2;
export const LIMITS = 1 << 3;

/** What the kernel does for a match or target, modelled or not, by its name. */
const NEEDS: ReadonlyMap<string, number> = new Map([
  // > nf_ct_netns_get(): those for which the kernel tracks connections; tables never ask for it.
  ["cluster", TRACKS],
  // > nf_ct_set_acct(), for good.
  ["connbytes", TRACKS | COUNTS],
  ["connlabel", TRACKS],
  ["connlimit", TRACKS | LIMITS],
  ["connmark", TRACKS],
  ["conntrack", TRACKS],
  ["helper", TRACKS],
  ["state", TRACKS],
  ["CONNMARK", TRACKS],
  ["CONNSECMARK", TRACKS],
  ["CT", TRACKS],
  ["DNAT", TRACKS],
  ["MASQUERADE", TRACKS],
  ["NETMAP", TRACKS],
  ["REDIRECT", TRACKS],
  ["SNAT", TRACKS],
  ["SYNPROXY", TRACKS],
  // > nf_defrag_ipv4_enable(): those for which it puts fragments together, and no more than that.
  ["socket", REASSEMBLES],
  ["TPROXY", REASSEMBLES],
]);

function needsOf(part: Match | Target): number {
  return NEEDS.get(part.kind === "opaque" ? part.name : part.kind) ?? 0;
}

/** Where a rule's matches lie; behind their end is what its target carries. */
interface Payload {
  readonly start: number;
  readonly end: number;
  /** The target that has bytes there. */
  readonly target: Target | undefined;
  /** TRACKS, REASSEMBLES, COUNTS, LIMITS. */
  readonly needs: number;
}

/** Finds the places of chains. */
export interface Places {
  /** Undefined: the table has no such chain. */
  find(name: string): number | undefined;
}

/** What is to be known of a chain's records. */
export interface PackedChain {
  /** Index of the first. */
  readonly record: number;
  /** TRACKS, REASSEMBLES, COUNTS and LIMITS, as far as any rule needs them. */
  readonly needs: number;
  /** Rules ask for sets that have other members in the other family. */
  readonly asksByFamily: boolean;
}

/** Writes the records of rules in one pass over them, and gathers what else is to be known of all. */
export class RulePacker {
  /** Names of the sets that rules change. */
  readonly changedSets = new Set<string>();
  /** Rules that translate the destination. */
  readonly translations: Rule[] = [];
  readonly #records: RecordList;
  readonly #bytes: PayloadBytes;
  readonly #payloads = new Map<readonly Match[], Payload>();

  constructor(records: RecordList, bytes: PayloadBytes) {
    this.#records = records;
    this.#bytes = bytes;
  }

  /**
   * Packs the rules of a chain, and what is behind the last of them.
   *
   * @throws Error for unknown chains and sets
   */
  pack(chain: Chain, places: Places): PackedChain {
    const records = this.#records;
    const record = records.count;
    records.reserve(chain.rules.length + 1);
    this.#bytes.asksByFamily = false;
    let needs = 0;
    for (const rule of chain.rules) {
      const { target } = rule;
      const payload = this.#payloadOf(rule);
      const called = calledBy(target);
      needs |= payload.needs;
      records.add({
        matches: payload.start,
        matchesEnd: payload.end,
        target: target === undefined ? layout.TARGET_NONE : targetId(target),
        flags: originFlags(rule.origin),
        argument: called === undefined ? 0 : placeOf(called, chain, places),
      });
    }
    const target = endTarget(chain);
    records.add({ matches: 0, matchesEnd: 0, target, flags: layout.RULE_IS_END, argument: 0 });
    return { record, needs, asksByFamily: this.#bytes.asksByFamily };
  }

  #payloadOf(rule: Rule): Payload {
    const { matches } = rule;
    const target = carrying(rule.target);
    const before = this.#payloads.get(matches);
    if (before !== undefined && before.target === target) return before;
    const bytes = this.#bytes;
    const start = bytes.length;
    let needs = target === undefined ? 0 : needsOf(target);
    let asksForSets = false;
    for (const match of matches) {
      bytes.match(match);
      needs |= needsOf(match);
      asksForSets ||= match.kind === "set";
    }
    const end = bytes.length;
    if (target !== undefined) packTarget(target, bytes);
    bytes.align();
    const payload = { start, end, target, needs };
    // Lists that ask for sets have other bytes in the other family, and are hundreds of thousands in a large cluster.
    if (!asksForSets) this.#payloads.set(matches, payload);
    this.#note(rule);
    return payload;
  }

  #note(rule: Rule): void {
    const { target } = rule;
    if (target?.kind === "DNAT") this.translations.push(rule);
    if (target?.kind !== "SET") return;
    for (const place of [target.add, target.delete]) {
      if (place !== undefined) this.changedSets.add(place.set);
    }
  }
}

function placeOf(called: string, { name }: Chain, places: Places): number {
  const place = places.find(called);
  if (place === undefined) throw new Error(`bug: no chain ${called} for ${name}`);
  return place;
}

/** Name of the chain that a JUMP or GOTO leads to. */
export function calledBy(target: Target | undefined): string | undefined {
  return target?.kind === "JUMP" || target?.kind === "GOTO" ? target.chain : undefined;
}

/** The target if it has bytes of its own: those that move the walk have none. */
function carrying(target: Target | undefined): Target | undefined {
  switch (target?.kind) {
    case "ACCEPT":
    case "DROP":
    case "RETURN":
    case "JUMP":
    case "GOTO":
      return undefined;
    default:
      return target;
  }
}

/** What a match of the rule says about the verdict. */
function originFlags(origin: RuleOrigin | undefined): number {
  if (origin === undefined) return 0;
  switch (origin.kind) {
    case "policy-rule":
    case "profile-rule":
      return origin.effect === "allow" || origin.effect === "deny" ? layout.RULE_DECIDES : 0;
    case "not-isolated":
      return layout.RULE_DECIDES_WEAKLY;
    case "to-host":
      return origin.action === "drop" ? layout.RULE_DECIDES : 0;
    case "failsafe":
    case "host-closed":
    case "spoofed":
    case "tunnel":
    case "isolation":
    case "established":
    case "invalid":
    case "node-traffic":
    case "service-refused":
      return layout.RULE_DECIDES;
    case "dialect":
      return origin.answer === "open" ? 0 : layout.RULE_DECIDES;
    case "service":
    case "service-unknown":
    case "pod-range-unknown":
    case "host-port":
    case "host-port-unknown":
    case "host-forward":
    case "tie":
      return 0;
  }
}

function endTarget(chain: Chain): number {
  if (chain.policy === undefined) return layout.TARGET_RETURN;
  return chain.policy === "ACCEPT" ? layout.TARGET_POLICY_ACCEPT : layout.TARGET_POLICY_DROP;
}
