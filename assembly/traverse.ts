// Walks one table from a hook's entry: jump, goto, return, chain policy. Reads rules and the walk's
// record; what it would count is kept as a path until the verdict is settled.
// Source: Linux, net/ipv4/netfilter/ip_tables.c, ipt_do_table().
import { candidateIsSure, hasCandidates, nextCandidate } from "./candidates";
import { countAtRule } from "./counters";
import { consultedCount, peek } from "./fork";
import {
  JUMP_DEPTH_MAX,
  PATH_RULES_MAX,
  RULE_DECIDES,
  RULE_DECIDES_WEAKLY,
  RULE_NONE,
  RULE_VISITS_MAX,
  TARGET_ACCEPT,
  TARGET_DROP,
  TARGET_GOTO,
  TARGET_JUMP,
  TARGET_NONE,
  TARGET_POLICY_ACCEPT,
  TARGET_POLICY_DROP,
  TARGET_RETURN,
  RULE_IS_END,
  RULE_SIZE,
  MATCH_SIZE,
} from "./layout";
import { journalMark, rollBackTo } from "./journal";
import { matches } from "./match";
import { chainAt, Entry, indexOfRule, Rule, RULE_LEAPS, ruleAt } from "./rule";
import { applyTarget } from "./target";
import { EFFECT_ACCEPT, EFFECT_CONTINUE } from "./target/effect";
import { traceRule, traceTarget, tracing } from "./trace";
import { walk } from "./walk";

/** The table lets the packet go on to the next one. */
export const TABLE_PASS: u32 = 0;
export const TABLE_DROPS: u32 = 1;
/** The packet costs more rule visits than one packet may. */
export const TABLE_GIVES_UP: u32 = 2;

// u32[JUMP_DEPTH_MAX][2]: where each jump returns to, number and record.
const jumpStack: usize = memory.data(JUMP_DEPTH_MAX * 8);
// u32[PATH_RULES_MAX]: the rules that matched in this try.
const path: usize = memory.data(PATH_RULES_MAX * 4);

let pathLength: u32 = 0;
let visits: u32 = 0;
// Visits before the packet's last try, and those of all packets' last tries: what the kernel walks once.
let visitsBefore: u32 = 0;
let visitsSettled: u64 = 0;

/** Allows a packet its rule visits. */
export function startVisits(): void {
  visitsSettled = visitCount();
  visits = 0;
  visitsBefore = 0;
}

/** How many rules were looked at so far, those of a packet's earlier tries left out. */
export function visitCount(): u64 {
  return visitsSettled + <u64>(visits - visitsBefore);
}

/** Forgets the path of the last try. */
export function startPath(): void {
  pathLength = 0;
  visitsBefore = visits;
}

/** How many rules matched in this try. */
export function pathSize(): u32 {
  return pathLength;
}

/** Number of one of them. */
export function pathRule(index: u32): u32 {
  return load<u32>(path + ((<usize>index) << 2));
}

/** Forgets what lies behind so many of them. */
export function cutPath(size: u32): void {
  pathLength = size;
}

/** Counts the packet at every rule of the path. */
export function countPath(bytes: u32): void {
  for (let index: u32 = 0; index < pathLength; index++) {
    countAtRule(pathRule(index), 1, bytes);
  }
}

/**
 * Walks one table for the packet under way.
 *
 * Every chain ends in a record that returns or holds the chain's policy, so the walk never runs off.
 *
 * @param entry where the table begins at the hook under way
 * @returns one of TABLE_*
 */
export function traverse(entry: Entry): u32 {
  let number: u32 = entry.first;
  let rule = ruleAt(entry.record);
  let depth: u32 = 0;
  const leaps = !tracing() && hasCandidates();
  while (true) {
    visits++;
    let sure: bool = false;
    // A rule passed over would ask for a mark that is not known.
    if (leaps && (rule.flags & RULE_LEAPS) != 0 && walk.markUnknown == 0) {
      const index = indexOfRule(rule);
      const leap = nextCandidate(index) - index;
      sure = candidateIsSure;
      visits += leap;
      number += leap;
      rule = behind(rule, leap);
    }
    if (visits > <u32>RULE_VISITS_MAX) return TABLE_GIVES_UP;
    if (!sure && !(tracing() ? matchesTraced(rule, number) : matchesAll(rule, number))) {
      if (walk.hotdrop) return endAt(rule, number, TABLE_DROPS);
      number++;
      rule = behind(rule, 1);
      continue;
    }
    if ((rule.flags & RULE_IS_END) == 0) {
      if (pathLength == PATH_RULES_MAX) return TABLE_GIVES_UP;
      store<u32>(path + ((<usize>pathLength) << 2), number);
      pathLength++;
      noteDecider(rule, number);
    }
    switch (<i32>rule.target) {
      case TARGET_NONE:
        number++;
        rule = behind(rule, 1);
        break;
      case TARGET_ACCEPT:
      case TARGET_POLICY_ACCEPT:
        return endAt(rule, number, TABLE_PASS);
      case TARGET_DROP:
      case TARGET_POLICY_DROP:
        return endAt(rule, number, TABLE_DROPS);
      case TARGET_JUMP: {
        // Rulesets with loops are refused when packed.
        if (depth == JUMP_DEPTH_MAX) return TABLE_GIVES_UP;
        const back = jumpStack + ((<usize>depth) << 3);
        store<u32>(back, number + 1);
        store<u32>(back, <u32>changetype<usize>(behind(rule, 1)), 4);
        depth++;
        const chain = chainAt(entry.chains, rule.targetArg);
        number = chain.number;
        rule = ruleAt(chain.record);
        break;
      }
      case TARGET_GOTO: {
        const chain = chainAt(entry.chains, rule.targetArg);
        number = chain.number;
        rule = ruleAt(chain.record);
        break;
      }
      case TARGET_RETURN: {
        // In a built-in chain, and behind a goto from one: the chain's policy.
        if (depth == 0) {
          number = entry.underflow;
          rule = ruleAt(entry.record + entry.underflow - entry.first);
          break;
        }
        depth--;
        const back = jumpStack + ((<usize>depth) << 3);
        number = load<u32>(back);
        rule = changetype<Rule>(<usize>load<u32>(back, 4));
        break;
      }
      default: {
        const effect = applyTarget(rule, number);
        if (tracing()) traceTarget();
        if (effect == EFFECT_CONTINUE) {
          number++;
          rule = behind(rule, 1);
          break;
        }
        return endAt(rule, number, effect == EFFECT_ACCEPT ? TABLE_PASS : TABLE_DROPS);
      }
    }
  }
}

function behind(rule: Rule, count: u32): Rule {
  return changetype<Rule>(changetype<usize>(rule) + <usize>count * RULE_SIZE);
}

function endAt(rule: Rule, number: u32, outcome: u32): u32 {
  walk.rule = number;
  walk.ruleIsEnd = (rule.flags & RULE_IS_END) != 0;
  return outcome;
}

function noteDecider(rule: Rule, number: u32): void {
  const weakly = (rule.flags & RULE_DECIDES_WEAKLY) != 0 && walk.decider == RULE_NONE;
  if (weakly || (rule.flags & RULE_DECIDES) != 0) walk.decider = number;
}

function matchesAll(rule: Rule, number: u32): bool {
  let match: usize = rule.matches;
  const end: usize = rule.matchesEnd;
  while (match < end) {
    if (!matches(match, number)) return false;
    match += load<u16>(match, MATCH_SIZE);
  }
  return true;
}

// As `matchesAll`, and records which matches fail. Those behind the first failure are looked at only to
// tell people: they may not raise questions, and what they change is taken back.
function matchesTraced(rule: Rule, number: u32): bool {
  const consultedBefore = consultedCount();
  let failed: u32 = 0;
  let mark: usize = 0;
  let hotdrop: bool = false;
  let match: usize = rule.matches;
  const end: usize = rule.matchesEnd;
  for (let bit: u32 = 1; match < end; bit <<= 1) {
    if (!matches(match, number)) {
      if (failed == 0) {
        mark = journalMark();
        hotdrop = walk.hotdrop;
      }
      failed |= bit;
      peek(true);
    }
    match += load<u16>(match, MATCH_SIZE);
  }
  peek(false);
  if (failed != 0) {
    rollBackTo(mark);
    walk.hotdrop = hotdrop;
  }
  const unknown = consultedCount() != consultedBefore;
  traceRule(rule, number, failed, unknown);
  return failed == 0;
}
