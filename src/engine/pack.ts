/**
 * Tables, sets and routes to bytes in the matcher's memory, as assembly/layout.ts draws them. The only
 * writer of those records.
 *
 * How the two differ: a ruleset names chains and sets, the bytes have indexes; a chain ends where its
 * list does, the bytes have a record there that returns or holds the chain's policy.
 */
import * as layout from "../../assembly/layout.ts";
import { matchExtension } from "../match/index.ts";
import type { Match } from "../match/index.ts";
import type { Backend, PayloadWriter, SharedState } from "../match/extension.ts";
import type { Family } from "../net/address.ts";
import { packTarget, targetId } from "../target/index.ts";
import type { Target } from "../target/index.ts";
import { findCycle } from "../tables/loops.ts";
import type { Chain, RuleOrigin, Ruleset } from "../tables/model.ts";
import type { MatcherExports } from "./exports.ts";
import { BACKENDS, HOOKS, TABLES } from "./numbers.ts";
import { packSets } from "./sets.ts";
import type { InterfaceNumbers } from "./topology.ts";
import type { RuleRef } from "./verdict.ts";

/** A chain of some table, with the index of its first rule. */
interface PlacedChain {
  readonly ruleset: Ruleset;
  readonly table: RuleRef["table"];
  readonly chain: Chain;
  readonly first: number;
}

/**
 * Packs rules and sets; afterwards every hook of every family given has its entry.
 *
 * @returns the rules by their index, chain ends included
 * @throws Error for what a compiler of tables must not make: loops, unknown chains and sets
 */
export function packRulesets(
  exports: MatcherExports,
  rulesets: readonly Ruleset[],
  interfaces: InterfaceNumbers,
): RuleRef[] {
  const setNumbers = packSets(exports, rulesets, interfaces);
  const placed = placeChains(rulesets);
  const refs: RuleRef[] = [];
  for (const { ruleset, table, chain } of placed) {
    const ref = { family: ruleset.family, table, chain: chain.name };
    chain.rules.forEach((rule, index) => refs.push({ ...ref, number: index + 1, rule }));
    refs.push({ ...ref, number: chain.rules.length + 1, rule: undefined });
  }
  const firstByChain = new Map(placed.map((chain) => [chainKey(chain), chain.first]));
  for (const { tables } of rulesets) for (const { chains } of tables) refuseCycle(chains);
  const records = exports.allocate(refs.length * layout.RULE_SIZE);
  const matches = packMatches(exports, refs, setNumbers);
  const view = new DataView(exports.memory.buffer);
  exports.setRules(records);
  for (const place of placed) {
    const { chain, first, ruleset, table } = place;
    chain.rules.forEach((rule, index) => {
      const at = records + (first + index) * layout.RULE_SIZE;
      const span = matches[first + index];
      if (span === undefined) throw new Error("bug: a rule without a span of matches");
      view.setUint32(at + layout.RULE_MATCHES, span.start, true);
      view.setUint32(at + layout.RULE_MATCHES_END, span.end, true);
      view.setUint8(at + layout.RULE_FLAGS, originFlags(rule.origin));
      const chainFirst = (name: string): number => {
        const target = firstByChain.get(chainKey({ ...place, chain: { name } }));
        if (target === undefined) throw new Error(`bug: no chain ${name} in table ${table}`);
        return target;
      };
      packWalk(view, at, rule.target, chainFirst);
    });
    const end = first + chain.rules.length;
    const at = records + end * layout.RULE_SIZE;
    view.setUint8(at + layout.RULE_FLAGS, layout.RULE_IS_END);
    view.setUint8(at + layout.RULE_TARGET, endTarget(chain));
    const hook = HOOKS.findIndex((name) => name === chain.name);
    if (chain.policy !== undefined && hook >= 0) {
      const backend = BACKENDS.indexOf(ruleset.backend);
      exports.setEntry(backend, ruleset.family, TABLES.indexOf(table), hook, first, end);
    }
  }
  for (const ruleset of rulesets) {
    exports.addFamily(ruleset.family, uses(ruleset, TRACKING), uses(ruleset, REASSEMBLING));
  }
  return refs;
}

/** Packs the addresses and ports that DNAT rules lead to; a table like a `hash:ip,port` set. */
export function packBackends(exports: MatcherExports, refs: readonly RuleRef[]): number {
  const table = exports.makeTable(refs.length >> 3);
  for (const { rule } of refs) {
    if (rule?.target?.kind !== "DNAT") continue;
    const { addresses, ports } = rule.target.range;
    if (addresses === undefined) continue;
    const { first: address } = addresses;
    for (const match of rule.matches) {
      if (match.kind !== "protocol") continue;
      const bits = address.family === 4 ? 32 : 128;
      exports.insertMember(table, ...address.words, bits, match.protocol, ports?.first ?? 0, 0);
    }
  }
  return table;
}

/** > nf_ct_netns_get(): matches and targets for which the kernel tracks connections; tables never ask for it. */
const TRACKING: ReadonlySet<string> = new Set([
  "cluster",
  "connbytes",
  "connlabel",
  "connlimit",
  "connmark",
  "conntrack",
  "helper",
  "state",
  "CONNMARK",
  "CONNSECMARK",
  "CT",
  "DNAT",
  "MASQUERADE",
  "NETMAP",
  "REDIRECT",
  "SNAT",
  "SYNPROXY",
]);

/** > nf_defrag_ipv4_enable(): those for which it puts fragments together, and no more than that. */
const REASSEMBLING: ReadonlySet<string> = new Set(["socket", "TPROXY"]);

/** Tells whether any rule has a match or a target of these names, modelled or not. */
function uses({ tables }: Ruleset, names: ReadonlySet<string>): boolean {
  const isNamed = (part: Match | Target): boolean =>
    names.has(part.kind === "opaque" ? part.name : part.kind);
  return tables.some(({ chains }) =>
    chains.some(({ rules }) =>
      rules.some(
        ({ matches, target }) => matches.some(isNamed) || (target !== undefined && isNamed(target)),
      ),
    ),
  );
}

function placeChains(rulesets: readonly Ruleset[]): PlacedChain[] {
  let first = 0;
  return rulesets.flatMap((ruleset) =>
    ruleset.tables.flatMap((table) =>
      table.chains.map((chain) => {
        const placed = { ruleset, table: table.name, chain, first };
        first += chain.rules.length + 1;
        return placed;
      }),
    ),
  );
}

function chainKey(place: {
  readonly ruleset: { readonly family: Family; readonly backend: Backend };
  readonly table: string;
  readonly chain: { readonly name: string };
}): string {
  const { family, backend } = place.ruleset;
  return `${family} ${backend} ${place.table} ${place.chain.name}`;
}

interface Span {
  readonly start: number;
  readonly end: number;
}

/** Writes each rule's matches, then what its target carries; comments are not packed. */
function packMatches(
  exports: MatcherExports,
  refs: readonly RuleRef[],
  setNumbers: ReadonlyMap<string, number>,
): Span[] {
  const bytes = new GrowingBytes(setNumbers);
  const offsets = refs.map(({ rule }) => {
    const start = bytes.length;
    for (const match of rule?.matches ?? []) packMatch(bytes, match);
    const end = bytes.length;
    if (rule?.target !== undefined) packTarget(rule.target, bytes);
    bytes.align();
    return { start, end };
  });
  packSharedStates(exports, bytes.sharedStates);
  const base = exports.allocate(Math.max(1, bytes.length));
  new Uint8Array(exports.memory.buffer, base, bytes.length).set(bytes.written());
  return offsets.map(({ start, end }) => ({ start: base + start, end: base + end }));
}

function packMatch(bytes: GrowingBytes, match: Match): void {
  if (match.kind === "comment") return;
  const extension = matchExtension(match);
  const start = bytes.length;
  bytes.u16(extension.id);
  bytes.u16(0);
  bytes.u32("invert" in match && match.invert ? 1 : 0);
  extension.pack(match, bytes);
  bytes.align();
  bytes.setU16(start + layout.MATCH_SIZE, bytes.length - start);
}

/** A table that matches of one name share, and in which terms they differ. */
interface SharedTable extends SharedState {
  readonly number: number;
  readonly conflicts: number;
}

function packSharedStates(exports: MatcherExports, tables: ReadonlyMap<string, SharedTable>): void {
  const records = exports.allocate(Math.max(1, tables.size * layout.SHARED_STATE_SIZE));
  const view = new DataView(exports.memory.buffer);
  for (const { number, size, conflicts } of tables.values()) {
    const at = records + number * layout.SHARED_STATE_SIZE;
    view.setUint32(at + layout.SHARED_STATE_WANTED, size, true);
    view.setUint8(at + layout.SHARED_STATE_CONFLICTS, conflicts);
  }
  exports.setSharedStates(records);
}

/** Bytes that grow as they are written, little-endian. */
class GrowingBytes implements PayloadWriter {
  length = 0;
  #bytes = new Uint8Array(4096);
  readonly #setNumbers: ReadonlyMap<string, number>;
  readonly sharedStates = new Map<string, SharedTable>();

  constructor(setNumbers: ReadonlyMap<string, number>) {
    this.#setNumbers = setNumbers;
  }

  u8(value: number): void {
    if (this.length === this.#bytes.length) {
      const grown = new Uint8Array(this.#bytes.length * 2);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes[this.length] = value;
    this.length += 1;
  }

  u16(value: number): void {
    this.u8(value & 0xff);
    this.u8(value >>> 8);
  }

  u32(value: number): void {
    this.u16(value & 0xffff);
    this.u16(value >>> 16);
  }

  align(): void {
    while (this.length % 4 !== 0) this.u8(0);
  }

  setU16(at: number, value: number): void {
    this.#bytes[at] = value & 0xff;
    this.#bytes[at + 1] = value >>> 8;
  }

  setId(name: string): number {
    const number = this.#setNumbers.get(name);
    if (number === undefined) throw new Error(`bug: no set ${name}`);
    return number;
  }

  sharedId(state: SharedState): number {
    const before = this.sharedStates.get(state.name);
    const number = before?.number ?? this.sharedStates.size;
    const conflicts = state.terms.reduce((bits, term, index) => {
      const differs = before !== undefined && before.terms[index] !== term;
      return differs ? bits | (1 << index) : bits;
    }, before?.conflicts ?? 0);
    const size = Math.max(state.size, before?.size ?? 0);
    this.sharedStates.set(state.name, { ...(before ?? state), number, size, conflicts });
    return number;
  }

  written(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
}

/** What a match of the rule says about the verdict. */
function originFlags(origin: RuleOrigin | undefined): number {
  if (origin === undefined) return 0;
  switch (origin.kind) {
    case "policy-rule":
      return origin.effect === "allow" ? layout.RULE_DECIDES : 0;
    case "not-isolated":
      return layout.RULE_DECIDES_WEAKLY;
    case "isolation":
    case "established":
    case "invalid":
    case "node-traffic":
    case "service-refused":
      return layout.RULE_DECIDES;
    case "service":
      return 0;
  }
}

/** What moves the walk; what else the target carries lies behind the matches. */
function packWalk(
  view: DataView,
  at: number,
  target: Target | undefined,
  chainFirst: (name: string) => number,
): void {
  view.setUint8(
    at + layout.RULE_TARGET,
    target === undefined ? layout.TARGET_NONE : targetId(target),
  );
  if (target?.kind === "JUMP" || target?.kind === "GOTO") {
    view.setUint32(at + layout.RULE_TARGET_ARG, chainFirst(target.chain), true);
  }
}

function endTarget(chain: Chain): number {
  if (chain.policy === undefined) return layout.TARGET_RETURN;
  return chain.policy === "ACCEPT" ? layout.TARGET_POLICY_ACCEPT : layout.TARGET_POLICY_DROP;
}

/** Whoever makes tables tells people of loops; here one would be walked for ever. */
function refuseCycle(chains: readonly Chain[]): void {
  const cycle = findCycle(chains);
  if (cycle !== undefined) throw new Error(`bug: chains loop at ${cycle[0]?.chain ?? ""}`);
}
