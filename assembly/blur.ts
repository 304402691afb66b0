// What rules remember, where a packet's way is not known to its end: each rule behind may have had it, and
// may remember so. Which those are that remember anything, is looked up once for each hook.
import { visitUntold } from "./affinity";
import { SEEN_ARRIVING, whereSeen } from "./arrival";
import { HOOKS_ALL } from "./attempt";
import { ENTRY_MARK_DOUBTED, ENTRY_PERHAPS, ENTRY_UNDECIDED } from "./entry";
import { entryAt } from "./entry-list";
import { expectOthers } from "./expectation";
import {
  BACKEND_COUNT,
  BACKEND_NFT,
  CT_TARGET_HELPER,
  HOOK_COUNT,
  HOOK_FORWARD,
  HOOK_INPUT,
  HOOK_PREROUTING,
  KNOWN_PROTOCOL,
  KNOWN_SRC,
  MATCH_CONNLIMIT,
  MATCH_HASHLIMIT,
  MATCH_KIND,
  MATCH_LIMIT,
  MATCH_NTH,
  MATCH_PROTOCOL,
  MATCH_QUOTA,
  MATCH_RECENT,
  MATCH_SET,
  MATCH_SIZE,
  RULE_IS_END,
  RULE_NONE,
  TABLE_COUNT,
  TABLE_NAT,
  TABLE_SECURITY,
  TARGET_CONNMARK,
  TARGET_CT,
  TARGET_GOTO,
  TARGET_JUMP,
  TARGET_SET,
} from "./layout";
import { matches } from "./match";
import { blurConnlimit } from "./match/connlimit";
import { blurHashlimit } from "./match/hashlimit";
import { blurLimit } from "./match/limit";
import { blurQuota } from "./match/quota";
import { blurRecent } from "./match/recent";
import { blurMatchedSet } from "./match/set";
import { blurNth } from "./match/statistic";
import { Packet } from "./records";
import { isRealNode } from "./route";
import { chainAt, Entry, entryOf, natLoaded, Rule, ruleAt } from "./rule";
import { blurChangedSets } from "./target/set";
import { ENTRY_NONE, tracking, trackNothing } from "./tracking";
import { startWalk, walk } from "./walk";

// A list: its length u32, then of each rule its number and the index of its record, u32 each.
// u32[BACKEND_COUNT][2][TABLE_COUNT][HOOK_COUNT]: their addresses; 0: not looked up yet.
const lists: usize = memory.data(BACKEND_COUNT * 2 * TABLE_COUNT * HOOK_COUNT * 4);

/** Other rules are there from now on. */
export function forgetLists(): void {
  memory.fill(lists, 0, BACKEND_COUNT * 2 * TABLE_COUNT * HOOK_COUNT * 4);
}

/** Says that the packet under way may have come to any rule at these hooks. */
export function blurRules(hooks: u32): void {
  for (let hook: u32 = 0; hook < <u32>HOOK_COUNT; hook++) {
    if (((hooks >> hook) & 1) == 0) continue;
    for (let backend: u32 = 0; backend < <u32>BACKEND_COUNT; backend++) {
      for (let table: u32 = 0; table < <u32>TABLE_COUNT; table++) blurTable(backend, table, hook);
    }
  }
}

/** The same of a packet that gets no verdict before any rule is asked. */
export function blurUnwalked(packet: Packet): void {
  if (!isRealNode()) {
    visitUntold(packet);
    return;
  }
  trackNothing();
  startWalk(packet);
  if (packet.family != 0) {
    blurRules(HOOKS_ALL);
    return;
  }
  walk.family = 4;
  blurRules(HOOKS_ALL);
  walk.family = 6;
  blurRules(HOOKS_ALL);
}

function blurTable(backend: u32, table: u32, hook: u32): void {
  const entry = entryOf(backend, walk.family, table, hook);
  if (entry.first == RULE_NONE || (table == <u32>TABLE_NAT && isBound())) return;
  const list = listOf(backend, table, hook, entry);
  const count = load<u32>(list);
  walk.nft = backend == BACKEND_NFT;
  const sourceStays = keepsSource(table, hook);
  for (let index: u32 = 0; index < count; index++) {
    const at = listed(list, index);
    blurRule(ruleAt(load<u32>(at, 4)), load<u32>(at), sourceStays);
  }
}

// What the nat table said once is said.
function isBound(): bool {
  if (tracking.entry == ENTRY_NONE || tracking.fresh) return false;
  return (entryAt(tracking.entry).flags & (ENTRY_UNDECIDED | ENTRY_PERHAPS)) == 0;
}

// The source that the packet arrived with is the one that rules of this table see.
function keepsSource(table: u32, hook: u32): bool {
  if ((walk.known & KNOWN_SRC) == 0 || whereSeen(walk.packet) != SEEN_ARRIVING) return false;
  if (!natLoaded(walk.family)) return true;
  if (hook == HOOK_INPUT) return table != <u32>TABLE_SECURITY;
  return hook == HOOK_PREROUTING || hook == HOOK_FORWARD;
}

function blurRule(rule: Rule, number: i32, sourceStays: bool): void {
  const end: usize = rule.matchesEnd;
  for (let match: usize = rule.matches; match < end; match += load<u16>(match, MATCH_SIZE)) {
    switch (<i32>load<u16>(match, MATCH_KIND)) {
      case MATCH_PROTOCOL:
        if ((walk.known & KNOWN_PROTOCOL) != 0 && !matches(match, number)) return;
        break;
      case MATCH_LIMIT:
        blurLimit(match);
        break;
      case MATCH_NTH:
        blurNth(match);
        break;
      case MATCH_QUOTA:
        blurQuota(match);
        break;
      case MATCH_CONNLIMIT:
        blurConnlimit(match);
        break;
      case MATCH_HASHLIMIT:
        blurHashlimit(match);
        break;
      case MATCH_RECENT:
        blurRecent(match, sourceStays);
        break;
      case MATCH_SET:
        blurMatchedSet(match);
        break;
      default:
        break;
    }
  }
  if (rule.target == <u8>TARGET_SET) blurChangedSets(end);
  if (rule.target == <u8>TARGET_CT && (load<u8>(end) & CT_TARGET_HELPER) != 0) expectOthers(number);
  if (rule.target == <u8>TARGET_CONNMARK && tracking.entry != ENTRY_NONE)
    entryAt(tracking.entry).flags |= ENTRY_MARK_DOUBTED;
}

// ── Rules that remember ────────────────────────────────────────────────────────────────────────────────

function listOf(backend: u32, table: u32, hook: u32, entry: Entry): usize {
  const family: u32 = walk.family == 6 ? 1 : 0;
  const index = ((backend * 2 + family) * TABLE_COUNT + table) * HOOK_COUNT + hook;
  const at = lists + ((<usize>index) << 2);
  if (load<u32>(at) != 0) return load<u32>(at);
  const count = visitChain(entry, entry.first, entry.record, <u16>(2 * index + 1), 0);
  const made = heap.alloc(listed(0, count));
  store<u32>(made, 0);
  visitChain(entry, entry.first, entry.record, <u16>(2 * index + 2), made);
  store<u32>(at, <u32>made);
  return made;
}

// Where a list has a rule.
function listed(list: usize, index: u32): usize {
  return list + 4 + ((<usize>index) << 3);
}

// Rules that remember of a chain and of those that it leads to: each record once a visit. How many there are; they
// are put into a list, if one is given.
function visitChain(entry: Entry, first: u32, record: u32, visit: u16, list: usize): u32 {
  let count: u32 = 0;
  let offset: u32 = 0;
  while (true) {
    const rule = ruleAt(record + offset);
    if (rule.visitedBy == visit) return count;
    rule.visitedBy = visit;
    if (remembers(rule)) {
      count++;
      if (list != 0) {
        const length = load<u32>(list);
        const at = listed(list, length);
        store<u32>(at, first + offset);
        store<u32>(at, record + offset, 4);
        store<u32>(list, length + 1);
      }
    }
    if (rule.target == <u8>TARGET_JUMP || rule.target == <u8>TARGET_GOTO) {
      const chain = chainAt(entry.chains, rule.targetArg);
      count += visitChain(entry, chain.number, chain.record, visit, list);
    }
    if ((rule.flags & RULE_IS_END) != 0) return count;
    offset++;
  }
}

function remembers(rule: Rule): bool {
  const target: u32 = rule.target;
  if (target == TARGET_SET || target == TARGET_CT || target == TARGET_CONNMARK) return true;
  const end: usize = rule.matchesEnd;
  for (let match: usize = rule.matches; match < end; match += load<u16>(match, MATCH_SIZE)) {
    switch (<i32>load<u16>(match, MATCH_KIND)) {
      case MATCH_LIMIT:
      case MATCH_NTH:
      case MATCH_QUOTA:
      case MATCH_CONNLIMIT:
      case MATCH_HASHLIMIT:
      case MATCH_RECENT:
      case MATCH_SET:
        return true;
      default:
        break;
    }
  }
  return false;
}
