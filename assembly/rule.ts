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
  /** RULE_* bits. */
  flags: u8;
  unused: u16;
  /** JUMP, GOTO: index of the chain's first rule. */
  targetArg: u32;
  packets: u64;
  bytes: u64;
}

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
// u8[2]: bit 0: the family has tables; bit 1: they make the kernel track connections.
const LOADED: usize = memory.data(2);

let rules: usize = 0;

/** Sets the array of all rules; no hook has an entry then. */
export function setRules(address: usize): void {
  rules = address;
  for (let at: u32 = 0; at < ENTRY_NUMBERS; at++) {
    store<i32>(ENTRIES + ((<usize>at) << 2), RULE_NONE);
  }
}

/** Address of the array of all rules, for reading their counts. */
export function rulesAddress(): usize {
  return rules;
}

/** Says that a family has tables, and whether they make the kernel track connections. */
export function addFamily(family: u32, tracked: bool): void {
  const at = LOADED + familyIndex(family);
  store<u8>(at, load<u8>(at) | (tracked ? 3 : 1));
}

/** Some table of the family looks at connections: then the kernel tracks them, and reassembles. */
export function conntrackActive(family: u32): bool {
  return load<u8>(LOADED + familyIndex(family)) == 3;
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
