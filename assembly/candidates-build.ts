// Makes the tree of a long chain's rules. Each node cuts one field's numbers into pieces of the same size; boxes that
// reach into many of them are kept apart, in a tree of their own, and what reaches into several is copied.
// Memory is bounded whatever the rules are: what would need more stays together in a leaf, which is searched from its
// front. Up to 256 bytes of slots and 468 of boxes for each box; usually a fifth of that.
// Sources of the ideas: Gupta, McKeown, "Packet classification using hierarchical intelligent cuttings"; Vamanan,
// Voskuilen, Vijaykumar, "EffiCuts: optimizing packet classification for memory and throughput".
import { boxCount, boxes, boxesDiffer, gatherBoxes, isWholeBox, owners } from "./candidates-boxes";
import {
  cutAmong,
  cutBase,
  cutCount,
  cutField,
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
  BOX_SIZE,
  BOXES_AT_ONCE,
  boxesOf,
  ChainIndex,
  FIELD_COUNT,
  FIELD_DST,
  FIELD_INTERFACE,
  FIELD_NONE,
  FIELD_SRC,
  OWNER_NONE,
  REST_HEAD,
  setIndex,
  setUpIndexes,
  Slot,
} from "./candidates-index";
import { forgetRanks, nameRanksCount } from "./candidates-interface";
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

// Bounds of a chain's tree, for each box: copies in leaves, and slots.
const COPIES_EACH: u32 = 12;
const SLOTS_EACH: u32 = 16;
const ROOM_FEW: u32 = 256;
// Shares of a box are counted in parts.
const SHARE_BITS: u64 = 16;
const LEAF_FEW: u32 = 6;
const DEPTH_MAX: u32 = 16;

// Lists of box numbers, u32 each: what is behind the mark is free.
let lists: usize = 0;
let listRoom: u32 = 0;
let listMark: u32 = 0;

let recordTotal: u32 = 0;

/** Finds the chains that are worth an index, and marks their rules with RULE_LEAPS. */
export function findLongChains(recordCount: u32): void {
  forgetRanks();
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
  const at = heap.alloc(offsetof<ChainIndex>());
  memory.fill(at, 0, offsetof<ChainIndex>());
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
  const root = heap.alloc(offsetof<Slot>());
  index.root = <u32>root;
  listMark = boxCount;
  const count = listBoxes(index);
  startRegion(index);
  grow(changetype<Slot>(root), lists, count, 0, copies, count * SLOTS_EACH + ROOM_FEW);
  // Boxes behind the last are looked at, too.
  heap.alloc(<usize>BOXES_AT_ONCE * BOX_SIZE);
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
    store<u32>(wholes + ((<usize>index.wholeCount) << 2), owner);
    index.wholeCount++;
  }
  index.wholes = <u32>wholes;
  return count;
}

function slotAt(slots: usize, index: u32): Slot {
  return changetype<Slot>(slots + <usize>index * offsetof<Slot>());
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

// Of the room that is left for copies and slots each piece gets as much as it has boxes.
function grow(slot: Slot, list: usize, count: u32, depth: u32, copies: u32, slots: u32): void {
  const room = listRoom - listMark;
  if (count <= LEAF_FEW || depth == DEPTH_MAX || room < count || slots < PIECES_MIN * 2) {
    makeLeaf(slot, list, count);
    return;
  }
  findCut(list, count, slots - 1, min(copies, room - count));
  if (cutField == FIELD_NONE) makeLeaf(slot, list, count);
  else growPieces(slot, list, count, depth, copies, slots);
}

function makeLeaf(slot: Slot, list: usize, count: u32): void {
  slot.field = <u8>FIELD_NONE;
  slot.parted = 0;
  slot.count = count;
  slot.base = OWNER_NONE;
  slot.at = 0;
  if (count == 0) return;
  const at = heap.alloc(boxesOf(0, count) + <usize>count * BOX_SIZE);
  const boxesAt = boxesOf(at, count);
  for (let index: u32 = 0; index < count; index++) {
    memory.copy(boxesAt + <usize>index * BOX_SIZE, listedBox(list, index), BOX_SIZE);
    const number = load<u32>(list + ((<usize>index) << 2));
    store<u32>(at + ((<usize>index) << 2), load<u32>(owners + ((<usize>number) << 2)));
  }
  slot.base = load<u32>(at);
  slot.at = <u32>at;
}

// Makes the slots of the cut that was found, and what they lead to.
function growPieces(
  slot: Slot,
  list: usize,
  count: u32,
  depth: u32,
  copies: u32,
  slotsMost: u32,
): void {
  slot.field = <u8>cutField;
  slot.shift = <u8>cutShift;
  slot.base = cutBase;
  slot.count = cutCount;
  const narrow = cutParts ? part(list, count) : count;
  const parted = narrow < count;
  const inFront = parted ? REST_HEAD + offsetof<Slot>() : 0;
  const slots = heap.alloc(inFront + <usize>cutCount * offsetof<Slot>()) + inFront;
  slot.parted = parted ? 1 : 0;
  slot.at = <u32>slots;
  const mark = listMark;
  listPieces(slot, list, narrow);
  const wide = count - narrow;
  const total = listMark - mark + wide;
  const copiesLeft = copies - min(copies, total - count);
  const copiesEach = ((<u64>copiesLeft) << SHARE_BITS) / total;
  const slotsOfRest = <u32>((<u64>slotsMost * wide) / count);
  const slotsOfPieces = slotsMost - slotsOfRest;
  const slotsLeft = slotsOfPieces - min(slotsOfPieces, cutCount);
  const slotsEach = ((<u64>slotsLeft) << SHARE_BITS) / max(total - wide, 1);
  const copiesOfRest = <u32>((wide * copiesEach) >> SHARE_BITS);
  growEach(slot, lists + ((<usize>mark) << 2), depth, copiesEach, slotsEach);
  listMark = mark;
  if (!parted) return;
  const rest = changetype<Slot>(slots - offsetof<Slot>());
  const restList = list + ((<usize>narrow) << 2);
  const first = load<u32>(owners + ((<usize>load<u32>(restList)) << 2));
  store<u32>(changetype<usize>(rest) - REST_HEAD, first);
  grow(rest, restList, wide, depth + 1, copiesOfRest, slotsOfRest);
}

// Makes the pieces, whose lists are one behind the other; each slot says how long its list is. Neighbours of the
// same list are the same.
function growEach(slot: Slot, firstList: usize, depth: u32, copiesEach: u64, slotsEach: u64): void {
  const least = regionLeast + ((<usize>slot.field) << 2);
  const most = regionMost + ((<usize>slot.field) << 2);
  const leastBefore = load<u32>(least);
  const mostBefore = load<u32>(most);
  let list = firstList;
  let piece: u32 = 0;
  while (piece < slot.count) {
    const own = slotAt(slot.at, piece);
    const length = own.count;
    const size = (<usize>length) << 2;
    let next = list + size;
    let behind = piece + 1;
    while (behind < slot.count && slotAt(slot.at, behind).count == length) {
      if (memory.compare(list, next, size) != 0) break;
      next += size;
      behind++;
    }
    const end = slot.base + ((behind - 1) << slot.shift) + ((1 << slot.shift) - 1);
    store<u32>(least, max(leastBefore, slot.base + (piece << slot.shift)));
    store<u32>(most, min(mostBefore, end));
    const copies = <u32>((length * copiesEach) >> SHARE_BITS);
    grow(own, list, length, depth + 1, copies, <u32>((length * slotsEach) >> SHARE_BITS));
    for (piece++; piece < behind; piece++) {
      const same = changetype<usize>(slotAt(slot.at, piece));
      memory.copy(same, changetype<usize>(own), offsetof<Slot>());
    }
    list = next;
  }
  store<u32>(least, leastBefore);
  store<u32>(most, mostBefore);
}

// Writes the pieces' lists behind the mark, and how long each is into its slot.
function listPieces(slot: Slot, list: usize, count: u32): void {
  memory.fill(slot.at, 0, <usize>slot.count * offsetof<Slot>());
  for (let index: u32 = 0; index < count; index++) {
    const box = listedBox(list, index);
    const last = lastPiece(slot, box);
    for (let piece = firstPiece(slot, box); piece <= last; piece++) slotAt(slot.at, piece).count++;
  }
  for (let piece: u32 = 0; piece < slot.count; piece++) {
    slotAt(slot.at, piece).at = listMark;
    listMark += slotAt(slot.at, piece).count;
  }
  for (let index: u32 = 0; index < count; index++) {
    const box = listedBox(list, index);
    const last = lastPiece(slot, box);
    for (let piece = firstPiece(slot, box); piece <= last; piece++) {
      const own = slotAt(slot.at, piece);
      store<u32>(lists + ((<usize>own.at) << 2), load<u32>(list + ((<usize>index) << 2)));
      own.at++;
    }
  }
}

function firstPiece(slot: Slot, box: usize): u32 {
  return (leastOf(box, slot.field) - slot.base) >> slot.shift;
}

function lastPiece(slot: Slot, box: usize): u32 {
  return (mostOf(box, slot.field) - slot.base) >> slot.shift;
}
