// The packed rules: their view, and the entry points of each family's tables.
// Written by `engine/pack.ts`; the walk only reads them, and counts.
import {
  BACKEND_COUNT,
  HOOK_COUNT,
  RULE_BYTES,
  RULE_FLAGS,
  RULE_MATCHES_END,
  RULE_NONE,
  RULE_PACKETS,
  RULE_SIZE,
  RULE_TARGET,
  RULE_TARGET_ARG,
  TABLE_COUNT,
  TABLE_NAT,
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
  /** JUMP, GOTO: index of the chain's first rule. */
  targetArg: u32;
  packets: u64;
  bytes: u64;
}

/** The next candidate from this rule on is found by an index (candidates.ts). Nobody writes or reads it outside. */
export const RULE_LEAPS: u8 = 1 << 7;

if (offsetof<Rule>("matchesEnd") != RULE_MATCHES_END) ERROR("RULE_MATCHES_END");
if (offsetof<Rule>("target") != RULE_TARGET) ERROR("RULE_TARGET");
if (offsetof<Rule>("flags") != RULE_FLAGS) ERROR("RULE_FLAGS");
if (offsetof<Rule>("targetArg") != RULE_TARGET_ARG) ERROR("RULE_TARGET_ARG");
if (offsetof<Rule>("packets") != RULE_PACKETS) ERROR("RULE_PACKETS");
if (offsetof<Rule>("bytes") != RULE_BYTES) ERROR("RULE_BYTES");
if (offsetof<Rule>() != RULE_SIZE) ERROR("RULE_SIZE");

// i32[BACKEND_COUNT][2][TABLE_COUNT][HOOK_COUNT][2]: index of the hook's first rule, or RULE_NONE, and of its policy.
const ENTRIES: usize = memory.data(BACKEND_COUNT * 2 * TABLE_COUNT * HOOK_COUNT * 8);
const ENTRY_NUMBERS: u32 = <u32>(BACKEND_COUNT * 2 * TABLE_COUNT * HOOK_COUNT) * 2;
// u8[2]: LOADED_* of each family.
const LOADED_TABLES: u8 = 1 << 0;
const LOADED_TRACKING: u8 = 1 << 1;
const LOADED_REASSEMBLY: u8 = 1 << 2;
const LOADED: usize = memory.data(2);

let rules: usize = 0;

/** Sets the array of all rules; no hook has an entry then. */
export function setRules(address: usize): void {
  rules = address;
  for (let at: u32 = 0; at < ENTRY_NUMBERS; at++) {
    store<i32>(ENTRIES + ((<usize>at) << 2), RULE_NONE);
  }
}

/** Address of the array of all rules. */
export function rulesStart(): usize {
  return rules;
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

/** Enters a table at a hook: the built-in chain's first rule and the record of its policy. */
export function setEntry(
  backend: u32,
  family: u32,
  table: u32,
  hook: u32,
  first: i32,
  underflow: i32,
): void {
  store<i32>(entryAt(backend, family, table, hook), first);
  store<i32>(entryAt(backend, family, table, hook), underflow, 4);
}

/** Tells whether any nat table is loaded for the family: then connections get bindings. */
export function natLoaded(family: u32): bool {
  for (let hook: u32 = 0; hook < <u32>HOOK_COUNT; hook++) {
    if (natHooked(family, hook)) return true;
  }
  return false;
}

/** The same at one hook. */
export function natHooked(family: u32, hook: u32): bool {
  for (let backend: u32 = 0; backend < <u32>BACKEND_COUNT; backend++) {
    if (entryOf(backend, family, TABLE_NAT, hook) != RULE_NONE) return true;
  }
  return false;
}

export function familyLoaded(family: u32): bool {
  return load<u8>(LOADED + familyIndex(family)) != 0;
}

/** Index of the first rule of a table at a hook; RULE_NONE when the table has no chain there. */
export function entryOf(backend: u32, family: u32, table: u32, hook: u32): i32 {
  return load<i32>(entryAt(backend, family, table, hook));
}

/** Index of the policy of a table's chain at a hook, where `entryOf` gives one. */
export function underflowOf(backend: u32, family: u32, table: u32, hook: u32): u32 {
  return load<u32>(entryAt(backend, family, table, hook), 4);
}

export function ruleAt(index: u32): Rule {
  return changetype<Rule>(rules + <usize>index * RULE_SIZE);
}

function entryAt(backend: u32, family: u32, table: u32, hook: u32): usize {
  const index = ((backend * 2 + familyIndex(family)) * TABLE_COUNT + table) * HOOK_COUNT + hook;
  return ENTRIES + ((<usize>index) << 3);
}

function familyIndex(family: u32): u32 {
  return family == 6 ? 1 : 0;
}
