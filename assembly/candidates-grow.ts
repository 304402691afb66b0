// Grows the tree of a long chain's rules. Each node cuts one field's numbers into pieces of the same size; boxes that
// reach into many of them are kept apart, in a tree of their own, and what reaches into several is copied. A piece
// grows when a packet lies in it: of a large tree few captures ask for all.
// Memory is bounded whatever the rules are: what would need more stays together in a leaf. A box takes 36
// bytes, up to 700 of nodes and 800 of leaves, and 20 whenever it is left in a piece; usually a tenth of that.
// Sources of the ideas: Gupta, McKeown, "Packet classification using hierarchical intelligent cuttings"; Vamanan,
// Voskuilen, Vijaykumar, "EffiCuts: optimizing packet classification for memory and throughput".
import {
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
import { BOX_OWNER, DEPTH_MAX, FOUR, Node, PLACE_NODE } from "./candidates-index";
import { emptyLeaf, makeLeaf } from "./candidates-leaf";
import { fewLeft, fewList, leaveFew, leaveMany, leftList, takeLeft } from "./candidates-left";

// What a chain's tree may have for each box: copies in leaves, and slots, which are the places of nodes' pieces. A
// node's pieces may take all of its slots, and boxes that are kept apart get their share nonetheless: with as many of
// these at each level as WIDE_EIGHTHS allows it could come to 8/3 as many. A slot has up to 16 bytes, its part of a node
// included.
const COPIES_EACH: u32 = 4;
const SLOTS_EACH: u32 = 16;
const ROOM_FEW: u32 = 256;
// Shares of a box are counted in parts.
const SHARE_BITS: u64 = 16;
const LEAF_FEW: u32 = 6;

// Lists of boxes' addresses, u32 each and rising: what is behind the mark is free.
let lists: usize = 0;
let listRoom: u32 = 0;
let listMark: u32 = 0;

/** Starts the lists of a tree of so many boxes. @returns where the list of all goes */
export function startLists(boxCount: u32): usize {
  const room = boxCount * (2 + COPIES_EACH) + ROOM_FEW;
  if (room > listRoom) {
    listRoom = room;
    lists = heap.alloc((<usize>room) << 2);
  }
  listMark = boxCount;
  return lists;
}

/** Grows the root of a tree. @returns its place */
export function growRoot(list: usize, count: u32): u32 {
  return grow(list, count, 0, count * COPIES_EACH + ROOM_FEW, count * SLOTS_EACH + ROOM_FEW);
}

/** Grows what was left of a node's piece, which neighbours may have as well. */
export function growPiece(node: Node, piece: u32): void {
  const slots = changetype<usize>(node) + offsetof<Node>();
  const left = load<u32>(slots + ((<usize>piece) << 2));
  const place = growLeft(left);
  // As cuts begin at any piece, the last slot's neighbour is the first one.
  let same = piece;
  while (load<u32>(slots + ((<usize>same) << 2)) == left) {
    store<u32>(slots + ((<usize>same) << 2), place);
    same = (same + 1) & node.mask;
  }
  same = (piece - 1) & node.mask;
  while (load<u32>(slots + ((<usize>same) << 2)) == left) {
    store<u32>(slots + ((<usize>same) << 2), place);
    same = (same - 1) & node.mask;
  }
}

function growLeft(place: u32): u32 {
  const few = fewLeft(place);
  if (few > 0) return makeLeaf(fewList(place), few);
  const left = takeLeft(place);
  listMark = 0;
  return grow(leftList(left), left.count, left.depth, left.copies, left.slots);
}

// Of the room that is left for copies and slots each piece gets as much as it has boxes. The lists have room enough, as
// pieces grow one at a time: its bounds are there for safety. A list that has grown is in disorder.
// @returns the place
function grow(list: usize, count: u32, depth: u32, copies: u32, slots: u32): u32 {
  const room = listRoom - listMark;
  const may = count > LEAF_FEW && depth < DEPTH_MAX && room >= count && slots >= PIECES_MIN * 2;
  if (!may) return makeLeaf(list, count);
  const free = lists + ((<usize>listMark) << 2);
  return findCut(list, count, min(slots, room) - 1, min(copies, room - count), free)
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
  leavePieces(node, mark, depth + 1, copiesEach, slotsEach);
  listMark = mark;
  node.rest = 0;
  if (wide > 0) {
    const restList = list + ((<usize>narrow) << 2);
    node.restFirst = load<u32>(listedBox(restList, 0), BOX_OWNER);
    node.rest = grow(restList, wide, depth + 1, copiesOfRest, slotsOfRest);
  }
  return (<u32>at) | PLACE_NODE;
}

// Leaves the pieces, whose lists are one behind the other from a mark on; where a piece's place will be is the mark
// where its list ends. Neighbours of the same list are the same.
function leavePieces(node: Node, mark: u32, depth: u32, copiesEach: u64, slotsEach: u64): void {
  const least = regionLeast + <usize>node.field;
  const most = regionMost + <usize>node.field;
  const leastBefore = load<u32>(least);
  const mostBefore = load<u32>(most);
  let start = mark;
  let piece: u32 = 0;
  while (piece < cutCount) {
    const list = lists + ((<usize>start) << 2);
    const length = load<u32>(placeAt(node, cutFirst + piece)) - start;
    const size = (<usize>length) << 2;
    start += length;
    let behind = piece + 1;
    while (behind < cutCount && load<u32>(placeAt(node, cutFirst + behind)) - start == length) {
      if (memory.compare(list, lists + ((<usize>start) << 2), size) != 0) break;
      start += length;
      behind++;
    }
    let place: u32;
    if (length == 0) place = emptyLeaf();
    else if (length <= FOUR) place = leaveFew(list, length);
    else {
      store<u32>(least, max(leastBefore, (cutFirst + piece) << cutShift));
      store<u32>(most, min(mostBefore, ((cutFirst + behind) << cutShift) - 1));
      const copies = <u32>((length * copiesEach) >> SHARE_BITS);
      const slots = <u32>((length * slotsEach) >> SHARE_BITS);
      place = leaveMany(list, length, depth, copies, slots);
    }
    for (; piece < behind; piece++) store<u32>(placeAt(node, cutFirst + piece), place);
  }
  for (; piece <= node.mask; piece++) store<u32>(placeAt(node, cutFirst + piece), emptyLeaf());
  store<u32>(least, leastBefore);
  store<u32>(most, mostBefore);
}

// Puts those of a list that are wide in the field of the cut behind the others; each keep their order.
// @returns how many are not
function part(list: usize, count: u32): u32 {
  const wide = lists + ((<usize>listMark) << 2);
  let moved: u32 = 0;
  let kept: u32 = 0;
  for (let index: u32 = 0; index < count; index++) {
    const box = listedBox(list, index);
    if (isNarrow(box)) {
      store<u32>(list + ((<usize>kept) << 2), <u32>box);
      kept++;
    } else {
      store<u32>(wide + ((<usize>moved) << 2), <u32>box);
      moved++;
    }
  }
  memory.copy(list + ((<usize>kept) << 2), wide, (<usize>moved) << 2);
  return kept;
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
      store<u32>(lists + ((<usize>mark) << 2), <u32>box);
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
