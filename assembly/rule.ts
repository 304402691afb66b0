// The packed rules: their view, and the entry points of each family's tables.
// Written by `engine/record-list.ts`; the walk only reads them.
import {
  BACKEND_COUNT,
  HOOK_COUNT,
  CHAIN_NUMBER,
  CHAIN_RECORD,
  CHAIN_SIZE,
  RULE_FLAGS,
  RULE_MATCHES_END,
  RULE_NONE,
  RULE_SIZE,
  RULE_TARGET,
  RULE_TARGET_ARG,
  TABLE_COUNT,
  TABLE_FILTER,
  TABLE_NAT,
  TARGET_POLICY_ACCEPT,
} from "./layout";

/** One packed rule. */
@unmanaged
export class Rule {
  /** First match, and the end behind the last, where the target's payload lies. */
  matches: u32;
  matchesEnd: u32;
  /** One of TARGET_*. */
  target: u8;
  /** RULE_* bits, and RULE_LEAPS. */
  flags: u8;
  /** Which look-up of blur.ts came here last. */
  visitedBy: u16;
  /** JUMP, GOTO: the chain's place in its table. */
  targetArg: u32;
}

/** A chain, where its table has it. */
@unmanaged
export class Chain {
  /** Number of its first rule. */
  number: u32;
  /** Index of its first record. */
  record: u32;
}

/** Where a table begins at a hook. */
@unmanaged
export class Entry {
  /** Number of the built-in chain's first rule; RULE_NONE where the table has none. */
  first: i32;
  /** Number of the built-in chain's policy. */
  underflow: u32;
  /** Index of the built-in chain's first record. */
  record: u32;
  /** Address of the table's chains. */
  chains: u32;
}

/** The next candidate from this rule on is found by an index (candidates.ts). Nobody writes or reads it outside. */
export const RULE_LEAPS: u8 = 1 << 7;

if (offsetof<Rule>("matchesEnd") != RULE_MATCHES_END) ERROR("RULE_MATCHES_END");
if (offsetof<Rule>("target") != RULE_TARGET) ERROR("RULE_TARGET");
if (offsetof<Rule>("flags") != RULE_FLAGS) ERROR("RULE_FLAGS");
if (offsetof<Rule>("targetArg") != RULE_TARGET_ARG) ERROR("RULE_TARGET_ARG");
if (offsetof<Rule>() != RULE_SIZE) ERROR("RULE_SIZE");
if (offsetof<Chain>("number") != CHAIN_NUMBER) ERROR("CHAIN_NUMBER");
if (offsetof<Chain>("record") != CHAIN_RECORD) ERROR("CHAIN_RECORD");
if (offsetof<Entry>() != 16) ERROR("ENTRIES");
if (offsetof<Chain>() != CHAIN_SIZE) ERROR("CHAIN_SIZE");

// Entry[BACKEND_COUNT][2][TABLE_COUNT][HOOK_COUNT].
const ENTRY_COUNT: u32 = <u32>(BACKEND_COUNT * 2 * TABLE_COUNT * HOOK_COUNT);
const ENTRIES: usize = memory.data(BACKEND_COUNT * 2 * TABLE_COUNT * HOOK_COUNT * 16);
// u8[2]: LOADED_* of each family.
const LOADED_TABLES: u8 = 1 << 0;
const LOADED_TRACKING: u8 = 1 << 1;
const LOADED_REASSEMBLY: u8 = 1 << 2;
const LOADED_NAT: u8 = 1 << 3;
const LOADED: usize = memory.data(2);
// u8[2][TABLE_COUNT]: the hooks of each family's tables at which they are walked, a bit for each.
const WALKED: usize = memory.data(2 * TABLE_COUNT);

let rules: usize = 0;

/** Sets the array of all records; no family has tables then, and no hook an entry. */
export function setRules(address: usize): void {
  rules = address;
  memory.fill(LOADED, 0, 2);
  memory.fill(WALKED, 0, 2 * TABLE_COUNT);
  for (let index: u32 = 0; index < ENTRY_COUNT; index++) entryAt(index).first = RULE_NONE;
}

/**
 * Says that a family has tables.
 *
 * @param tracked     some rule of theirs makes the kernel track connections
 * @param reassembled some rule makes it put fragments together
 */
export function addFamily(family: u32, tracked: bool, reassembled: bool): void {
  const at = LOADED + familyIndex(family);
  let loaded = load<u8>(at) | LOADED_TABLES;
  if (tracked) loaded |= LOADED_TRACKING;
  if (reassembled) loaded |= LOADED_REASSEMBLY;
  store<u8>(at, loaded);
}

/** Tells whether the kernel tracks the family's connections. */
export function conntrackActive(family: u32): bool {
  return (load<u8>(LOADED + familyIndex(family)) & LOADED_TRACKING) != 0;
}

/** Tells whether the kernel puts the family's fragments together before any rule. */
export function defragActive(family: u32): bool {
  const loaded = load<u8>(LOADED + familyIndex(family));
  return (loaded & (LOADED_TRACKING | LOADED_REASSEMBLY)) != 0;
}

/**
 * Enters a table at a hook.
 *
 * @param chains address of the table's chains
 * @param place  of the built-in chain among them, which has so many rules
 */
export function setEntry(
  backend: u32,
  family: u32,
  table: u32,
  hook: u32,
  chains: usize,
  place: u32,
  count: u32,
): void {
  const chain = chainAt(chains, place);
  const entry = entryOf(backend, family, table, hook);
  entry.first = chain.number;
  entry.underflow = chain.number + count;
  entry.record = chain.record;
  entry.chains = <u32>chains;
  const loaded = LOADED + familyIndex(family);
  if (table == TABLE_NAT) store<u8>(loaded, load<u8>(loaded) | LOADED_NAT);
  if (!passesAll(entry, table)) {
    const at = walkedAt(family, table);
    store<u8>(at, load<u8>(at) | ((<u8>1) << (<u8>hook)));
  }
}

// What lets everything pass has a word only in the filter: the end of a chain counts nothing.
function passesAll(entry: Entry, table: u32): bool {
  if (table == TABLE_FILTER || <u32>entry.first != entry.underflow) return false;
  return <i32>ruleAt(entry.record).target == TARGET_POLICY_ACCEPT;
}

/** Walking a table at a hook may make a difference, be it of one backend's. */
export function isWalked(family: u32, table: u32, hook: u32): bool {
  return (load<u8>(walkedAt(family, table)) & (1 << hook)) != 0;
}

function walkedAt(family: u32, table: u32): usize {
  return WALKED + familyIndex(family) * TABLE_COUNT + table;
}

/** Tells whether any nat table is loaded for the family: then connections get bindings. */
export function natLoaded(family: u32): bool {
  return (load<u8>(LOADED + familyIndex(family)) & LOADED_NAT) != 0;
}

/** The same at one hook. */
export function natHooked(family: u32, hook: u32): bool {
  for (let backend: u32 = 0; backend < <u32>BACKEND_COUNT; backend++) {
    if (entryOf(backend, family, TABLE_NAT, hook).first != RULE_NONE) return true;
  }
  return false;
}

export function familyLoaded(family: u32): bool {
  return load<u8>(LOADED + familyIndex(family)) != 0;
}

/** Where a table begins at a hook. */
export function entryOf(backend: u32, family: u32, table: u32, hook: u32): Entry {
  return entryAt(((backend * 2 + familyIndex(family)) * TABLE_COUNT + table) * HOOK_COUNT + hook);
}

/** A record by its index. */
export function ruleAt(index: u32): Rule {
  return changetype<Rule>(rules + <usize>index * RULE_SIZE);
}

/** Index of a record. */
export function indexOfRule(rule: Rule): u32 {
  return <u32>((changetype<usize>(rule) - rules) / RULE_SIZE);
}

/** The chain at a place of a table. */
export function chainAt(chains: usize, place: u32): Chain {
  return changetype<Chain>(chains + <usize>place * CHAIN_SIZE);
}

function entryAt(index: u32): Entry {
  return changetype<Entry>(ENTRIES + <usize>index * offsetof<Entry>());
}

function familyIndex(family: u32): u32 {
  return family == 6 ? 1 : 0;
}
