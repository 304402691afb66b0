/**
 * Tables, sets and routes to bytes in the matcher's memory, as assembly/layout.ts draws them.
 *
 * How the two differ: a ruleset names chains and sets, the bytes have indexes; a chain ends where its
 * list does, the bytes have a record there that returns or holds the chain's policy.
 */
import * as layout from "../../assembly/layout.ts";
import type { Rule, Ruleset } from "../tables/model.ts";
import type { MatcherExports } from "./exports.ts";
import { BACKENDS, HOOKS, TABLES } from "./numbers.ts";
import { PayloadBytes } from "./payload-bytes.ts";
import type { SharedTable } from "./payload-bytes.ts";
import { BodyList } from "./bodies.ts";
import type { PackedTable } from "./bodies.ts";
import { RecordList } from "./record-list.ts";
import { RuleList } from "./rule-list.ts";
import { COUNTS, LIMITS, REASSEMBLES, RulePacker, TRACKS } from "./rule-packer.ts";
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

/** Bytes of payload for a rule of a chain; most have theirs in common with others. */
const PAYLOAD_OF_RULE = 8;

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
  const records = new RecordList(exports);
  const bytes = new PayloadBytes(
    numbers,
    PAYLOAD_OF_RULE * (rules.count - (before?.rules.count ?? 0)),
  );
  const packer = new RulePacker(records, bytes);
  const bodies = new BodyList(packer, records, apart);
  const tables = rules.tables.slice(before?.rules.tables.length ?? 0).map((table) => {
    bytes.enter(table);
    return bodies.pack(table);
  });
  records.close();
  exports.setRules(records.address);
  packSharedStates(exports, bytes, before?.sharedStates);
  records.placePayloads(packPayloads(exports, bytes));
  for (const table of tables) packTable(exports, table);
  packSets(exports, rulesets, { numbers, interfaces, nodes, changed: packer.changedSets });
  for (const ruleset of rulesets) {
    const needs = tables
      .filter(({ table }) => table.ruleset === ruleset)
      .reduce((sum, table) => sum | table.needs, 0);
    exports.addFamily(ruleset.family, (needs & TRACKS) !== 0, (needs & REASSEMBLES) !== 0);
    if ((needs & COUNTS) !== 0) exports.countConnections();
    if ((needs & LIMITS) !== 0) exports.keepMakers();
  }
  const backends = packBackends(exports, packer.translations);
  return { rules, recordCount: records.count, sharedStates: bytes.sharedStates, backends };
}

/** @returns their address */
function packPayloads(exports: MatcherExports, bytes: PayloadBytes): number {
  const address = exports.allocate(Math.max(1, bytes.length));
  new Uint8Array(exports.memory.buffer, address, bytes.length).set(bytes.written());
  return address;
}

/** Writes where the chains of a table have their rules, and enters it at its hooks. */
function packTable(exports: MatcherExports, packed: PackedTable): void {
  const { table, places, records, allPlaces } = packed;
  const { ruleset, name, chains, firsts } = table;
  const at = exports.allocate(Math.max(1, allPlaces.count) * layout.CHAIN_SIZE);
  const view = new DataView(exports.memory.buffer);
  chains.forEach((chain, index) => {
    const place = places[index] ?? 0;
    const record = at + place * layout.CHAIN_SIZE;
    view.setUint32(record + layout.CHAIN_NUMBER, firsts[index] ?? 0, true);
    view.setUint32(record + layout.CHAIN_RECORD, records[index] ?? 0, true);
    if (chain.policy === undefined) return;
    const hook = HOOKS.findIndex((hookName) => hookName === chain.name);
    if (hook < 0) return;
    const backend = BACKENDS.indexOf(ruleset.backend);
    const number = TABLES.indexOf(name);
    exports.setEntry(backend, ruleset.family, number, hook, at, place, chain.rules.length);
  });
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
