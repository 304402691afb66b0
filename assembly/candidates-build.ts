// Begins the trees of rules' boxes: finds the chains that are worth one, and makes its root when it is asked for.
import { zeros } from "./bytes";
import { boxCount, boxes, boxesDiffer, gatherBoxes, isWholeBox } from "./candidates-boxes";
import { regionLeast, regionMost } from "./candidates-cut";
import { growRoot, startLists } from "./candidates-grow";
import {
  BOX_OWNER,
  BOX_SIZE,
  CHAIN_BY_TREE,
  ChainIndex,
  FIELD_COUNT,
  FIELD_DST,
  FIELD_INTERFACE,
  FIELD_SRC,
  setIndex,
  setUpIndexes,
} from "./candidates-index";
import { forgetRanks, nameRanksCount } from "./candidates-interface";
import { forgetNames } from "./candidates-named";
import { ranksCount } from "./candidates-rank";
import {
  MATCH_ADDRESS,
  MATCH_INTERFACE,
  MATCH_INVERT,
  MATCH_IPRANGE,
  MATCH_KIND,
  MATCH_PORT,
  MATCH_PROTOCOL,
  RULE_IS_END,
} from "./layout";
import { Rule, ruleAt, RULE_LEAPS } from "./rule";

// Chains with fewer rules that begin with a question about headers are walked as fast.
const RULES_MIN: u32 = 8;
// The matches that say what a rule asks of headers, by kind.
const TELLING: u32 =
  (1 << MATCH_ADDRESS) |
  (1 << MATCH_INTERFACE) |
  (1 << MATCH_PROTOCOL) |
  (1 << MATCH_PORT) |
  (1 << MATCH_IPRANGE);

let recordTotal: u32 = 0;

/** Finds the chains that are worth an index, and marks their rules with RULE_LEAPS. */
export function findLongChains(recordCount: u32): void {
  forgetRanks();
  forgetNames();
  recordTotal = recordCount;
  setUpIndexes(recordCount);
  let first: u32 = 0;
  let telling: u32 = 0;
  for (let number: u32 = 0; number < recordCount; number++) {
    const rule = ruleAt(number);
    if ((rule.flags & RULE_IS_END) == 0) {
      if (isTelling(rule)) telling++;
      continue;
    }
    if (telling >= RULES_MIN) addIndex(first, number);
    first = number + 1;
    telling = 0;
  }
}

function isTelling(rule: Rule): bool {
  const match: usize = rule.matches;
  if (match == rule.matchesEnd || load<u8>(match, MATCH_INVERT) != 0) return false;
  const kind: u32 = load<u16>(match, MATCH_KIND);
  return kind < 32 && ((TELLING >> kind) & 1) != 0;
}

function addIndex(first: u32, end: u32): void {
  const at = zeros(offsetof<ChainIndex>());
  const index = changetype<ChainIndex>(at);
  index.first = first;
  index.end = end;
  for (let number = first; number < end; number++) {
    setIndex(number, index);
    ruleAt(number).flags |= RULE_LEAPS;
  }
}

/** Makes a chain's tree. @returns false where its rules ask for nothing that tells them apart: it is let alone */
export function growTree(index: ChainIndex, family: u32): bool {
  gatherBoxes(index, family, recordTotal);
  if (!boxesDiffer()) {
    for (let number = index.first; number < index.end; number++) {
      ruleAt(number).flags &= ~RULE_LEAPS;
    }
    return false;
  }
  const list = startLists(boxCount);
  const count = listBoxes(index, list);
  startRegion(index);
  index.root = growRoot(list, count);
  index.kind = CHAIN_BY_TREE;
  return true;
}

// All numbers that there are: of what ranks stand for there are few.
function startRegion(index: ChainIndex): void {
  memory.fill(regionLeast, 0, FIELD_COUNT * 4);
  memory.fill(regionMost, 0xff, FIELD_COUNT * 4);
  if (index.srcRanks != 0) limitRegion(FIELD_SRC, ranksCount(index.srcRanks));
  if (index.dstRanks != 0) limitRegion(FIELD_DST, ranksCount(index.dstRanks));
  limitRegion(FIELD_INTERFACE, nameRanksCount());
}

function limitRegion(field: u32, most: u32): void {
  store<u32>(regionMost + ((<usize>field) << 2), most);
}

// Lists the boxes of the tree. A rule that asks for nothing is a candidate without a look at others; in the tree it
// would be the first of everything wide, which could not be passed over for coming late. @returns how many boxes
function listBoxes(index: ChainIndex, list: usize): u32 {
  let count: u32 = 0;
  let wholes: usize = 0;
  for (let number: u32 = 0; number < boxCount; number++) {
    const box = boxes + <usize>number * BOX_SIZE;
    if (!isWholeBox(box)) {
      store<u32>(list + ((<usize>count) << 2), <u32>box);
      count++;
      continue;
    }
    const owner = load<u32>(box, BOX_OWNER);
    ruleAt(owner >> 1).flags &= ~RULE_LEAPS;
    if (wholes == 0) wholes = heap.alloc((<usize>(boxCount - number)) << 2);
    store<u32>(wholes + ((<usize>index.unaskedCount) << 2), owner);
    index.unaskedCount++;
  }
  index.unasked = <u32>wholes;
  return count;
}
