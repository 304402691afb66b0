// One table at one hook: the tables of both backends, and what their outcome means for the try.
import { attempt, end } from "./attempt";
import {
  BACKEND_LEGACY,
  BACKEND_NFT,
  REASON_NAT_FAILED,
  REASON_RULE,
  REASON_TOO_MANY_RULES,
  RULE_NONE,
  TABLE_FILTER,
  VERDICT_DROP,
  VERDICT_UNKNOWN,
} from "./layout";
import { entryOf, underflowOf } from "./rule";
import { traceEnter } from "./trace";
import { TABLE_DROPS, TABLE_PASS, traverse } from "./traverse";
import { walk } from "./walk";

/** Runs both backends' tables of a name at the hook under way; false when the try has ended. */
export function runTable(table: u32): bool {
  return runBackend(BACKEND_LEGACY, table) && runBackend(BACKEND_NFT, table);
}

function runBackend(backend: u32, table: u32): bool {
  const first = entryOf(backend, walk.family, table, walk.hook);
  if (first == RULE_NONE) return true;
  const before = walk.rule;
  walk.table = table;
  walk.nft = backend == BACKEND_NFT;
  traceEnter();
  const outcome = traverse(first, underflowOf(backend, walk.family, table, walk.hook));
  if (outcome == TABLE_PASS) {
    // What lets a packet through is the filter's word, not that of the tables around it.
    if (table != TABLE_FILTER) walk.rule = before;
    else attempt.hook = walk.hook;
    return true;
  }
  attempt.hook = walk.hook;
  attempt.table = table;
  if (outcome != TABLE_DROPS) return end(VERDICT_UNKNOWN, REASON_TOO_MANY_RULES);
  return end(VERDICT_DROP, walk.natFailed ? REASON_NAT_FAILED : REASON_RULE);
}
