/**
 * Tables, sets and routes to bytes in the matcher's memory, as assembly/layout.ts draws them. The only
 * writer of those records.
 *
 * How the two differ: a ruleset names chains and sets, the bytes have indexes; a chain ends where its
 * list does, the bytes have a record there that returns or holds the chain's policy.
 */
import * as layout from "../../assembly/layout.ts";
import type { Match } from "../match/index.ts";
import { packTarget, targetId } from "../target/index.ts";
import type { Target } from "../target/index.ts";
import type { Chain, Rule, RuleOrigin, Ruleset } from "../tables/model.ts";
import type { MatcherExports } from "./exports.ts";
import { BACKENDS, HOOKS, TABLES } from "./numbers.ts";
import { PayloadBytes } from "./payload-bytes.ts";
import type { SharedTable } from "./payload-bytes.ts";
import { BodyList } from "./bodies.ts";
import type { Body, PackedTable } from "./bodies.ts";
import { RuleList } from "./rule-list.ts";
import { numberSets, packSets } from "./sets.ts";
import type { InterfaceNumbers, NodeNumbers } from "./topology.ts";

/** What packing rules leaves behind. */
export interface PackedRules {
  readonly rules: RuleList;
  /** How many records the rules have. */
  readonly recordCount: number;
  /** By name; later rules find them again. */
  readonly sharedStates: ReadonlyMap<string, SharedTable>;
  /** Address of a table of the addresses and ports that DNAT rules lead to. */
  readonly backends: number;
}

/** What packing rules goes by. */
export interface Packing {
  readonly interfaces: InterfaceNumbers;
  /** Of the nodes that are told apart. */
  readonly nodes: NodeNumbers;
  /** Every chain object has records of its own, also where others do the same. */
  readonly apart: boolean;
}

/**
 * Packs rules and sets; afterwards every hook of every family given has its entry.
 *
 * @param before rules that decided until now: they keep their numbers, and those of the others follow
 * @throws Error for what a compiler of tables must not make: loops, unknown chains and sets
 */
export function packRulesets(
  exports: MatcherExports,
  rulesets: readonly Ruleset[],
  { interfaces, nodes, apart }: Packing,
  before?: PackedRules,
): PackedRules {
  const rules = new RuleList(rulesets, before?.rules);
  const numbers = numberSets(rulesets);
  const bodies = new BodyList(rules.tables.slice(before?.rules.tables.length ?? 0), apart);
  const size = bodies.recordCount * layout.RULE_SIZE;
  const address = exports.allocate(size);
  exports.setRules(address);
  const packer = new RulePacker(exports, { address, size }, numbers);
  for (const table of bodies.tables) packer.packTable(table);
  packer.finish(bodies.all, before?.sharedStates);
  for (const table of bodies.tables) packTable(exports, table);
  packSets(exports, rulesets, { numbers, interfaces, nodes, changed: packer.changedSets });
  for (const ruleset of rulesets) {
    const needs = bodies.tables
      .filter(({ table }) => table.ruleset === ruleset)
      .flatMap((packed) => packed.bodies)
      .reduce((sum, body) => sum | packer.needsOf(body), 0);
    exports.addFamily(ruleset.family, (needs & TRACKS) !== 0, (needs & REASSEMBLES) !== 0);
    if ((needs & COUNTS) !== 0) exports.countConnections();
    if ((needs & LIMITS) !== 0) exports.keepMakers();
  }
  const { sharedStates, translations } = packer;
  const backends = packBackends(exports, translations);
  return { rules, recordCount: bodies.recordCount, sharedStates, backends };
}

/** Writes where the chains of a table have their rules, and enters it at its hooks. */
function packTable(exports: MatcherExports, packed: PackedTable): void {
  const { table, places, bodies, allPlaces } = packed;
  const { ruleset, name, chains, firsts } = table;
  const at = exports.allocate(Math.max(1, allPlaces.count) * layout.CHAIN_SIZE);
  const view = new DataView(exports.memory.buffer);
  for (const [index, chain] of chains.entries()) {
    const place = places[index] ?? 0;
    const record = at + place * layout.CHAIN_SIZE;
    view.setUint32(record + layout.CHAIN_NUMBER, firsts[index] ?? 0, true);
    view.setUint32(record + layout.CHAIN_RECORD, bodies[index]?.record ?? 0, true);
    if (chain.policy === undefined) continue;
    const hook = HOOKS.findIndex((hookName) => hookName === chain.name);
    if (hook < 0) continue;
    const backend = BACKENDS.indexOf(ruleset.backend);
    const number = TABLES.indexOf(name);
    exports.setEntry(backend, ruleset.family, number, hook, at, place, chain.rules.length);
  }
}

/** A table like a `hash:ip,port` set. */
function packBackends(exports: MatcherExports, rules: readonly Rule[]): number {
  const table = exports.makeTable(rules.length);
  for (const { target, matches } of rules) {
    if (target?.kind !== "DNAT" || target.range.addresses === undefined) continue;
    const { addresses, ports } = target.range;
    const { first: address } = addresses;
    for (const match of matches) {
      if (match.kind !== "protocol") continue;
      const bits = address.family === 4 ? 32 : 128;
      exports.insertMember(table, ...address.words, bits, match.protocol, ports?.first ?? 0, 0);
    }
  }
  return table;
}

const TRACKS = 1 << 0;
const REASSEMBLES = 1 << 1;
const COUNTS = 1 << 2;
const LIMITS = 1 << 3;

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

/**
 * Writes the records of rules in one pass over them, and gathers what else is to be known of all. Rules
 * with the same list of matches have its bytes in common: most of a cluster's rules are such.
 */
class RulePacker {
  /** Names of the sets that rules change. */
  readonly changedSets = new Set<string>();
  /** Rules that translate the destination. */
  readonly translations: Rule[] = [];
  readonly #exports: MatcherExports;
  readonly #records: number;
  readonly #view: DataView;
  readonly #bytes: PayloadBytes;
  readonly #payloads = new Map<readonly Match[], Payload>();
  readonly #needs = new Map<Body, number>();

  constructor(
    exports: MatcherExports,
    records: { readonly address: number; readonly size: number },
    setNumbers: ReadonlyMap<string, number>,
  ) {
    this.#exports = exports;
    this.#records = records.address;
    this.#view = new DataView(exports.memory.buffer);
    // What rules point to is seldom twice as long as their records.
    this.#bytes = new PayloadBytes(setNumbers, 2 * records.size);
  }

  /** TRACKS, REASSEMBLES, COUNTS and LIMITS, as far as any rule needs them. */
  needsOf(body: Body): number {
    return this.#needs.get(body) ?? 0;
  }

  /** Tables that matches of one name share. */
  get sharedStates(): ReadonlyMap<string, SharedTable> {
    return this.#bytes.sharedStates;
  }

  /** Packs the bodies of a table that no table before has. */
  packTable({ table: { ruleset, name }, bodies }: PackedTable): void {
    this.#bytes.table = `${ruleset.backend} ${ruleset.family} ${name}`;
    this.#bytes.family = ruleset.family;
    for (const body of bodies) if (!this.#needs.has(body)) this.#packBody(body);
  }

  /** Packs the rules of a chain, and what is behind the last of them. */
  #packBody(body: Body): void {
    const view = this.#view;
    const { chain, record, calls } = body;
    let needs = 0;
    let call = 0;
    let at = this.#records + record * layout.RULE_SIZE;
    for (const rule of chain.rules) {
      const { target } = rule;
      const payload = this.#packPayload(rule);
      needs |= payload.needs;
      view.setUint32(at + layout.RULE_MATCHES, payload.start, true);
      view.setUint32(at + layout.RULE_MATCHES_END, payload.end, true);
      view.setUint8(at + layout.RULE_FLAGS, originFlags(rule.origin));
      const number = target === undefined ? layout.TARGET_NONE : targetId(target);
      view.setUint8(at + layout.RULE_TARGET, number);
      if (target?.kind === "JUMP" || target?.kind === "GOTO") {
        view.setUint32(at + layout.RULE_TARGET_ARG, calls[call] ?? 0, true);
        call += 1;
      }
      at += layout.RULE_SIZE;
    }
    view.setUint8(at + layout.RULE_FLAGS, layout.RULE_IS_END);
    view.setUint8(at + layout.RULE_TARGET, endTarget(chain));
    this.#needs.set(body, needs);
  }

  /** Writes what records point to, and makes addresses of their offsets. */
  finish(bodies: readonly Body[], before?: ReadonlyMap<string, SharedTable>): void {
    const exports = this.#exports;
    const bytes = this.#bytes;
    packSharedStates(exports, bytes, before);
    const base = exports.allocate(Math.max(1, bytes.length));
    new Uint8Array(exports.memory.buffer, base, bytes.length).set(bytes.written());
    const words = new Uint32Array(exports.memory.buffer);
    for (const { chain, record } of bodies) {
      let at = this.#records + record * layout.RULE_SIZE;
      for (let left = chain.rules.length; left > 0; left--) {
        addTo(words, (at + layout.RULE_MATCHES) >>> 2, base);
        addTo(words, (at + layout.RULE_MATCHES_END) >>> 2, base);
        at += layout.RULE_SIZE;
      }
    }
  }

  #packPayload(rule: Rule): Payload {
    const { matches } = rule;
    const target = carrying(rule.target);
    // Lists that ask for sets have other bytes in the other family, and are hundreds of thousands in a large cluster.
    const asksForSets = matches.some(({ kind }) => kind === "set");
    const before = asksForSets ? undefined : this.#payloads.get(matches);
    if (before !== undefined && before.target === target) return before;
    const bytes = this.#bytes;
    const start = bytes.length;
    let needs = target === undefined ? 0 : needsOf(target);
    for (const match of matches) {
      bytes.match(match);
      needs |= needsOf(match);
    }
    const end = bytes.length;
    if (target !== undefined) packTarget(target, bytes);
    bytes.align();
    const payload = { start, end, target, needs };
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

/** Records are at addresses that four divides, and Wasm is little-endian as every machine of Node's is. */
function addTo(words: Uint32Array, index: number, value: number): void {
  words[index] = (words[index] ?? 0) + value;
}

/**
 * > xt_recent.c, xt_hashlimit.c: a table lives as long as a rule of its name does, and keeps what it was told
 * first. Rules that take the place of others are there before those are gone, table by table: a name that
 * one table has in both lives on. Of one that moved, which was first, is not known.
 */
function packSharedStates(
  exports: MatcherExports,
  { sharedStates }: PayloadBytes,
  before: ReadonlyMap<string, SharedTable> = new Map(),
): void {
  const former = exports.sharedStates();
  const records = exports.allocate(Math.max(1, sharedStates.size * layout.SHARED_STATE_SIZE));
  const view = new DataView(exports.memory.buffer);
  for (const { name, number, size, terms, users, ...shared } of sharedStates.values()) {
    const at = records + number * layout.SHARED_STATE_SIZE;
    const old = before.get(name);
    let { conflicts } = shared;
    view.setUint32(at + layout.SHARED_STATE_WANTED, size, true);
    if (old !== undefined) {
      const moved = [...users].every((user) => !old.users.has(user));
      conflicts |= old.conflicts | (moved ? layout.SHARED_STATE_ALL : 0);
      for (const [index, term] of terms.entries())
        if (term !== old.terms[index]) conflicts |= 1 << index;
      // > A list that is to keep more times than before is emptied.
      if (size <= old.size) {
        const table = view.getUint32(former + old.number * layout.SHARED_STATE_SIZE, true);
        view.setUint32(at, table, true);
      }
    }
    view.setUint8(at + layout.SHARED_STATE_CONFLICTS, conflicts);
  }
  exports.setSharedStates(records, sharedStates.size);
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
    case "host-forward":
    case "tie":
      return 0;
  }
}

function endTarget(chain: Chain): number {
  if (chain.policy === undefined) return layout.TARGET_RETURN;
  return chain.policy === "ACCEPT" ? layout.TARGET_POLICY_ACCEPT : layout.TARGET_POLICY_DROP;
}
