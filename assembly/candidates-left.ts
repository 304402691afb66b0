// What is left of a piece until a packet lies in it. Most pieces have few boxes: of these only the addresses are kept.
import { copyBytes, zeros } from "./bytes";
import { regionLeast, regionMost, REGION_SIZE } from "./candidates-cut";
import { FOUR, PLACE_LEFT } from "./candidates-index";

/** A piece that has room of its own. Behind it are the least and the most of its region, and its boxes' addresses. */
@unmanaged
export class LeftPiece {
  /** 0 where the first box's address would be if there were few. */
  notFew: u32;
  count: u32;
  depth: u32;
  copies: u32;
  slots: u32;
}

const REGION: usize = offsetof<LeftPiece>();
const LIST: usize = REGION + 2 * REGION_SIZE;

// Up to four addresses, 0 where there are fewer; and room for so many pieces at a time.
const FEW_SIZE: usize = 4 * 4;
const FEW_ROOM: usize = 256 * 16;
let few: usize = 0;
let fewEnd: usize = 0;

/** Leaves up to four boxes, but not none. @returns their place */
export function leaveFew(list: usize, count: u32): u32 {
  if (few == fewEnd) {
    few = zeros(FEW_ROOM);
    fewEnd = few + FEW_ROOM;
  }
  const at = few;
  few += FEW_SIZE;
  copyBytes(at, list, (<usize>count) << 2);
  return (<u32>at) | PLACE_LEFT;
}

/** Leaves more boxes, of the region under way. @returns their place */
export function leaveMany(list: usize, count: u32, depth: u32, copies: u32, slots: u32): u32 {
  const at = heap.alloc(LIST + ((<usize>count) << 2));
  const left = changetype<LeftPiece>(at);
  left.notFew = 0;
  left.count = count;
  left.depth = depth;
  left.copies = copies;
  left.slots = slots;
  copyBytes(at + REGION, regionLeast, REGION_SIZE);
  copyBytes(at + REGION + REGION_SIZE, regionMost, REGION_SIZE);
  copyBytes(at + LIST, list, (<usize>count) << 2);
  return (<u32>at) | PLACE_LEFT;
}

/** How many boxes there are at a place where few were left; 0: more. */
export function fewLeft(place: u32): u32 {
  const list: usize = place - PLACE_LEFT;
  let count: u32 = 0;
  while (count < FOUR && load<u32>(list + ((<usize>count) << 2)) != 0) count++;
  return count;
}

/** Their addresses. */
export function fewList(place: u32): usize {
  return place - PLACE_LEFT;
}

/** What was left at a place where there are more, to grow once; its region is the one under way from now on. */
export function takeLeft(place: u32): LeftPiece {
  const at: usize = place - PLACE_LEFT;
  copyBytes(regionLeast, at + REGION, REGION_SIZE);
  copyBytes(regionMost, at + REGION + REGION_SIZE, REGION_SIZE);
  return changetype<LeftPiece>(at);
}

/** Its boxes' addresses. */
export function leftList(left: LeftPiece): usize {
  return changetype<usize>(left) + LIST;
}
