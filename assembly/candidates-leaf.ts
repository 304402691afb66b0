// Makes leaves: boxes by the four, side by side. Of pieces with few boxes, which are most, only their addresses are
// kept until the leaf is asked for.
import { zeros } from "./bytes";
import { listedBox } from "./candidates-cut";
import {
  BOX_SIZE,
  FOUR,
  FOUR_OWNERS,
  FOUR_SIZE,
  FOURS_FEW,
  LONG_HEAD,
  OWNER_NONE,
  PLACE_FEW,
} from "./candidates-index";

// The addresses of one piece's boxes, and room for those of so many pieces at a time.
const FEW_SIZE: usize = 4 * 4;
const FEW_ROOM: usize = 256 * 16;

let empty: usize = 0;
let few: usize = 0;
let fewEnd: usize = 0;

/** Makes a leaf of a list of boxes' addresses, u32 each. @returns its place */
export function makeLeaf(list: usize, count: u32): u32 {
  if (count == 0) return emptyLeaf();
  const fours = (count + FOUR - 1) / FOUR;
  const head: usize = fours > FOURS_FEW ? LONG_HEAD : 0;
  const at = zeros(head + <usize>fours * FOUR_SIZE);
  for (let index: u32 = 0; index < fours; index++) {
    const four = at + head + <usize>index * FOUR_SIZE;
    fillFour(four, list + ((<usize>(index * FOUR)) << 2), count - index * FOUR);
  }
  if (head == 0) return (<u32>at) | (fours << 1);
  store<u32>(at, fours);
  return <u32>at;
}

/** Keeps the up to four boxes of a piece for its leaf. @returns its place until then */
export function leaveFew(list: usize, count: u32): u32 {
  if (count == 0) return emptyLeaf();
  if (few == fewEnd) {
    few = zeros(FEW_ROOM);
    fewEnd = few + FEW_ROOM;
  }
  const at = few;
  few += FEW_SIZE;
  for (let index: u32 = 0; index < count; index++) {
    store<u32>(at + ((<usize>index) << 2), <u32>listedBox(list, index));
  }
  return (<u32>at) | PLACE_FEW;
}

/** Makes the leaf of boxes that were kept. @returns its place */
export function makeFew(place: u32): u32 {
  const list: usize = place - PLACE_FEW;
  let count: u32 = 1;
  while (count < FOUR && listedBox(list, count) != 0) count++;
  return makeLeaf(list, count);
}

function emptyLeaf(): u32 {
  if (empty == 0) {
    empty = zeros(FOUR_SIZE);
    fillFour(empty, 0, 0);
  }
  return (<u32>empty) | (1 << 1);
}

// With the first boxes of a list; the rest of it holds zeros.
function fillFour(four: usize, list: usize, listed: u32): void {
  for (let place: u32 = 0; place < FOUR; place++) {
    const column = four + ((<usize>place) << 2);
    if (place >= listed) {
      store<u32>(column, OWNER_NONE, FOUR_OWNERS);
      continue;
    }
    const box = listedBox(list, place);
    for (let word: usize = 0; word < BOX_SIZE; word += 4) {
      store<u32>(column + (word << 2), load<u32>(box + word));
    }
  }
}
