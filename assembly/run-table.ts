// One table at one hook: the tables of both backends, and what their outcome means for the try.
import { attempt, end } from "./attempt";
import { ask } from "./fork";
import {
  BACKEND_LEGACY,
  BACKEND_NFT,
  REASON_NAT_FAILED,
  REASON_RULE,
  REASON_TABLE_ORDER,
  REASON_TOO_MANY_RULES,
  RULE_NONE,
  TABLE_FILTER,
  VERDICT_DROP,
  VERDICT_UNKNOWN,
} from "./layout";
import { Entry, entryOf, isWalked } from "./rule";
import { traceEnter, tracing } from "./trace";
import { TABLE_DROPS, TABLE_PASS, traverse } from "./traverse";
import { walk } from "./walk";

/**
 * Runs both backends' tables of a name at the hook under way; false when the try has ended. > Of equal
 * priority, that which was registered last comes first, which no dump shows: both orders are tried.
 */
export function runTable(table: u32): bool {
  walk.natBound = false;
  if (!isWalked(walk.family, table, walk.hook) && !tracing()) return true;
  const legacy = entryOf(BACKEND_LEGACY, walk.family, table, walk.hook);
  const nft = entryOf(BACKEND_NFT, walk.family, table, walk.hook);
  const both = hasRules(legacy) && hasRules(nft);
  const nftFirst = !both || ask(QUESTION_ORDER | table, REASON_TABLE_ORDER, RULE_NONE);
  if (!runEntry(nftFirst ? nft : legacy, nftFirst, table)) return false;
  // > One binding is enough.
  if (walk.natBound) return true;
  return runEntry(nftFirst ? legacy : nft, !nftFirst, table);
}

const QUESTION_ORDER: u64 = 1 << 55;

/**
 * Runs one backend's table at the hook under way: where both are not of one priority. False when the try
 * has ended.
 */
export function runTableOf(backend: u32, table: u32): bool {
  walk.natBound = false;
  if (!isWalked(walk.family, table, walk.hook) && !tracing()) return true;
  const entry = entryOf(backend, walk.family, table, walk.hook);
  return runEntry(entry, backend == BACKEND_NFT, table);
}

function hasRules(entry: Entry): bool {
  return entry.first != RULE_NONE && <u32>entry.first != entry.underflow;
}

function runEntry(entry: Entry, nft: bool, table: u32): bool {
  if (entry.first == RULE_NONE) return true;
  const before = walk.rule;
  const wasEnd = walk.ruleIsEnd;
  walk.table = table;
  walk.nft = nft;
  traceEnter();
  const outcome = traverse(entry);
  if (outcome == TABLE_PASS) {
    // What lets a packet through is the filter's word, not that of the tables around it.
    if (table == TABLE_FILTER) {
      attempt.hook = walk.hook;
    } else {
      walk.rule = before;
      walk.ruleIsEnd = wasEnd;
    }
    return true;
  }
  attempt.hook = walk.hook;
  attempt.table = table;
  if (outcome != TABLE_DROPS) return end(VERDICT_UNKNOWN, REASON_TOO_MANY_RULES);
  return end(VERDICT_DROP, walk.natFailed ? REASON_NAT_FAILED : REASON_RULE);
}
