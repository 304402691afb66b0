// Makes the tree of a long chain's rules. Each node cuts one field's numbers into pieces of the same size; boxes that
// reach into many of them are kept apart, in a tree of their own, and what reaches into several is copied.
// Memory is bounded whatever the rules are: what would need more stays together in a leaf. Up to 700 bytes of nodes
// and 800 of leaves for each box; usually a tenth of that.
// Sources of the ideas: Gupta, McKeown, "Packet classification using hierarchical intelligent cuttings"; Vamanan,
// Voskuilen, Vijaykumar, "EffiCuts: optimizing packet classification for memory and throughput".
import { zeros } from "./bytes";
import { boxCount, boxes, boxesDiffer, gatherBoxes, isWholeBox, owners } from "./candidates-boxes";
import {
  cutAmong,
  cutCount,
  cutField,
  cutFirst,
  cutParts,
  cutShift,
  findCut,
  isNarrow,
  leastOf,
  listedBox,
  mostOf,
  PIECES_MIN,
  regionLeast,
  regionMost,
} from "./candidates-cut";
import {
  CHAIN_BY_TREE,
  ChainIndex,
  DEPTH_MAX,
  FIELD_COUNT,
  FIELD_DST,
  FIELD_INTERFACE,
  FIELD_SRC,
  Node,
  PLACE_NODE,
  setIndex,
  setUpIndexes,
} from "./candidates-index";
import { forgetRanks, nameRanksCount } from "./candidates-interface";
import { makeLeaf } from "./candidates-leaf";
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

// What a chain's tree may have for each box: copies in leaves, and slots, which are the places of nodes' pieces. A
// node's pieces may take all of its slots, and boxes that are kept apart get their share nonetheless: with as many of
// these at each level as WIDE_EIGHTHS allows it could come to 8/3 as many. A slot has up to 16 bytes, its part of a node included.
const COPIES_EACH: u32 = 4;
const SLOTS_EACH: u32 = 16;
const ROOM_FEW: u32 = 256;
// Shares of a box are counted in parts.
const SHARE_BITS: u64 = 16;
const LEAF_FEW: u32 = 6;

// Lists of box numbers, u32 each: what is behind the mark is free.
let lists: usize = 0;
let listRoom: u32 = 0;
let listMark: u32 = 0;

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
  cutAmong(boxes);
  const copies = boxCount * COPIES_EACH + ROOM_FEW;
  startLists(boxCount * 2 + copies);
  listMark = boxCount;
  const count = listBoxes(index);
  startRegion(index);
  index.root = grow(lists, count, 0, copies, count * SLOTS_EACH + ROOM_FEW);
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
function listBoxes(index: ChainIndex): u32 {
  let count: u32 = 0;
  let wholes: usize = 0;
  for (let box: u32 = 0; box < boxCount; box++) {
    if (!isWholeBox(box)) {
      store<u32>(lists + ((<usize>count) << 2), box);
      count++;
      continue;
    }
    const owner = load<u32>(owners + ((<usize>box) << 2));
    ruleAt(owner >> 1).flags &= ~RULE_LEAPS;
    if (wholes == 0) wholes = heap.alloc((<usize>(boxCount - box)) << 2);
    store<u32>(wholes + ((<usize>index.unaskedCount) << 2), owner);
    index.unaskedCount++;
  }
  index.unasked = <u32>wholes;
  return count;
}

function startLists(room: u32): void {
  if (room > listRoom) {
    listRoom = room;
    lists = heap.alloc((<usize>room) << 2);
  }
}

// Puts those of a list that are wide in the field of the cut behind the others; each keep their order.
// @returns how many are not
function part(list: usize, count: u32): u32 {
  const wide = lists + ((<usize>listMark) << 2);
  let moved: u32 = 0;
  let kept: u32 = 0;
  for (let index: u32 = 0; index < count; index++) {
    const number = load<u32>(list + ((<usize>index) << 2));
    if (isNarrow(listedBox(list, index))) {
      store<u32>(list + ((<usize>kept) << 2), number);
      kept++;
    } else {
      store<u32>(wide + ((<usize>moved) << 2), number);
      moved++;
    }
  }
  memory.copy(list + ((<usize>kept) << 2), wide, (<usize>moved) << 2);
  return kept;
}

// Of the room that is left for copies and slots each piece gets as much as it has boxes. @returns the place
function grow(list: usize, count: u32, depth: u32, copies: u32, slots: u32): u32 {
  const room = listRoom - listMark;
  const may = count > LEAF_FEW && depth < DEPTH_MAX && room >= count && slots >= PIECES_MIN * 2;
  return may && findCut(list, count, slots - 1, min(copies, room - count))
    ? growNode(list, count, depth, copies, slots)
    : makeLeaf(list, count);
}

// Makes the node of the cut that was found, and what it leads to.
function growNode(list: usize, count: u32, depth: u32, copies: u32, slots: u32): u32 {
  const mask: u32 = u32.MAX_VALUE >> clz<u32>(max(cutCount - 1, 1));
  const at = heap.alloc(offsetof<Node>() + ((<usize>mask + 1) << 2));
  const node = changetype<Node>(at);
  node.field = <u8>(cutField << 2);
  node.shift = <u8>cutShift;
  node.mask = mask;
  const narrow = cutParts ? part(list, count) : count;
  const mark = listMark;
  listPieces(node, list, narrow);
  const wide = count - narrow;
  const total = listMark - mark + wide;
  const copiesLeft = copies - min(copies, total - count);
  const copiesEach = ((<u64>copiesLeft) << SHARE_BITS) / total;
  const slotsOfRest = <u32>((<u64>slots * wide) / count);
  const slotsOfPieces = slots - slotsOfRest;
  const slotsLeft = slotsOfPieces - min(slotsOfPieces, mask + 1);
  const slotsEach = ((<u64>slotsLeft) << SHARE_BITS) / max(total - wide, 1);
  const copiesOfRest = <u32>((wide * copiesEach) >> SHARE_BITS);
  growPieces(node, mark, depth, copiesEach, slotsEach);
  listMark = mark;
  node.rest = 0;
  if (wide > 0) {
    const restList = list + ((<usize>narrow) << 2);
    node.restFirst = load<u32>(owners + ((<usize>load<u32>(restList)) << 2));
    node.rest = grow(restList, wide, depth + 1, copiesOfRest, slotsOfRest);
  }
  return (<u32>at) | PLACE_NODE;
}

// Makes the pieces, whose lists are one behind the other from a mark on; where a piece's place will be is the mark
// where its list ends. Neighbours of the same list are the same.
function growPieces(node: Node, mark: u32, depth: u32, copiesEach: u64, slotsEach: u64): void {
  const least = regionLeast + <usize>node.field;
  const most = regionMost + <usize>node.field;
  const leastBefore = load<u32>(least);
  const mostBefore = load<u32>(most);
  // Other cuts are looked for on the way.
  const shift = cutShift;
  const first = cutFirst;
  const count = cutCount;
  let start = mark;
  let piece: u32 = 0;
  while (piece < count) {
    const list = lists + ((<usize>start) << 2);
    const length = load<u32>(placeAt(node, first + piece)) - start;
    const size = (<usize>length) << 2;
    start += length;
    let behind = piece + 1;
    while (behind < count && load<u32>(placeAt(node, first + behind)) - start == length) {
      if (memory.compare(list, lists + ((<usize>start) << 2), size) != 0) break;
      start += length;
      behind++;
    }
    store<u32>(least, max(leastBefore, (first + piece) << shift));
    store<u32>(most, min(mostBefore, ((first + behind) << shift) - 1));
    const copies = <u32>((length * copiesEach) >> SHARE_BITS);
    const slots = <u32>((length * slotsEach) >> SHARE_BITS);
    const place = grow(list, length, depth + 1, copies, slots);
    for (; piece < behind; piece++) store<u32>(placeAt(node, first + piece), place);
  }
  for (; piece <= node.mask; piece++) store<u32>(placeAt(node, first + piece), makeLeaf(0, 0));
  store<u32>(least, leastBefore);
  store<u32>(most, mostBefore);
}

function placeAt(node: Node, piece: u32): usize {
  return changetype<usize>(node) + offsetof<Node>() + ((<usize>(piece & node.mask)) << 2);
}

// Writes the pieces' lists behind the mark, and where each ends to where its place will be.
function listPieces(node: Node, list: usize, count: u32): void {
  // Counted from the first piece: the last one of all numbers has none behind it.
  for (let piece: u32 = 0; piece < cutCount; piece++)
    store<u32>(placeAt(node, cutFirst + piece), 0);
  for (let index: u32 = 0; index < count; index++) {
    const box = listedBox(list, index);
    const last = lastPiece(box);
    for (let piece = firstPiece(box); piece <= last; piece++) {
      const at = placeAt(node, cutFirst + piece);
      store<u32>(at, load<u32>(at) + 1);
    }
  }
  for (let piece: u32 = 0; piece < cutCount; piece++) {
    const at = placeAt(node, cutFirst + piece);
    const length = load<u32>(at);
    store<u32>(at, listMark);
    listMark += length;
  }
  for (let index: u32 = 0; index < count; index++) {
    const box = listedBox(list, index);
    const last = lastPiece(box);
    for (let piece = firstPiece(box); piece <= last; piece++) {
      const at = placeAt(node, cutFirst + piece);
      const mark = load<u32>(at);
      store<u32>(lists + ((<usize>mark) << 2), load<u32>(list + ((<usize>index) << 2)));
      store<u32>(at, mark + 1);
    }
  }
}

function firstPiece(box: usize): u32 {
  return (leastOf(box, cutField) >> cutShift) - cutFirst;
}

function lastPiece(box: usize): u32 {
  return (mostOf(box, cutField) >> cutShift) - cutFirst;
}
